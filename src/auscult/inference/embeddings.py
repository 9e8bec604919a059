"""`auscult embed`: the features of every clip, with its ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.errors import ConfigError
from auscult.inference.dataset import PreparedDataset
from auscult.inference.loaded_model import LoadedModel
from auscult.models.classifier import EmbeddingLayer
from auscult.models.embeddings import embed_store, open_stored
from auscult.storage.files import atomic_path
from auscult.storage.tables import write_parquet


def embed_dataset(
    model: LoadedModel, data: PreparedDataset, layer: EmbeddingLayer, *, batch_clips: int | None = None
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return the clips of a dataset (columns of `tables.CLIPS`) and their features, shape [clip, feature].

    Args:
        model: A trained model.
        data: Clips and spectrograms by the model's settings.
        layer: `backbone` or `head`.
        batch_clips: Clips at a time; default: as suits the device.
    """
    tables: list[pd.DataFrame] = []
    features: list[NDArray[np.float32]] = []
    for path in data.clips if model.saved.takes == "waveform" else data.features:
        with open_stored(model.saved, path) as store:
            tables.append(store.table)
            features.extend(embed_store(model.saved, store, layer, batch_clips or model.batch_clips))
    return pd.concat(tables, ignore_index=True), np.concatenate(features)


def output_paths(prefix: Path) -> tuple[Path, Path]:
    """Return where the table and the array of a prefix go.

    >>> [path.name for path in output_paths(Path("a/icbhi.v1"))]
    ['icbhi.v1.parquet', 'icbhi.v1.npy']
    """
    return prefix.with_name(f"{prefix.name}.parquet"), prefix.with_name(f"{prefix.name}.npy")


def write_embeddings(prefix: Path, ids: pd.DataFrame, features: NDArray[np.float32]) -> Sequence[Path]:
    """Write `PREFIX.parquet` (ids, then a column a feature: `f0`, `f1`, ...) and `PREFIX.npy` (the features alone).

    Rows correspond.

    Raises:
        ConfigError: They cannot be written.
    """
    table_path, array_path = output_paths(prefix)
    columns = pd.DataFrame(features, columns=[f"f{number}" for number in range(features.shape[1])])
    try:
        write_parquet(table_path, pd.concat([ids.reset_index(drop=True), columns], axis=1))
        with atomic_path(array_path) as temporary, open(temporary, "wb") as stream:
            np.save(stream, features, allow_pickle=False)
    except OSError as error:
        raise ConfigError(
            f"--out {prefix}: cannot be written ({error.strerror or error}); name another path"
        ) from error
    return table_path, array_path
