"""`roc.csv` and `pr.csv`: the corners of the curves, for `dvc plots`, the report and whoever draws their own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from auscult.config import JobSettings, TaskSettings
from auscult.errors import DataError
from auscult.evaluation.examples import Painter, draw_averages
from auscult.evaluation.outcomes import judge, write_lists
from auscult.evaluation.predict import predict
from auscult.evaluation.protocols import judge_protocols
from auscult.evaluation.slices import slice_metrics
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.curves import pr_points, roc_points
from auscult.metrics.summary import summarise
from auscult.models import SavedModel, load_model
from auscult.plots.job import draw_job
from auscult.reports.job_text import report_text
from auscult.storage.files import write_json, write_text
from auscult.storage.tables import predictions_table, probabilities_of, read_split, truth_of, write_csv, write_parquet
from auscult.training.dataset import load_clip_dataset

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


logger = logging.getLogger(__name__)

SIDES = ("test", "val")


def evaluate(
    *,
    model_dir: Path,
    features: Mapping[str, Sequence[Path]],
    clips: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str,
) -> None:
    """Write what one trained model is worth; the only stage that reads the test part.

    Into `output_dir`: `predictions.parquet` (validation and test), `metrics.json`, `report.txt`, and of the test
    part `outcomes.csv`, `tps.txt`, `tns.txt`, `fps.txt`, `fns.txt`, `roc.csv`, `pr.csv`, `figures/`, `spectrograms/`
    and `outcomes/`, the last three emptied first.

    Args:
        model_dir: Holds `model.safetensors`, `model.json` and `history.csv`.
        features: Dataset -> its feature stores, in order.
        clips: Dataset -> the clip stores that they were made of, for sound waves.
        tables: Dataset -> folder of its tables.
        split: The split table.
        job: Its settings.
        task: What is predicted.
        output_dir: Made when absent.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        DataError: The model belongs to another task, or a file is missing or damaged.
    """
    model = load_model(model_dir, _device(device))
    thresholds = _thresholds(model, task, model_dir)
    sides = _sides(split)
    examples = load_clip_dataset(features, tables, split, task, subsets=sides, clips=clips)
    logger.info("answering %d clips of the parts %s", len(examples), " and ".join(sides))
    probabilities = predict(model, examples, job.train.batch_size)
    predictions = predictions_table(examples.clips, examples.targets, probabilities, task)
    write_parquet(output_dir / "predictions.parquet", predictions)

    metrics: dict[str, Any] = {
        "task": job.task,
        "level": task.level,
        "best_epoch": int(model.meta["best_epoch"]),
        "n_parameters": int(model.meta["n_parameters"]),
        "thresholds": thresholds,
        "threshold_rule": model.meta.get("threshold_rule"),
        "threshold_target": model.meta.get("threshold_target"),
        "temperature": model.temperature,
        "bootstrap_draws": job.evaluate.bootstrap_draws,
    }
    *generators, of_slices, of_outcomes, of_protocols = np.random.default_rng(job.evaluate.seed).spawn(len(SIDES) + 3)
    for side, generator in zip(SIDES, generators, strict=True):
        if side not in sides:
            continue
        part = predictions.loc[predictions["split"] == side]
        metrics[side] = summarise(
            truth_of(part, task),
            probabilities_of(part, task),
            part,
            task,
            list(thresholds.values()),
            generator,
            job.evaluate.bootstrap_draws,
        )
    test = predictions.loc[predictions["split"] == "test"]
    metrics["slices"] = slice_metrics(
        test, tables, task=task, thresholds=thresholds, generator=of_slices, draws=job.evaluate.bootstrap_draws
    )
    metrics["protocols"] = None
    if job.evaluate.best_on_test:
        metrics["protocols"] = judge_protocols(model, model_dir, examples, job=job, task=task, generator=of_protocols)
    write_json(output_dir / "metrics.json", metrics)
    write_text(output_dir / "report.txt", report_text(metrics, job, task))
    outcomes = judge(test, task, list(thresholds.values()))
    write_csv(output_dir / "outcomes.csv", outcomes)
    write_lists(outcomes, output_dir)
    for folder in ("figures", "spectrograms", "outcomes"):
        shutil.rmtree(output_dir / folder, ignore_errors=True)
    history = pd.read_csv(model_dir / "history.csv")
    rows = at_level(probabilities_of(test, task), truth_of(test, task), test, task, task.level)
    write_curves(rows, task, output_dir)
    draw_job(
        rows,
        metrics["test"],
        thresholds=thresholds,
        history=history,
        best_epoch=metrics["best_epoch"],
        job=job,
        task=task,
        folder=output_dir / "figures",
        protocols=metrics["protocols"],
    )
    painter = Painter(model, examples, predictions, outcomes, tables=tables, job=job, task=task)
    painter.draw_examples(output_dir / "spectrograms")
    painter.draw_outcomes(output_dir / "outcomes", of_outcomes)
    draw_averages(examples, outcomes, job=job, task=task, folder=output_dir / "spectrograms")


def _sides(split: Path) -> tuple[str, ...]:
    """Return the parts that are judged: a model that was trained elsewhere has no validation part here."""
    there = set(read_split(split)["split"])
    return tuple(side for side in SIDES if side == "test" or side in there)


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _thresholds(model: SavedModel, task: TaskSettings, model_dir: Path) -> dict[str, float]:
    """Return target -> threshold, as training froze them; empty for a multi-class task."""
    if model.targets != task.targets:
        raise DataError(
            f"{model_dir}: the model answers {list(model.targets)}, the task asks for {list(task.targets)}; "
            "train it again"
        )
    if task.type == "multi_class":
        return {}
    stored = model.meta.get("thresholds")
    if not isinstance(stored, dict) or set(stored) != set(task.targets):
        raise DataError(
            f"{model_dir / 'model.json'}: found thresholds {stored!r}, expected one for each of {list(task.targets)}; "
            "train the model again"
        )
    return {target: float(stored[target]) for target in task.targets}
