"""Augmentations of normalised spectrograms: [batch, mel, frame] in, a new tensor of the same shape out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from auscult.augment.noise import white_noise
from auscult.augment.random import ClipRandom
from auscult.augment.waveform import same_shape
from auscult.config.augment import (
    SPECTROGRAM_FUNCTIONS,
    Augmentation,
    CoarseDropout,
    GaussianNoise,
    MaskFrequency,
    MaskTime,
    ResizeCrop,
    RollFrequency,
    RollTime,
)
from auscult.config.plugins import PluginSettings

SILENCE = 0.0
"""The mean of every mel band after normalisation, which tells a network nothing."""


def augment_spectrograms(
    spectrograms: Tensor,
    steps: Sequence[Augmentation],
    rng: ClipRandom,
    eligible: Sequence[Tensor] | None = None,
) -> Tensor:
    """Apply `steps` in order.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame]; left unchanged.
        steps: Those that change each clip by itself.
        rng: The only source of randomness.
        eligible: For each step, the clips that it may change, bool [batch]: all of them where it has a `quantity`, else
            those that its probability picks. Default: all clips.

    Returns:
        A tensor of the same shape.
    """
    for number, step in enumerate(steps):
        picked = rng.chance(1.0 if step.quantity is not None else step.probability)
        if eligible is not None:
            picked = picked & eligible[number]
        if isinstance(step, PluginSettings):
            changed = same_shape(step.name, step.implementation()(spectrograms.clone(), rng), spectrograms)
            spectrograms = torch.where(picked[:, None, None], changed, spectrograms)
        else:
            spectrograms = SPECTROGRAM_FUNCTIONS.implementation(step.name)(spectrograms, step, rng, picked)
    return spectrograms


def mask_time(spectrograms: Tensor, settings: MaskTime, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Silence one random run of frames across all mel bands (SpecAugment, Park et al. 2019).

    The width is uniform from 0 to `max_width_frames`, inclusive, and the run lies wholly inside the clip.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: The longest run.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].

    Raises:
        ValueError: If `max_width_frames` exceeds the number of frames.
    """
    hidden = _random_run(spectrograms.shape[2], settings.max_width_frames, "max_width_frames", rng)
    return _silenced(spectrograms, (hidden & picked[:, None])[:, None, :])


def mask_frequency(spectrograms: Tensor, settings: MaskFrequency, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Silence one random run of mel bands across all frames (SpecAugment, Park et al. 2019).

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: The widest run.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].

    Raises:
        ValueError: If `max_width_bands` exceeds the number of mel bands.
    """
    hidden = _random_run(spectrograms.shape[1], settings.max_width_bands, "max_width_bands", rng)
    return _silenced(spectrograms, (hidden & picked[:, None])[:, :, None])


def _silenced(spectrograms: Tensor, hidden: Tensor) -> Tensor:
    """Return the spectrograms with `SILENCE`, which is 0, where they are hidden: by one product, the fastest way."""
    return spectrograms * (~hidden).to(spectrograms.dtype)


def _random_run(length: int, max_width: int, name: str, rng: ClipRandom) -> Tensor:
    """Return bool, shape [batch, length]: true inside one run a clip."""
    if max_width > length:
        raise ValueError(f"{name} {max_width} exceeds the {length} of the spectrogram")
    width = (rng.uniform() * (max_width + 1)).long()
    start = (rng.uniform() * (length - width + 1)).long()
    places = torch.arange(length, device=width.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def gaussian_noise(spectrograms: Tensor, settings: GaussianNoise, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Add white Gaussian noise whose deviation is uniform from 0 to `max_deviation`, for each clip alone.

    Each clip's noise is the sum of two windows at random places of noise that is made once (`augment.noise`).
    """
    deviation = rng.uniform(1).masked_fill(~picked[:, None], 0.0) * (settings.max_deviation / math.sqrt(2))
    pools = white_noise(spectrograms.device)
    windows = pools.draw(rng, 2)
    n_values = spectrograms[0].numel()
    noise = (pools.windows(windows, 0, n_values) + pools.windows(windows, 1, n_values)).mul_(deviation)
    return noise.view_as(spectrograms).add_(spectrograms).to(spectrograms.dtype)


def roll_time(spectrograms: Tensor, settings: RollTime, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Shift each clip by a whole number of frames, uniform to either side; the sound goes round.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The furthest shift.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].

    Raises:
        ValueError: If `max_shift_frames` exceeds the number of frames.
    """
    n_frames = spectrograms.shape[2]
    shift = _shift(n_frames, settings.max_shift_frames, "max_shift_frames", rng) * picked
    places = (torch.arange(n_frames, device=shift.device) - shift[:, None]) % n_frames
    return spectrograms.gather(2, places[:, None, :].expand_as(spectrograms))


def roll_frequency(spectrograms: Tensor, settings: RollFrequency, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Shift each clip by a whole number of mel bands, uniform up and down; the bands go round.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The furthest shift.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].

    Raises:
        ValueError: If `max_shift_bands` exceeds the number of mel bands.
    """
    n_bands = spectrograms.shape[1]
    shift = _shift(n_bands, settings.max_shift_bands, "max_shift_bands", rng) * picked
    places = (torch.arange(n_bands, device=shift.device) - shift[:, None]) % n_bands
    return _bands(spectrograms, places)


def _shift(length: int, max_shift: int, name: str, rng: ClipRandom) -> Tensor:
    if max_shift > length:
        raise ValueError(f"{name} {max_shift} exceeds the {length} of the spectrogram")
    return (rng.uniform() * (2 * max_shift + 1)).long() - max_shift


def _bands(spectrograms: Tensor, places: Tensor) -> Tensor:
    """Return the bands at `places`, int64 [batch, band], of each clip: copied band by band."""
    n_clips, n_bands, n_frames = spectrograms.shape
    rows = places + torch.arange(n_clips, device=places.device)[:, None] * n_bands
    return spectrograms.reshape(-1, n_frames).index_select(0, rows.view(-1)).view(n_clips, -1, n_frames)


def coarse_dropout(spectrograms: Tensor, settings: CoarseDropout, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Silence `n_holes` rectangles that lie wholly inside the clip (DeVries & Taylor 2017); they may overlap.

    Heights and widths are uniform from 1 to the largest, inclusive.

    Args:
        spectrograms: Normalised log-mel, shape [batch, mel, frame].
        settings: Number and size of the holes.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].

    Raises:
        ValueError: If a hole may exceed the spectrogram.
    """
    _, n_bands, n_frames = spectrograms.shape
    rows = _runs(n_bands, settings.n_holes, settings.max_height_bands, "max_height_bands", rng)
    columns = _runs(n_frames, settings.n_holes, settings.max_width_frames, "max_width_frames", rng)
    rows &= picked[:, None, None]
    # Of each mel band and frame: in how many holes do both lie?
    n_holes = torch.bmm(rows.to(spectrograms.dtype).transpose(1, 2), columns.to(spectrograms.dtype))
    return n_holes.eq_(0).mul_(spectrograms)


def _runs(length: int, n_runs: int, max_width: int, name: str, rng: ClipRandom) -> Tensor:
    """Return bool, shape [batch, run, length]: true inside the run, which is 1 to `max_width` wide."""
    if max_width > length:
        raise ValueError(f"{name} {max_width} exceeds the {length} of the spectrogram")
    width = (rng.uniform(n_runs) * max_width).long() + 1
    start = (rng.uniform(n_runs) * (length - width + 1)).long()
    places = torch.arange(length, device=width.device)
    return (places >= start[:, :, None]) & (places < (start + width)[:, :, None])


def resize_crop(spectrograms: Tensor, settings: ResizeCrop, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Cut a rectangle out of each clip and stretch it bilinearly to the clip's own shape.

    The shares of the frames and of the mel bands are uniform from their least to 1, its place is uniform in the clip.

    Args:
        spectrograms: Shape [batch, mel, frame].
        settings: The least shares.
        rng: The only source of randomness.
        picked: Which clips are changed, bool [batch].
    """
    shares, starts = _drawn_cuts(settings, rng, picked)
    _, n_bands, n_frames = spectrograms.shape
    # One axis after the other, which is several times faster than both at once.
    first, second, weight = _neighbours(n_bands, starts[:, 1:], shares[:, 1:])
    low, high = _bands(spectrograms, first), _bands(spectrograms, second)
    tall = high.sub_(low).mul_(weight[:, :, None].to(low.dtype)).add_(low)
    first, second, weight = _neighbours(n_frames, starts[:, :1], shares[:, :1])
    left, right = (tall.gather(2, places[:, None, :].expand_as(tall)) for places in (first, second))
    return right.sub_(left).mul_(weight[:, None, :].to(left.dtype)).add_(left)


def cropped_places(n_frames: int, settings: ResizeCrop, rng: ClipRandom, picked: Tensor) -> Tensor:
    """Return where each frame lay before `resize_crop`, drawn as it draws: float64 [batch, frame]."""
    shares, starts = _drawn_cuts(settings, rng, picked)
    first, _, weight = _neighbours(n_frames, starts[:, :1], shares[:, :1])
    return first + weight


def _drawn_cuts(settings: ResizeCrop, rng: ClipRandom, picked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of frames and bands that are cut, and where the cuts begin, float64 [batch, 2]."""
    shares = rng.uniform(2).double()
    least = torch.tensor([settings.min_share_time, settings.min_share_frequency], device=shares.device)
    # What is not picked is cut whole.
    shares = torch.where(picked[:, None], least + shares * (1 - least), 1.0)
    return shares, rng.uniform(2).double() * (1 - shares)


def _neighbours(length: int, start: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return between which two old places each new one lies when a cut is stretched, and the weight of the second.

    Args:
        length: Of the axis.
        start: Of the cut, as a share of the axis, float64 [batch, 1].
        share: Of the axis that is cut, float64 [batch, 1].

    Returns:
        Two of int64 [batch, length] and one of float64.
    """
    middles = (torch.arange(length, device=start.device, dtype=torch.float64) + 0.5) / length
    places = ((start + share * middles) * length - 0.5).clamp(0, length - 1)
    # Without the last bits: in a cut of the whole each place is itself, and the clip is unchanged.
    places = (places * 2**20).round() / 2**20
    first = places.floor()
    return first.long(), (first.long() + 1).clamp_max(length - 1), places - first
