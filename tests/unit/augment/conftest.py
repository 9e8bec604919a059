from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from auscult.augment import ClipRandom
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.waveform_augment import WaveformAugmentation

RATE_HZ = 8000


def _augment(
    waveforms: Tensor,
    *steps: dict,
    n_valid: Tensor | None = None,
    ids: Tensor | None = None,
    seed: int = 3,
    epoch: int = 1,
    eligible: list[Tensor] | None = None,
    rate_hz: int = RATE_HZ,
) -> Tensor:
    adapter = TypeAdapter(WaveformAugmentation)
    settings = [adapter.validate_python({"probability": 1, **step}) for step in steps]
    n_clips, n_samples = waveforms.shape
    everything = [torch.ones(n_clips, dtype=torch.bool)] * len(steps)
    return WaveformAugmenter(settings, rate_hz, torch.device("cpu"))(
        waveforms,
        ClipRandom(seed, epoch, torch.arange(n_clips) if ids is None else ids),
        n_valid=torch.full((n_clips,), n_samples) if n_valid is None else n_valid,
        eligible=everything if eligible is None else eligible,
    )


@pytest.fixture(scope="session")
def augment() -> Callable[..., Tensor]:
    """Apply steps, given as mappings, each to every clip unless said otherwise."""
    return _augment
