"""What clinical reviewers ask of a model on the test set: calibration, net benefit, subgroups, sites."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.evaluation.subgroups import heterogeneity, subgroup_gaps
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration_line import calibration_line
from auscult.metrics.curves import calibration_bins
from auscult.metrics.decision_curve import COLUMNS, decision_curve, useful_ranges
from auscult.metrics.intervals import resample_weights
from auscult.plots.clinical import TargetView, draw_clinical
from auscult.storage.tables import probabilities_of, truth_of, write_csv

FOLDER = "clinical"
"""Of a job: tables and figures."""
BIN_COLUMNS = ("prob", "share", "low", "high", "n")


def clinical_results(
    test: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    task: TaskSettings,
    thresholds: Mapping[str, float],
    generator: np.random.Generator,
    resamples: int,
    folder: Path,
) -> dict[str, Any]:
    """Write `calibration_bins.csv`, `decision_curve.csv` and the figures; return what `metrics.json` says of them.

    Args:
        test: The test set's rows of `predictions.parquet`.
        attributes: From `slices.slice_attributes`, a row a clip.
        task: What was predicted; each class of a multi-class task stands against the rest.
        thresholds: Target -> threshold at the task's level; empty for a multi-class task.
        generator: The only source of randomness.
        resamples: Of the bootstrap over patients.
        folder: Emptied first.

    Returns:
        `calibration`: target -> `intercept` and `slope` (`metrics.calibration_line`), and `n`: patients with a known
        row, with a positive and with a negative one. `decision_curve`: target -> the stretches of thresholds at which
        the model is of more use than treating all or none; None where undefined. `subgroups` and `heterogeneity`: see
        `evaluation.subgroups`.
    """
    rows = at_level(probabilities_of(test, task), truth_of(test, task), test, task, task.level)
    between = heterogeneity(test, attributes, task, thresholds)
    shutil.rmtree(folder, ignore_errors=True)
    everyone, patients = np.unique(rows.patient_ids.astype(str), return_inverse=True)
    weights = resample_weights(len(everyone), resamples, generator)
    views: list[TargetView] = []
    counts: dict[str, dict[str, int]] = {}
    for column, target in enumerate(task.targets):
        truth, prob = rows.targets[:, column].astype(np.float64), rows.probabilities[:, column]
        known = ~np.isnan(truth)
        views.append(
            TargetView(
                target=target,
                truth=truth[known],
                prob=prob[known],
                bins=calibration_bins(truth[known], prob[known], patients=patients[known]),
                line=calibration_line(truth, prob, patients),
                decision=decision_curve(truth, prob, patients, weights),
            )
        )
        counts[target] = {
            name: len(np.unique(patients[chosen]))
            for name, chosen in (
                ("patients", known),
                ("positive_patients", truth == 1),
                ("negative_patients", truth == 0),
            )
        }
    write_csv(folder / "calibration_bins.csv", _joined({view.target: view.bins for view in views}, BIN_COLUMNS))
    write_csv(folder / "decision_curve.csv", _joined({view.target: view.decision for view in views}, COLUMNS))
    draw_clinical(views, between, task, folder)
    return {
        "calibration": {
            view.target: {"intercept": view.line["intercept"], "slope": view.line["slope"], "n": counts[view.target]}
            for view in views
        },
        "decision_curve": {
            view.target: None if view.decision is None else [list(ends) for ends in useful_ranges(view.decision)]
            for view in views
        },
        "subgroups": subgroup_gaps(test, attributes, task, thresholds),
        "heterogeneity": between,
    }


def _joined(tables: dict[str, pd.DataFrame | None], columns: tuple[str, ...]) -> pd.DataFrame:
    parts = [table.assign(target=target) for target, table in tables.items() if table is not None]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return found.reindex(columns=["target", *columns])
