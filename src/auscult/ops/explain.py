"""What the workflow would do for a target, why, and what it is expected to cost; nothing is run."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auscult.config.flatten import differences
from auscult.config.paths import place_of
from auscult.errors import ConfigError, DataError
from auscult.formatting.text import listed
from auscult.ops.verify import result_changes

_PLUGINS = Path(__file__).parent / "snakemake_plugins"
# Snakemake states a job's reason as one text. What is not found in it is shown as Snakemake says it.
_FILES = {
    "Missing output files": "not made yet",
    "Incomplete output files": "left half made",
    "Updated input files": "changed since",
}
_STATES = {
    # Which job makes them stands above it.
    "Input files updated by another job": "what it reads is made anew",
    "Set of input files has changed": "it reads other files than before",
    "Code has changed": "its script or rule has changed",
    "Software environment definition has changed": "its environment has changed",
    "Forced execution": "it was asked for",
}
_PARAMS = re.compile(r"Params have changed(?:.*?before: (.*?)\s+now: (.*?)\s*|.*?)(?=; Software environment|$)")
# Our own message, or the first line of one of Snakemake's.
_REFUSAL = re.compile(r"^error: |Error|Exception")


@dataclass(frozen=True)
class Cost:
    """What a job is expected to take.

    Attributes:
        seconds: Of wall time; None: no job of its rule was run here.
        memory_mb: The most that it held.
        basis: `last time`, or of how many jobs of its rule it is the median.
    """

    seconds: float | None
    memory_mb: float | None
    basis: str


@dataclass(frozen=True)
class Planned:
    """A job that would run.

    Attributes:
        message: What it does.
        reasons: Why.
        cost: What it is expected to take.
    """

    message: str
    reasons: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True)
class Explanation:
    """What would happen for a target.

    Attributes:
        target: What was asked for.
        jobs: That would run, in order.
        changes: Of settings, data and code since the target, a result, was published.
    """

    target: str
    jobs: tuple[Planned, ...]
    changes: tuple[str, ...] = field(default=())

    @property
    def known_s(self) -> float:
        """Seconds of all jobs with an estimate, one after another."""
        return sum(job.cost.seconds for job in self.jobs if job.cost.seconds is not None)

    @property
    def n_unknown(self) -> int:
        """Jobs without an estimate."""
        return sum(job.cost.seconds is None for job in self.jobs)


def explain(target: str, arguments: Sequence[str] = (), project_dir: Path = Path()) -> Explanation:
    """Ask the workflow by a dry run.

    Args:
        target: Such as `results/pneumonia/train2356`, or a file of the workflow.
        arguments: More for Snakemake, such as `--config device=cpu`.
        project_dir: Holds the Snakefile.

    Raises:
        ConfigError: There is no workflow here.
        DataError: The workflow refuses the target, with its message.
    """
    if not (project_dir / "Snakefile").is_file():
        raise ConfigError(f"{project_dir.resolve()}: no Snakefile here; run this in the project's folder")
    jobs = tuple(
        Planned(
            job["message"] or job["rule"],
            tuple(read_reasons(job["reason"])),
            expected_cost(job["rule"], job["benchmark"], project_dir),
        )
        for job in dry_run(target, arguments, project_dir)
    )
    kind, owner, inner = place_of(Path(target).as_posix())
    changes: list[str] = []
    if kind == "results" and owner is not None and not inner:
        changes = result_changes(
            project_dir / target, *owner, config_dir=project_dir / "config", project_dir=project_dir
        )
    return Explanation(target, jobs, tuple(changes))


def plugin_path() -> str:
    """Return Python's path for a Snakemake that is to find our logger plugins."""
    return os.pathsep.join([str(_PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])])


def dry_run(target: str, arguments: Sequence[str], project_dir: Path) -> list[dict[str, Any]]:
    """Return the jobs of a plan in their order, as Snakemake hands them to a logger plugin; see `LogHandler` there.

    Raises:
        DataError: The workflow refuses the target, with its message.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.jsonl"
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
        command += ["--logger", "plan", *arguments, "--", target]
        done = subprocess.run(  # noqa: S603 (Snakemake, with the user's own arguments)
            command,
            cwd=project_dir,
            env={**os.environ, "PYTHONPATH": plugin_path(), "PYTHONUTF8": "1", "AUSCULT_PLAN_FILE": str(plan)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            lines = [line for line in done.stdout.splitlines() if line.strip()]
            start = next((number for number, line in enumerate(lines) if _REFUSAL.search(line)), -5)
            if start >= 0:
                lines[start] = lines[start].removeprefix("error: ")
            raise DataError(f"the workflow cannot make {target}:\n" + "\n".join(lines[start:][:12]))
        lines = plan.read_text(encoding="utf-8").splitlines() if plan.is_file() else []
    # A plan that depends on a checkpoint is told twice.
    return [json.loads(line) for line in dict.fromkeys(lines)]


def read_reasons(text: str) -> list[str]:
    """Say why a job would run, in short.

    >>> read_reasons("Missing output files: a, b; Input files updated by another job: c")
    ['not made yet: a, b', 'what it reads is made anew']
    >>> read_reasons("Code has changed since last execution")
    ['its script or rule has changed']
    >>> read_reasons("A reason of a later Snakemake; Forced execution")
    ['A reason of a later Snakemake', 'it was asked for']
    """
    params = _PARAMS.search(text)
    rest = _PARAMS.sub("", text)
    reasons: list[str] = []
    for said in filter(None, rest.split("; ")):
        kind, _, files = said.partition(": ")
        if kind in _FILES:
            names = listed(sorted(files.split(", ")), most=2)
            reasons.append(f"{_FILES[kind]}: {names}")
        else:
            reasons.append(next((meaning for start, meaning in _STATES.items() if said.startswith(start)), said))
    if params is not None:
        changes = params_changes(params[1] or "", params[2] or "")
        reasons += [f"setting {line}" for line in changes] if changes else ["its settings have changed"]
    return reasons or ["it was asked for"]


def params_changes(before: str, now: str) -> list[str] | None:
    """Compare the parameters of a job as Snakemake states them; None when they cannot be read.

    >>> params_changes("{'epochs': 3, 'lr': 0.1}", "{'epochs': 4, 'lr': 0.1}")
    ['epochs: 3 -> 4']
    >>> params_changes("<nothing exclusive>", "'a'") is None
    True
    """
    try:
        olds, news = (list(ast.literal_eval(f"[{text}]")) for text in (before, now))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    changes: list[str] = []
    for new in news:
        alike = max(olds, key=lambda old: _likeness(old, new), default=None)
        if alike is None:
            return None
        olds.remove(alike)
        changes += [str(found) for found in differences(alike, new)]
    return changes or None


def _likeness(before: Any, now: Any) -> int:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return 1 + len(before.keys() & now.keys())
    return int(type(before) is type(now))


def expected_cost(rule: str, benchmark: str | None, project_dir: Path = Path()) -> Cost:
    """Return what a job took last time, else the median of its rule's jobs.

    Args:
        rule: Its rule.
        benchmark: Where it keeps what it took, such as `benchmarks/train/pneumonia/tiny/1.tsv`; None: nowhere.
        project_dir: Holds `benchmarks/`.
    """
    if benchmark is None:
        return Cost(None, None, f"rule {rule} keeps no times")
    own = _read_benchmark(project_dir / benchmark)
    if own is not None:
        return Cost(*own, "last time")
    folder = project_dir.joinpath(*Path(benchmark).parts[:2])
    others = [cost for path in sorted(folder.rglob("*.tsv")) if (cost := _read_benchmark(path))]
    if not others:
        return Cost(None, None, f"rule {rule} was not run here yet")
    seconds, memory = (statistics.median(values) for values in zip(*others, strict=True))
    return Cost(seconds, memory, f"median of {len(others)} of rule {rule}")


def _read_benchmark(path: Path) -> tuple[float, float] | None:
    """Return seconds and megabytes of the last line of a benchmark file; None when it has none."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            row = list(csv.DictReader(stream, delimiter="\t"))[-1]
        seconds = float(row["s"])
    except (OSError, IndexError, KeyError, ValueError):
        return None
    try:
        return seconds, float(row["max_rss"])
    except ValueError:
        return seconds, 0.0  # a job too short to be measured
