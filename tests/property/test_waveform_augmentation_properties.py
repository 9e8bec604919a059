"""Waveform augmentations on clips of any length, rate and padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.augment import ClipRandom
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.waveform_augment import WAVEFORM

NAMES = sorted(set(WAVEFORM) - {"background_noise"})
FITTING = {
    # Below half of the lowest rate.
    "band_stop": {"centre_hz": [60, 400], "width_hz": [30, 100]},
    "device_response": {"high_cut_hz": [400, 1500]},
    "augmix": {"functions": ["pitch_shift", "time_stretch", "speed", "clipping"], "n_chains": 2, "chain_depth": 2},
    "pitch_shift": {"max_semitones": 24},
    "time_stretch": {"rate": [0.25, 4]},
    "speed": {"rate": [0.25, 4]},
}


@pytest.mark.parametrize("name", NAMES)
@given(
    n_samples=st.one_of(st.integers(1, 40), st.integers(1, 6000)),
    rate_hz=st.sampled_from([1000, 4000, 8000, 44_100]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=12, deadline=None)
def test_shape_finiteness_and_silent_padding_survive(name: str, n_samples: int, rate_hz: int, *, share, seed) -> None:
    step = WAVEFORM[name].model_validate({"name": name, "probability": 1, **FITTING.get(name, {})})
    waveforms = 0.3 * torch.randn(2, n_samples, generator=torch.Generator().manual_seed(seed))
    n_valid = torch.tensor([n_samples, max(1, int(share * n_samples))])
    waveforms[1, n_valid[1] :] = 0
    found = WaveformAugmenter([step], rate_hz, torch.device("cpu"))(
        waveforms,
        ClipRandom(seed, 1, torch.tensor([4, 9])),
        n_valid=n_valid,
        eligible=[torch.ones(2, dtype=torch.bool)],
    )
    assert found.shape == waveforms.shape
    assert found.isfinite().all()
    assert not found[1, n_valid[1] :].any()
    assert found.abs().max() < 100
