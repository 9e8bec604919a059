"""Figures that must not change: a published result has to come out again from its predictions.

The data are formulas, not draws. To renew the file after a wanted change:
`AUSCULT_RENEW_GOLDEN=1 pytest tests/golden/test_metrics_golden.py`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auscult.config.task import FourClass, TaskSettings
from auscult.metrics.summary import summarise, validation_metrics
from auscult.metrics.thresholds import RULES, thresholds_for_task

GOLDEN = Path(__file__).with_name("metrics.json")
N = 240
TASKS = {
    "cycles": TaskSettings(
        description="two independent targets",
        type="multi_label",
        targets=("crackle", "wheeze"),
        level="clip",
        four_class=FourClass(crackle="crackle", wheeze="wheeze"),
    ),
    "patients": TaskSettings(description="one target", type="binary", targets=("sick",), level="patient"),
    "digits": TaskSettings(description="classes", type="multi_class", targets=("0", "1", "2"), level="recording"),
}


def formula_data(task: TaskSettings) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    at = np.arange(N)
    ids = pd.DataFrame(
        {
            "clip_id": [f"d/{k:04d}" for k in at],
            "recording_id": [f"d/r{k // 3:03d}" for k in at],
            "patient_id": [f"d/p{k // 12:02d}" for k in at],
        }
    )
    columns = np.arange(len(task.targets))
    if task.type == "multi_class":
        targets = np.eye(3)[(at // 3) * 7 % 3]
        scores = 0.25 * targets + np.abs(np.sin(at[:, None] * 1.3 + columns))
        return targets, scores / scores.sum(axis=1, keepdims=True), ids
    level = at // 12 if task.level == "patient" else at
    targets = (np.sin(level[:, None] * 2.1 + columns) > 0.3).astype(float)
    scores = np.clip(0.1 * targets + 0.9 * np.abs(np.sin(at[:, None] * 0.7 + 2 * columns)), 0, 1).round(2)
    targets[(at % 11 == 0), 0] = np.nan
    return targets, scores, ids


def figures(task: TaskSettings) -> dict:
    targets, scores, ids = formula_data(task)
    chosen = {
        rule: thresholds_for_task(targets, scores, ids, task, rule).values
        for rule in RULES
        if rule != "icbhi_score" or task.four_class is not None
    }
    summary = summarise(targets, scores, ids, task, chosen["youden"], np.random.default_rng(12), 200)
    return {
        "thresholds": {rule: list(values) for rule, values in chosen.items()},
        "validation": validation_metrics(targets, scores, ids, task),
        "summary": summary,
    }


def flat(value: object, path: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {key: leaf for name, part in value.items() for key, leaf in flat(part, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {key: leaf for k, part in enumerate(value) for key, leaf in flat(part, f"{path}/{k}").items()}
    return {path: value}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_figures_are_those_of_the_golden_file(name):
    found = figures(TASKS[name])
    if os.environ.get("AUSCULT_RENEW_GOLDEN"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        golden[name] = found
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    golden, found = flat(json.loads(GOLDEN.read_text())[name]), flat(found)
    assert set(found) == set(golden)
    for path, value in golden.items():
        assert found[path] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), path
