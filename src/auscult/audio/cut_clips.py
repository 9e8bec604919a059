"""Recordings of one dataset become clips: decode, resample, filter, cut, pad."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.audio.clip_store import create_clips, to_int16
from auscult.audio.cut import Cut, cut_cycles, cut_recording, cut_windows, pad, stream_windows
from auscult.audio.decode import decode
from auscult.audio.levels import holds_float_samples
from auscult.audio.resample import band_pass, resample, resample_blocks
from auscult.config.clips import ClipSettings
from auscult.errors import DataError
from auscult.storage.hdf5 import WHOLE, Shard
from auscult.storage.parallel import ordered_map
from auscult.storage.tables import CLIPS, read_events, read_recordings

logger = logging.getLogger(__name__)

_BLOCK_CLIPS = 64
_BLOCK_SAMPLES = 1 << 24
_LONG_SAMPLES = 1 << 25
"""Of a recording that is longer, over an hour at 8 kHz, windows are cut while it is decoded."""
_TABLE_COLUMNS = tuple(CLIPS.columns)


class _Facts(TypedDict):
    """What is known of a recording's samples since its ingest."""

    source_hz: int
    n_source_samples: int
    full_scale: float


_Sounds = Iterable[tuple[Cut, NDArray[np.int16]]]
"""Clips of one recording: where each lies, and its true sound."""


class _Source(NamedTuple):
    """What is needed of a recording, without its other columns."""

    recording_id: str
    patient_id: str
    path: Path
    sample_rate_hz: int
    n_samples: int
    encoding: str
    cycles: tuple[NDArray[np.float64], NDArray[np.float64]]


def cut_clips(
    *,
    root: Path,
    dataset: str,
    tables_dir: Path,
    settings: ClipSettings,
    channel: int | Literal["mean"],
    output: Path,
    full_settings: dict[str, Any],
    shard: Shard = WHOLE,
    threads: int = 1,
    full_scale: float = 1.0,
) -> None:
    """Cut every recording of a dataset, or of one shard of it, into clips and write the clip store.

    The clips do not depend on `threads`. Memory holds a few recordings, however many there are, and of one that lasts
    hours a few windows; only cycles and a band-pass, which runs backwards too, need it whole.

    Args:
        root: The dataset's raw folder; the recordings' paths are relative to it.
        dataset: Its name.
        tables_dir: Folder of `recordings.parquet` and `events.parquet`.
        settings: What a clip is.
        channel: Channel of multi-channel audio, or `mean`.
        output: The clip store to write.
        full_settings: All settings that shape the clips, kept in the store; `clips` among them.
        shard: Which recordings; the stores of all shards, one after the other, hold the rows of one store for all.
        threads: Recordings decoded and resampled at once.
        full_scale: Level of float samples that stands for full scale.

    Raises:
        DataError: If a recording cannot be decoded or has changed since ingest, or if there is nothing to cut in the
            whole dataset; a shard alone may stay empty.
    """
    begin = time.perf_counter()
    recordings = shard.rows(read_recordings(tables_dir / "recordings.parquet"))
    if bool((recordings["duration_s"].to_numpy() == 0).any()):
        raise DataError(f"{dataset}: it holds pictures, and clips.unit is {settings.unit!r}; use `unit: image`")
    cycles = _cycles(tables_dir) if settings.unit == "cycle" else {}

    def load(source: _Source) -> tuple[_Source, _Sounds | None]:
        """Return the clips' sound; None for a recording without a sample."""
        facts: _Facts = {
            "source_hz": source.sample_rate_hz,
            "n_source_samples": source.n_samples,
            "full_scale": full_scale if holds_float_samples(source.encoding) else 1.0,
        }
        n_samples = source.n_samples * settings.sample_rate_hz // source.sample_rate_hz
        if n_samples > _LONG_SAMPLES and settings.unit == "window" and settings.band_pass is None:
            return source, stream_windows(_pieces(source.path, channel, settings, **facts), settings)
        waveform = load_waveform(source.path, channel, settings, **facts)
        if not len(waveform):
            return source, None
        return source, _sounds(waveform, _cut(source, len(waveform), settings))

    without: list[str] = []
    too_short: list[str] = []
    block = np.empty((max(1, min(_BLOCK_CLIPS, _BLOCK_SAMPLES // settings.n_samples)), settings.n_samples), np.int16)
    rows: list[tuple[Any, ...]] = []
    with create_clips(output, n_samples=settings.n_samples, settings=full_settings) as writer:
        for source, sounds in ordered_map(load, _sources(root, recordings, cycles), threads):
            index = -1
            for index, (cut, true_sound) in enumerate(sounds or ()):
                block[len(rows)] = pad(true_sound, settings.n_samples, settings.pad)
                rows.append(_row(dataset, source, index, cut))
                if len(rows) == len(block):
                    writer.append(_columns(rows), block)
                    rows.clear()
            if index < 0:
                (too_short if sounds is None else without).append(source.recording_id)
        writer.append(_columns(rows), block[: len(rows)])
        if writer.n_clips == 0 and shard == WHOLE:
            raise DataError(_nothing_to_cut(dataset, tables_dir, len(recordings), settings))
    if without:
        logger.info("%d recordings without a %s gave no clip: %s", len(without), settings.unit, ", ".join(without[:5]))
    if too_short:
        logger.warning(
            "%s: %d recordings are too short, not one sample is left at %d Hz: no clip of %s",
            dataset, len(too_short), settings.sample_rate_hz, ", ".join(too_short[:5]),
        )  # fmt: skip
    elapsed_s = time.perf_counter() - begin
    sound_s = float(recordings["duration_s"].to_numpy().sum())
    logger.info(
        "%s: %d clips of %d recordings, %.0f s of sound in %.1f s (%.0f times real time)",
        dataset, writer.n_clips, len(recordings), sound_s, elapsed_s, sound_s / elapsed_s,
    )  # fmt: skip


def load_waveform(
    path: Path,
    channel: int | Literal["mean"],
    settings: ClipSettings,
    *,
    source_hz: int,
    n_source_samples: int,
    full_scale: float = 1.0,
) -> NDArray[np.int16]:
    """Return a whole recording at the clips' rate, filtered if they are, as int16, shape [sample].

    Args:
        path: The audio file.
        channel: Channel of multi-channel audio, or `mean`.
        settings: What a clip is.
        source_hz: Sample rate of the file when it was ingested.
        n_source_samples: Samples per channel of the file when it was ingested.
        full_scale: The level that becomes full scale.

    Raises:
        DataError: If the file cannot be decoded, holds samples that are no numbers, or has changed since ingest.
    """
    blocks = decode(path, channel, sample_rate_hz=source_hz, n_samples=n_source_samples, decoder=settings.decoder)
    waveform = _levelled(resample(blocks, source_hz, settings.sample_rate_hz), path, full_scale)
    if settings.band_pass is not None and waveform.size:
        waveform = band_pass(waveform, settings.band_pass, settings.sample_rate_hz)
    return to_int16(waveform)


def _pieces(
    path: Path,
    channel: int | Literal["mean"],
    settings: ClipSettings,
    *,
    source_hz: int,
    n_source_samples: int,
    full_scale: float,
) -> Iterator[NDArray[np.int16]]:
    """Yield what `load_waveform` returns without a band-pass piece by piece."""
    blocks = decode(path, channel, sample_rate_hz=source_hz, n_samples=n_source_samples, decoder=settings.decoder)
    for piece in resample_blocks(blocks, source_hz, settings.sample_rate_hz):
        yield to_int16(_levelled(piece, path, full_scale))


def _levelled(waveform: NDArray[np.float32], path: Path, full_scale: float) -> NDArray[np.float32]:
    if waveform.size and not np.isfinite([waveform.min(), waveform.max()]).all():
        raise DataError(f"{path}: holds samples that are no finite numbers; fix the file and run ingest again")
    return waveform if full_scale == 1 else waveform / np.float32(full_scale)


def _sounds(waveform: NDArray[np.int16], cuts: list[Cut]) -> _Sounds:
    return [(cut, waveform[cut.start_sample : cut.start_sample + cut.n_valid]) for cut in cuts]


def _cycles(tables_dir: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    events = read_events(tables_dir / "events.parquet")
    events = events.loc[events["kind"] == "cycle"]
    starts_s, ends_s = events["start_s"].to_numpy(), events["end_s"].to_numpy()
    rows = events.groupby("recording_id", sort=False).indices
    return {str(recording_id): (starts_s[index], ends_s[index]) for recording_id, index in rows.items()}


def _sources(root: Path, recordings: pd.DataFrame, cycles: dict[str, Any]) -> Generator[_Source]:
    none = (np.zeros(0), np.zeros(0))
    names = ["recording_id", "patient_id", "path", "sample_rate_hz", "n_samples", "encoding"]
    columns = (recordings[name].tolist() for name in names)
    for recording_id, patient_id, path, rate, n_samples, encoding in zip(*columns, strict=True):
        yield _Source(recording_id, patient_id, root / path, rate, n_samples, encoding, cycles.get(recording_id, none))


def _cut(source: _Source, n_samples: int, settings: ClipSettings) -> list[Cut]:
    if n_samples == 0:
        return []  # too short: not one sample is left at the clips' rate
    if settings.unit == "window":
        return cut_windows(n_samples, settings)
    if settings.unit == "recording":
        return cut_recording(n_samples, settings)
    try:
        return cut_cycles(n_samples, settings, *source.cycles)
    except ValueError as error:
        raise DataError(f"{source.recording_id}: {error}; fix its annotation and run ingest again") from error


def _row(dataset: str, source: _Source, index: int, cut: Cut) -> tuple[Any, ...]:
    clip_id = f"{source.recording_id}:{index:04d}"
    return clip_id, source.recording_id, source.patient_id, dataset, cut.start_s, cut.end_s, cut.n_valid


def _columns(rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[index] for row in rows] for index, name in enumerate(_TABLE_COLUMNS)}


def _nothing_to_cut(dataset: str, tables_dir: Path, n_recordings: int, settings: ClipSettings) -> str:
    if n_recordings == 0:
        return f"{dataset}: {tables_dir} lists no recording; see rejected.csv there"
    return (
        f"{dataset}: none of its {n_recordings} recordings has a {settings.unit}; "
        "choose clips by window or recording, or see rejected.csv and events.parquet in " + str(tables_dir)
    )
