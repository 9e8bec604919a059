"""A job that trains nothing: the model of an earlier result is judged on this job's data."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from auscult.config.experiment import JobSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.models.saved import META_FILE, WEIGHTS_FILE, load_model
from auscult.storage.files import atomic_path, sha256_file
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
        DataError: There is no such model, or it answers other targets or takes other spectrograms, with what differs;
            or it changed meanwhile.
    """
    digests = _digests(result)
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
    for name, digest in digests.items():
        with atomic_path(output_dir / name) as temporary:
            shutil.copyfile(result / name, temporary)
            if sha256_file(temporary) != digest:
                raise DataError(f"{result / name} changed while it was taken over; run again when its training is done")
    _LOG.info(
        "nothing is trained: the model of %s (SHA-256 %s) is judged on %s",
        result,
        digests[WEIGHTS_FILE],
        ", ".join(job.datasets),
    )


def _digests(result: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a trained job."""
    names = (WEIGHTS_FILE, META_FILE, HISTORY_FILE, METRICS_FILE)
    missing = [name for name in names if not (result / name).is_file()]
    if missing:
        raise DataError(f"evaluate_only: {result}: {', '.join(missing)} not found; a trained job holds all of {names}")
    return {name: sha256_file(result / name) for name in names}
