"""Two protocols found in the literature: the epoch chosen on validation, and the epoch that is best on the test set.

The second uses the test labels to choose, so its scores are optimistic. It is computed on request
(`evaluate.best_on_test`), to show how much a published score may owe to it, and is never the result.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray

from auscult.config import JobSettings, TaskSettings
from auscult.errors import DataError
from auscult.evaluation.predict import predict_logits
from auscult.metrics.aggregation import at_level
from auscult.metrics.evidence import Evidence, Owners, all_estimates, all_values, fewest_patients, view_evidence
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.score_intervals import Estimate
from auscult.metrics.summary import validation_metrics
from auscult.models import SavedModel
from auscult.models.operating_point import choose_operating_point
from auscult.models.saved import calibrated_probabilities
from auscult.storage.files import sha256_file
from auscult.training.dataset import ClipDataset


def compare_protocols(
    model: SavedModel,
    model_dir: Path,
    examples: ClipDataset,
    *,
    job: JobSettings,
    task: TaskSettings,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Evaluate every kept epoch on the test set, and compare the best one with the one chosen on validation.

    Each epoch gets its own calibration and thresholds, by the model's rules and from the same subset, so that only the
    choice of the epoch differs. Both use the same bootstrap resamples of patients: the interval of the gap is paired.

    Args:
        model: Its description lists the epochs.
        model_dir: Holds `epochs/`.
        examples: Of the subsets `val` and `test`, and `calibration` where the split has one.
        job: For the monitored metric and the rules.
        task: What is predicted.
        generator: The only source of randomness.

    Returns:
        `metric`, by which the best is chosen on test (the monitored one; AUROC, or the ICBHI score, where that is a
        loss); `epochs`, each with its value on `val` and `test`; `validation_chosen` and `best_on_test`, each with
        `epoch`, `thresholds` and `views` (view -> metric -> estimate); and `gap`, views of the second less the
        first. `best_on_test` and `gap` are None where the metric is undefined on the test set.

    Raises:
        DataError: No epochs were kept, or one is missing or damaged.
    """
    kept = model.meta.get("epochs") or []
    if not kept:
        raise DataError(
            f"{model_dir}: evaluate.best_on_test needs the weights of every epoch, and this training kept none; "
            "train it again with that setting"
        )
    metric = _metric(job, task)
    subsets = {name: examples.subset(name) for name in ("val", "test")}
    ids = examples.clips
    chosen_on = "calibration" if job.split.calibration_fraction else "val"
    tuned = examples.subset(chosen_on)
    epochs: list[dict[str, Any]] = []
    predictions: dict[int, tuple[dict[str, Any], NDArray[np.float64]]] = {}
    for entry in kept:
        logits = predict_logits(_at_epoch(model, model_dir, entry), examples, job.train.n_at_once)
        point = choose_operating_point(
            logits[tuned], examples.targets[tuned], ids.iloc[tuned], task, job.evaluate, chosen_on=chosen_on
        )
        normal = None if task.normal_class is None else task.normal_column
        found = calibrated_probabilities(torch.as_tensor(logits), point, task.type, normal)
        values = {
            name: validation_metrics(examples.targets[rows], found[rows], ids.iloc[rows], task)[f"val/{metric}"]
            for name, rows in subsets.items()
        }
        epochs.append({"epoch": int(entry["epoch"]), **values})
        predictions[int(entry["epoch"])] = (point, found[subsets["test"]])
    chosen, best = int(model.meta["best_epoch"]), best_epoch(epochs)
    truth, of_test = examples.targets[subsets["test"]], ids.iloc[subsets["test"]].reset_index(drop=True)
    everyone = np.unique(of_test["patient_id"].to_numpy(dtype=str))
    weights = resample_weights(len(everyone), job.evaluate.bootstrap_draws, generator)
    views: dict[int, dict[str, Evidence]] = {}
    for epoch in {chosen, chosen if best is None else best}:
        point, found = predictions[epoch]
        rows = at_level(found, truth, of_test, task, task.level)
        patients = np.searchsorted(everyone, rows.patient_ids.astype(str))
        owners = Owners(patients, np.arange(len(patients)), weights)
        views[epoch] = view_evidence(rows, task, list(point["thresholds"].values()), owners)

    def section(epoch: int) -> dict[str, Any]:
        estimates = all_estimates([views[epoch]], task)
        return {"epoch": epoch, "thresholds": predictions[epoch][0]["thresholds"], "views": estimates}

    return {
        "metric": metric,
        "epochs": epochs,
        "validation_chosen": section(chosen),
        "best_on_test": None if best is None else section(best),
        "gap": None if best is None else _gap(views[best], views[chosen], task),
    }


def best_epoch(epochs: Sequence[dict[str, Any]]) -> int | None:
    """Return the epoch with the highest value on test, the first of several; None where it is undefined for all.

    >>> best_epoch([{"epoch": 1, "test": None}, {"epoch": 2, "test": 0.5}, {"epoch": 3, "test": 0.5}])
    2
    """
    defined = [entry for entry in epochs if entry["test"] is not None]
    return int(max(defined, key=lambda entry: entry["test"])["epoch"]) if defined else None


def _metric(job: JobSettings, task: TaskSettings) -> str:
    name = job.train.monitor.removeprefix("val/")
    if name != "loss":
        return name
    return "icbhi_score" if task.four_class is not None else "auroc"


def _at_epoch(model: SavedModel, model_dir: Path, entry: dict[str, Any]) -> SavedModel:
    path = model_dir / entry["file"]
    if not path.is_file() or sha256_file(path) != entry["sha256"]:
        raise DataError(
            f"{path}: missing or not the file that model.json names; train again with `--config fresh=true`"
        )
    module = copy.deepcopy(model.classifier)
    try:
        module.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: not the weights of this model: {error}") from error
    return SavedModel(module.eval(), model.normalisation, model.meta)


def _gap(one: dict[str, Evidence], other: dict[str, Evidence], task: TaskSettings) -> dict[str, dict[str, Estimate]]:
    fewest = fewest_patients(one, task)
    theirs = all_values(other, task)
    return {
        view: {name: estimate(values - theirs[view][name], fewest) for name, values in found.items()}
        for view, found in all_values(one, task).items()
    }
