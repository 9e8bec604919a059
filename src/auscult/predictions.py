"""`predictions.parquet`: the answers of a model clip by clip, from which every metric and figure is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from auscult.config import TaskSettings
from auscult.errors import DataError

ID_COLUMNS = ("clip_id", "recording_id", "patient_id", "dataset", "split", "start_s", "end_s")


def target_column(target: str) -> str:
    """Column that holds the truth: 1, 0 or null."""
    return f"target_{target}"


def probability_column(target: str) -> str:
    """Column that holds the probability."""
    return f"prob_{target}"


def predictions_table(
    clips: pd.DataFrame,
    targets: npt.NDArray[np.floating],
    probabilities: npt.NDArray[np.floating],
    task: TaskSettings,
) -> pd.DataFrame:
    """Return one row a clip: `ID_COLUMNS`, then `target_<name>` (null: unknown) and `prob_<name>` of each target.

    Args:
        clips: Rows with `ID_COLUMNS`.
        targets: Shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target].
        task: Names the targets.
    """
    table = clips.loc[:, list(ID_COLUMNS)].reset_index(drop=True)
    for column, target in enumerate(task.targets):
        table[target_column(target)] = targets[:, column].astype(np.float32)
        table[probability_column(target)] = probabilities[:, column]
    return table


def truth_of(predictions: pd.DataFrame, task: TaskSettings) -> npt.NDArray[np.float32]:
    """Return what is known, shape [clip, target]: 1, 0 or NaN."""
    columns = [target_column(target) for target in task.targets]
    return predictions[columns].to_numpy(dtype=np.float32, na_value=np.nan)


def probabilities_of(predictions: pd.DataFrame, task: TaskSettings) -> npt.NDArray[np.float64]:
    """Return the probabilities, shape [clip, target]."""
    return predictions[[probability_column(target) for target in task.targets]].to_numpy(dtype=np.float64)


def read_predictions(path: Path, task: TaskSettings) -> pd.DataFrame:
    """Read a table of predictions.

    Raises:
        DataError: The file is missing or unreadable, or lacks a column.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable table of predictions ({error}); run `evaluate` again") from error
    wanted = [*ID_COLUMNS, *(name(target) for target in task.targets for name in (target_column, probability_column))]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; it belongs to another task: run `evaluate` again")
    return table
