"""Augmentation of whole batches, beside the same work clip by clip with librosa, SciPy and NumPy.

The peer does for each clip what audiomentations does: draw the parameters, compute, and at the end stack the clips into
a batch. Both change every clip of a batch, of ten seconds at 8 kHz; for the steps on spectrograms, of [128, 311].

What is little more than a copy of the batch (gain, polarity, masks, rolls) is bound by memory, and cannot be many times
as fast on one thread of a CPU.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from pydantic import TypeAdapter

from auscult.augment import ClipRandom, augment_spectrograms
from auscult.augment.waveform import WaveformAugmenter
from auscult.config.augment import SPECTROGRAM_FUNCTIONS
from auscult.config.waveform_augment import WAVEFORM, WaveformAugmentation
from bench.clip_by_clip import N_SAMPLES, RATE_HZ, SPECTROGRAM_STEPS, Array, Rng, waveform_step
from bench.measure import Comparison, Options

LEAST = 1.0
SHAPE = (128, 311)
N_FILES = 8
SAME_LEVEL_DB = 1.5
PEER = "clip by clip"


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield one comparison for each step."""
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        _write_noises(Path(folder))
        yield [*_of_waveforms(folder, options), *_of_spectrograms(options)]


def n_clips(options: Options) -> int:
    """Return the clips of a batch."""
    return 6 if options.is_tiny else 64


def waveforms(options: Options) -> torch.Tensor:
    """Return a batch of noise, shape [clip, sample]."""
    noise = torch.randn(n_clips(options), N_SAMPLES, generator=torch.Generator().manual_seed(1))
    return (0.1 * noise).to(options.device)


def batched(settings: Any, batch: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return one of our steps on a whole batch; each call is an epoch of its own."""
    n, device = len(batch), batch.device
    ids, n_valid = torch.arange(n, device=device), torch.full((n,), N_SAMPLES, device=device)
    augmenter, epochs = WaveformAugmenter([settings], RATE_HZ, device), itertools.count(1)
    eligible = [torch.ones(n, dtype=torch.bool, device=device)]
    return lambda: augmenter(batch, ClipRandom(1, next(epochs), ids), n_valid=n_valid, eligible=eligible)


def same_work(ours: Callable[[], Any], theirs: Callable[[], Any], batch: torch.Tensor) -> Callable[[], None]:
    """Return a check that both change every clip, and to the same level.

    Both draw their parameters, so samples differ: what can be compared is the clips' mean level, to `SAME_LEVEL_DB`.
    """

    def check() -> None:
        results = [torch.as_tensor(function()) for function in (ours, theirs)]
        for result in results:
            assert result.shape == batch.shape and bool(torch.isfinite(result).all())
            changed = (result != batch).flatten(1).any(1)
            # A drawn shift or width may be nothing.
            assert changed.float().mean() >= 0.5, f"{int(changed.sum())} of {len(batch)} clips changed"
        levels_db = [10 * result.square().flatten(1).mean(1).log10().mean().item() for result in results]
        np.testing.assert_allclose(levels_db[0], levels_db[1], atol=SAME_LEVEL_DB, err_msg="mean level in dB")

    return check


def _write_noises(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(N_FILES):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(2 * N_SAMPLES), RATE_HZ)


def _of_waveforms(folder: str, options: Options) -> Generator[Comparison]:
    batch = waveforms(options)
    extra: dict[str, Any] = {
        "gain": {"gain_db": [5, 6]},
        "background_noise": {"folder": folder},
        "augmix": {"functions": ["pitch_shift", "time_stretch"]},
    }
    for name in WAVEFORM:
        step = {"name": name, "probability": 1, **extra.get(name, {})}
        settings = TypeAdapter[Any](WaveformAugmentation).validate_python(step)
        ours, theirs = batched(settings, batch), _clip_by_clip(waveform_step(name, Path(folder)), settings, batch)
        yield Comparison(f"waveform/{name}", PEER, ours, theirs, same_work(ours, theirs, batch), LEAST)


def _of_spectrograms(options: Options) -> Generator[Comparison]:
    batch = torch.randn(n_clips(options), *SHAPE, generator=torch.Generator().manual_seed(1)).to(options.device)
    for name, kind in SPECTROGRAM_FUNCTIONS.items():
        settings: Any = kind.model_validate({"name": name, "probability": 1})
        ours, theirs = _augmenting(settings, batch), _clip_by_clip(SPECTROGRAM_STEPS[name], settings, batch)
        yield Comparison(f"spectrogram/{name}", PEER, ours, theirs, same_work(ours, theirs, batch), LEAST)


def _augmenting(settings: Any, batch: torch.Tensor) -> Callable[[], torch.Tensor]:
    ids, epochs = torch.arange(len(batch), device=batch.device), itertools.count(1)
    return lambda: augment_spectrograms(batch, [settings], ClipRandom(1, next(epochs), ids))


def _clip_by_clip(
    function: Callable[[Array, Any, Rng], Array], settings: Any, batch: torch.Tensor
) -> Callable[[], torch.Tensor]:
    rng, clips = np.random.default_rng(1), batch.cpu().numpy()
    return lambda: torch.from_numpy(np.stack([function(clip, settings, rng) for clip in clips])).to(batch.device)
