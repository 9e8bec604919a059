"""Augmentation of whole batches, beside audiomentations where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from auscult.config.waveform_augment import WaveformAugmentation
from bench.augment import batched, same_work, waveforms
from bench.clip_by_clip import RATE_HZ
from bench.measure import Comparison, Options

PEER = "audiomentations"
_STEPS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "gain": ({"gain_db": [5, 6]}, "Gain", {"min_gain_db": 5, "max_gain_db": 6}),
    "polarity": ({}, "PolarityInversion", {}),
    "gaussian_noise": ({"snr_db": [10, 30]}, "AddGaussianSNR", {"min_snr_db": 10, "max_snr_db": 30}),
    "time_shift": (
        {"max_shift_s": 1},
        "Shift",
        {"min_shift": -1.0, "max_shift": 1.0, "shift_unit": "seconds", "rollover": True, "fade_duration": 0.0},
    ),
    "time_stretch": (
        {"rate": [0.9, 1.1]},
        "TimeStretch",
        {"min_rate": 0.9, "max_rate": 1.1, "method": "librosa_phase_vocoder"},
    ),
    "pitch_shift": (
        {"max_semitones": 2},
        "PitchShift",
        {"min_semitones": -2, "max_semitones": 2, "method": "librosa_phase_vocoder"},
    ),
}
"""Our step -> its settings, the peer's class, its settings."""


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield one comparison for each step that both have; without the peer they say so."""
    try:
        peer = importlib.import_module("audiomentations")
    except ImportError:
        peer = None
    yield [_comparison(peer, name, options) for name in _STEPS]


def _comparison(peer: Any, name: str, options: Options) -> Comparison:
    own, kind, other = _STEPS[name]
    batch = waveforms(options)
    settings = TypeAdapter[Any](WaveformAugmentation).validate_python({"name": name, "probability": 1, **own})
    ours = batched(settings, batch)
    theirs = None if peer is None else _one_by_one(getattr(peer, kind)(p=1.0, **other), batch)
    check = same_work(ours, theirs, batch) if theirs else _nothing
    return Comparison(f"waveform/{name}", PEER, ours, theirs, check)


def _one_by_one(transform: Any, batch: torch.Tensor) -> Callable[[], torch.Tensor]:
    clips = batch.cpu().numpy()
    return lambda: torch.from_numpy(np.stack([transform(clip, RATE_HZ) for clip in clips])).to(batch.device)


def _nothing() -> None:
    """Check nothing: there is no peer."""
