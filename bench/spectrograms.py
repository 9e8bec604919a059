"""Log-mel spectrograms of clips in memory, beside librosa's."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import librosa
import numpy as np
from numpy.typing import NDArray

from auscult.config import SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from bench.measure import Comparison, Options

RATE_HZ = 8000
SETTINGS = SpectrogramSettings(n_fft=1024, hop_samples=254, n_mels=128)


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield the one comparison: ten seconds a clip, the floor at -100 dB."""
    n_clips = 2 if options.is_tiny else 32
    clips = (0.1 * np.random.default_rng(1).standard_normal((n_clips, 10 * RATE_HZ))).astype(np.float32)
    log_mel = LogMel(SETTINGS, RATE_HZ)

    def ours() -> NDArray[np.floating]:
        return log_mel(clips)

    def theirs() -> NDArray[np.floating]:
        return np.stack([_librosa(clip) for clip in clips])

    def check() -> None:
        np.testing.assert_allclose(ours(), theirs(), atol=1e-3, err_msg="dB")

    yield [Comparison("spectrograms/log-mel", "librosa", ours, theirs, check, least=1.0)]


def _librosa(clip: NDArray[np.float32]) -> NDArray[np.floating]:
    power = librosa.feature.melspectrogram(
        y=clip,
        sr=RATE_HZ,
        n_fft=SETTINGS.n_fft,
        hop_length=SETTINGS.hop_samples,
        n_mels=SETTINGS.n_mels,
        center=SETTINGS.centred,
    )
    return librosa.power_to_db(power, ref=1.0, amin=10 ** (SETTINGS.floor_db / 10), top_db=None)
