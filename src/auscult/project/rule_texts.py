"""What the workflow's rules say of their jobs: which message, and so which job, has which benchmark file."""

from __future__ import annotations

import csv
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

_RULE = re.compile(r"^rule (\w+):\n((?:(?:[ \t].*)?\n)+)", re.MULTILINE)
_SAID = {key: re.compile(rf'^    {key}:\n\s+"([^"\n]+)"', re.MULTILINE) for key in ("message", "benchmark")}
_PLACE = re.compile(r"\{(?:wildcards\.)?(\w+)\}")


@dataclass(frozen=True)
class RuleText:
    """A rule.

    Attributes:
        name: Of the rule.
        message: Template, such as `Training {wildcards.task}/{wildcards.experiment}, job {wildcards.job}`.
        benchmark: Template of the file that holds what its jobs took.
    """

    name: str
    message: str
    benchmark: str

    def wildcards_in(self, message: str) -> dict[str, str] | None:
        """Return the wildcards of the job that says `message`; None when it is of another rule.

        >>> rule = RuleText("train", "Training {wildcards.task}, job {wildcards.job}", "b/{task}/{job}.tsv")
        >>> rule.wildcards_in("Training pneumonia, job 2/fold1")
        {'task': 'pneumonia', 'job': '2/fold1'}
        """
        pattern, end = "", 0
        for place in _PLACE.finditer(self.message):
            pattern += re.escape(self.message[end : place.start()]) + f"(?P<{place[1]}>.+)"
            end = place.end()
        match = re.fullmatch(pattern + re.escape(self.message[end:]), message)
        return None if match is None else match.groupdict()


def read_rules(rules_dir: Path) -> list[RuleText]:
    """Read the rules of all `.smk` files that have a message and a benchmark file."""
    rules: list[RuleText] = []
    for path in sorted(rules_dir.glob("*.smk")):
        for name, body in _RULE.findall(path.read_text(encoding="utf-8") + "\n"):
            said = {key: pattern.search(body) for key, pattern in _SAID.items()}
            message, benchmark = said["message"], said["benchmark"]
            if message is not None and benchmark is not None:
                rules.append(RuleText(name, message[1], benchmark[1]))
    return rules


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


def expected_cost(message: str, rules: list[RuleText], project_dir: Path = Path()) -> Cost:
    """Return what the job that says `message` took last time, else the median of its rule's jobs.

    Args:
        message: As the workflow prints it.
        rules: See `read_rules`.
        project_dir: Holds `benchmarks/`.
    """
    for rule in rules:
        wildcards = rule.wildcards_in(message)
        if wildcards is None:
            continue
        places = set(_PLACE.findall(rule.benchmark))
        if places <= wildcards.keys():
            own = _read(project_dir / rule.benchmark.format(**wildcards))
            if own is not None:
                return Cost(*own, "last time")
        folder = project_dir / rule.benchmark.partition("{")[0]
        others = [cost for path in sorted(folder.rglob("*.tsv")) if (cost := _read(path))]
        if others:
            seconds, memory = (statistics.median(values) for values in zip(*others, strict=True))
            return Cost(seconds, memory, f"median of {len(others)} of rule {rule.name}")
        return Cost(None, None, f"rule {rule.name} was not run here yet")
    return Cost(None, None, "no rule with a benchmark says this")


def _read(path: Path) -> tuple[float, float] | None:
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
