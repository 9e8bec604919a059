"""`auscult evaluate --recalibrate`: some patients of a new site refit a model's calibration and operating points.

The weights stay. The other patients of the site are the test set, and none of them takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.config.evaluate import EvaluateSettings
from auscult.errors import DataError
from auscult.evaluation.predict import predict_logits
from auscult.models import SavedModel
from auscult.models.operating_point import choose_operating_point, with_operating_point
from auscult.splits.allocate import allocate
from auscult.splits.counts import Evidence, recording_facts
from auscult.storage.tables import read_split
from auscult.training.dataset import ID_COLUMNS, load_clip_dataset

FEWEST_PATIENTS = 5
"""Of each class, among those that refit and among those that are judged."""
BATCH_SIZE = 64
_POINT = (
    "chosen_on", "temperature", "calibration", "thresholds", "normal_offset", "threshold_rule", "threshold_target",
    "threshold_notes", "operating_points", "conformal",
)  # fmt: skip
"""What the description of a model says of its operating point."""


@dataclass(frozen=True)
class Draw:
    """How the patients that refit are drawn.

    Attributes:
        fraction: Their share of the patients.
        seed: Of the draw.
    """

    fraction: float
    seed: int


def draw_patients(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings, draw: Draw) -> set[str]:
    """Return the patients that refit: a random share, stratified by label.

    Args:
        recordings: Those that take part, of one dataset.
        events: Its events.
        task: Its level and rules.
        draw: Share and seed.

    Raises:
        DataError: A class would have fewer than `FEWEST_PATIENTS` patients among those that refit or the others.
    """
    evidence = recording_facts(recordings, events, task).by_patient()
    # A stream of its own, as those of `splits.allocate`.
    generator = np.random.default_rng([draw.seed, 4])
    drawn = allocate(evidence, (1 - draw.fraction, draw.fraction), generator, by_class=task.type == "multi_class") == 1
    _require_patients(evidence, drawn, task, draw.fraction)
    return set(evidence.patient_ids[drawn].tolist())


def _require_patients(evidence: Evidence, drawn: np.ndarray, task: TaskSettings, fraction: float) -> None:
    kinds = {"with": evidence.positive} if task.type == "multi_class" else {
        "with": evidence.positive, "without": evidence.negative
    }  # fmt: skip
    short: list[str] = []
    for column, target in enumerate(task.targets):
        for kind, held in kinds.items():
            for who, at in (("refit", drawn), ("are judged", ~drawn)):
                n_patients = int(held[at, column].sum())
                if n_patients < FEWEST_PATIENTS:
                    short.append(f"{n_patients} {kind} {target} that {who}")
    if short:
        raise DataError(
            f"--recalibrate {fraction:g}: of {len(drawn)} patients {int(drawn.sum())} would refit the calibration and "
            f"{int((~drawn).sum())} would be judged; at least {FEWEST_PATIENTS} of each class are needed on either "
            f"side, found {'; '.join(short)}. Take another share, or leave --recalibrate out: the model then keeps its "
            "own calibration and thresholds"
        )


def recalibrate(
    model: SavedModel,
    *,
    dataset: str,
    features: Sequence[Path],
    clips: Sequence[Path],
    tables: Path,
    split: Path,
    task: TaskSettings,
    draw: Draw,
) -> SavedModel:
    """Return the model with calibration, operating points and conformal sets of the split's subset `calibration`.

    Rules and the kind of calibration are the model's own; a model without any gets Platt scaling, or a temperature
    where the task is multi-class. `recalibration` in its description says of whom, and holds what was there before
    (`previous`).

    Args:
        model: As it was trained.
        dataset: The new site.
        features: Its feature stores.
        clips: Its clip stores.
        tables: Folder of its tables.
        split: Subsets `calibration` and `test`.
        task: What is predicted.
        draw: How the patients were drawn, for the description.
    """
    examples = load_clip_dataset(
        {dataset: features}, {dataset: tables}, split, task, subsets=("calibration",), clips={dataset: clips}
    )
    logits = predict_logits(model, examples, BATCH_SIZE)
    ids = examples.clips.loc[:, ID_COLUMNS]
    point = choose_operating_point(
        logits, examples.targets, ids, task, settings_of_model(model.meta, task), chosen_on="recalibration"
    )
    table = read_split(split)
    n_refit, n_judged = (len(set(table.loc[table["split"] == name, "patient_id"])) for name in ("calibration", "test"))
    about = {
        "dataset": dataset,
        "fraction": draw.fraction,
        "seed": draw.seed,
        "n_refit": n_refit,
        "n_judged": n_judged,
        "previous": {key: model.meta[key] for key in _POINT if key in model.meta},
    }
    return replace(model, meta={**with_operating_point(model.meta, point), "recalibration": about})


def settings_of_model(meta: Mapping[str, Any], task: TaskSettings) -> EvaluateSettings:
    """Return the rules by which a model's operating point is chosen anew."""
    method = (meta.get("calibration") or {}).get("method")
    default = "temperature" if task.type == "multi_class" or meta.get("temperature", 1.0) != 1.0 else "platt"
    found: dict[str, Any] = {"calibration": method or default}
    for key, name in (("threshold", "threshold_rule"), ("threshold_target", "threshold_target")):
        if meta.get(name) is not None:
            found[key] = meta[name]
    if meta.get("conformal") is not None:
        found["conformal"] = {"alpha": meta["conformal"]["alpha"]}
    return EvaluateSettings.model_validate(found)
