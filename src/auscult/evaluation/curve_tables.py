"""`roc.csv` and `pr.csv`: the corners of the curves, for `dvc plots`, the report and whoever draws their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.figures.curves import pr_points, roc_points
from auscult.metrics.aggregate import LevelRows
from auscult.tables import write_csv

ROC_COLUMNS = ("target", "fpr", "tpr", "threshold")
PR_COLUMNS = ("target", "recall", "precision", "threshold")


def write_curves(rows: LevelRows, task: TaskSettings, folder: Path) -> None:
    """Write both tables; a target (or class) without positives or without negatives has no rows.

    Args:
        rows: Answers and truth of the test part at the task's level.
        task: Names the targets.
        folder: Where to write.
    """
    roc: list[pd.DataFrame] = []
    pr: list[pd.DataFrame] = []
    for column, target in enumerate(task.targets):
        truth, prob = rows.targets[:, column].astype(np.float64), rows.probabilities[:, column]
        corners, steps = roc_points(truth, prob), pr_points(truth, prob)
        if corners is not None and steps is not None:
            roc.append(corners.assign(target=target))
            pr.append(steps.assign(target=target))
    write_csv(folder / "roc.csv", _together(roc, ROC_COLUMNS))
    write_csv(folder / "pr.csv", _together(pr, PR_COLUMNS))


def _together(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=list(columns))
