"""A job that trains nothing: the model of an earlier result is judged on this job's data."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.io import atomic_path
from auscult.models.saved import META_FILE, WEIGHTS_FILE, load_model
from auscult.training.checkpoint import differences
from auscult.training.history import HISTORY_FILE, METRICS_FILE

_LOG = logging.getLogger(__name__)


def adopt_model(result: Path, output_dir: Path, *, job: JobSettings, task: TaskSettings) -> None:
    """Copy a trained model, its thresholds and its history as they are.

    Args:
        result: Folder of the trained job.
        output_dir: The run folder.
        job: Its model, clips and spectrogram must be those that the model was trained with.
        task: Its targets must be the model's.

    Raises:
        DataError: There is no such model, or it answers other targets or takes other spectrograms, with what differs.
    """
    meta = load_model(result).meta
    stored = {"task": {key: meta["task"][key] for key in ("type", "targets")}}
    wanted = {"task": task.model_dump(mode="json", include={"type", "targets"})}
    for section, key in (("model", "architecture"), ("clips", "clips"), ("spectrogram", "spectrogram")):
        stored[section] = meta[key]
        wanted[section] = job.model_dump(mode="json")[section]
    changes = differences(stored, wanted)
    if changes:
        raise DataError(
            f"evaluate_only: the model in {result} and this job differ (model -> job): {'; '.join(changes)}; "
            "give the job the model's settings, as its model.json tells them"
        )
    shared = sorted(set(meta["datasets"]) & set(job.datasets))
    if shared:
        _LOG.warning(
            "the model in %s was trained on %s as well: patients of the test part may be among those it knows",
            result,
            ", ".join(shared),
        )
    for name in (WEIGHTS_FILE, META_FILE, HISTORY_FILE, METRICS_FILE):
        if not (result / name).is_file():
            raise DataError(f"{result / name}: no such file; a trained job holds it beside {META_FILE}")
        with atomic_path(output_dir / name) as temporary:
            shutil.copyfile(result / name, temporary)
    _LOG.info("nothing is trained: the model of %s is judged on %s", result, ", ".join(job.datasets))
