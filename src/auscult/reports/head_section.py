"""The head of the report, as the abstract of a paper: question, data, result, caveats, all on the first screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import Experiment
from auscult.formatting.baselines import Baselines
from auscult.formatting.numbers import Number, plural
from auscult.formatting.text import listed
from auscult.reports.data_tables import SUBSETS
from auscult.reports.jobs import JobResult, Repeats
from auscult.reports.left_out_section import LeftOut

MOST_JOBS = 4
"""Of whose results the head speaks one by one; of more only the range of the first figure."""
_BESIDE = ("Sensitivity", "Specificity")
"""What stands beside the first figure of a job, where its headline has them; else the next two."""


@dataclass(frozen=True)
class Figure:
    """One figure of a result.

    Attributes:
        name: Of the metric.
        value: As text.
        interval: As text; empty without one.
    """

    name: str
    value: str
    interval: str


@dataclass(frozen=True)
class Line:
    """The result of one job.

    Attributes:
        anchor: Of its section.
        name: Number and label.
        people: Test patients, in words.
        figures: The first ones of its headline.
        note: What the sound adds to metadata; empty where nobody asked.
    """

    anchor: str
    name: str
    people: str
    figures: list[Figure]
    note: str = ""


@dataclass(frozen=True)
class Head:
    """What the head says beside the question.

    Attributes:
        data: Sentences on the recordings and how they were divided.
        lines: Results, one a job.
        range: In place of them where there are many: the range of the first figure.
    """

    data: list[str]
    lines: list[Line]
    range: str


def head_of(
    experiment: Experiment,
    jobs: Sequence[JobResult],
    repeats: Sequence[Repeats],
    *,
    left_out: Sequence[LeftOut],
    audits: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, Baselines | None],
) -> Head:
    """Return the head of a report.

    Args:
        experiment: What was run.
        jobs: The results of its runs, in order.
        repeats: The jobs with folds and seeds.
        left_out: The jobs with a matrix.
        audits: One a run.
        baselines: Run -> what was found beside it.
    """
    of_repeats = {run.id for found in repeats for run in found.runs}
    of_matrices = {found.job for found in left_out}
    lines = [_line_of_matrix(found, [job for job in jobs if job.number == found.job]) for found in left_out]
    lines += [
        Line(
            found.runs[0].anchor,
            f"Job {found.job}, {found.runs[0].settings.model.name}, mean of {plural(len(found.runs), 'training')}",
            found.people,
            [
                Figure(name, found.headline[name].text, found.headline[name].interval_text)
                for name in _chosen(found.headline)
            ],
        )
        for found in repeats
        if found.job not in of_matrices
    ]
    lines += [
        Line(
            job.anchor,
            job.label if len(jobs) == 1 else f"Job {job.id}, {job.label}",
            job.people,
            [_figure(name, job.headline[name]) for name in _chosen(job.headline)],
            found.verdict if (found := baselines[job.id]) else "",
        )
        for job in jobs
        if job.id not in of_repeats and job.number not in of_matrices
    ]
    lines.sort(key=lambda line: int(line.anchor.split("_")[0]))
    text = "" if len(lines) <= MOST_JOBS else _range(jobs, len(lines))
    return Head(_data(experiment, audits), [] if text else lines, text)


def _line_of_matrix(found: LeftOut, runs: Sequence[JobResult]) -> Line:
    """Return the pooled AUROC of a matrix and what another value may expect; else its range."""
    name = f"Job {found.job}, {found.model}, each {found.by} left out in turn"
    pooled, one = found.targets[0].pooled, found.targets[0]
    if len(found.targets) == 1 and pooled is not None:
        figures = [Figure("AUROC, pooled", pooled.value_text, pooled.interval_text)]
        note = f"Of another {found.by} {one.expected} is expected."
        return Line(found.anchor, name, "", figures, note)
    return Line(found.anchor, name, "", [Figure(next(iter(runs[0].headline)), _ends(runs) or "undefined", "")])


def _chosen(headline: Mapping[str, Any]) -> list[str]:
    first, *others = headline
    return [first, *([name for name in others if name in _BESIDE] or others[:2])]


def _figure(name: str, number: Number) -> Figure:
    if number.value is None:
        return Figure(name, "undefined", "")
    return Figure(name, number.value_text, number.interval_text)


def _range(jobs: Sequence[JobResult], n_lines: int) -> str:
    name, first = next(iter(jobs[0].headline.items()))
    ends = _ends(jobs)
    if not ends:
        return f"{name} is undefined in all of {n_lines} jobs: {first.reason}."
    return f"{name} of {n_lines} jobs: {ends}. No job was selected."


def _ends(jobs: Sequence[JobResult]) -> str:
    """Return the least and the greatest value of the first figure; empty where it is undefined in all jobs."""
    name = next(iter(jobs[0].headline))
    numbers = [job.headline[name] for job in jobs]
    values = {number.value: number.value_text for number in numbers if number.value is not None}
    return f"{values[min(values)]} to {values[max(values)]}" if values else ""


def _data(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> list[str]:
    datasets = list(dict.fromkeys(name for job in experiment.jobs for name in job.datasets))
    total = audits[0]["total"]
    n = {subset: (counts["recordings"], counts["patients"]) for subset, counts in total.items()}
    recordings, patients = (sum(counts[index] for counts in n.values()) for index in (0, 1))
    parts = [
        f"{plural(n[subset][1], 'patient')} for {SUBSETS[subset]}" for subset in SUBSETS if n.get(subset, (0, 0))[0]
    ]
    how = "of the first split" if any(audit != audits[0] for audit in audits) else "divided by patient"
    if audits[0]["declared"]:
        how = "divided as declared below"
    noun = "picture" if experiment.jobs[0].clips.is_image else "recording"
    return [
        f"{plural(recordings, noun)} of {plural(patients, 'patient')} from {listed(datasets, 6)}, {how}: "
        f"{', '.join(parts)}."
    ]
