"""What the workflow would do for a target, why, and what it is expected to cost; nothing is run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auscult.config.paths import place_of
from auscult.errors import ConfigError, DataError
from auscult.project.changes import params_changes, result_changes
from auscult.project.rule_texts import Cost, expected_cost, read_rules

_JOB = re.compile(r"^Job (\d+): (.+)\n(?:Reason: (.*)\n)?", re.MULTILINE)
_PARAMS = re.compile(
    r"Params have changed since last execution: .*?before: (?P<before>.*?)\s+now: (?P<now>.*?)\s*"
    r"(?=; Software|$)"
)
_FILES = re.compile(
    r"(Missing output files|Incomplete output files|Updated input files|Input files updated by another job): (.*?)"
    r"(?=; [A-Z]|$)"
)


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
    output = dry_run(target, arguments, project_dir)
    rules = read_rules(project_dir / "rules")
    jobs = tuple(
        Planned(message, tuple(read_reasons(reason)), expected_cost(message, rules, project_dir))
        for _, message, reason in dict.fromkeys(_JOB.findall(output))
    )
    kind, owner, inner = place_of(Path(target).as_posix())
    changes: list[str] = []
    if kind == "results" and owner is not None and not inner:
        changes = result_changes(
            project_dir / target, *owner, config_dir=project_dir / "config", project_dir=project_dir
        )
    return Explanation(target, jobs, tuple(changes))


def dry_run(target: str, arguments: Sequence[str], project_dir: Path) -> str:
    """Return what Snakemake prints of a dry run."""
    done = subprocess.run(  # noqa: S603 (Snakemake, with the user's own arguments)
        [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *arguments, "--", target],
        cwd=project_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        start = next((number for number, line in enumerate(lines) if "Error" in line or "Exception" in line), -5)
        raise DataError(f"the workflow cannot make {target}:\n" + "\n".join(lines[start:][:12]))
    return done.stdout


def read_reasons(text: str) -> list[str]:
    """Say why a job would run, in short.

    >>> read_reasons("Missing output files: a, b; Input files updated by another job: c")
    ['not made yet: a, b', 'what it reads is made anew']
    >>> read_reasons("Code has changed since last execution")
    ['its script or rule has changed']
    """
    words = {
        "Missing output files": "not made yet",
        "Incomplete output files": "left half made",
        "Updated input files": "changed since",
        "Input files updated by another job": "what it reads is made anew",
    }
    params = _PARAMS.search(text)
    rest = _PARAMS.sub("", text)
    reasons = [
        # Which job makes them stands above it.
        words[kind] if "by another job" in kind else f"{words[kind]}: {_shortened(files)}"
        for kind, files in _FILES.findall(rest)
    ]
    if params is not None:
        changes = params_changes(params["before"], params["now"])
        reasons += [f"setting {line}" for line in changes] if changes else ["its settings have changed"]
    for said, meaning in (
        ("Set of input files has changed", "it reads other files than before"),
        ("Code has changed", "its script or rule has changed"),
        ("Software environment definition has changed", "its environment has changed"),
        ("Forced execution", "it was asked for"),
    ):
        if said in rest:
            reasons.append(meaning)
    return reasons or ([text] if text else ["it was asked for"])


def _shortened(files: str, most: int = 2) -> str:
    names = sorted(files.split(", "))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
