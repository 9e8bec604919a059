"""What of a result was specified before the test part was read, what has changed since, and how often it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import Experiment, TaskSettings
from auscult.config.protocol import Change, PlannedComparison, PrimaryFigure, Protocol, changes_since
from auscult.formatting.metric_tables import MULTI_CLASS_HEADLINE, NORMAL_CLASS_METRICS
from auscult.formatting.numbers import METRIC_NAMES, plural
from auscult.reports.job_comparison import JobComparison, compare_jobs, default_pairs
from auscult.reports.jobs import JobResult
from auscult.storage.test_readings import experiment_of

PRESPECIFIED, EXPLORATORY = "prespecified", "exploratory"
_VIEWS = {"macro": "mean of targets", "four_class": "four classes (ICBHI)", "multi_class": "all classes"}


@dataclass(frozen=True)
class Standing:
    """Whether a figure or a comparison was specified before the test part was read.

    Attributes:
        what: The figure.
        word: `prespecified` or `exploratory`.
        reason: Why it is exploratory; empty where it is not.
    """

    what: str
    word: str
    reason: str = ""


@dataclass(frozen=True)
class ProtocolView:
    """What the report says of the protocol.

    Attributes:
        facts: (key, text) of the protocol; empty without one.
        standings: Of the primary figure and the operating rule of each job, and of all else.
        changes: What has changed since the freeze, a line each.
        primary: The primary figure in words.
        comparisons: Of jobs, each with its standing.
        readings: How many models the test part has judged, a sentence; empty where nobody counted.
    """

    facts: list[tuple[str, str]]
    standings: list[Standing]
    changes: list[str]
    primary: str
    comparisons: list[tuple[JobComparison, Standing]]
    readings: str

    @property
    def summary(self) -> str:
        """One sentence for the head of the result."""
        if not self.facts:
            return "No protocol was frozen before the test part was read: every figure here is exploratory."
        n = sum(standing.word == PRESPECIFIED for standing in self.standings[:-1])
        n += sum(standing.word == PRESPECIFIED for _, standing in self.comparisons)
        if not n:
            return "A protocol was frozen, but no figure here stands by it: all are exploratory."
        return (
            f"{plural(n, 'figure')} of this report {'was' if n == 1 else 'were'} prespecified; all else is exploratory."
        )


def default_primary(task: TaskSettings) -> PrimaryFigure:
    """Return the first figure of the headline."""
    if task.type == "multi_class":
        metrics = MULTI_CLASS_HEADLINE if task.normal_class is None else NORMAL_CLASS_METRICS
        return PrimaryFigure(metric=metrics[0], view="multi_class", level=task.level)
    if task.four_class is not None:
        return PrimaryFigure(metric="score", view="four_class", level=task.level)
    view = task.targets[0] if len(task.targets) == 1 else "macro"
    return PrimaryFigure(metric="auroc", view=view, level=task.level)


def primary_text(primary: PrimaryFigure) -> str:
    """Return a primary figure in words.

    >>> primary_text(PrimaryFigure(metric="auroc", view="pneumonia", level="patient"))
    'AUROC, pneumonia, patient level'
    """
    return f"{METRIC_NAMES[primary.metric]}, {_VIEWS.get(primary.view, primary.view)}, {primary.level} level"


def protocol_view(
    experiment: Experiment,
    task: TaskSettings,
    jobs: Sequence[JobResult],
    *,
    protocol: Protocol | None,
    splits: Mapping[str, tuple[str, str | None]],
    readings: Mapping[str, Sequence[Mapping[str, str]]],
) -> ProtocolView:
    """Return what the report says.

    Args:
        experiment: What was run.
        task: What was predicted.
        jobs: The results of its runs, in order.
        protocol: As frozen; None without one.
        splits: Id of each training -> path and digest of its split table.
        readings: Test set -> the models that it has judged, of each test set of these jobs.
    """
    said = readings_text(readings, experiment)
    primary = default_primary(task) if protocol is None else protocol.primary
    if protocol is None:
        pairs = compare_jobs(jobs, task, primary, [], default_pairs(jobs))
        standing = Standing("", EXPLORATORY, "no protocol was frozen")
        return ProtocolView([], [], [], primary_text(primary), [(pair, standing) for pair in pairs], said)
    changes = changes_since(protocol, experiment, task, splits)
    of_all = _fault(protocol, experiment, readings, changes)
    numbers = list(dict.fromkeys(job.number for job in jobs))
    reasons = {number: of_all or _reason(changes, number, ("jobs", "split")) for number in numbers}
    rules = {number: reasons[number] or _reason(changes, number, ("operating_rule",)) for number in numbers}
    figure = primary_text(primary)
    # A metric of decisions stands by the rule that takes them.
    is_of_decisions = primary.metric not in {"auroc", "auprc", "macro_auroc", "macro_auprc", "brier", "ece"}
    of_primary = rules if is_of_decisions else reasons
    planned, others = _pairs(protocol, jobs, of_primary)
    compared = compare_jobs(jobs, task, primary, planned, others)
    return ProtocolView(
        facts=_facts(protocol),
        standings=[
            *(_standing(f"{figure}, job {number}", of_primary[number]) for number in numbers),
            *(_standing(f"Operating rule, job {number}", rules[number]) for number in numbers),
            Standing("All other figures", EXPLORATORY, "not named by the protocol"),
        ],
        changes=[change.text if change.job is None else f"job {change.job}: {change.text}" for change in changes],
        primary=figure,
        comparisons=[(pair, _standing_of(pair, protocol, of_primary)) for pair in compared],
        readings=said,
    )


def _pairs(
    protocol: Protocol, jobs: Sequence[JobResult], reasons: Mapping[int, str]
) -> tuple[list[PlannedComparison], list[PlannedComparison]]:
    """Return the planned pairs that still stand, and all others: planned ones that do not, every job against 1."""
    there = [pair for pair in protocol.comparisons if {pair.job, pair.base} <= reasons.keys()]
    planned = [pair for pair in there if not reasons[pair.job] and not reasons[pair.base]]
    others = [pair for pair in (*there, *default_pairs(jobs)) if pair not in planned]
    return planned, list(dict.fromkeys(others))


def _standing(what: str, reason: str) -> Standing:
    return Standing(what, EXPLORATORY if reason else PRESPECIFIED, reason)


def _standing_of(pair: JobComparison, protocol: Protocol, reasons: Mapping[int, str]) -> Standing:
    if pair.is_planned:
        return Standing("", PRESPECIFIED)
    if PlannedComparison(job=pair.job, base=pair.base) not in protocol.comparisons:
        return Standing("", EXPLORATORY, "not planned")
    return Standing("", EXPLORATORY, reasons[pair.job] or reasons[pair.base])


def _reason(changes: Sequence[Change], number: int, sections: tuple[str, ...]) -> str:
    found = [change for change in changes if change.job == number and change.section in sections]
    return f"changed since the freeze: {found[0].text}" if found else ""


def _fault(
    protocol: Protocol,
    experiment: Experiment,
    readings: Mapping[str, Sequence[Mapping[str, str]]],
    changes: Sequence[Change],
) -> str:
    """Return why nothing stands by the protocol; empty where something does."""
    if not protocol.is_intact:
        return "the protocol's file was edited after it was frozen (its digest does not fit)"
    if protocol.late:
        return f"the protocol was frozen late: {protocol.late}"
    name = f"{experiment.group}/{experiment.name}"
    if protocol.experiment != name:
        return f"the protocol is that of {protocol.experiment}"
    times = [
        reading.get("time_utc", "")
        for found in readings.values()
        for reading in found
        if experiment_of(reading["result"]) == name
    ]
    if any(time < protocol.frozen_utc for time in times):
        return "this experiment's models had read the test part before the protocol was frozen"
    of_question = [change.text for change in changes if change.section == "question"]
    return f"the question has changed since the freeze: {of_question[0]}" if of_question else ""


def _facts(protocol: Protocol) -> list[tuple[str, str]]:
    n = protocol.judged_before
    return [
        ("frozen", f"{protocol.frozen_utc}, commit {protocol.commit}, auscult {protocol.auscult}"),
        ("digest", protocol.sha256),
        ("primary figure", primary_text(protocol.primary)),
        (
            "planned comparisons",
            ", ".join(f"job {pair.job} against job {pair.base}" for pair in protocol.comparisons) or "none",
        ),
        (
            "split",
            "; ".join(
                f"{split.table}, " + ("not yet made" if split.sha256 is None else f"SHA-256 {split.sha256[:12]}")
                for split in protocol.splits
            ),
        ),
        ("test part, by then", f"had judged {plural(n, 'model')} of other experiments" if n else "had judged no model"),
    ]


def readings_text(readings: Mapping[str, Sequence[Mapping[str, Any]]], experiment: Experiment) -> str:
    """Return how many models, of how many experiments, the test part has judged; of several test parts the most."""
    most = max(readings.values(), key=len, default=())
    if not most:
        return ""
    name = f"{experiment.group}/{experiment.name}"
    ours = sum(experiment_of(reading["result"]) == name for reading in most)
    others = {experiment_of(reading["result"]) for reading in most} - {name, ""}
    text = f"This test set has judged {plural(len(most), 'model')} in this project"
    if others:
        text += f": {ours:,} of this experiment, {len(most) - ours:,} of {plural(len(others), 'other experiment')}"
    return f"{text}. Each further look makes the next result a little more optimistic."
