"""Log a finished study with MLflow: one parent run, and a child run a trial with how it ended."""

from __future__ import annotations

import time
from itertools import accumulate

from auscult.config.project import TrackingSettings
from auscult.config.trials import Chosen, TrialRecord
from auscult.provenance import redact
from auscult.tracking.metrics import Point, lacking, metric_name
from auscult.tracking.params import flat_params, redacted
from auscult.tracking.store import TrackingUnavailableError, connect, tracking_faults
from auscult.tracking.writer import (
    TAG_COMPLETE,
    TAG_EXPERIMENT,
    TAG_KIND,
    TAG_NOTE,
    TAG_PARENT,
    TAG_SETTINGS,
    TAG_TASK,
    RunWriter,
)

TAG_TRIAL = "auscult.trial"
TAG_STATE = "auscult.state"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def track_search(chosen: Chosen, task: str, tracking: TrackingSettings) -> str | None:
    """Log a study; what stands there already is not logged again.

    Args:
        chosen: What it came to.
        task: The task's name, which is that of MLflow's experiment.
        tracking: Where; when it is off MLflow is not even imported.

    Returns:
        Why it was not logged; None: it was, or tracking is off.
    """
    if not tracking.enabled:
        return None
    try:
        _log(RunWriter(connect(tracking.uri), tracking.uri), chosen, task)
    except TrackingUnavailableError as error:
        return str(error)
    except tracking_faults() as error:
        return redact(f"{type(error).__name__}: {error}")
    return None


def _log(writer: RunWriter, chosen: Chosen, task: str) -> None:
    experiment_id = writer.experiment(task)
    now_ms = time.time_ns() // 1_000_000
    began_ms = now_ms - round(1000 * sum(trial.training_s for trial in chosen.trials))
    of_study = {TAG_EXPERIMENT: chosen.experiment, TAG_SETTINGS: chosen.key}
    parents = writer.find(experiment_id, {**of_study, TAG_KIND: "study"})
    tags = {**of_study, TAG_KIND: "study", TAG_TASK: task, TAG_NOTE: chosen.reason}
    parent = (
        parents[0].info.run_id if parents else writer.start(experiment_id, f"{chosen.experiment} study", tags, began_ms)
    )
    children = writer.find(experiment_id, {TAG_PARENT: parent, TAG_KIND: "trial"})
    logged = {run.data.tags.get(TAG_TRIAL): run for run in children}
    for trial in chosen.trials:
        before = logged.get(str(trial.number))
        if before is not None and before.data.tags.get(TAG_COMPLETE) == "true":
            continue
        name = f"{chosen.experiment} trial {trial.number}"
        of_trial = {
            **of_study,
            TAG_KIND: "trial",
            TAG_TASK: task,
            TAG_PARENT: parent,
            TAG_TRIAL: str(trial.number),
            TAG_STATE: trial.state,
            TAG_NOTE: trial.reason,
        }
        run_id = writer.start(experiment_id, name, of_trial, began_ms) if before is None else before.info.run_id
        _log_trial(writer, run_id, trial, chosen.metric, now_ms)
        writer.tag(run_id, {TAG_COMPLETE: "true"})
        writer.set_status(run_id, _STATUS[trial.state])
    values = [(trial.number, trial.value) for trial in chosen.trials if trial.value is not None]
    better = max if chosen.mode == "max" else min
    best = accumulate((value for _, value in values), better)
    points = [
        Point(metric_name(f"best/{chosen.metric}"), value, number, now_ms)
        for (number, _), value in zip(values, best, strict=True)
    ]
    # A study that went on is logged again: what it chose before is replaced by what it chooses now.
    writer.points(parent, lacking(writer.history(parent), points))
    writer.tag(parent, {TAG_NOTE: chosen.reason, "auscult.chosen_trial": str(chosen.trial)})
    writer.json_artifact(parent, "study.json", redacted(chosen.model_dump(mode="json")))
    writer.complete(parent, {TAG_COMPLETE: "true"}, now_ms)


def _log_trial(writer: RunWriter, run_id: str, trial: TrialRecord, metric: str, now_ms: int) -> None:
    writer.params(run_id, flat_params(redacted(trial.values)))
    points = [Point(metric_name(metric), rung.value, rung.epoch, now_ms) for rung in trial.rungs]
    writer.points(run_id, lacking(writer.history(run_id), points))
