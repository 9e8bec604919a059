"""Log what was missed: a server was down, a training was lost, or runs are wanted in another store.

All that is logged stands in `work/runs`: `metrics.jsonl` of each training, and beside `tracked.json` what the step
`track` of the workflow logged, or wanted to. Logging it again changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from auscult.config import Experiment, TaskSettings, TrackingSettings
from auscult.config.paths import METRICS_FILE
from auscult.errors import ConfigError, unknown_name
from auscult.provenance import redact
from auscult.storage.files import read_json
from auscult.tracking.follower import LiveRun
from auscult.tracking.jobs import MODEL_FILES
from auscult.tracking.live import read_run_state
from auscult.tracking.metrics import read_epochs
from auscult.tracking.store import TrackingUnavailableError, connect, tracking_faults
from auscult.tracking.track import REQUEST_FILE, track

TRACKED_FILE = "tracked.json"


@dataclass(frozen=True)
class Synced:
    """What became of one experiment, or of one training of it.

    Attributes:
        name: `<folder>/<experiment>`, or with the run's id.
        status: `logged`; `whole` (nothing was missed); `running` (it logs itself); `waiting` (for the
            workflow); `failed`.
        text: How much, or why not.
    """

    name: str
    status: Literal["logged", "whole", "running", "waiting", "failed"]
    text: str


def find_experiments(runs_dir: Path, wanted: Sequence[str]) -> list[Path]:
    """Return the folders of experiments below `work/runs`: those that are named, else all.

    Args:
        runs_dir: `work/runs`.
        wanted: Such as `results/pneumonia/train2356` or `pneumonia/train2356`.

    Raises:
        ConfigError: One that is named was never run, with the nearest that was.
    """
    folders = {path.relative_to(runs_dir).parts[:2] for path in runs_dir.glob(f"*/*/**/{METRICS_FILE}")}
    experiments = {"/".join(parts): runs_dir.joinpath(*parts) for parts in sorted(folders)}
    if not wanted:
        return list(experiments.values())
    names = [name.rstrip("/").removeprefix("results/").removeprefix(f"{runs_dir}/") for name in wanted]
    for name in names:
        if name not in experiments:
            raise ConfigError(f"{unknown_name('result', name, experiments)}; only what was run here can be logged")
    return [experiments[name] for name in names]


def sync(
    folder: Path, tracking: TrackingSettings, *, is_running: Callable[[Path], bool], again: bool = False
) -> list[Synced]:
    """Log one experiment's trainings as far as the store lacks them.

    Args:
        folder: `work/runs/<folder>/<experiment>`.
        tracking: Where to.
        is_running: Tells whether a run folder is being trained now.
        again: Ask the store also where everything is known to be there.

    Returns:
        One entry when the experiment was evaluated as a whole, else one a training.
    """
    name = f"{folder.parent.name}/{folder.name}"
    request = folder / REQUEST_FILE
    if request.is_file() and _is_current(folder):
        return [_sync_experiment(name, folder, tracking, read_json(request), again=again)]
    job_dirs = sorted(path.parent for path in folder.glob(f"**/{METRICS_FILE}"))
    return [
        _sync_training(f"{name}/{path.relative_to(folder)}", path, tracking, is_running=is_running) for path in job_dirs
    ]


def _is_current(folder: Path) -> bool:
    """Tell whether the experiment was logged, or was to be, since its jobs were last evaluated."""
    tracked = folder / TRACKED_FILE
    if not tracked.is_file():
        return False
    job_dirs = [Path(path) for path in read_json(folder / REQUEST_FILE)["job_dirs"]]
    outcomes = [path / name for path in job_dirs for name in ("metrics.json", METRICS_FILE)]
    return all(path.is_file() and path.stat().st_mtime_ns <= tracked.stat().st_mtime_ns for path in outcomes)


def _sync_experiment(
    name: str, folder: Path, tracking: TrackingSettings, request: dict[str, Any], *, again: bool
) -> Synced:
    output = folder / TRACKED_FILE
    before = read_json(output)
    if before.get("complete") and before.get("uri") == redact(tracking.uri) and not again:
        return Synced(name, "whole", f"{len(before['children'])} runs")
    times = output.stat()
    track(
        Experiment.model_validate(request["experiment"]),
        TaskSettings.model_validate(request["task"]),
        [Path(path) for path in request["job_dirs"]],
        tracking=tracking,
        output=output,
        provenance=request["provenance"],
    )
    # The result need not be published anew for it.
    os.utime(output, ns=(times.st_atime_ns, times.st_mtime_ns))
    report = read_json(output)
    if not report["complete"]:
        return Synced(name, "failed", str(report["reason"]))
    return Synced(name, "logged", f"{len(report['children'])} runs")


def _sync_training(
    name: str, folder: Path, tracking: TrackingSettings, *, is_running: Callable[[Path], bool]
) -> Synced:
    if is_running(folder):
        return Synced(name, "running", "it is logged while it is trained")
    request = read_run_state(folder).request
    if request is None:
        return Synced(
            name, "waiting", "it was trained without a server, and is logged when the workflow has evaluated it"
        )
    try:
        epochs = read_epochs(folder / METRICS_FILE)
        live_run = LiveRun(folder, tracking.uri, request)
        live_run.remember(epochs)
        live_run.send(epochs, beats=False)
        live_run.end("FINISHED" if (folder / MODEL_FILES[0]).is_file() else "KILLED")
    except TrackingUnavailableError as error:
        return Synced(name, "failed", str(error))
    except tracking_faults() as error:
        return Synced(name, "failed", redact(f"{type(error).__name__}: {error}"))
    return Synced(name, "logged", f"{len(epochs)} epochs of a training that is not evaluated")


def require_store(tracking: TrackingSettings) -> None:
    """Refuse to begin when nothing can be logged.

    Raises:
        TrackingUnavailableError: Tracking is off, or the store does not answer.
    """
    if not tracking.enabled:
        raise TrackingUnavailableError("tracking is off; set tracking.enabled: true in config/config.yaml")
    connect(tracking.uri)
