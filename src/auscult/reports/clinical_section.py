"""The report's clinical evaluation: Table 1, calibration and decision curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from auscult.config import Experiment, TaskSettings
from auscult.errors import DataError
from auscult.formatting.numbers import Number, number_of, people_text
from auscult.plots.inline import PageFigure, read_figure
from auscult.reports.jobs import JobResult
from auscult.reports.subgroup_section import SubgroupRow, heterogeneity_texts, subgroup_rows
from auscult.splits.table_one import NOT_STATED
from auscult.storage.files import read_json

TABLE_ONE_FILE = "table1.csv"
CALIBRATION_FILE = "calibration.csv"
DECISION_CURVE_FILE = "decision_curve.csv"
MOST_TABLES = 2
"""So many splits have their Table 1 on the page; all are in the file."""

CONTENTS = {
    "table1": "Table 1",
    "flow": "Flow of recordings",
    "calibration": "Calibration",
    "decision-curve": "Decision curve",
    "subgroups": "Subgroups",
    "heterogeneity": "Datasets and sites",
}
"""Anchor -> heading, in the order of the page; the last two only where there is something to compare."""
HEADINGS = {"all": "All", "train": "Training", "val": "Validation", "calibration": "Calibration", "test": "Test"}
WORDS = {
    "patients": "Patients",
    "recordings": "Recordings",
    "recordings a patient": "Recordings a patient, median (IQR)",
    "age (years)": "Age in years, median (IQR)",
    "sex": "Sex",
    "site": "Site",
    "device": "Device",
    "dataset": "Dataset",
}

Cell = tuple[str, str]
"""A count and its share, or a median and its quartiles; the second may be empty."""


@dataclass(frozen=True)
class TableOne:
    """Table 1 of one split.

    Attributes:
        jobs: The runs that share the split.
        headings: Of the columns: all, and the subsets that hold anybody.
        rows: (characteristic, category, cell of each heading); the category is empty where there is none.
    """

    jobs: list[str]
    headings: list[str]
    rows: list[tuple[str, str, list[Cell]]]

    @property
    def groups(self) -> list[tuple[str, list[tuple[str, list[Cell]]]]]:
        """The rows by characteristic, in order."""
        found: dict[str, list[tuple[str, list[Cell]]]] = {}
        for characteristic, category, cells in self.rows:
            found.setdefault(characteristic, []).append((category, cells))
        return list(found.items())


@dataclass(frozen=True)
class TargetRow:
    """What calibration and decision curve say of one target.

    Attributes:
        target: Its name.
        people: On how many patients it rests, in words.
        intercept: Calibration in the large.
        slope: Of calibration.
        useful: At which thresholds the model is of use, in words.
    """

    target: str
    people: str
    intercept: Number
    slope: Number
    useful: str


@dataclass(frozen=True)
class ClinicalJob:
    """The clinical evaluation of one job.

    Attributes:
        job: Whose it is.
        rows: One a target.
        calibration: Figures, of at most six targets.
        decision: The same of decision curves.
        forest: Forest plots over datasets and sites.
        subgroups: Each against the rest.
        heterogeneity: What is said of datasets and sites.
    """

    job: JobResult
    rows: list[TargetRow]
    calibration: list[PageFigure]
    decision: list[PageFigure]
    forest: list[PageFigure]
    subgroups: list[SubgroupRow]
    heterogeneity: list[str]


def tables_one(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> list[TableOne]:
    """Return a Table 1 for each different split.

    Args:
        experiment: Its runs.
        audits: One a run, in order.
    """
    found: list[TableOne] = []
    seen: list[Any] = []
    for run, audit in zip(experiment.runs, audits, strict=True):
        rows = audit["table_one"]
        if rows in seen:
            found[seen.index(rows)].jobs.append(run.id)
            continue
        seen.append(rows)
        keys = [key for key in HEADINGS if key in rows[0] and rows[0][key]["n"]]
        texts: list[tuple[str, str, list[Cell]]] = []
        for row in rows:
            name, cells = WORDS.get(row["characteristic"], str(row["characteristic"])), [row[key] for key in keys]
            is_total = row["characteristic"] in {"patients", "recordings"}
            texts.append((name, str(row["category"]), [_cell(cell, is_total=is_total) for cell in cells]))
            if any(cell.get("missing") for cell in cells):
                texts.append((name, f"Age {NOT_STATED}", [(f"{cell['missing']:,}", "") for cell in cells]))
        found.append(TableOne([run.id], [HEADINGS[key] for key in keys], texts))
    return found


def table_one_csv(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the tables as they are written: `jobs`, `characteristic`, `category` and the columns of `HEADINGS`.

    That of the calibration subset is there where a split has one.
    """
    tables = tables_one(experiment, audits)
    present = {heading for table in tables for heading in table.headings}
    columns = {key: heading for key, heading in HEADINGS.items() if key != "calibration" or heading in present}
    rows: list[tuple[str, ...]] = []
    for table in tables:
        for characteristic, category, cells in table.rows:
            of = {heading: _joined(*cell) for heading, cell in zip(table.headings, cells, strict=True)}
            rows.append(
                (" ".join(table.jobs), characteristic, category, *(of.get(name, "") for name in columns.values()))
            )
    return pd.DataFrame(rows, columns=pd.Index(["jobs", "characteristic", "category", *columns]))


def _cell(cell: Mapping[str, Any], *, is_total: bool = False) -> Cell:
    """Return a cell in print; a total is no share of anything.

    >>> _cell({"n": 3, "of": 12}), _cell({"n": 0, "of": 0}), _cell({"n": 12, "of": 12}, is_total=True)
    (('3', '25%'), ('0', ''), ('12', ''))
    >>> _cell({"median": 61.5, "low": 50.0, "high": 70.0, "missing": 2})
    ('61.5', '50–70')
    """
    if "n" in cell:
        n, of = cell["n"], cell["of"]
        return f"{n:,}", f"{n / of:.0%}" if n and of and not is_total else ""
    if cell["median"] is None:
        return "–", ""
    return f"{cell['median']:.3g}", f"{cell['low']:.3g}–{cell['high']:.3g}"


def _joined(value: str, more: str) -> str:
    return f"{value} ({more})" if more else value


def clinical_contents(jobs: Sequence[JobResult]) -> dict[str, str]:
    """Return anchor -> heading of what the section has for these jobs."""
    return {
        anchor: title
        for anchor, title in CONTENTS.items()
        if anchor not in {"subgroups", "heterogeneity"} or any(job.metrics["clinical"][anchor] for job in jobs)
    }


def clinical_jobs(jobs: Sequence[JobResult], task: TaskSettings) -> list[ClinicalJob]:
    """Return the clinical evaluation of jobs.

    Args:
        jobs: Those that are shown in full.
        task: What was predicted.

    Raises:
        DataError: A file is missing.
    """
    return [
        ClinicalJob(
            job,
            _rows(job, task),
            calibration=_figures(job, "calibration", is_titled=len(jobs) > 1),
            decision=_figures(job, "decision", is_titled=len(jobs) > 1),
            forest=_figures(job, "forest", is_titled=False),
            subgroups=subgroup_rows(job),
            heterogeneity=heterogeneity_texts(job, names_target=len(task.targets) > 1),
        )
        for job in jobs
    ]


def _figures(job: JobResult, name: str, *, is_titled: bool) -> list[PageFigure]:
    """Return the figures whose names begin with `name`, titled by their job where several stand in a row."""
    folder = job.folder / "clinical"
    try:
        entries = read_json(folder / "index.json")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / 'index.json'}: not readable ({error}); run `evaluate` for this job again"
        ) from error
    found: list[PageFigure] = []
    for entry in (entry for entry in entries if entry["name"].startswith(name)):
        title = f"Job {job.id}: {entry['title']}" if is_titled else entry["title"]
        if entry["undefined"] is not None:
            found.append(PageFigure(title, entry["caption"], None, entry["undefined"]))
            continue
        path = folder / f"{entry['name']}.svg"
        found.append(read_figure(path, f"clinical{job.anchor}-{entry['name']}", title, entry["caption"]))
    return found


def _rows(job: JobResult, task: TaskSettings) -> list[TargetRow]:
    found = job.metrics["clinical"]
    rows: list[TargetRow] = []
    for target in task.targets:
        line = found["calibration"][target]
        people = people_text(*(line["n"][name] for name in ("patients", "positive_patients", "negative_patients")))
        useful = useful_text(found["decision_curve"][target])
        intercept, slope = (number_of(line[name], line[name]["reason"]) for name in ("intercept", "slope"))
        rows.append(TargetRow(target, people, intercept, slope, useful))
    return rows


def calibration_csv(jobs: Sequence[JobResult]) -> pd.DataFrame:
    """Return intercept and slope of all jobs and targets, with intervals, numbers of patients, methods and reasons."""
    rows: list[dict[str, Any]] = []
    for job in jobs:
        for target, line in job.metrics["clinical"]["calibration"].items():
            row = {"job": job.id, "target": target, **line["n"]}
            for name in ("intercept", "slope"):
                row |= {name if key == "value" else f"{name}_{key}": value for key, value in line[name].items()}
            rows.append(row)
    return pd.DataFrame(rows)


def decision_curve_csv(jobs: Sequence[JobResult]) -> pd.DataFrame:
    """Return the decision curves of all jobs under each other."""
    tables = [pd.read_csv(job.folder / "clinical" / DECISION_CURVE_FILE, dtype={"target": str}) for job in jobs]
    return pd.concat(
        [table.assign(job=job.id) for job, table in zip(jobs, tables, strict=True)], ignore_index=True
    ).reindex(columns=["job", *tables[0].columns])


def useful_text(ranges: Sequence[Sequence[float]] | None) -> str:
    """Return at which thresholds a model is of use.

    >>> useful_text([[0.05, 0.4], [0.6, 0.6]]), useful_text([]), useful_text(None)
    ('0.05–0.40, 0.60', 'nowhere', 'undefined: one class only')
    """
    if ranges is None:
        return "undefined: one class only"
    texts = [f"{first:.2f}" if first == last else f"{first:.2f}–{last:.2f}" for first, last in ranges]
    return ", ".join(texts) or "nowhere"
