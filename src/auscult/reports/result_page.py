"""Limits of use: what a reader may not conclude, stated from the numbers at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from auscult.config import Experiment, TaskSettings
from auscult.formatting.metric_tables import Block, blocks, protocol_table, slice_table
from auscult.formatting.numbers import LEVELS, LOWER_IS_BETTER, METRIC_NAMES, Number, plural
from auscult.plots.inline import PageFigure, png_data, read_figure
from auscult.reports.data_tables import declared_exceptions, ingested, split_tables
from auscult.reports.html import page_templates
from auscult.reports.jobs import JobResult, Repeats
from auscult.reports.settings import differing_keys, flatten, job_settings, settings_text, shared_settings

FEW_PATIENTS = 50
"""Test parts below this size get a warning of their own."""


def model_card(jobs: Sequence[JobResult], task: TaskSettings) -> list[tuple[str, str]]:
    """Return (heading, text): what the models are for, what they take and what they give."""
    clips = [f"{job.settings.clips.length_s:g} s at {job.settings.clips.sample_rate_hz / 1000:g} kHz" for job in jobs]
    datasets = dict.fromkeys(name for job in jobs for name in job.settings.datasets)
    given = "one class out of" if task.type == "multi_class" else "the probability of"
    calibrated = [job.id for job in jobs if job.metrics.get("temperature", 1.0) != 1.0]
    rules = dict.fromkeys(job.metrics.get("threshold_rule") or job.settings.evaluate.threshold for job in jobs)
    point = "the class of highest probability" if task.type == "multi_class" else f"thresholds by {', '.join(rules)}"
    return [
        ("made for", "research on methods: comparing models, data and settings on one split"),
        ("question", task.description or "not stated"),
        ("takes", f"clips of {' or '.join(dict.fromkeys(clips))}, mono"),
        ("gives", f"{given} {', '.join(task.targets)}; combined by {task.aggregate.method} up to {task.level} level"),
        ("trained on", ", ".join(datasets)),
        ("operating point", f"{point}, chosen on validation"),
        ("calibration", f"temperature scaling, job {', '.join(calibrated)}" if calibrated else "none"),
    ]


def limits(jobs: Sequence[JobResult], task: TaskSettings, summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return sentences, the gravest first."""
    found = ["A research result. It is no medical device, and no diagnosis may rest on it."]
    fewest = min(_test_patients(job, task) for job in jobs)
    if fewest < FEW_PATIENTS:
        found.append(
            f"The test part holds {plural(fewest, 'patient')}: intervals are wide, and differences between jobs that "
            "lie within them mean nothing."
        )
    found += [
        "Intervals are the 95% percentile bootstrap over patients. They hold the chance of which patients were drawn, "
        "not that of training again with another seed or split.",
        *_no_width(jobs),
        "Epoch and thresholds were chosen on validation; the test part was read once, after that. To compare many jobs "
        "on one test part and keep the best would still be optimistic.",
        _population(summaries),
    ]
    clips = [f"{job.settings.clips.length_s:g} s at {job.settings.clips.sample_rate_hz / 1000:g} kHz" for job in jobs]
    found.append(
        f"The models heard clips of {' or '.join(dict.fromkeys(clips))}, so nothing above half that rate. "
        "Other devices, sites and noise were not tried."
    )
    if task.type != "multi_class":
        found.append(
            "The thresholds fit the share of positives in this validation part. Where the condition is rarer or more "
            "frequent, predictive values differ and thresholds should be chosen anew."
        )
    return found


def _no_width(jobs: Sequence[JobResult]) -> list[str]:
    numbers = [number for job in jobs for number in job.headline.values()]
    if not any(number.low is not None and number.low == number.high for number in numbers):
        return []
    return [
        "An interval without width (1.000–1.000, say) is no certainty: without a single error in the sample the "
        "bootstrap sees none. With n cases and no error the true rate may still be 3 / n (rule of three, 95%)."
    ]


def _test_patients(job: JobResult, task: TaskSettings) -> int:
    section = job.metrics["test"][task.level]
    views = section.values() if task.type == "multi_class" else (section[target] for target in task.targets)
    return min(int(view["n"]["patients"]) for view in views)


def _population(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    unstated = [
        f"{name} ({word})"
        for name, summary in summaries.items()
        for key, word in (("sexes", "sex"), ("devices", "device"), ("sites", "site"))
        if summary["missing"][key] == summary["recordings"]
    ]
    sentence = f"The patients are those of {', '.join(summaries)}; nothing is known of other populations."
    return sentence + (f" Not stated in the data: {', '.join(unstated)}." if unstated else "")


OUTCOME_WORDS = {"tp": "true positive", "tn": "true negative", "fp": "false positive", "fn": "missed"}


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
