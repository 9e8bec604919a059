"""`report.html`: one file, nothing loaded from anywhere, for the screen, the phone and paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from auscult.config import Experiment, TaskSettings
from auscult.presentation import (
    LEVELS,
    LOWER_IS_BETTER,
    METRIC_NAMES,
    Block,
    Number,
    blocks,
    protocol_table,
    slice_table,
)
from auscult.reporting.data_tables import declared_exceptions, ingested, split_tables
from auscult.reporting.job import JobResult
from auscult.reporting.limits import limits, model_card
from auscult.reporting.pages import page_templates
from auscult.reporting.repeats import Repeats
from auscult.reporting.settings import differing_keys, flatten, job_settings, settings_text, shared_settings
from auscult.reporting.svg import inline_svg, png_data

OUTCOME_WORDS = {"tp": "true positive", "tn": "true negative", "fp": "false positive", "fn": "missed"}


@dataclass(frozen=True)
class PageFigure:
    """A figure as it stands in the page; `undefined` says why there is none."""

    title: str
    caption: str
    image: Markup | None
    undefined: str | None = None


@dataclass(frozen=True)
class PageExample:
    """A spectrogram with what the model made of it."""

    source: str
    text: str
    where: str
    is_error: bool


@dataclass(frozen=True)
class PageAverage:
    """Mean spectrograms of one target."""

    source: str
    target: str
    counts: str


@dataclass(frozen=True)
class MetricTable:
    """One view: rows are metrics, columns are levels.

    Attributes:
        block: The view at the task's level.
        counts: (level, what was counted).
        rows: (metric, whether lower is better, number at each level).
    """

    block: Block
    counts: list[tuple[str, str]]
    rows: list[tuple[str, bool, list[Number]]]


def render(
    experiment: Experiment,
    task: TaskSettings,
    jobs: Sequence[JobResult],
    *,
    repeats: Sequence[Repeats],
    audits: Sequence[Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    comparison: Sequence[PageFigure],
) -> str:
    """Return the page.

    Args:
        experiment: What was run.
        task: What was predicted.
        jobs: The results of its runs, in order.
        repeats: The jobs that have folds or seeds.
        audits: One a run: the audit of its split.
        summaries: Dataset -> `summary.json`.
        provenance: Nested facts; `notices`, a list of sentences, is printed at the top.
        comparison: Figures that show several jobs.
    """
    settings = [job.settings for job in jobs]
    keys = differing_keys(settings)
    # Of a job with folds or seeds the first stands in full: the page stays one that a browser opens at once.
    in_full = {job.id for job in jobs if job.id == str(job.number)} | {found.runs[0].id for found in repeats}
    return (
        page_templates()
        .get_template("report.html.j2")
        .render(
            experiment=experiment,
            task=task,
            jobs=jobs,
            command=_rerun(experiment, provenance),
            datasets=list(dict.fromkeys(name for job in experiment.jobs for name in job.datasets)),
            metric_names=METRIC_NAMES,
            levels=LEVELS,
            notices=[str(text) for text in provenance.get("notices", [])],
            exceptions=declared_exceptions(experiment, audits),
            comparison=comparison,
            repeats=repeats,
            in_full=in_full,
            tables={job.id: metric_tables(job, task) for job in jobs},
            slices={job.id: slice_table(job.metrics["slices"], task) for job in jobs},
            figures={job.id: job_figures(job) for job in jobs if job.id in in_full},
            examples={job.id: job_examples(job) for job in jobs if job.id in in_full},
            averages={job.id: job_averages(job) for job in jobs if job.id in in_full},
            counts={job.id: outcome_counts(job) for job in jobs},
            protocols={job.id: protocol_table(job.metrics, task) for job in jobs},
            rules=label_rules(task, experiment),
            ingested=[ingested(name, summary) for name, summary in summaries.items()],
            splits=split_tables(experiment, task, audits),
            shared=shared_settings(settings),
            differing=[(key, [settings_text(job_settings(job).get(key)) for job in settings]) for key in keys],
            card=model_card(jobs, task),
            limits=limits(jobs, task, summaries),
            facts=provenance_facts(provenance),
        )
    )


def _rerun(experiment: Experiment, provenance: Mapping[str, Any]) -> str:
    """Return what makes the result again: the workflow, or the one command that judged a stored model."""
    command = str(provenance.get("command", ""))
    if command.startswith("auscult "):
        return command
    return f"snakemake --cores all results/{experiment.task}/{experiment.name}"


def metric_tables(job: JobResult, task: TaskSettings) -> list[MetricTable]:
    """Return the test part's metrics, one table a view."""
    by_level = {level: blocks(job.metrics["test"], task, level) for level in LEVELS}
    tables: list[MetricTable] = []
    for index, block in enumerate(by_level[task.level]):
        views = {level: found[index] for level, found in by_level.items()}
        rows = [
            (METRIC_NAMES[name], name in LOWER_IS_BETTER, [view.numbers[name] for view in views.values()])
            for name in block.numbers
        ]
        counts = [(level, view.counts) for level, view in views.items() if view.counts]
        tables.append(MetricTable(block, counts, rows))
    return tables


def job_figures(job: JobResult) -> list[PageFigure]:
    """Return a job's figures for the page."""
    found: list[PageFigure] = []
    for entry in job.figures:
        image = None
        if entry["undefined"] is None:
            path = job.folder / "figures" / f"{entry['name']}.svg"
            image = read_figure(path, f"job{job.anchor}-{entry['name']}", f"{entry['title']}. {entry['caption']}")
        found.append(PageFigure(entry["title"], entry["caption"], image, entry["undefined"]))
    return found


def read_figure(path: Path, prefix: str, label: str) -> Markup:
    """Return an SVG file for the page."""
    return inline_svg(path.read_text(encoding="utf-8"), prefix, label)


def job_examples(job: JobResult) -> list[PageExample]:
    """Return a job's example spectrograms for the page."""
    return [
        PageExample(
            source=png_data(job.folder / "spectrograms" / entry["file"]),
            text=entry["text"],
            where=f"{entry['clip_id']}, {entry['start_s']:.1f}–{entry['end_s']:.1f} s",
            is_error=entry["is_error"],
        )
        for entry in job.examples
    ]


def job_averages(job: JobResult) -> list[PageAverage]:
    """Return a job's mean spectrograms for the page."""
    return [
        PageAverage(
            source=png_data(job.folder / "spectrograms" / entry["file"]),
            target=entry["target"],
            counts=", ".join(f"{OUTCOME_WORDS[name]} {count:,}" for name, count in entry["n"].items()),
        )
        for entry in job.averages
    ]


def outcome_counts(job: JobResult) -> str:
    """Return how many clips stand in the folders of outcomes, of how many."""
    drawn = [entry["outcome"] for entry in job.outcomes["pictures"]]
    return ", ".join(f"{name}: {drawn.count(name)} of {count:,}" for name, count in job.outcomes["n"].items())


def label_rules(task: TaskSettings, experiment: Experiment) -> list[tuple[str, str, str]]:
    """Return (dataset, target, rule in words) for the datasets of this experiment."""
    used = {name for job in experiment.jobs for name in job.datasets}
    found: list[tuple[str, str, str]] = []
    for dataset, rule in task.classes_from.items():
        if dataset in used:
            found.append((dataset, "class", f"the label `{rule.column}`"))
    for dataset, rules in task.datasets.items():
        for target, rule in rules.items() if dataset in used else ():
            found.append((dataset, target, rule_text(rule.model_dump(mode="json"))))
    return found


def rule_text(rule: Mapping[str, Any]) -> str:
    """Return a target's rule (an event or a column rule, as a mapping) in words."""
    if "events" in rule:
        where = ", ".join(rule["annotated_by"])
        unknown = f"; unknown where {' or '.join(rule['unknown'])} does" if rule["unknown"] else ""
        present = " or ".join(rule["events"])
        return f"present where an event {present} overlaps{unknown}, absent elsewhere within: {where}"
    negative = rule["negative"]
    others = "any other value" if negative == "others" else ", ".join(negative)
    unknown = f"; unknown: {', '.join(rule['unknown'])}" if rule["unknown"] else ""
    return f"label {rule['column']}: present if {', '.join(rule['positive'])}; absent if {others}{unknown}"


def provenance_facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (key, text) of every fact but notices, nested keys dotted."""
    facts = {key: value for key, value in provenance.items() if key not in {"notices", "packages"}}
    found = [(key, settings_text(value)) for key, value in flatten(facts).items()]
    packages = provenance.get("packages")
    if isinstance(packages, Mapping):
        found.append(("packages", ", ".join(f"{name} {version}" for name, version in packages.items())))
    return found


def experiment_yaml(experiment: Experiment) -> str:
    """Return the resolved settings as YAML."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
