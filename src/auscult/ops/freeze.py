"""`auscult freeze`: write down what an experiment asks, and how it will be answered, before its test part is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from auscult.config import Experiment, TaskSettings, load_task, paths
from auscult.config.protocol import (
    FrozenSplit,
    PlannedComparison,
    PrimaryFigure,
    Protocol,
    digest_of,
    protocol_path,
    protocol_yaml,
    question_of,
    rules_of_jobs,
    settings_of_jobs,
)
from auscult.config.trials import load_tuned_experiment
from auscult.errors import ConfigError, unknown_name
from auscult.formatting.numbers import METRIC_NAMES, plural
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.evidence import view_values
from auscult.provenance import UNKNOWN, git_state, package_versions
from auscult.reports.protocol_section import default_primary
from auscult.storage.files import sha256_file, write_text
from auscult.storage.tables import read_split
from auscult.storage.test_readings import READINGS, experiment_of, key_of_test_set, read_readings, readings_by


@dataclass(frozen=True)
class Frozen:
    """What was written.

    Attributes:
        path: Of the protocol.
        protocol: Its content.
        missing: Paths of split tables that have not been made yet.
    """

    path: Path
    protocol: Protocol
    missing: tuple[str, ...]


def freeze(
    config_dir: Path,
    group: str,
    name: str,
    *,
    metric: str | None = None,
    view: str | None = None,
    comparisons: Sequence[str] | None = None,
    is_late: bool = False,
    is_forced: bool = False,
    root: Path = Path(),
    now: datetime | None = None,
) -> Frozen:
    """Freeze the protocol of an experiment.

    Args:
        config_dir: The folder `config`.
        group: Folder of the experiment.
        name: Its name.
        metric: The primary metric, as in `metrics.json`; default: the first of the headline.
        view: What it is of: a target, `macro`, `four_class` or `multi_class`; default: as in the headline.
        comparisons: Such as `2:1`, job 2 against job 1; None: every job against the first.
        is_late: Write it though the test part has been read; the report then says so, and calls all exploratory.
        is_forced: Replace an earlier protocol.
        root: The project's folder.
        now: When; by default now.

    Raises:
        ConfigError: The test part has judged a model of the experiment, there is a protocol already, or no such figure,
            job or experiment; or its study, which settles its job, is not finished.
    """
    experiment = load_tuned_experiment(config_dir, group, name, root)
    task = load_task(config_dir, experiment.task)
    path = protocol_path(config_dir, group, name)
    if path.exists() and not is_forced:
        raise ConfigError(f"{path}: is there already; what it says is frozen. --force replaces it")
    late = _why_late(experiment, root)
    if late and not is_late:
        raise ConfigError(
            f"{group}/{name}: {late}, so nothing can be frozen before it any more; a new experiment on other patients "
            "can. --late writes the protocol all the same: the report then calls every figure exploratory"
        )
    splits, test_sets = _splits(experiment, task, root)
    draft = Protocol(
        experiment=f"{group}/{name}",
        frozen_utc=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        auscult=package_versions()["auscult"],
        commit=_commit(root),
        late=late,
        judged_before=_judged_before(experiment, test_sets, root),
        question=question_of(experiment.task, task),
        splits=tuple(splits),
        primary=_primary(task, metric, view),
        operating_rule=rules_of_jobs(experiment),
        comparisons=_comparisons(experiment, comparisons),
        jobs=settings_of_jobs(experiment),
    )
    protocol = draft.model_copy(update={"sha256": digest_of(draft)})
    write_text(path, protocol_yaml(protocol))
    return Frozen(path, protocol, tuple(split.table for split in splits if split.sha256 is None))


def _why_late(experiment: Experiment, root: Path) -> str:
    """Return what shows that a model of this experiment was judged; empty where nothing does."""
    name = f"{experiment.group}/{experiment.name}"
    read = readings_by(root / READINGS, name)
    if read:
        return f"the test part has judged {plural(len({one['model'] for one in read}), 'model')} of this experiment"
    result = Path(paths.result_dir(experiment.group, experiment.name))
    runs = [Path(paths.run_dir(experiment.group, experiment.name, run.id)) for run in experiment.runs]
    found = [folder for folder in (result, *runs) if (root / folder / "metrics.json").is_file()]
    return f"{found[0].as_posix()} holds results on the test part" if found else ""


def _splits(experiment: Experiment, task: TaskSettings, root: Path) -> tuple[list[FrozenSplit], set[str]]:
    """Return the splits of all trainings, and the keys of the test sets whose tables are there."""
    runs: dict[str, list[str]] = {}
    for run in experiment.runs:
        runs.setdefault(paths.split_path(run.settings, task), []).append(run.id)
    splits: list[FrozenSplit] = []
    test_sets: set[str] = set()
    for table, ids in runs.items():
        is_there = (root / table).is_file()
        splits.append(FrozenSplit(runs=tuple(ids), table=table, sha256=sha256_file(root / table) if is_there else None))
        if is_there:
            rows: pd.DataFrame = read_split(root / table)
            test_sets.add(key_of_test_set(rows.loc[rows["split"] == "test", "recording_id"]))
    return splits, test_sets


def _judged_before(experiment: Experiment, test_sets: set[str], root: Path) -> int:
    name = f"{experiment.group}/{experiment.name}"
    found = {
        reading["model"]
        for key in test_sets
        for reading in read_readings(root / READINGS, key)
        if experiment_of(reading["result"]) != name
    }
    return len(found)


def _primary(task: TaskSettings, metric: str | None, view: str | None) -> PrimaryFigure:
    default = default_primary(task)
    known = _known_figures(task)
    chosen_view = view or default.view
    if chosen_view not in known:
        raise ConfigError(f"--of: {unknown_name('view', chosen_view, list(known))}")
    chosen = metric or (default.metric if default.metric in known[chosen_view] else known[chosen_view][0])
    if chosen not in known[chosen_view]:
        raise ConfigError(f"--primary: {unknown_name('metric', chosen, known[chosen_view])}")
    return PrimaryFigure(metric=chosen, view=chosen_view, level=task.level)


def _known_figures(task: TaskSettings) -> dict[str, list[str]]:
    """Return view -> metrics, as an evaluation computes them."""
    n = len(task.targets)
    targets = np.eye(n, dtype=np.float32) if task.type == "multi_class" else np.zeros((n, n), dtype=np.float32)
    ids = np.arange(n).astype(str).astype(object)
    nobody = LevelRows(ids, ids, np.full((n, n), 1 / n), targets, 0)
    found = view_values(nobody, task, [0.5] * n, np.arange(n), np.ones((n, 1), dtype=np.float32))
    return {view: [name for name in METRIC_NAMES if name in of_view] for view, of_view in found.items()}


def _comparisons(experiment: Experiment, asked: Sequence[str] | None) -> tuple[PlannedComparison, ...]:
    n_jobs = len(experiment.jobs)
    if asked is None:
        return tuple(PlannedComparison(job=number, base=1) for number in range(2, n_jobs + 1))
    found: list[PlannedComparison] = []
    for text in asked:
        job, _, base = text.partition(":")
        if (
            not (job.isdecimal() and base.isdecimal())
            or job == base
            or not {int(job), int(base)} <= set(range(1, n_jobs + 1))
        ):
            raise ConfigError(f"--compare: found {text!r}, expected two jobs from 1 to {n_jobs}, such as 2:1")
        found.append(PlannedComparison(job=int(job), base=int(base)))
    return tuple(dict.fromkeys(found))


def _commit(root: Path) -> str:
    state = git_state(root)
    if state["commit"] == UNKNOWN:
        return UNKNOWN
    return f"{str(state['commit'])[:12]}{' with changes' if state['dirty'] else ''}"
