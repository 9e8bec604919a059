"""Gather all jobs of an experiment into its result folder, `report.html` last."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from auscult.config import Experiment, TaskSettings
from auscult.config.paths import CHECKSUMS_FILE, SETTINGS_FILE, split_of_audit
from auscult.config.protocol import read_protocol
from auscult.config.study import read_study
from auscult.config.trials import CHOSEN_FILE, TRIALS_FILE, read_chosen_file
from auscult.errors import DataError
from auscult.formatting.metric_tables import Block, blocks, flat
from auscult.formatting.numbers import METRIC_NAMES
from auscult.plots.comparison import draw_comparison
from auscult.plots.inline import read_figure
from auscult.reports.checklist import fill, places_of, write_checklists
from auscult.reports.clinical_section import (
    CALIBRATION_FILE,
    DECISION_CURVE_FILE,
    TABLE_ONE_FILE,
    calibration_csv,
    decision_curve_csv,
    table_one_csv,
)
from auscult.reports.job_comparison import comparison_table
from auscult.reports.jobs import JobResult, Repeats, find_repeats, read_jobs, spread_numbers
from auscult.reports.left_out_section import LEFT_OUT_FILE, find_left_out, left_out_csv
from auscult.reports.methods_text import methods_paragraphs, methods_text
from auscult.reports.protocol_section import protocol_view
from auscult.reports.result_page import experiment_yaml, render
from auscult.reports.search_section import FOLDER as SEARCH_FOLDER
from auscult.reports.search_section import SearchView, search_view
from auscult.reports.settings import differing_keys, job_settings, settings_text
from auscult.reports.subgroup_section import HETEROGENEITY_FILE, SUBGROUPS_FILE, heterogeneity_csv, subgroups_csv
from auscult.storage.files import read_json, sha256_file, write_json, write_text
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import write_csv
from auscult.storage.test_readings import READINGS, read_readings

logger = logging.getLogger(__name__)

REQUIRED_FILES = (
    "report.txt",
    "metrics.json",
    "history.csv",
    "predictions.parquet",
    "outcomes.csv",
    "tps.txt",
    "tns.txt",
    "fps.txt",
    "fns.txt",
    "roc.csv",
    "pr.csv",
    "model.safetensors",
    "model.json",
)
REPORT_FILE = "report.html"
PROTOCOL_FILE = "protocol.yaml"
LOG_FILE = "train.log"
OPTIONAL_FILES = ("metrics.jsonl", "risk_coverage.csv", "events.csv", "objects.csv", LOG_FILE)
FOLDERS = ("clinical", "figures", "spectrograms", "outcomes")


def publish(
    *,
    experiment: Experiment,
    task: TaskSettings,
    job_dirs: Sequence[Path],
    audits: Sequence[Path],
    summaries: Mapping[str, Path],
    output_dir: Path,
    provenance: dict[str, Any],
    ids: StudyIds,
    protocol: Path | None = None,
    studies: Sequence[Path] = (),
    search: Path | None = None,
) -> None:
    """Publish an experiment.

    Into `output_dir`: a folder a job (1, 2, ..., below it its folds and seeds) with its files; `comparison/` with
    figures of several jobs; `metrics.json` and `summary.csv` with an entry a training; `table1.csv`, who took part;
    `calibration.csv`, `decision_curve.csv`, `subgroups.csv` and `heterogeneity.csv` of all trainings; of several
    jobs `comparisons.csv`, of a matrix `left_out.csv`; `methods.txt`; `checklists.html`, and a CSV of each
    checklist; `experiment.yaml`, the settings; `protocol.yaml`, where one was frozen; `search/`, where settings were
    searched; `provenance.json`;
    `checksums.txt` (as `sha256sum --check` reads it); and last `report.html`.

    Args:
        experiment: Resolved.
        task: What was predicted.
        job_dirs: The folders of the experiment's runs below `work/runs`, in order.
        audits: The audit of each run's split, in the same order.
        summaries: Dataset -> `summary.json` of its ingest.
        output_dir: The result folder; made when absent.
        provenance: Facts to publish; see `auscult.provenance.collect`. `notices` stand at the top of the report.
        ids: What pages and logs call recordings and patients. `predictions.parquet` and `outcomes.csv` are tables to be
            joined with others, and hold the ids themselves.
        protocol: The protocol that was frozen; None without one.
        studies: The `study.yaml` that are there, the project's first.
        search: What a search of the settings chose, `trials.csv` beside it; None without one.

    Raises:
        DataError: A file is missing or unreadable.
    """
    if len(audits) != len(experiment.runs):
        raise DataError(f"{experiment.name} has {len(experiment.runs)} jobs, {len(audits)} audits were given")
    jobs = read_jobs(experiment, task, list(job_dirs))
    found_audits = [ids.conceal_within(read_json(path)) for path in audits]
    found_summaries = {name: read_json(path) for name, path in summaries.items()}
    simulated = [name for name, summary in found_summaries.items() if "simulated" in summary.get("notices", {})]
    if simulated:
        provenance = {**provenance, "notices": [*provenance.get("notices", []), _simulated_text(simulated)]}
    for job in jobs:
        _publish_job(job, output_dir / job.id, ids)
    repeats = find_repeats(experiment, jobs, task)
    left_out = find_left_out(experiment, task, jobs, found_audits, output_dir / "comparison")
    comparison = [
        read_figure(output_dir / "comparison" / f"{name}.svg", f"all-{name}", title, caption)
        for name, title, caption in draw_comparison(jobs, task, output_dir / "comparison")
    ]
    write_json(output_dir / "metrics.json", {"jobs": _all_numbers(jobs, repeats, task)})
    write_csv(output_dir / "summary.csv", summary_table(jobs, task))
    write_csv(output_dir / TABLE_ONE_FILE, table_one_csv(experiment, found_audits))
    write_csv(output_dir / CALIBRATION_FILE, calibration_csv(jobs))
    write_csv(output_dir / DECISION_CURVE_FILE, decision_curve_csv(jobs))
    write_csv(output_dir / SUBGROUPS_FILE, subgroups_csv(jobs))
    write_csv(output_dir / HETEROGENEITY_FILE, heterogeneity_csv(jobs))
    if left_out:
        write_csv(output_dir / LEFT_OUT_FILE, left_out_csv(left_out))
    write_text(output_dir / SETTINGS_FILE, experiment_yaml(experiment))
    write_json(output_dir / "provenance.json", provenance)
    view = protocol_view(
        experiment,
        task,
        jobs,
        protocol=None if protocol is None else read_protocol(protocol),
        splits={run.id: _split_facts(path) for run, path in zip(experiment.runs, audits, strict=True)},
        readings={key: read_readings(READINGS, key) for key in {job.metrics.get("test_set", "") for job in jobs}},
    )
    if protocol is not None:
        shutil.copyfile(protocol, output_dir / PROTOCOL_FILE)
    if view.comparisons:
        write_csv(
            output_dir / "comparisons.csv", comparison_table([pair for pair, _ in view.comparisons], view.primary)
        )
    methods = methods_paragraphs(
        experiment,
        task,
        jobs,
        audits=found_audits,
        summaries=found_summaries,
        provenance=provenance,
        protocol=view.summary,
    )
    write_text(output_dir / "methods.txt", methods_text(methods))
    page = render(
        experiment,
        task,
        jobs,
        repeats=repeats,
        left_out=left_out,
        audits=found_audits,
        summaries=found_summaries,
        provenance=provenance,
        comparison=comparison,
        protocol=view,
        methods=methods,
        search=None if search is None else _publish_search(experiment, search, output_dir / SEARCH_FOLDER),
    )
    sheets = fill(places_of(page, jobs, found_summaries), read_study(studies))
    write_checklists(sheets, output_dir, f"{experiment.group} / {experiment.name}")
    _write_checksums(output_dir, {REPORT_FILE: page})
    write_text(output_dir / REPORT_FILE, page)
    logger.info("published %s", output_dir / "report.html")


def _publish_search(experiment: Experiment, path: Path, folder: Path) -> SearchView:
    chosen = read_chosen_file(path)
    view = search_view(experiment, chosen, folder)
    for name in (CHOSEN_FILE, TRIALS_FILE):
        shutil.copyfile(path.with_name(name), folder / name)
    return view


def _split_facts(audit: Path) -> tuple[str, str | None]:
    """Return the path of the split table beside an audit, and its digest; None where it is not there."""
    table = split_of_audit(audit.as_posix())
    return table, sha256_file(Path(table)) if Path(table).is_file() else None


def _simulated_text(datasets: list[str]) -> str:
    return (
        f"The sounds of {', '.join(datasets)} are simulated. The numbers show that the workflow runs; they say nothing "
        "about performance on patients."
    )


def _publish_job(job: JobResult, folder: Path, ids: StudyIds) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in REQUIRED_FILES if not (job.folder / name).is_file()]
    if missing:
        raise DataError(f"{job.folder}: {missing} are missing; train and evaluate this job again")
    for name in (*REQUIRED_FILES, *OPTIONAL_FILES):
        if (job.folder / name).is_file():
            shutil.copyfile(job.folder / name, folder / name)
    if (folder / LOG_FILE).is_file():
        # What a training warns of may name recordings.
        write_text(folder / LOG_FILE, ids.conceal((folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")))
    for name in FOLDERS:
        shutil.copytree(job.folder / name, folder / name, dirs_exist_ok=True, copy_function=shutil.copyfile)


def _all_numbers(
    jobs: Sequence[JobResult], repeats: Sequence[Repeats], task: TaskSettings
) -> dict[str, dict[str, float | int]]:
    """Return the numbers of each run, and before the runs of a job with folds or seeds those of the job."""
    of_runs = {job.id: _numbers(job, task) for job in jobs}
    first_runs = {found.runs[0].id: found for found in repeats}
    numbers: dict[str, dict[str, float | int]] = {}
    for run_id, of_run in of_runs.items():
        if run_id in first_runs:
            found = first_runs[run_id]
            numbers[found.name] = spread_numbers([of_runs[run.id] for run in found.runs])
        numbers[run_id] = of_run
    return numbers


def _numbers(job: JobResult, task: TaskSettings) -> dict[str, float | int]:
    """Return flat numbers, as `dvc metrics show` prints them; what is undefined is absent."""
    return {**flat(job.metrics["test"], task), "best_epoch": job.metrics["best_epoch"]}


def summary_table(jobs: Sequence[JobResult], task: TaskSettings) -> pd.DataFrame:
    """Return one row a run: id, note, model, the settings that differ, the main metrics with both ends of intervals."""
    keys = [key for key in differing_keys([job.settings for job in jobs]) if key != "model.name"]
    rows: list[dict[str, Any]] = []
    for job in jobs:
        settings = job_settings(job.settings)
        row: dict[str, Any] = {"job": job.id, "note": job.settings.note, "model": job.settings.model.name}
        row |= {key: settings_text(settings[key]) if key in settings else None for key in keys}
        row |= {"level": task.level, "best_epoch": job.metrics["best_epoch"]}
        main = next(iter(views := blocks(job.metrics["test"], task, task.level)))
        row |= _patient_columns(views, task)
        for name in (name for name in METRIC_NAMES if name in main.numbers):
            number = main.numbers[name]
            row |= {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _patient_columns(views: Sequence[Block], task: TaskSettings) -> dict[str, int | None]:
    """Return how many test patients there are, and how many have a row of each class."""
    columns: dict[str, int | None] = {}
    for view in (view for view in views if view.key in {"target", "multi_class"}):
        prefix = f"{view.name}_" if view.key == "target" and len(task.targets) > 1 else ""
        names = ("negative", "positive") if view.key == "target" else view.classes
        columns[f"{prefix}patients"] = view.patients
        columns |= {f"{prefix}{name}_patients": n for name, n in zip(names, view.patients_of_classes, strict=False)}
    return columns


def _write_checksums(folder: Path, pending: Mapping[str, str]) -> None:
    """Write `checksums.txt` of all files in `folder`, and of texts that are written later: name -> text."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS_FILE]
    digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}
    digests |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in pending.items()}
    write_text(folder / CHECKSUMS_FILE, "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
