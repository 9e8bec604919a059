"""How fast augmentation is on whole batches, beside the same work clip by clip with librosa, scipy and numpy.

The rival does for each clip what audiomentations does: draw the parameters, compute with librosa, scipy or numpy; at
the end it stacks the clips into a batch. (audiomentations reads a file of noise for each clip, and so does the rival.)
Both change every clip of a batch, of ten seconds at 8 kHz; for the steps on spectrograms, of [128, 311]. Batches of
ours and of the rival alternate in one run, so that whatever else the machine does weighs on both; the figure is the
median of the ratios, on one thread by the processor's time, else by the clock.

What is little more than a copy of the batch (gain, polarity, masks, rolls) is bound by memory, and cannot be many times
as fast on one thread of a CPU.

    python bench/augment.py --output bench.json
    python bench/augment.py --device cuda
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
import torch
from measure import clock_s, processor_s, say
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy import ndimage, signal

from auscult.augment import ClipRandom, augment_spectrograms
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.augment import SPECTROGRAM_FUNCTIONS
from auscult.config.waveform_augment import WAVEFORM, WaveformAugmentation
from auscult.storage.files import write_json

LEAST = 1.0
MUCH = 5.0
RATE_HZ = 8000
N_SAMPLES = 80_000
SHAPE = (128, 311)
N_FILES = 8
_MOST_PAIRS = 31
_LEAST_S = 1.0

Array = NDArray[np.float32]
Rng = np.random.Generator


def main() -> int:
    """Print the table, write the figures, and return 1 when one is slower than its rival."""
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    time_of = processor_s if device.type == "cpu" and options.threads == 1 else partial(clock_s, device=device)
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        _write_noises(Path(folder))
        for title, ours, theirs in [
            *_waveform_pairs(folder, options.clips, device),
            *_spectrogram_pairs(options.clips, device),
        ]:
            if options.only and title not in options.only:
                continue
            report[title] = row = _measure(ours, theirs, options.repetitions, time_of)
            say(
                f"{title:28} {row['ours_ms']:8.1f} ms, clip by clip {row['theirs_ms']:8.1f} ms: "
                f"{row['ratio']:6.1f} times as fast ({row['low']:.1f} to {row['high']:.1f})"
            )
    if options.output is not None:
        write_json(options.output, report)
    ratios = [row["ratio"] for row in report.values()]
    slower = [title for title, row in report.items() if row["ratio"] < LEAST]
    n_fast = sum(ratio >= MUCH for ratio in ratios)
    say(
        f"{n_fast} of {len(ratios)} at least {MUCH:g} times as fast, batches of {options.clips}; "
        f"none slower: {'MISSED by ' + ', '.join(slower) if slower else 'met'}"
    )
    return 1 if slower else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of augmentation")
    parser.add_argument("--clips", type=int, default=64, help="of a batch")
    parser.add_argument("--repetitions", type=int, default=3, help="least pairs of batches after one to warm up")
    parser.add_argument("--device", default="cpu", help="of our batches")
    parser.add_argument("--threads", type=int, default=1, help="for our batches")
    parser.add_argument("--only", nargs="+", help="titles as printed, such as waveform/pitch_shift")
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    return parser.parse_args()


def _measure(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    n_repetitions: int,
    time_of: Callable[[Callable[[], Any]], float],
) -> dict[str, float]:
    warm_s = time_of(ours) + time_of(theirs)
    # What takes milliseconds is repeated more often.
    n_pairs = max(n_repetitions, min(_MOST_PAIRS, int(_LEAST_S / max(warm_s, 1e-6))))
    pairs = [(time_of(ours), time_of(theirs)) for _ in range(n_pairs)]
    ratios = [other / own for own, other in pairs]
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "ours_ms": 1e3 * statistics.median(own for own, _ in pairs),
        "theirs_ms": 1e3 * statistics.median(other for _, other in pairs),
    }


def _write_noises(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(N_FILES):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(2 * N_SAMPLES), RATE_HZ)


def _waveform_pairs(
    folder: str, n_clips: int, device: torch.device
) -> list[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    waveforms = (0.1 * torch.randn(n_clips, N_SAMPLES, generator=torch.Generator().manual_seed(1))).to(device)
    ids, n_valid = torch.arange(n_clips, device=device), torch.full((n_clips,), N_SAMPLES, device=device)
    eligible = [torch.ones(n_clips, dtype=torch.bool, device=device)]
    epochs = itertools.count(1)
    pairs: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = []
    for name in WAVEFORM:
        extra = {"background_noise": {"folder": folder}, "augmix": {"functions": ["pitch_shift", "time_stretch"]}}
        step = {"name": name, "probability": 1, **extra.get(name, {})}
        settings = TypeAdapter[Any](WaveformAugmentation).validate_python(step)
        augmenter = WaveformAugmenter([settings], RATE_HZ, device)
        rival = _Rival(folder)

        def ours(augmenter: WaveformAugmenter = augmenter) -> Any:
            return augmenter(waveforms, ClipRandom(1, next(epochs), ids), n_valid=n_valid, eligible=eligible)

        pairs.append((f"waveform/{name}", ours, _clip_by_clip(getattr(rival, name), settings, waveforms)))
    return pairs


def _spectrogram_pairs(n_clips: int, device: torch.device) -> list[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    spectrograms = torch.randn(n_clips, *SHAPE, generator=torch.Generator().manual_seed(1)).to(device)
    ids = torch.arange(n_clips, device=device)
    epochs = itertools.count(1)
    pairs: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = []
    for name, kind in SPECTROGRAM_FUNCTIONS.items():
        settings: Any = kind.model_validate({"name": name, "probability": 1})

        def ours(settings: Any = settings) -> Any:
            return augment_spectrograms(spectrograms, [settings], ClipRandom(1, next(epochs), ids))

        pairs.append((f"spectrogram/{name}", ours, _clip_by_clip(_SPECTROGRAM[name], settings, spectrograms)))
    return pairs


def _clip_by_clip(function: Callable[[Array, Any, Rng], Array], settings: Any, batch: Any) -> Callable[[], Any]:
    rng, clips = np.random.default_rng(1), batch.cpu().numpy()

    def theirs() -> Any:
        return torch.from_numpy(np.stack([function(clip, settings, rng) for clip in clips])).to(batch.device)

    return theirs


def _amplitude(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))


def _rms(samples: Array) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def _fitted(samples: Array) -> Array:
    return librosa.util.fix_length(samples, size=N_SAMPLES)


class _Rival:
    """Each waveform step for one clip."""

    def __init__(self, folder: str) -> None:
        self._files = sorted(Path(folder).glob("*.wav"))

    def time_shift(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return np.roll(clip, round(rng.uniform(-1, 1) * settings.max_shift_s * RATE_HZ))

    def speed(self, clip: Array, settings: Any, rng: Rng) -> Array:
        rate = round(100 * rng.uniform(*settings.rate))
        return _fitted(librosa.resample(clip, orig_sr=rate, target_sr=100))

    def gaussian_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        deviation = _rms(clip) / _amplitude(rng.uniform(*settings.snr_db))
        return clip + rng.normal(0, deviation, len(clip)).astype(np.float32)

    def coloured_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        exponent = rng.integers(3)
        spectrum = np.fft.rfft(rng.normal(0, 1, len(clip)))
        spectrum *= np.maximum(np.fft.rfftfreq(len(clip), 1 / RATE_HZ), 20.0) ** (-exponent / 2)
        return self._added(clip, np.fft.irfft(spectrum, len(clip)).astype(np.float32), settings, rng)

    def background_noise(self, clip: Array, settings: Any, rng: Rng) -> Array:
        start = int(rng.integers(N_SAMPLES))
        path = self._files[rng.integers(len(self._files))]
        noise, _ = soundfile.read(path, N_SAMPLES, start, dtype="float32")
        return self._added(clip, noise, settings, rng)

    def _added(self, clip: Array, noise: Array, settings: Any, rng: Rng) -> Array:
        return clip + noise * np.float32(_rms(clip) / _rms(noise) / _amplitude(rng.uniform(*settings.snr_db)))

    def pitch_shift(self, clip: Array, settings: Any, rng: Rng) -> Array:
        semitones = rng.uniform(-settings.max_semitones, settings.max_semitones)
        return librosa.effects.pitch_shift(clip, sr=RATE_HZ, n_steps=semitones)

    def time_stretch(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return _fitted(librosa.effects.time_stretch(clip, rate=rng.uniform(*settings.rate)))

    def gain(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return clip * _amplitude(rng.uniform(*settings.gain_db))

    def polarity(self, clip: Array, settings: Any, rng: Rng) -> Array:
        return -clip

    def band_stop(self, clip: Array, settings: Any, rng: Rng) -> Array:
        centre_hz, width_hz = rng.uniform(*settings.centre_hz), rng.uniform(*settings.width_hz)
        edges_hz = [max(centre_hz - width_hz / 2, 1), centre_hz + width_hz / 2]
        # Forwards and backwards, as ours delays nothing.
        sections = signal.butter(2, edges_hz, "bandstop", output="sos", fs=RATE_HZ)
        return signal.sosfiltfilt(sections, clip).astype(np.float32)

    def clipping(self, clip: Array, settings: Any, rng: Rng) -> Array:
        limit = np.max(np.abs(clip)) * _amplitude(-rng.uniform(*settings.below_peak_db))
        return np.clip(clip, -limit, limit)

    def device_response(self, clip: Array, settings: Any, rng: Rng) -> Array:
        low_hz, high_hz = rng.uniform(*settings.low_cut_hz), rng.uniform(*settings.high_cut_hz)
        sections = [
            signal.butter(2, low_hz, "highpass", output="sos", fs=RATE_HZ),
            signal.butter(2, high_hz, "lowpass", output="sos", fs=RATE_HZ),
        ]
        for _ in range(settings.n_peaks):
            peak_hz, quality = rng.uniform(low_hz, high_hz), rng.uniform(*settings.quality)
            sections.append(_bell(peak_hz, quality, rng.uniform(-settings.max_peak_db, settings.max_peak_db)))
        return signal.sosfilt(np.concatenate(sections), clip).astype(np.float32)

    def augmix(self, clip: Array, settings: Any, rng: Rng) -> Array:
        share = rng.beta(settings.alpha, settings.alpha)
        mixed = clip * np.float32(1 - share)
        for weight in rng.dirichlet([settings.alpha] * settings.n_chains):
            end = clip
            for _ in range(rng.integers(1, settings.chain_depth + 1)):
                function = settings.functions[rng.integers(len(settings.functions))]
                end = getattr(self, function.name)(end, function, rng)
            mixed += np.float32(share * weight) * end
        return mixed


def _bell(peak_hz: float, quality: float, level_db: float) -> NDArray[np.float64]:
    """Return the section of a parametric equaliser (Bristow-Johnson)."""
    angle, root = 2 * np.pi * peak_hz / RATE_HZ, 10 ** (level_db / 40)
    width = np.sin(angle) / (2 * quality)
    section = np.array(
        [
            [
                1 + width * root,
                -2 * np.cos(angle),
                1 - width * root,
                1 + width / root,
                -2 * np.cos(angle),
                1 - width / root,
            ]
        ]
    )
    return section / section[0, 3]


def _mask_time(clip: Array, settings: Any, rng: Rng) -> Array:
    width = rng.integers(settings.max_width_frames + 1)
    start = rng.integers(clip.shape[1] - width + 1)
    masked = clip.copy()
    masked[:, start : start + width] = 0
    return masked


def _mask_frequency(clip: Array, settings: Any, rng: Rng) -> Array:
    width = rng.integers(settings.max_width_bands + 1)
    start = rng.integers(clip.shape[0] - width + 1)
    masked = clip.copy()
    masked[start : start + width] = 0
    return masked


def _gaussian_noise(clip: Array, settings: Any, rng: Rng) -> Array:
    return clip + rng.normal(0, rng.uniform(0, settings.max_deviation), clip.shape).astype(np.float32)


def _roll_time(clip: Array, settings: Any, rng: Rng) -> Array:
    return np.roll(clip, rng.integers(-settings.max_shift_frames, settings.max_shift_frames + 1), axis=1)


def _roll_frequency(clip: Array, settings: Any, rng: Rng) -> Array:
    return np.roll(clip, rng.integers(-settings.max_shift_bands, settings.max_shift_bands + 1), axis=0)


def _coarse_dropout(clip: Array, settings: Any, rng: Rng) -> Array:
    dropped = clip.copy()
    for _ in range(settings.n_holes):
        height = rng.integers(1, settings.max_height_bands + 1)
        width = rng.integers(1, settings.max_width_frames + 1)
        top, left = rng.integers(clip.shape[0] - height + 1), rng.integers(clip.shape[1] - width + 1)
        dropped[top : top + height, left : left + width] = 0
    return dropped


def _resize_crop(clip: Array, settings: Any, rng: Rng) -> Array:
    n_bands, n_frames = clip.shape
    height = round(n_bands * rng.uniform(settings.min_share_frequency, 1))
    width = round(n_frames * rng.uniform(settings.min_share_time, 1))
    top, left = rng.integers(n_bands - height + 1), rng.integers(n_frames - width + 1)
    cut = clip[top : top + height, left : left + width]
    return ndimage.zoom(cut, (n_bands / height, n_frames / width), order=1)


_SPECTROGRAM: dict[str, Callable[[Array, Any, Rng], Array]] = {
    "mask_time": _mask_time,
    "mask_frequency": _mask_frequency,
    "gaussian_noise": _gaussian_noise,
    "roll_time": _roll_time,
    "roll_frequency": _roll_frequency,
    "coarse_dropout": _coarse_dropout,
    "resize_crop": _resize_crop,
}


if __name__ == "__main__":
    sys.exit(main())
