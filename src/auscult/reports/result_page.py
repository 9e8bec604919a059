"""`report.html`: the result of an experiment as a page that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from auscult.config import Experiment, TaskSettings
from auscult.config.documents import dump_yaml
from auscult.config.flatten import flatten
from auscult.config.task import LEVELS
from auscult.formatting.baselines import baselines_of
from auscult.formatting.conformal import SetRow, never_ruled_out, promise, set_rows
from auscult.formatting.metric_tables import Block, blocks, interval_notes, protocol_table, slice_table
from auscult.formatting.numbers import LOWER_IS_BETTER, METRIC_NAMES, OUTCOME_NAMES, Number, p_text, plural
from auscult.formatting.operating_points import (
    OUT_OF_FOLD,
    calibration_text,
    chosen_on_text,
    decided_by,
    decision_text,
    is_shared,
    point_heads,
    point_rows,
    shared_note,
)
from auscult.formatting.published import published_rows
from auscult.formatting.recalibration import recalibration_rows
from auscult.plots.inline import PageFigure, mp3_data, png_data, read_figure
from auscult.reports.clinical_section import MOST_TABLES, clinical_contents, clinical_jobs, tables_one
from auscult.reports.data_tables import declared_exceptions, ingested, label_conflicts, label_rules, split_tables
from auscult.reports.events_section import event_table
from auscult.reports.flow_section import lacks
from auscult.reports.head_section import head_of
from auscult.reports.html import page_script, page_templates
from auscult.reports.job_text import rule_text
from auscult.reports.jobs import JobResult, Repeats, few_patients
from auscult.reports.left_out_section import LARGE_SHIFT, LeftOut
from auscult.reports.model_card import limits, model_card
from auscult.reports.objects_section import object_table
from auscult.reports.protocol_section import ProtocolView
from auscult.reports.search_section import SearchView
from auscult.reports.settings import differing_keys, job_settings, settings_text, shared_settings
from auscult.reports.subgroup_section import gap_names
from auscult.splits.table_one import FEWEST_PATIENTS


@dataclass(frozen=True)
class PageExample:
    """A spectrogram with its prediction."""

    source: str
    text: str
    where: str
    is_error: bool
    sound: str


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
        decisions: Where decisions are taken at each level.
        notes: How intervals were made, and why some are missing.
    """

    block: Block
    counts: list[tuple[str, str]]
    rows: list[tuple[str, bool, list[Number]]]
    decisions: list[str]
    notes: list[str]


def render(
    experiment: Experiment,
    task: TaskSettings,
    jobs: Sequence[JobResult],
    *,
    repeats: Sequence[Repeats],
    left_out: Sequence[LeftOut],
    audits: Sequence[Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    comparison: Sequence[PageFigure],
    protocol: ProtocolView,
    methods: Mapping[str, str],
    search: SearchView | None = None,
) -> str:
    """Return the page.

    Args:
        experiment: What was run.
        task: What was predicted.
        jobs: The results of its runs, in order.
        repeats: The jobs that have folds or seeds.
        left_out: The jobs that have a matrix.
        audits: One a run: the audit of its split.
        summaries: Dataset -> `summary.json`.
        provenance: Nested facts; `notices`, a list of sentences, is printed at the top.
        comparison: Figures of several jobs.
        protocol: What was prespecified, and the jobs compared.
        methods: Subject -> paragraph, from `methods_text.methods_paragraphs`.
        search: How the settings were found; None without a search.
    """
    settings = [job.settings for job in jobs]
    keys = differing_keys(settings)
    # Of a job with folds, left-out values or seeds only the first run is shown in full, so that the page stays small.
    in_full = {next(runs).id for _, runs in groupby(jobs, key=lambda job: job.number)}
    in_full |= {job.id for job in jobs if job.settings.ensemble}
    jobs_in_full = [job for job in jobs if job.id in in_full]
    of_baselines = {job.id: baselines_of(job.metrics, task, job.settings.clips) for job in jobs}
    return (
        page_templates()
        .get_template("report.html.j2")
        .render(
            experiment=experiment,
            task=task,
            jobs=jobs,
            command=_rerun(experiment, provenance),
            metric_names=METRIC_NAMES,
            levels=LEVELS,
            notices=[
                *map(str, provenance.get("notices", [])),
                *few_patients_notices(jobs, repeats, task),
                *label_conflicts(audits),
            ],
            head=head_of(experiment, jobs, repeats, left_out=left_out, audits=audits, baselines=of_baselines),
            contents={job.id: _contents(job) for job in jobs_in_full},
            script=page_script(),
            lacks=lacks(audits),
            exceptions=declared_exceptions(experiment, audits),
            comparison=comparison,
            repeats=repeats,
            left_out=left_out,
            large_shift=LARGE_SHIFT,
            in_full=in_full,
            tables={job.id: metric_tables(job, task) for job in jobs},
            published={job.id: published_rows(job.metrics, task, experiment.claims) for job in jobs},
            protocol=protocol,
            methods=methods,
            has_confusion={job.id: any("confusion" in entry["name"] for entry in job.figures) for job in jobs},
            search=search,
            p_text=p_text,
            points={job.id: point_rows(job.metrics, task) for job in jobs},
            point_heads=point_heads(task),
            recalibrated={job.id: recalibration_rows(job.metrics) for job in jobs},
            calibrations={job.id: calibration_text(job.metrics) for job in jobs},
            chosen_on={job.id: chosen_on_text(job.metrics) for job in jobs},
            out_of_fold=OUT_OF_FOLD,
            point_rules={job.id: rule_text(job.metrics, job.settings) for job in jobs},
            points_shared={job.id: shared_note(task) if is_shared(job.metrics) else "" for job in jobs},
            decisions={job.id: decision_text(job.metrics, task, task.level, task.targets) for job in jobs},
            conformal={job.id: _conformal(job) for job in jobs},
            events={job.id: event_table(job, task) or object_table(job, task) for job in jobs},
            slices={job.id: slice_table(job.metrics["slices"], task) for job in jobs},
            clinical_contents=clinical_contents(jobs_in_full),
            tables_one=tables_one(experiment, audits),
            most_tables=MOST_TABLES,
            fewest_patients=FEWEST_PATIENTS,
            gap_names=gap_names(jobs_in_full),
            clinical=clinical_jobs(jobs_in_full, task),
            figures={job.id: job_figures(job) for job in jobs_in_full},
            examples={job.id: job_examples(job) for job in jobs_in_full},
            averages={job.id: job_averages(job) for job in jobs_in_full},
            counts={job.id: outcome_counts(job) for job in jobs},
            baselines_of=of_baselines,
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


def few_patients_notices(jobs: Sequence[JobResult], repeats: Sequence[Repeats], task: TaskSettings) -> list[str]:
    """Return, in sentences for the top of the page, which jobs rest on too few patients."""
    repeated = {run.id for found in repeats for run in found.runs}
    few = [(found.name, found.few) for found in repeats]
    few += [(job.id, few_patients(job.metrics["test"], task)) for job in jobs if job.id not in repeated]
    found: dict[str, list[str]] = {}
    for number, why in few:
        if why:
            found.setdefault(why, []).append(number)
    jobs_text = {why: "" if len(few) == 1 else f" (job {', '.join(numbers)})" for why, numbers in found.items()}
    return [
        f"Few patients{text}: {why} to call one result better than another, and for some intervals. Read each figure "
        "with its interval."
        for why, text in jobs_text.items()
    ]


def _rerun(experiment: Experiment, provenance: Mapping[str, Any]) -> str:
    """Return the command that reproduces the result: the workflow, or `auscult evaluate`."""
    command = str(provenance.get("command", ""))
    if command.startswith("auscult "):
        return command
    return f"snakemake --cores all results/{experiment.group}/{experiment.name}"


def _contents(job: JobResult) -> list[tuple[str, str]]:
    """Return (anchor, title) of the parts of a job's section."""
    parts = [("metrics", "All metrics", True), ("examples", "Examples", bool(job.examples))]
    return [(f"job-{job.anchor}-{name}", title) for name, title, is_there in parts if is_there]


def metric_tables(job: JobResult, task: TaskSettings) -> list[MetricTable]:
    """Return the metrics on the test set, one table a view."""
    by_level = {level: blocks(job.metrics["test"], task, level) for level in LEVELS}
    tables: list[MetricTable] = []
    for index, block in enumerate(by_level[task.level]):
        views = {level: found[index] for level, found in by_level.items()}
        rows = [
            (METRIC_NAMES[name], name in LOWER_IS_BETTER, [view.numbers[name] for view in views.values()])
            for name in block.numbers
        ]
        counts = [(level, view.counts) for level, view in views.items() if view.counts]
        decisions = [decision_text(job.metrics, task, level, decided_by(block, task)) for level in LEVELS]
        notes = interval_notes([view.numbers for view in views.values()])
        tables.append(MetricTable(block, counts, rows, decisions, notes))
    return tables


def _conformal(job: JobResult) -> tuple[Any, list[SetRow], str, list[str]]:
    """Return the arguments of the macro `conformal_sets`."""
    found = job.metrics.get("conformal")
    return (None, [], "", []) if found is None else (found, set_rows(found), promise(found), never_ruled_out(found))


def job_figures(job: JobResult) -> list[PageFigure]:
    """Return a job's figures for the page."""
    found: list[PageFigure] = []
    for entry in job.figures:
        name, title, caption = entry["name"], entry["title"], entry["caption"]
        if entry["undefined"] is not None:
            found.append(PageFigure(title, caption, None, entry["undefined"]))
            continue
        found.append(read_figure(job.folder / "figures" / f"{name}.svg", f"job{job.anchor}-{name}", title, caption))
    return found


def job_examples(job: JobResult) -> list[PageExample]:
    """Return a job's example spectrograms, or pictures, for the page."""
    return [
        PageExample(
            source=png_data(job.folder / "spectrograms" / entry["file"]),
            text=entry["text"],
            where=entry["clip"]
            if job.settings.clips.is_image
            else f"{entry['clip']}, {entry['start_s']:.1f}–{entry['end_s']:.1f} s",
            is_error=entry["is_error"],
            sound=mp3_data(job.folder / "spectrograms" / entry["sound"]) if "sound" in entry else "",
        )
        for entry in job.examples
    ]


def job_averages(job: JobResult) -> list[PageAverage]:
    """Return a job's mean spectrograms for the page."""
    return [
        PageAverage(
            source=png_data(job.folder / "spectrograms" / entry["file"]),
            target=entry["target"],
            counts=", ".join(plural(count, OUTCOME_NAMES[name]) for name, count in entry["n"].items() if count),
        )
        for entry in job.averages
    ]


def outcome_counts(job: JobResult) -> str:
    """Return how many clips of each outcome were drawn, of how many."""
    drawn = [entry["outcome"] for entry in job.outcomes["pictures"]]
    return ", ".join(
        f"{drawn.count(name)} of {plural(count, OUTCOME_NAMES[name])}"
        for name, count in job.outcomes["n"].items()
        if count
    )


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
    return dump_yaml(experiment.model_dump(mode="json", exclude={"claims"}))
