"""What recalibration on a new site changed: calibration intercept and slope on its other patients, before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.evaluation.predict import predict
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration_line import calibration_line
from auscult.models import SavedModel
from auscult.storage.tables import probabilities_of, truth_of
from auscult.training.dataset import ClipDataset


def before_and_after(
    model: SavedModel, examples: ClipDataset, predictions: pd.DataFrame, task: TaskSettings, batch_size: int
) -> dict[str, Any] | None:
    """Return what `metrics.json` says of a recalibration; None of a model without one.

    Args:
        model: Its description says who refitted it, and what was there before (`inference.recalibrate`).
        examples: In the order of `predictions`.
        predictions: Of the model as it is.
        task: What is predicted.
        batch_size: Clips at a time.

    Returns:
        `dataset`, `fraction`, `seed`, `n_refit`, `n_judged` (patients) and `lines`: target -> `before`, `after`, each
        with `intercept` and `slope` on the test set at the task's level.
    """
    found = model.meta.get("recalibration")
    if found is None:
        return None
    plain = {"temperature": 1.0, "calibration": None, "normal_offset": 0.0}
    earlier = replace(model, meta={**model.meta, **plain, **found["previous"]})
    is_test = (predictions["split"] == "test").to_numpy(dtype=bool)
    test = pd.DataFrame(predictions.loc[is_test])
    truth = truth_of(test, task)
    of_both = {
        "before": predict(earlier, examples, batch_size)[is_test],
        "after": probabilities_of(test, task),
    }
    lines: dict[str, dict[str, Any]] = {target: {} for target in task.targets}
    for name, prob in of_both.items():
        rows = at_level(prob, truth, test, task, task.level)
        for column, target in enumerate(task.targets):
            truth_of_target = rows.targets[:, column].astype(np.float64)
            line = calibration_line(truth_of_target, rows.probabilities[:, column], rows.patient_ids)
            lines[target][name] = {key: line[key] for key in ("intercept", "slope")}
    return {**{key: value for key, value in found.items() if key != "previous"}, "lines": lines}
