"""Log-mel spectrograms beside librosa's, and reading a checked store beside checksums of chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import h5py
import librosa
import numpy as np
from numpy.typing import NDArray

from auscult.config import SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from auscult.storage import seal
from bench.measure import Comparison, Options

RATE_HZ = 8000
SETTINGS = SpectrogramSettings(n_fft=1024, hop_samples=254, n_mels=128)


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield computing, of ten seconds a clip with the floor at -100 dB, and reading."""
    n_clips = 2 if options.is_tiny else 32
    clips = (0.1 * np.random.default_rng(1).standard_normal((n_clips, 10 * RATE_HZ))).astype(np.float32)
    log_mel = LogMel(SETTINGS, RATE_HZ)

    def ours() -> NDArray[np.floating]:
        return log_mel(clips)

    def theirs() -> NDArray[np.floating]:
        return np.stack([_librosa(clip) for clip in clips])

    def check() -> None:
        np.testing.assert_allclose(ours(), theirs(), atol=1e-3, err_msg="dB")

    computing = Comparison("spectrograms/log-mel", "librosa", ours, theirs, check, least=1.0)
    with tempfile.TemporaryDirectory() as folder:
        yield [computing, _reading(Path(folder), 2 if options.is_tiny else 128)]


def _reading(folder: Path, n_clips: int) -> Comparison:
    """A store is checked as a whole before HDF5 parses it; it must cost no more than HDF5's own checksums of chunks."""
    rows = np.random.default_rng(1).normal(-50, 9, (n_clips, 128, 311)).astype(np.float16)
    paths = {has_checksums: folder / f"{has_checksums}.h5" for has_checksums in (False, True)}
    for has_checksums, path in paths.items():
        with h5py.File(path, "w", libver=("v110", "v110"), userblock_size=512) as file:
            file.create_dataset("rows", data=rows, chunks=(1, 128, 311), fletcher32=has_checksums)
        seal.seal(path)

    def read(path: Path) -> NDArray[np.float16]:
        found = np.empty_like(rows)
        with h5py.File(path, "r", locking=False) as file:
            file["rows"].read_direct(found)
        return found

    def ours() -> NDArray[np.float16]:
        paths[False].touch()  # or the digest would be known from the last time
        assert seal.damage_of(paths[False]) is None
        return read(paths[False])

    def theirs() -> NDArray[np.float16]:
        return read(paths[True])

    def check() -> None:
        np.testing.assert_array_equal(ours(), theirs())

    return Comparison("spectrograms/reading a store", "checksums of chunks", ours, theirs, check, least=0.97)


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
