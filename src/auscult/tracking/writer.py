"""Writing to MLflow: batches within its limits, artifacts to where the store keeps them, tags to find runs by."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from auscult.provenance import UNKNOWN, data_key
from auscult.storage.files import atomic_path, write_json
from auscult.tracking.metrics import Logged, Point
from auscult.tracking.store import ARTIFACTS_SCHEME, artifacts_root
from auscult.tracking.system import PREFIX

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

MAX_METRICS_PER_BATCH = 1000
MAX_PARAMS_PER_BATCH = 100
MAX_DIGEST_CHARACTERS = 36
MAX_RACES = 10
"""Lost in a row by one write against other runs that add the same; more are a fault of the store."""
KIND_TAG = {"mlflow.experimentKind": "custom_model_development"}
"""Opens the experiment among trained models; MLflow would otherwise guess, and show pages for language models."""
RUN_NAME_TAG = "mlflow.runName"
MODEL_FOLDER = "model"
"""Of the artifacts that are a model."""

TAG_EXPERIMENT = "auscult.experiment"
TAG_TASK = "auscult.task"
TAG_RESULT = "auscult.result"
TAG_KIND = "auscult.kind"
TAG_JOB = "auscult.job"
TAG_SETTINGS = "auscult.settings"
TAG_CONTENT = "auscult.content"
TAG_COMPLETE = "auscult.complete"
TAG_SUPERSEDED = "auscult.superseded"
TAG_ATTEMPTS = "auscult.attempts"
TAG_SEEN = "auscult.seen"
"""Unix seconds: when the training behind a run last gave a sign of life."""
TAG_PARENT = "mlflow.parentRunId"
TAG_NOTE = "mlflow.note.content"

SILENT_S = 600
"""A training that gave no sign of life for so long, six signs in a row, has died."""


class RunWriter:
    """The few things that tracking does to a store; every call may raise what MLflow raises.

    Args:
        client: Connected.
        uri: Its tracking URI, which says where a database store keeps its artifacts.
    """

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._artifacts_root = artifacts_root(uri)

    def experiment(self, name: str) -> str:
        """Return the id of MLflow's experiment `name`, made when absent and restored when deleted."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = f"{ARTIFACTS_SCHEME}/{name}" if self._artifacts_root else None
            try:
                return self._client.create_experiment(name, artifact_location=location, tags=KIND_TAG)
            except MlflowException as error:
                # Another process was first.
                found = self._client.get_experiment_by_name(name)
                if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def find(self, experiment_id: str, tags: Mapping[str, str]) -> list[Run]:
        """Return all runs that carry `tags`, the newest first; deleted runs are not among them."""
        return self._search(experiment_id, " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items()))

    def _search(self, experiment_id: str, wanted: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs([experiment_id], wanted, max_results=500, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def start(self, experiment_id: str, name: str, tags: Mapping[str, str], start_ms: int) -> str:
        """Make a run and return its id; tags without a value are left out."""
        given = {key: value for key, value in tags.items() if value}
        return self._client.create_run(experiment_id, start_time=start_ms, tags=given, run_name=name).info.run_id

    def refresh(self, run: Run, tags: Mapping[str, str], *, name: str, drop: Sequence[str]) -> None:
        """Set the tags and the name that differ, and take the tags `drop` away where they stand."""
        self._retag(run, {**tags, RUN_NAME_TAG: name})
        for key in drop:
            if key in run.data.tags:
                self._client.delete_tag(run.info.run_id, key)

    def close_dead_runs(self, experiment_id: str) -> None:
        """Close the runs of trainings that were killed: they say that they run, and are silent."""
        for run in self._search(experiment_id, "attributes.status = 'RUNNING'"):
            if TAG_SEEN in run.data.tags and not is_alive(run):
                self.set_status(run.info.run_id, "KILLED")

    def get(self, run_id: str) -> Run | None:
        """Return a run; None when it is not there, or deleted."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for key, value in tags.items():
            _write(partial(self._client.set_tag, run_id, key, value))

    def _retag(self, run: Run, tags: Mapping[str, str]) -> None:
        """Set the tags that differ; an empty one need not be there."""
        self.tag(run.info.run_id, {key: value for key, value in tags.items() if run.data.tags.get(key, "") != value})

    def set_status(self, run_id: str, status: str) -> None:
        """Say that a run is RUNNING, or how it ended."""
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    def supersede(self, run: Run, tags: Mapping[str, str]) -> None:
        """Mark a run that something newer replaces, and close it when it was left open."""
        self._retag(run, tags)
        if run.info.status == "RUNNING":
            self._client.set_terminated(run.info.run_id, "KILLED")

    def complete(self, run_id: str, tags: Mapping[str, str], end_ms: int) -> None:
        """Set the tags that say a run is whole, and end it."""
        self.tag(run_id, tags)
        self._client.set_terminated(run_id, "FINISHED", end_time=end_ms)

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters; equal ones that stand there already are no fault."""
        from mlflow.entities import Param  # noqa: PLC0415

        entries = [Param(key, value) for key, value in params.items()]
        for start in range(0, len(entries), MAX_PARAMS_PER_BATCH):
            self._client.log_batch(run_id, params=entries[start : start + MAX_PARAMS_PER_BATCH])

    def points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log points of metrics."""
        from mlflow.entities import Metric  # noqa: PLC0415

        entries = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        for start in range(0, len(entries), MAX_METRICS_PER_BATCH):
            self._client.log_batch(run_id, metrics=entries[start : start + MAX_METRICS_PER_BATCH])

    def history(self, run_id: str) -> Logged:
        """Return all points of a run but those of the machine."""
        logged: Logged = {}
        for key in self._client.get_run(run_id).data.metrics:
            if not key.startswith(PREFIX):
                for metric in self._client.get_metric_history(run_id, key):
                    logged.setdefault((key, metric.step), set()).add(metric.value)
        return logged

    def system_history(self, run_id: str) -> Logged:
        """Return the points of the machine."""
        keys = [key for key in self._client.get_run(run_id).data.metrics if key.startswith(PREFIX)]
        return {
            (key, metric.step): {metric.value}
            for key in keys
            for metric in self._client.get_metric_history(run_id, key)
        }

    def datasets(self, run_id: str, digests: Mapping[str, str], data_version: str) -> None:
        """Log the datasets that a run was fed with, unless they stand there already.

        Args:
            run_id: The run.
            digests: Dataset -> digest of its content, cut to what MLflow stores.
            data_version: What `data.dvc` pins, kept in the source's description.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

        inputs = self._client.get_run(run_id).inputs
        logged = {entry.dataset.name for entry in inputs.dataset_inputs} if inputs else set[str]()
        entries = [
            DatasetInput(
                Dataset(
                    name=name,
                    digest=digest[:MAX_DIGEST_CHARACTERS],
                    source_type="dvc",
                    source=json.dumps({"data.dvc": data_version, "digest": digest}),
                ),
                tags=[InputTag("mlflow.data.context", "training and evaluation")],
            )
            # In one order for all runs: two of them that add the same datasets then wait for each other in no circle.
            for name, digest in sorted(digests.items())
            if name not in logged
        ]
        if entries:
            _write(partial(self._client.log_inputs, run_id, entries))

    def artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Store a file among the run's artifacts; one of the same name is replaced.

        A database store names its artifacts the way a server does, which a client without a server cannot write to; the
        file is then put where `mlflow ui` serves it from.
        """
        uri = self._client.get_run(run_id).info.artifact_uri or ""
        if self._artifacts_root is None or not uri.startswith(ARTIFACTS_SCHEME):
            self._client.log_artifact(run_id, str(path), folder or None)
            return
        target = self._artifacts_root / urlsplit(uri).path.lstrip("/") / folder / path.name
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)

    def json_artifact(self, run_id: str, name: str, value: Any) -> None:
        """Store a JSON document among the run's artifacts, at their root."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write_json(path, value)
            self.artifact(run_id, path, "")

    def register(self, name: str, run_id: str, card: str, tags: Mapping[str, str]) -> str:
        """Register a run's model as the next version of `name`, once, with its card; return the version."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for version in self._client.search_model_versions(f"name = '{name}'"):
            if version.run_id == run_id:
                if version.description != card:
                    self._client.update_model_version(name, str(version.version), card)
                return str(version.version)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
        made = self._client.create_model_version(name, source, run_id, tags=dict(tags), description=card)
        self._client.update_registered_model(name, card)
        return str(made.version)


def _write(write: Callable[[], object]) -> None:
    """Write what MLflow first looks for and then adds, again when another run was first to add the same row.

    A database refuses the second row as a duplicate, which MLflow reports as a bad request; nothing is written then,
    and the next attempt finds the first one's row. Each attempt can meet one more row that another run has just added,
    so a fault that stays is no race, and is raised.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    for lost in range(MAX_RACES + 1):
        try:
            write()
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST" or lost == MAX_RACES:
                raise
        else:
            return


def provenance_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what is tagged of `auscult.provenance.collect`; `git` and `data` are needed, `command` may be absent."""
    git = provenance["git"]
    tags = {
        "auscult.data": data_key(provenance["data"]),
        "auscult.git_branch": str(git["branch"]),
        "auscult.git_dirty": str(git["dirty"]).lower(),
        "auscult.git_commit": str(git["commit"]),
    }
    if "command" in provenance:
        # The two that MLflow's own pages show as source and version.
        tags |= {"mlflow.source.name": str(provenance["command"]), "mlflow.source.type": "PROJECT"}
    if git["commit"] != UNKNOWN:
        tags["mlflow.source.git.commit"] = str(git["commit"])
    return tags


def is_alive(run: Run) -> bool:
    """Tell whether a training still logs to a run: here, in another working copy or by another person."""
    if run.info.status != "RUNNING":
        return False
    seen = run.data.tags.get(TAG_SEEN, "")
    return seen.isdecimal() and time.time() - int(seen) < SILENT_S
