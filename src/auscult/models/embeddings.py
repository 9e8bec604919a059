"""Embeddings of clips: what a frozen encoder's backbone gives, computed once and kept, row for row with the clips."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from auscult.audio.clip_store import ClipStore
from auscult.config.flatten import differences
from auscult.errors import DataError
from auscult.models.classifier import EmbeddingLayer
from auscult.models.saved import SavedModel, load_model
from auscult.spectrograms.store import FeatureStore
from auscult.storage.hdf5 import StoreReader, create_store

logger = logging.getLogger(__name__)

_KIND = "auscult-embeddings/1"
_ROWS_AT_ONCE = 512

BATCH_CLIPS = {"cpu": 8, "cuda": 64}
"""Clips at a time. A CPU gains little from more, and a large model's maps of 64 clips take over a gigabyte."""


class EmbeddingStore(StoreReader):
    """Reads embeddings.

    Attributes:
        settings: All settings that shaped them, and `weights_sha256` of the encoder.
    """

    KIND = _KIND
    ROWS = ("embedding",)
    NOT_NAMED = ("weights_sha256",)

    @property
    def n_features(self) -> int:
        """Width of an embedding."""
        with self._explained():
            return int(self._dataset("embedding").shape[1])

    def read(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Return the embeddings of `rows` (any order, duplicates allowed), shape [row, feature].

        Raises:
            IndexError: If a row is not in the store.
            DataError: If the store is damaged.
        """
        return self._read_rows("embedding", rows)


def embed_store(
    model: SavedModel, store: FeatureStore | ClipStore, layer: EmbeddingLayer, batch_clips: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the embeddings of all clips of a store, block by block in its order, shape [clip, feature].

    Args:
        model: The encoder.
        store: Spectrograms, or clips where the model takes waveforms.
        layer: `backbone` or `head`.
        batch_clips: Clips at a time; default: as suits the device.
    """
    batch_size = batch_clips or BATCH_CLIPS[next(model.module.parameters()).device.type]
    for start in range(0, max(1, len(store)), _ROWS_AT_ONCE):  # of no clips one empty block, which has a width
        stored = store.read(np.arange(start, min(start + _ROWS_AT_ONCE, len(store))))
        yield model.embed(stored, layer, batch_size=batch_size)


@contextmanager
def open_stored(model: SavedModel, path: Path) -> Generator[FeatureStore | ClipStore]:
    """Open the store that holds what a model takes."""
    with ClipStore(path) if model.takes == "waveform" else FeatureStore(path) as store:
        yield store


def embed_clips(
    *,
    stored: Path,
    encoder: Path,
    output: Path,
    full_settings: dict[str, Any],
    dataset: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Compute the pooled features of every clip of a store and write them, with the digest of the encoder's weights.

    No label is read and nothing is fitted: the clips of the test subset are encoded as they would be in prediction.

    Args:
        stored: A feature store, or a clip store where the encoder takes waveforms.
        encoder: Folder of a saved model.
        output: The store to write.
        full_settings: All settings that shape the embeddings, kept in the store.
        dataset: Whose clips these must be; default: anyone's.
        device: `auto` (a GPU where there is one), `cpu` or `cuda`.
        threads: Of torch on the CPU; default: unchanged.

    Raises:
        DataError: A file is missing or damaged, or the clips are of another dataset or made by other settings than the
            encoder's.
    """
    begin = time.perf_counter()
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(encoder, device)
    with open_stored(model, stored) as store:
        if dataset is not None:
            store.require_dataset(dataset)
        _require_own_settings(model, store, encoder)
        blocks = embed_store(model, store, "backbone")
        first = next(blocks)
        rows = {"embedding": (np.dtype(np.float32), first.shape[1:])}
        settings = {**full_settings, "weights_sha256": model.meta["weights_sha256"]}
        with create_store(output, kind=_KIND, rows=rows, settings=settings) as writer:
            writer.append_table(store.table)
            writer.append_rows(embedding=first)
            for block in blocks:
                writer.append_rows(embedding=block)
        logger.info(
            "%d embeddings of %d features by %s in %.1f s on %s",
            len(store), first.shape[1], encoder, time.perf_counter() - begin, device,
        )  # fmt: skip


def _require_own_settings(model: SavedModel, store: FeatureStore | ClipStore, encoder: Path) -> None:
    keys = ("clips",) if model.takes == "waveform" else ("clips", "spectrogram")
    changes = [
        str(found)
        for found in differences(
            {key: model.meta[key] for key in keys}, {key: store.settings.get(key, {}) for key in keys}
        )
    ]
    if changes:
        raise DataError(
            f"probe.encoder: the model in {encoder} and the clips in {store.path} differ (model -> clips): "
            f"{'; '.join(changes)}; give the job the model's own clips and spectrogram, as they stand in its model.json"
        )
