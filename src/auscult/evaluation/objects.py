"""Objects found in validation and test pictures, and what they are worth: the figures of a task of type `objects`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import JobSettings, TaskSettings
from auscult.config.objects import ObjectDecoding
from auscult.errors import DataError
from auscult.evaluation.predict import predict_maps
from auscult.evaluation.slices import judged_sections
from auscult.metrics.events import EventCounts, score_estimates
from auscult.metrics.intervals import resample_weights
from auscult.metrics.objects import ObjectMatches, count_matches, count_pixels, match_objects, separate
from auscult.models import SavedModel
from auscult.plots.objects import ShownPicture
from auscult.storage.tables import write_csv
from auscult.training.dataset import ClipDataset

N_SHOWN = 4
PLAIN_BOUNDARY = 0.5
"""From which probability on a pixel is boundary, where the decoding cuts nothing."""


@dataclass(frozen=True)
class JudgedObjects:
    """What the objects found are worth.

    Attributes:
        scores: Subset (or `test:<part>`) -> `separated` (objects told apart), `objects` and `boundaries` (pixels), each
            `{score: estimate}`; `n`: true and found objects, pictures, and patients with a true object.
        shown: Pictures of the test set: those with the most true objects, and those found worst.
    """

    scores: dict[str, Any]
    shown: list[ShownPicture]


def judge_objects(
    model: SavedModel,
    examples: ClipDataset,
    *,
    job: JobSettings,
    task: TaskSettings,
    tables: Mapping[str, Path],
    generator: np.random.Generator,
    folder: Path,
) -> JudgedObjects:
    """Write `objects.csv`, a row a picture, and judge each subset, and each part that the split names of the test set.

    Args:
        model: Finds objects.
        examples: The clips of validation and test.
        job: Gives the batch size, the resamples and the parts of the test set.
        task: Of type `objects`.
        tables: Dataset -> folder of its tables.
        generator: The only source of randomness.
        folder: Of the job.

    Raises:
        DataError: The model was trained without decoding.
    """
    if examples.objects is None or "object_decoding" not in model.meta:
        raise DataError("the model finds no objects: it has no `object_decoding`; train it on a task of type objects")
    decoding = ObjectDecoding.model_validate(model.meta["object_decoding"])
    maps = predict_maps(model, examples, job.train.n_at_once)
    labels, true = examples.objects.labels, examples.objects.maps()
    matches = [
        match_objects(one, separate(of_clip, decoding), task.object_settings.match_iou)
        for one, of_clip in zip(labels, maps, strict=True)
    ]
    cuts = decoding.threshold, PLAIN_BOUNDARY if decoding.boundary is None else decoding.boundary
    counts = {
        "separated": count_matches(matches),
        "objects": count_pixels(true[:, 0], maps[:, 0] >= cuts[0]),
        "boundaries": count_pixels(true[:, 1], maps[:, 1] >= cuts[1]),
    }
    table = _table(examples, counts, matches)
    write_csv(folder / "objects.csv", table)
    sections = judged_sections(examples, tables, job)
    scores = {
        name: _scores(examples, counts, chosen, task, rng, job.evaluate.bootstrap_draws)
        for (name, chosen), rng in zip(sections.items(), generator.spawn(len(sections)), strict=True)
    }
    return JudgedObjects(scores, _shown(examples, table, maps, decoding))


def _scores(  # noqa: PLR0917 (in the order of the data flow)
    examples: ClipDataset,
    counts: Mapping[str, EventCounts],
    chosen: NDArray[np.bool_],
    task: TaskSettings,
    rng: np.random.Generator,
    n_resamples: int,
) -> dict[str, Any]:
    ids = examples.clips.loc[chosen, "patient_id"].astype(str)
    everyone, patients = np.unique(ids, return_inverse=True)
    weights = resample_weights(len(everyone), n_resamples, rng)
    (target,) = task.targets
    section: dict[str, Any] = {}
    for name, of_all in counts.items():
        found = score_estimates(
            of_all.take(chosen), (target,), patients, weights, with_iou=name != "separated", what="object"
        )
        section[name] = found[target]
    separated = counts["separated"]
    n_true = (separated.tp + separated.fn)[chosen, 0]
    section["n"] = {
        "true": int(n_true.sum()),
        "found": int((separated.tp + separated.fp)[chosen].sum()),
        "pictures": int(chosen.sum()),
        "patients": len(np.unique(patients[n_true > 0])),
    }
    return section


def _table(examples: ClipDataset, counts: Mapping[str, EventCounts], matches: list[ObjectMatches]) -> pd.DataFrame:
    """Return the content of `objects.csv`; an IoU of nothing true and nothing found is empty."""
    ious: dict[str, NDArray[np.float64]] = {}
    for name in ("objects", "boundaries"):
        tp, union = counts[name].tp[:, 0], (counts[name].tp + counts[name].fp + counts[name].fn)[:, 0]
        ious[f"iou_{name}"] = np.divide(tp, union, out=np.full(len(tp), np.nan), where=union > 0).round(6)
    ids = examples.clips[["split", "recording_id", "patient_id"]].reset_index(drop=True)
    return ids.assign(
        n_true=[len(one.true) for one in matches],
        n_found=[len(one.found) for one in matches],
        n_hits=[one.n_hits for one in matches],
        **ious,
    )


def _shown(
    examples: ClipDataset, table: pd.DataFrame, maps: NDArray[np.float32], decoding: ObjectDecoding
) -> list[ShownPicture]:
    """Return the test pictures with the most true objects, and of the others those with the lowest IoU."""
    test = table.loc[table["split"] == "test"]
    most = test.sort_values(["n_true", "recording_id"], ascending=[False, True]).head(N_SHOWN // 2)
    worst = test.drop(index=list(most.index)).sort_values(["iou_objects", "recording_id"]).head(N_SHOWN - len(most))
    rows = np.asarray([*most.index, *worst.index], dtype=np.int64)
    if examples.objects is None or not len(rows):
        return []
    labels = examples.objects.labels[rows]
    pictures = examples.spectrograms(rows).astype(np.float32)
    return [
        ShownPicture(str(table.loc[row, "recording_id"]), picture, true, maps[row], separate(maps[row], decoding))
        for row, picture, true in zip(rows, pictures, labels, strict=True)
    ]
