"""What is logged of one evaluated job, read from its folder; knows nothing of the server it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config import Experiment, Run, TaskSettings
from auscult.errors import DataError
from auscult.storage.files import read_json, settings_key, sha256_file
from auscult.tracking.flatten import finite, flatten_summary, metric_name, run_names
from auscult.tracking.memo import read_memo
from auscult.tracking.params import job_params, redacted, without_wording
from auscult.tracking.points import Point, read_history
from auscult.tracking.system import SYSTEM_FILE, read_system
from auscult.tracking.uploads import Upload, choose_uploads


@dataclass(frozen=True)
class JobRecord:
    """A job as one run shows it.

    Attributes:
        id: As `config.Run.id`: the job's number, or with fold and seed.
        name: The run's name.
        params: Flat settings.
        points: The final metrics, then those by epoch, then those of the machine.
        live_run: The run that the training was logged to while it ran, and its store; None: it was not.
        uploads: Files for the run's artifacts.
        withheld: Names of those that hold a patient's or a recording's id.
        settings: Everything the job was made with, for the artifact `settings.json`.
        content: Digest of settings, metrics and uploads: equal digests are one run.
        start_ms: Unix time of the first epoch's start.
        end_ms: Unix time of the evaluation's end.
    """

    id: str
    name: str
    params: dict[str, str]
    points: list[Point]
    live_run: tuple[str, str] | None
    uploads: list[Upload]
    withheld: list[str]
    settings: dict[str, Any]
    content: str
    start_ms: int
    end_ms: int


def read_jobs(experiment: Experiment, task: TaskSettings, job_dirs: list[Path]) -> list[JobRecord]:
    """Read every run's folder, in the order of the experiment's runs.

    Raises:
        DataError: Another number of folders than runs, or a folder without a whole outcome.
    """
    if len(job_dirs) != len(experiment.runs):
        raise DataError(
            f"{experiment.task}/{experiment.name}: {len(job_dirs)} job folders for {len(experiment.runs)} jobs; "
            "hand in one folder a job, in their order"
        )
    params = job_params(experiment, task)
    names = run_names(experiment.name, [run.id for run in experiment.runs], params)
    return [
        _read_job(folder, run, task, name=name, params=of_run)
        for folder, run, name, of_run in zip(job_dirs, experiment.runs, names, params, strict=True)
    ]


def _read_job(folder: Path, run: Run, task: TaskSettings, *, name: str, params: dict[str, str]) -> JobRecord:
    history, outcome = folder / "metrics.jsonl", folder / "metrics.json"
    for path in (history, outcome):
        if not path.is_file():
            raise DataError(f"{path}: no such file; train and evaluate the job before it is tracked")
    uploads, withheld = choose_uploads(folder)
    settings = {"job": redacted(run.settings.model_dump(mode="json")), "task": task.model_dump(mode="json")}
    files = {upload.name: sha256_file(upload.path) for upload in uploads}
    content = settings_key(
        {"id": run.id, "settings": without_wording(settings), "files": files}
        | {path.name: sha256_file(path) for path in (history, outcome)}
    )
    end_ms = max(_modified_ms(outcome), _modified_ms(history))
    # The final ones first: MLflow's comparison begins with the metric that was logged first.
    memo = read_memo(folder)
    points = [
        *final_points(read_json(outcome), task, end_ms),
        *read_history(history, memo.times_ms),
        *read_system(folder / SYSTEM_FILE),
    ]
    return JobRecord(
        id=run.id,
        name=name,
        params=params,
        points=points,
        live_run=memo.live_run,
        uploads=uploads,
        withheld=withheld,
        settings=settings,
        content=content,
        start_ms=min([end_ms, *(point.timestamp_ms for point in points)]),
        end_ms=end_ms,
    )


def _modified_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def final_points(outcome: Mapping[str, Any], task: TaskSettings, timestamp_ms: int) -> list[Point]:
    """Return the test part's metrics, the thresholds and the best epoch.

    They stand at step 0: only then does MLflow draw them as bars side by side, and not as single points of curves.

    Raises:
        DataError: `metrics.json` lacks the test part or the best epoch.
    """
    test, best_epoch = outcome.get("test"), outcome.get("best_epoch")
    if not isinstance(test, Mapping) or not isinstance(best_epoch, int):
        raise DataError(f"metrics.json: found the keys {sorted(outcome)}, expected `test` and a whole `best_epoch`")
    flat = flatten_summary(test, "test", task.type, task.level)
    thresholds = outcome.get("thresholds")
    if isinstance(thresholds, Mapping):
        named = dict(thresholds)
    else:
        # A multi-class task picks the likeliest class and has none.
        named = dict(zip(task.targets, thresholds or [], strict=False))
    for target, value in named.items():
        number = finite(value)
        if number is not None:
            flat[metric_name(f"val/threshold/{target}")] = number
    flat["train/best_epoch"] = float(best_epoch)
    return [Point(key, value, 0, timestamp_ms) for key, value in flat.items()]
