"""The registry: from the settings of `config.waveform_augment` to steps, applied in the experiment's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from auscult.augment.augmix import AugmixMixer
from auscult.augment.draws import Draws
from auscult.augment.filters import BandStopper, DeviceFilter
from auscult.augment.noise import BackgroundNoiseAdder, ColouredNoiseAdder
from auscult.augment.pitch import PitchShifter, SpeedChanger, TimeStretcher
from auscult.augment.step import Drawn, Sounds, WaveformStep
from auscult.augment.waveform import Clipper, GainChanger, PolarityInverter, TimeShifter
from auscult.config.waveform_augment import Augmix, WaveformAugmentation

_WAVEFORM: dict[str, Callable[[Any, int, torch.device], WaveformStep]] = {
    "time_shift": TimeShifter,
    "speed": SpeedChanger,
    "gaussian_noise": ColouredNoiseAdder,
    "coloured_noise": ColouredNoiseAdder,
    "background_noise": BackgroundNoiseAdder,
    "pitch_shift": PitchShifter,
    "time_stretch": TimeStretcher,
    "gain": GainChanger,
    "polarity": PolarityInverter,
    "band_stop": BandStopper,
    "clipping": Clipper,
    "device_response": DeviceFilter,
}


class WaveformAugmenter:
    """Applies waveform steps to whole batches.

    Samples may exceed full scale afterwards; they are not clipped.

    Args:
        steps: In their order.
        sample_rate_hz: Of the clips.
        device: Of the batches.

    Raises:
        ConfigError: If a step does not fit the sample rate, or its folder of noise is missing or empty.
        DataError: If a file of noise cannot be decoded.
    """

    def __init__(self, steps: Sequence[WaveformAugmentation], sample_rate_hz: int, device: torch.device) -> None:
        self._settings = tuple(steps)
        self._steps = [_build(step, sample_rate_hz, device) for step in steps]

    def __call__(self, waveforms: Tensor, draws: Draws, *, n_valid: Tensor, eligible: Sequence[Tensor]) -> Tensor:
        """Apply the steps in order.

        Padding of nothing but zeros stays as it is; padding that repeats the sound is changed as sound is.

        Args:
            waveforms: Full scale 1, float32 [batch, sample]; left unchanged.
            draws: The only source of randomness. What is drawn does not depend on which clips are eligible.
            n_valid: Samples of true sound of each clip, int64 [batch].
            eligible: For each step, the clips that it may change, bool [batch]: all of them where it has a `quantity`,
                else those that its probability picks.

        Returns:
            A tensor of the same shape.

        Raises:
            ValueError: If `eligible` is not one for each step.
        """
        if len(eligible) != len(self._steps):
            raise ValueError(f"{len(self._steps)} waveform steps, but eligible clips for {len(eligible)}")
        n_sound = _n_sound(waveforms, n_valid)
        has_padding = bool((n_sound < waveforms.shape[1]).any())
        augmented = waveforms
        for settings, step, may_change in zip(self._settings, self._steps, eligible, strict=True):
            picked = draws.chance(1.0 if settings.quantity is not None else settings.probability) & may_change
            drawn = step.draw(draws)
            places = picked.nonzero()[:, 0]
            if not len(places):
                continue
            sounds = Sounds(augmented, n_sound, has_padding)
            if not step.ONE_BY_ONE or waveforms.device.type != "cpu":
                augmented = _change(step, sounds, drawn, places)
            else:
                # Into a tensor of our own, which the steps that follow may overwrite.
                is_own = augmented is not waveforms
                augmented = augmented if is_own else _copy_but(waveforms, picked)
                _change_one_by_one(step, sounds, drawn, places.tolist(), augmented)
        return augmented


def _build(settings: WaveformAugmentation, sample_rate_hz: int, device: torch.device) -> WaveformStep:
    if isinstance(settings, Augmix):
        return AugmixMixer(settings, [_build(function, sample_rate_hz, device) for function in settings.functions])
    return _WAVEFORM[settings.name](settings, sample_rate_hz, device)


def _n_sound(waveforms: Tensor, n_valid: Tensor) -> Tensor:
    """Return the samples before silent padding: all of a clip where its padding is not silent, int64 [batch]."""
    n_samples = waveforms.shape[1]
    padded = (n_valid < n_samples).nonzero()[:, 0]
    if not len(padded):
        return n_valid
    behind = torch.arange(n_samples, device=waveforms.device) >= n_valid[padded, None]
    has_sound = ((waveforms[padded] != 0) & behind).any(dim=1)
    return n_valid.index_copy(0, padded, torch.where(has_sound, n_samples, n_valid[padded]))


def _copy_but(waveforms: Tensor, picked: Tensor) -> Tensor:
    """Return a tensor like `waveforms`, and equal where it is not picked."""
    copied = torch.empty_like(waveforms)
    for row in (~picked).nonzero()[:, 0].tolist():
        copied[row] = waveforms[row]
    return copied


def _change(step: WaveformStep, sounds: Sounds, drawn: Drawn, places: Tensor) -> Tensor:
    if len(places) == len(sounds.waveforms):
        return step.apply(sounds, drawn)
    changed = step.apply(sounds.rows(places), tuple(part[places] for part in drawn))
    return sounds.waveforms.index_copy(0, places, changed)


def _change_one_by_one(step: WaveformStep, sounds: Sounds, drawn: Drawn, places: list[int], target: Tensor) -> None:
    for place in places:
        row = slice(place, place + 1)
        target[row] = step.apply(sounds.rows(row), tuple(part[row] for part in drawn))
