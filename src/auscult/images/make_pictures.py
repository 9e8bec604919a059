"""Pictures of one dataset become clips: decoded, brought to one size, stored as spectrograms are."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config.clips import ClipSettings
from auscult.errors import DataError
from auscult.images.decode import TOO_HARD, read_labels, read_picture, read_pixels
from auscult.images.fit import Fit
from auscult.images.idx import ENCODING, IdxPictures
from auscult.spectrograms.store import SummedSpectrograms, create_features
from auscult.storage.hdf5 import WHOLE, Shard
from auscult.storage.parallel import ordered_map
from auscult.storage.tables import ATTRIBUTE_PREFIX, read_recordings

LABEL_IMAGE = "label_image"
"""Attribute of a recording that is a picture: its label image, below the dataset's root."""

logger = logging.getLogger(__name__)


class _Source(NamedTuple):
    """Of a picture, its files; no label image where there is none; its pixels where it is a row of an idx file."""

    path: Path
    label_image: Path | None
    pixels: NDArray[np.uint8] | None


class _Picture(NamedTuple):
    values: NDArray[np.float16]
    sums: NDArray[np.float64]
    sums_sq: NDArray[np.float64]
    n_valid: int
    labels: NDArray[np.uint16] | None


def make_pictures(
    *,
    root: Path,
    dataset: str,
    tables_dir: Path,
    settings: ClipSettings,
    output: Path,
    full_settings: dict[str, Any],
    shard: Shard = WHOLE,
    threads: int = 1,
) -> None:
    """Decode every picture of a dataset, or of one shard of it, and write their store, which is one of spectrograms.

    What it holds does not depend on `threads`. Memory holds a few pictures, however many there are.

    Args:
        root: The dataset's raw folder; paths are relative to it.
        dataset: Its name.
        tables_dir: Folder of `recordings.parquet`.
        settings: Size and channels.
        output: The store to write.
        full_settings: All settings that shape the pictures, kept in the store; `clips` among them.
        shard: Which pictures.
        threads: Pictures decoded at once.

    Raises:
        DataError: A picture or label image cannot be decoded or does not fit, or the dataset holds sound.
    """
    begin = time.perf_counter()
    recordings = shard.rows(read_recordings(tables_dir / "recordings.parquet"))
    if bool((recordings["duration_s"].to_numpy() > 0).any()):
        raise DataError(
            f"{dataset}: its recordings are sound, and clips.unit is image; cut windows, cycles or recordings of it, "
            "or take a dataset of pictures (layout label_images or idx, or `holds: pictures`)"
        )
    column = f"{ATTRIBUTE_PREFIX}{LABEL_IMAGE}"
    has_labels = column in recordings
    names = recordings[column].tolist() if has_labels else [None] * len(recordings)
    places = zip(recordings["path"], names, recordings["encoding"] == ENCODING, strict=True)
    n_valid: list[int] = []
    shape = settings.picture_shape
    with (
        create_features(output, None, shape=shape, settings=full_settings, has_labels=has_labels) as writer,
        IdxPictures() as rows,
    ):
        # Rows are read where sources are taken, one after the other: only what is made of them runs side by side.
        sources = (
            _Source(root / path, None if name is None else root / name, rows.read(root / path) if is_row else None)
            for path, name, is_row in places
        )
        for picture in ordered_map(lambda source: _load(source, settings), sources, threads):
            block = SummedSpectrograms(
                picture.values[None], picture.sums[None], picture.sums_sq[None], np.array([picture.n_valid], np.int32)
            )
            writer.append(block, None if picture.labels is None else picture.labels[None])
            n_valid.append(picture.n_valid)
        writer.append_table(_table(recordings, dataset, n_valid))
    logger.info("%s: %d pictures of %s in %.1f s", dataset, len(n_valid), shape, time.perf_counter() - begin)


def _table(recordings: pd.DataFrame, dataset: str, n_valid: list[int]) -> pd.DataFrame:
    """Return a clip for each picture."""
    return pd.DataFrame(
        {
            "clip_id": [f"{name}:0000" for name in recordings["recording_id"]],
            "recording_id": recordings["recording_id"].to_numpy(),
            "patient_id": recordings["patient_id"].to_numpy(),
            "dataset": dataset,
            "start_s": 0.0,
            "end_s": 0.0,
            "n_valid": n_valid,
        }
    )


def _load(source: _Source, settings: ClipSettings) -> _Picture:
    try:
        whole = (
            read_picture(source.path, settings.channels)
            if source.pixels is None
            else read_pixels(source.pixels, settings.channels)
        )
        labels = None if source.label_image is None else read_labels(source.label_image)
    except DataError as error:
        raise DataError(f"{source.path}: {error}; fix the file and run ingest again") from error
    if labels is not None and labels.shape != whole.shape[1:]:
        raise DataError(
            f"{source.label_image}: it is {size_text(labels.shape)}, its picture {source.path} {size_text(whole.shape)}"
        )
    fit = Fit.of((whole.shape[1], whole.shape[2]), settings.size, settings.trim)
    values = fit.picture(whole).astype(np.float16)
    inner = values[:, : fit.inner[0], : fit.inner[1]].astype(np.float64).reshape(len(values), -1)
    fitted = None if labels is None else fit.labels(labels, outside=TOO_HARD)
    return _Picture(values, inner.sum(axis=1), np.vecdot(inner, inner), inner.shape[1], fitted)


def size_text(shape: tuple[int, ...]) -> str:
    """Return the size of a picture in words.

    >>> size_text((3, 480, 640))
    '640 x 480 pixels'
    """
    return f"{shape[-1]} x {shape[-2]} pixels"
