"""Augmented clips that must not change: an experiment has to train on the same clips again.

The clips are always the same. Of each result there are some samples and its level, and for masks what is hidden. To
renew the file after a wanted change: `AUSCULT_RENEW_GOLDEN=1 pytest tests/golden/test_augmentation_golden.py`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from auscult.augment import ClipRandom, augment_spectrograms
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.augment import SPECTROGRAM
from auscult.config.waveform_augment import WAVEFORM_FUNCTIONS, WaveformAugmentation

GOLDEN = Path(__file__).with_name("augmentation.json")
RATE_HZ = 8000
N_CLIPS = 4
N_SAMPLES = 16_000
SHAPE = (64, 144)
MASKS = ("mask_time", "mask_frequency", "coarse_dropout")
AUGMIX = {
    "augmix": {"functions": ["pitch_shift", "time_stretch"], "weight": [0.3, 0.7]},
    "augmix_dirichlet": {
        "functions": [{"name": "gain", "gain_db": [-12, 12]}, "polarity", "time_shift", "band_stop"],
        "n_chains": 2,
        "alpha": 0.5,
    },
}
SHIPPED = set(WAVEFORM_FUNCTIONS)
WAVEFORM = [*(SHIPPED - {"background_noise"}), *AUGMIX]


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Chirps of a breath's shape in a little noise; the last clip is padded with zeros.

    Without the noise the angles of empty bins, which are rounding errors, would be stretched and shifted too.
    """
    times_s = np.arange(N_SAMPLES) / RATE_HZ
    noise = 0.01 * np.random.Generator(np.random.PCG64(5)).standard_normal((N_CLIPS, N_SAMPLES))
    rows = [
        0.3 * np.sin(2 * np.pi * (120 * (1 + k) * times_s + 90 * times_s**2)) * np.sin(np.pi * times_s * (1 + k)) ** 2
        + noise[k]
        for k in range(N_CLIPS)
    ]
    rows[-1][10_000:] = 0
    n_valid = torch.tensor([N_SAMPLES] * (N_CLIPS - 1) + [10_000])
    return torch.from_numpy(np.stack(rows).astype(np.float32)), n_valid


def augmented_waveforms(name: str) -> dict:
    settings = {"name": name.removesuffix("_dirichlet"), "probability": 1, **AUGMIX.get(name, {})}
    step = TypeAdapter(WaveformAugmentation).validate_python(settings)
    waveforms, n_valid = clips()
    found = WaveformAugmenter([step], RATE_HZ, torch.device("cpu"))(
        waveforms,
        ClipRandom(12, 3, torch.arange(N_CLIPS) + 7),
        n_valid=n_valid,
        eligible=[torch.ones(N_CLIPS, dtype=torch.bool)],
    )
    assert not torch.equal(found, waveforms)
    return {
        "samples": found[:, 500::1700].double().tolist(),
        "levels": found.double().square().mean(dim=1).sqrt().tolist(),
    }


def masked(name: str) -> dict:
    step = SPECTROGRAM[name].model_validate({"name": name, "probability": 1})
    spectrograms = torch.ones(N_CLIPS, *SHAPE)
    hidden = augment_spectrograms(spectrograms, [step], ClipRandom(12, 3, torch.arange(N_CLIPS) + 7)) == 0
    bands, frames = hidden.all(dim=2), hidden.all(dim=1)
    return {
        "cells": hidden.sum(dim=(1, 2)).tolist(),
        "bands": [row.nonzero()[:, 0].tolist() for row in bands],
        "frames": [row.nonzero()[:, 0].tolist() for row in frames],
        "sum_of_places": (hidden.flatten(1) * torch.arange(SHAPE[0] * SHAPE[1])).sum(dim=1).tolist(),
    }


def compared(name: str, found: dict) -> dict:
    if os.environ.get("AUSCULT_RENEW_GOLDEN"):
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps({**known, name: found}, indent=1, sort_keys=True) + "\n")
    return json.loads(GOLDEN.read_text())[name]


@pytest.mark.parametrize("name", sorted(WAVEFORM))
def test_augmented_waveforms_are_those_on_file(name: str) -> None:
    found = augmented_waveforms(name)
    expected = compared(f"waveform/{name}", found)
    np.testing.assert_allclose(found["samples"], expected["samples"], atol=1e-4)
    np.testing.assert_allclose(found["levels"], expected["levels"], rtol=1e-4)


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_those_on_file(name: str) -> None:
    found = masked(name)
    assert found == compared(f"spectrogram/{name}", found)
    assert any(found["cells"])
