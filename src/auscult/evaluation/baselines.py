"""Baselines of a result: what metadata alone tell, and what the model's embeddings tell that nobody asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import TaskSettings
from auscult.evaluation.metadata_baseline import CATEGORIES, measure_metadata, read_metadata
from auscult.evaluation.shortcut_probe import draw_clips, probe_shortcuts
from auscult.models import SavedModel
from auscult.storage.tables import read_split
from auscult.training.dataset import ClipDataset, load_clip_dataset

logger = logging.getLogger(__name__)

_CLIPS_AT_ONCE = 64


def measure_baselines(
    model: SavedModel,
    predictions: pd.DataFrame,
    *,
    features: Mapping[str, Sequence[Path]],
    clips: Mapping[str, Sequence[Path]] | None,
    embeddings: Mapping[str, Sequence[Path]] | None,
    tables: Mapping[str, Path],
    split: Path,
    task: TaskSettings,
    generator: np.random.Generator,
    resamples: int,
) -> dict[str, Any]:
    """Return `metadata` (`metadata_baseline.measure_metadata`) and `shortcuts` (`shortcut_probe.probe_shortcuts`).

    Nothing is fitted on the test subset. A split without training or validation patients (of a model that was trained
    elsewhere) gives `{"metadata": {"reason": ...}, "shortcuts": {}}`.

    Args:
        model: The trained model.
        predictions: Its rows of validation and test, columns of `predictions.parquet`.
        features: Dataset -> its feature stores.
        clips: Dataset -> the clip stores that they were made of; None of pictures.
        embeddings: Dataset -> stores of embeddings, where the model is a probe; None: they are computed.
        tables: Dataset -> folder of its tables.
        split: The split table.
        task: What is predicted.
        generator: The only source of randomness.
        resamples: Of the bootstrap over patients.
    """
    if not {"train", "val"} <= set(read_split(split)["split"]):
        return {"metadata": {"reason": "the split has no training and validation patients to fit on"}, "shortcuts": {}}
    begin = time.perf_counter()
    examples = load_clip_dataset(
        features, tables, split, task, subsets=("train", "val"), clips=clips, embeddings=embeddings
    )
    train = examples.subset("train")
    of_metadata, of_clips, of_probe = generator.spawn(3)
    metadata = measure_metadata(
        predictions,
        (examples.clips.iloc[train].reset_index(drop=True), examples.targets[train]),
        tables,
        task=task,
        generator=of_metadata,
        resamples=resamples,
    )
    drawn = draw_clips(examples.clips["patient_id"].to_numpy(dtype=object), of_clips)
    chosen = examples.clips.iloc[drawn].reset_index(drop=True)
    shortcuts = probe_shortcuts(
        _embed(model, examples, drawn, is_stored=bool(embeddings)),
        chosen[["patient_id"]].join(read_metadata(chosen, tables)[list(CATEGORIES)]),
        examples.targets[drawn],
        generator=of_probe,
        resamples=resamples,
    )
    logger.info("baselines: metadata, and a probe of %d embeddings, in %.1f s", len(drawn), time.perf_counter() - begin)
    return {"metadata": metadata, "shortcuts": shortcuts}


def _embed(
    model: SavedModel, examples: ClipDataset, rows: NDArray[np.int64], *, is_stored: bool
) -> NDArray[np.float32]:
    if is_stored:
        return examples.embeddings(rows, model.meta["training"]["probe"]["encoder"]["weights_sha256"])
    blocks = np.array_split(rows, max(1, -(-len(rows) // _CLIPS_AT_ONCE)))
    return np.concatenate([model.embed(examples.stored(model.takes, block), "backbone") for block in blocks])
