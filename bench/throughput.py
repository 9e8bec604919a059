"""From recordings to the feature store on one thread, beside the libraries that do the work.

- The limit is bare `soundfile.read`, `soxr.resample` and `torch.stft` on each recording: no clips, no mel bands, no
  decibels. Ratios are the share of that limit which our work reaches.
- Beside bare decoding and resampling stand ours, to int16; beside the bare FFT the log-mel spectrograms in float16.
- Beside all three stand the stages `cut_clips` and `make_spectrograms` as the workflow runs them, so with what is not
  sound: tables read and checked, clips.h5 written, read and checked, features.h5 written, checksums, fsync.

Each recording is taken several times over, as a dataset of a few hundred would hold them: what a stage costs once
weighs as it does there. Without recordings noise is written in the same formats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from auscult.audio.clip_store import ClipStore
from auscult.audio.cut import cut_windows, pad
from auscult.audio.cut_clips import cut_clips, load_waveform
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore
from auscult.storage.tables import events_frame, write_parquet
from bench.measure import Comparison, Options

CLIPS = ClipSettings(unit="window", length_s=10, sample_rate_hz=8000)
SPECTROGRAM = SpectrogramSettings(n_fft=1024, hop_samples=254, n_mels=128)
BLOCK_CLIPS = 16
LEAST_SHARE = 0.6

Sounds = list[NDArray[np.float32]]


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield decoding with resampling, spectrograms, and all together."""
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        work = Path(folder)
        files = _files(options, work)
        _write_tables(work, files, 1 if options.is_tiny else 30)
        yield _comparisons(_Work(files * (1 if options.is_tiny else 30), work), options)


class _Work:
    """The recordings, and each step on all of them."""

    def __init__(self, files: list[Path], folder: Path) -> None:
        self.files = files
        self.folder = folder
        self.facts = {path: soundfile.info(path) for path in files}
        self.log_mel = LogMel(SPECTROGRAM, CLIPS.sample_rate_hz)

    def bare_decode(self) -> Sounds:
        return [self._bare_decode(path) for path in self.files]

    def _bare_decode(self, path: Path) -> NDArray[np.float32]:
        sound, rate = soundfile.read(path, dtype="float32")
        return soxr.resample(sound, rate, CLIPS.sample_rate_hz, quality="HQ")

    def decode(self) -> list[NDArray[np.int16]]:
        return [self._decode(path) for path in self.files]

    def _decode(self, path: Path) -> NDArray[np.int16]:
        facts = self.facts[path]
        return load_waveform(path, "mean", CLIPS, source_hz=facts.samplerate, n_source_samples=facts.frames)

    def blocks(self) -> list[tuple[NDArray[np.int16], NDArray[np.int64]]]:
        """Return the clips of all recordings, and their true samples, in blocks as the stage reads them."""
        cuts = [(sound, cut) for sound in self.decode() for cut in cut_windows(len(sound), CLIPS)]
        padded = [
            pad(sound[cut.start_sample : cut.start_sample + cut.n_valid], CLIPS.n_samples, CLIPS.pad)
            for sound, cut in cuts
        ]
        n_valid = np.array([cut.n_valid for _, cut in cuts])
        starts = range(0, len(cuts), BLOCK_CLIPS)
        return [(np.stack(padded[at : at + BLOCK_CLIPS]), n_valid[at : at + BLOCK_CLIPS]) for at in starts]

    def all_bare(self) -> None:
        """Do the limit's work, one recording after the other: none is kept."""
        for path in self.files:
            _bare_stft(self._bare_decode(path))

    def stages(self) -> None:
        cut_clips(
            root=self.files[0].parent,
            dataset="bench",
            tables_dir=self.folder,
            settings=CLIPS,
            channel="mean",
            output=self.folder / "clips.h5",
            full_settings={"clips": CLIPS.model_dump(mode="json")},
            threads=1,
        )
        make_spectrograms(
            clips=self.folder / "clips.h5",
            settings=SPECTROGRAM,
            output=self.folder / "features.h5",
            full_settings={"spectrogram": SPECTROGRAM.model_dump(mode="json")},
            threads=1,
        )


def _bare_stft(sound: NDArray[np.float32]) -> torch.Tensor:
    n_fft, hop = SPECTROGRAM.n_fft, SPECTROGRAM.hop_samples
    window = torch.hann_window(n_fft)
    return torch.stft(torch.from_numpy(sound), n_fft, hop, window=window, center=False, return_complex=True)


def _comparisons(work: _Work, options: Options) -> list[Comparison]:
    sounds, blocks = work.bare_decode(), work.blocks()

    def each_decoded() -> None:
        for path in work.files:
            work._decode(path)

    def each_decoded_bare() -> None:
        for path in work.files:
            work._bare_decode(path)

    def spectrograms() -> None:
        for waveforms, n_valid in blocks:
            work.log_mel(waveforms, n_valid, np.float16)

    def transforms() -> None:
        for sound in sounds:
            _bare_stft(sound)

    bare = "soundfile, soxr"
    return [
        Comparison("throughput/decode and resample", bare, each_decoded, each_decoded_bare, _decoded_alike(work)),
        Comparison("throughput/log-mel", "torch.stft", spectrograms, transforms, _transformed_alike(work)),
        Comparison(
            "throughput/recordings to store",
            f"{bare}, torch.stft",
            work.stages,
            work.all_bare,
            _stored(work),
            LEAST_SHARE,
        ),
    ]


def _decoded_alike(work: _Work) -> Callable[[], None]:
    def check() -> None:
        for ours, bare in zip(work.decode(), work.bare_decode(), strict=True):
            # int16 rounds to half a step, and clips what the filter made louder than full scale.
            np.testing.assert_allclose(ours / 2**15, np.clip(bare, -1, 1), atol=1.01 / 2**15)

    return check


def _transformed_alike(work: _Work) -> Callable[[], None]:
    def check() -> None:
        waveforms, n_valid = work.blocks()[0]
        n_frames = int(work.log_mel.n_frames_valid(n_valid, CLIPS.n_samples)[0])
        spectrum = _bare_stft(waveforms[0].astype(np.float32) / 2**15)
        power = (spectrum.abs() ** 2).numpy().astype(np.float64)
        filters = librosa.filters.mel(sr=CLIPS.sample_rate_hz, n_fft=SPECTROGRAM.n_fft, n_mels=SPECTROGRAM.n_mels)
        levels_db = 10 * np.log10(np.maximum(filters @ power, 10 ** (SPECTROGRAM.floor_db / 10)))
        ours = work.log_mel(waveforms[:1], n_valid[:1], np.float16)[0]
        # A float16 of 64 to 128 dB has steps of 1/16 dB.
        np.testing.assert_allclose(ours[:, :n_frames], levels_db[:, :n_frames], atol=1 / 16)

    return check


def _stored(work: _Work) -> Callable[[], None]:
    def check() -> None:
        work.stages()
        blocks = work.blocks()
        with ClipStore(work.folder / "clips.h5") as store:
            np.testing.assert_array_equal(store.read(np.arange(len(blocks[0][0]))), blocks[0][0])
        with FeatureStore(work.folder / "features.h5") as store:
            assert len(store) == sum(len(waveforms) for waveforms, _ in blocks), "spectrograms in the store"
            expected = work.log_mel(*blocks[0], np.float16)
            np.testing.assert_array_equal(store.read(np.arange(len(expected))), expected)

    return check


def _files(options: Options, folder: Path) -> list[Path]:
    found = sorted(options.recordings.glob("*.wav")) if options.recordings and not options.is_tiny else []
    return found or _write_noise(folder / "raw", seconds=12 if options.is_tiny else 20)


def _write_noise(folder: Path, seconds: int) -> list[Path]:
    """Write ten recordings as the ICBHI database has them: most at 4 kHz, some at 44.1 kHz with up to 32 bits."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    formats = [(4000, "PCM_16")] * 6 + [(44_100, subtype) for subtype in ("PCM_16", "PCM_24", "PCM_24", "PCM_32")]
    paths = [folder / f"{number}.wav" for number in range(len(formats))]
    for path, (rate, subtype) in zip(paths, formats, strict=True):
        soundfile.write(path, 0.1 * rng.standard_normal(seconds * rate), rate, subtype=subtype)
    return paths


def _write_tables(tables_dir: Path, files: list[Path], copies: int) -> None:
    """Write tables that list each file `copies` times."""
    rows: list[dict[str, Any]] = []
    for copy in range(copies):
        for path in files:
            facts = soundfile.info(path)
            rows.append(
                {
                    "recording_id": f"bench/{path.stem}-{copy}",
                    "dataset": "bench",
                    "patient_id": f"bench/{path.stem}-{copy}",
                    "path": path.name,
                    "site": None,
                    "device": None,
                    "age_years": None,
                    "sex": None,
                    "sample_rate_hz": facts.samplerate,
                    "n_channels": facts.channels,
                    "n_samples": facts.frames,
                    "duration_s": facts.frames / facts.samplerate,
                    "encoding": facts.subtype,
                    "sha256": "0" * 64,
                    "fingerprint": None,
                }
            )
    table = pd.DataFrame(rows).astype(
        {"site": "str", "device": "str", "sex": "str", "fingerprint": "str", "age_years": "float64"}
    )
    write_parquet(tables_dir / "recordings.parquet", table)
    write_parquet(tables_dir / "events.parquet", events_frame([]))
