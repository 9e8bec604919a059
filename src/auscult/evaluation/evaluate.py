"""The stage evaluate: predictions, metrics, curves and figures of one trained model on validation and test."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from auscult.config import JobSettings, TaskSettings
from auscult.errors import DataError
from auscult.evaluation import clinical
from auscult.evaluation.baselines import measure_baselines
from auscult.evaluation.clip_pictures import ClipPlotter, draw_averages, note_no_clips
from auscult.evaluation.doubt import judge_doubt, risk_curves
from auscult.evaluation.events import judge_events
from auscult.evaluation.objects import judge_objects
from auscult.evaluation.outcomes import find_outcomes, write_lists
from auscult.evaluation.predict import predict
from auscult.evaluation.protocols import compare_protocols
from auscult.evaluation.recalibration import before_and_after
from auscult.evaluation.slices import slice_attributes, slice_metrics
from auscult.evaluation.thumbnails import ThumbnailPlotter
from auscult.formatting.operating_points import chosen_on_text
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.calibration import without_knots
from auscult.metrics.curves import pr_points, roc_points
from auscult.metrics.operating_points import LevelPoint, points_of
from auscult.metrics.summary import summarise
from auscult.models import SavedModel, load_model
from auscult.plots.events import draw_events
from auscult.plots.job import Drawing, draw_job
from auscult.plots.objects import draw_objects
from auscult.reports.job_text import report_text
from auscult.storage.files import write_json, write_text
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import predictions_table, probabilities_of, read_split, truth_of, write_csv, write_parquet
from auscult.storage.test_readings import key_of_test_set, note_reading
from auscult.training.dataset import ClipDataset, load_clip_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROC_COLUMNS = ("target", "fpr", "tpr", "threshold")
PR_COLUMNS = ("target", "recall", "precision", "threshold")


logger = logging.getLogger(__name__)

SUBSETS = ("test", "val")
"""Those that are judged."""


def evaluate(
    *,
    model_dir: Path,
    features: Mapping[str, Sequence[Path]],
    clips: Mapping[str, Sequence[Path]] | None,
    embeddings: Mapping[str, Sequence[Path]] | None = None,
    tables: Mapping[str, Path],
    split: Path,
    job: JobSettings,
    task: TaskSettings,
    output_dir: Path,
    device: str,
    show_names: bool = False,
    readings: Path | None = None,
) -> None:
    """Evaluate one trained model; the only stage that reads the test set.

    Into `output_dir`: `predictions.parquet` (test, and validation and calibration where a split has them),
    `metrics.json`, `report.txt`, and of the test set `outcomes.csv`, `tps.txt`, `tns.txt`, `fps.txt`, `fns.txt`,
    `roc.csv`, `pr.csv`, `clinical/`, `figures/`, `spectrograms/` and `outcomes/`, the last four emptied first; of a
    model with conformal sets `risk_coverage.csv` too. Pictures, their files and the four lists call recordings by study
    ids; the two tables hold the ids themselves, by which they are joined to others.

    Args:
        model_dir: Holds `model.safetensors`, `model.json` and `history.csv`.
        features: Dataset -> its feature stores, in order.
        clips: Dataset -> the clip stores that they were made of, for waveforms.
        embeddings: Dataset -> the embeddings of its clips by the encoder of a probe, in the same order: they are not
            computed again.
        tables: Dataset -> folder of its tables.
        split: The split table.
        job: Its settings.
        task: What is predicted.
        output_dir: Made when absent.
        device: `auto`, `cpu` or `cuda`.
        show_names: Pictures and lists name recordings as the data do.
        readings: Where it is noted which models a test set has judged; None: nowhere.

    Raises:
        DataError: The model belongs to another task, or a file is missing or damaged.
    """
    clips = None if job.clips.is_image else clips  # pictures stand where features would
    model = load_model(model_dir, _device(device))
    points = _operating_points(model, task, model_dir)
    thresholds = dict(zip(task.targets, points[task.level].thresholds, strict=False))
    subsets = _subsets(split)
    examples = load_clip_dataset(features, tables, split, task, subsets=subsets, clips=clips, embeddings=embeddings)
    logger.info("predicting %d clips of %s", len(examples), " and ".join(subsets))
    probabilities = _probabilities(model, examples, job, has_embeddings=bool(embeddings))
    predictions = predictions_table(examples.clips, examples.targets, probabilities, task)
    write_parquet(output_dir / "predictions.parquet", predictions)

    test = predictions.loc[predictions["split"] == "test"]
    test_set = key_of_test_set(test["recording_id"])
    if readings is not None:
        note_reading(readings, test_set, str(model.meta["weights_sha256"]), output_dir.as_posix())
    metrics: dict[str, Any] = {
        "task": job.task,
        "test_set": test_set,
        "level": task.level,
        "best_epoch": int(model.meta["best_epoch"]),
        "n_parameters": int(model.meta["n_parameters"]),
        "thresholds": thresholds,
        "chosen_on": model.meta.get("chosen_on", "val"),
        "threshold_rule": model.meta.get("threshold_rule"),
        "threshold_target": model.meta.get("threshold_target"),
        "temperature": model.temperature,
        "calibration": without_knots(model.meta.get("calibration")),
        "shifts_s": model.meta.get("shifts_s", []),
        "normal_offset": model.normal_offset,
        "operating_points": model.meta.get("operating_points"),
        "bootstrap_draws": job.evaluate.bootstrap_draws,
        "recalibration": before_and_after(model, examples, predictions, task, job.train.n_at_once),
    }
    of_all = np.random.default_rng(job.evaluate.seed).spawn(len(SUBSETS) + 6)
    *generators, of_slices, of_outcomes, of_protocols, of_clinical, of_baselines, of_events = of_all
    for subset, generator in zip(SUBSETS, generators, strict=True):
        if subset not in subsets:
            continue
        rows = predictions.loc[predictions["split"] == subset]
        metrics[subset] = summarise(
            truth_of(rows, task),
            probabilities_of(rows, task),
            rows,
            task,
            points,
            generator,
            job.evaluate.bootstrap_draws,
        )
    metrics["slices"] = slice_metrics(
        test,
        tables,
        task=task,
        thresholds=thresholds,
        generator=of_slices,
        resamples=job.evaluate.bootstrap_draws,
        split=job.split,
    )
    at_task_level = at_level(probabilities_of(test, task), truth_of(test, task), test, task, task.level)
    metrics["conformal"] = judge_doubt(at_task_level, task, model.meta)
    metrics["protocols"] = (
        compare_protocols(model, model_dir, examples, job=job, task=task, generator=of_protocols)
        if job.evaluate.best_on_test
        else None
    )
    metrics["clinical"] = clinical.clinical_results(
        test,
        slice_attributes(test, tables, job.split),
        task=task,
        thresholds=thresholds,
        generator=of_clinical,
        resamples=job.evaluate.bootstrap_draws,
        folder=output_dir / clinical.FOLDER,
    )
    metrics["baselines"] = (
        measure_baselines(
            model,
            predictions,
            features=features,
            clips=clips,
            embeddings=embeddings,
            tables=tables,
            split=split,
            task=task,
            generator=of_baselines,
            resamples=job.evaluate.bootstrap_draws,
        )
        if job.evaluate.baselines
        else None
    )
    ids = StudyIds.read(tables, show_names=show_names)
    of_maps, drawings = _judge_maps(
        model, examples, ids, job=job, task=task, tables=tables, generator=of_events, folder=output_dir
    )
    metrics |= of_maps
    write_json(output_dir / "metrics.json", metrics)
    write_text(output_dir / "report.txt", report_text(metrics, job, task))
    outcomes = find_outcomes(test, task, points["clip"].thresholds, points["clip"].normal_shift)
    write_csv(output_dir / "outcomes.csv", outcomes)
    write_lists(outcomes, output_dir, ids)
    for folder in ("figures", "spectrograms", "outcomes"):
        shutil.rmtree(output_dir / folder, ignore_errors=True)
    history = pd.read_csv(model_dir / "history.csv")
    write_curves(at_task_level, task, output_dir)
    risk = None if metrics["conformal"] is None else risk_curves(at_task_level, task, list(thresholds.values()))
    _write_or_remove(output_dir / "risk_coverage.csv", risk)
    draw_job(
        at_task_level,
        metrics["test"],
        thresholds=thresholds,
        history=history,
        best_epoch=metrics["best_epoch"],
        job=job,
        task=task,
        folder=output_dir / "figures",
        protocols=metrics["protocols"],
        risk=risk,
        events=drawings,
        chosen_on=chosen_on_text(metrics),
    )
    _draw_clips(
        (model, examples, predictions, outcomes), tables, ids, of_outcomes, job=job, task=task, folder=output_dir
    )


def _draw_clips(
    found: tuple[SavedModel, ClipDataset, pd.DataFrame, pd.DataFrame],
    tables: Mapping[str, Path],
    ids: StudyIds,
    generator: np.random.Generator,
    *,
    job: JobSettings,
    task: TaskSettings,
    folder: Path,
) -> None:
    """Draw clips with their predictions: spectrograms of sound, or pictures as they are; objects have figures."""
    _, examples, _, outcomes = found
    if task.finds_objects:
        note_no_clips(outcomes, job, folder)
        return
    kind = ThumbnailPlotter if job.clips.is_image else ClipPlotter
    kind(*found, tables=tables, job=job, task=task, ids=ids).draw(folder, generator)
    if not job.clips.is_image:
        draw_averages(examples, outcomes, job=job, task=task, folder=folder / "spectrograms")


def _probabilities(
    model: SavedModel, examples: ClipDataset, job: JobSettings, *, has_embeddings: bool
) -> NDArray[np.float64]:
    """Return the probability of each target for all clips, shape [clip, target]; of a probe from embeddings."""
    if not has_embeddings:
        return predict(model, examples, job.train.n_at_once)
    encoder = model.meta["training"]["probe"]["encoder"]["weights_sha256"]
    return model.predict_proba_of_embeddings(examples.embeddings(np.arange(len(examples)), encoder))


def _judge_maps(
    model: SavedModel,
    examples: ClipDataset,
    ids: StudyIds,
    *,
    job: JobSettings,
    task: TaskSettings,
    tables: Mapping[str, Path],
    generator: np.random.Generator,
    folder: Path,
) -> tuple[dict[str, Any], Iterable[tuple[Drawing, Figure | None]]]:
    """Return the section of `metrics.json` on events or objects, and their figures; nothing of other tasks."""
    if task.finds_events:
        events = judge_events(model, examples, job=job, task=task, tables=tables, generator=generator, folder=folder)
        return {"events": events.scores}, draw_events(events.scores["test"], events.events, task, ids)
    if task.finds_objects:
        objects = judge_objects(model, examples, job=job, task=task, tables=tables, generator=generator, folder=folder)
        return {"objects": objects.scores}, draw_objects(objects.shown, ids)
    return {}, ()


def _subsets(split: Path) -> tuple[str, ...]:
    """Return the subsets to predict.

    There is no validation set for a model that was trained elsewhere, nor for a mean over folds of validation.
    """
    present = set(read_split(split)["split"])
    return tuple(subset for subset in (*SUBSETS, "calibration") if subset == "test" or subset in present)


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _operating_points(model: SavedModel, task: TaskSettings, model_dir: Path) -> dict[str, LevelPoint]:
    """Return where decisions are taken at each level, as chosen in training."""
    if model.targets != task.targets:
        raise DataError(
            f"{model_dir}: the model predicts {list(model.targets)}, the task has the targets {list(task.targets)}; "
            "train it again"
        )
    try:
        return points_of(model.meta, task)
    except DataError as error:
        raise DataError(f"{model_dir / 'model.json'}: {error}") from error


def write_curves(rows: LevelRows, task: TaskSettings, folder: Path) -> None:
    """Write `roc.csv` and `pr.csv`; a target (or class) without positives or without negatives has no rows.

    Args:
        rows: Predictions and labels of the test set at the task's level.
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
    write_csv(folder / "roc.csv", _joined(roc, ROC_COLUMNS))
    write_csv(folder / "pr.csv", _joined(pr, PR_COLUMNS))


def _write_or_remove(path: Path, table: pd.DataFrame | None) -> None:
    """Write a table; where there is none, remove that of an earlier evaluation."""
    if table is None:
        path.unlink(missing_ok=True)
    else:
        write_csv(path, table)


def _joined(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.reindex(columns=list(columns))
