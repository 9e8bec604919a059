"""The report's clinical evaluation: Table 1, calibration and decision curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from auscult.config import Experiment, TaskSettings
from auscult.errors import DataError
from auscult.formatting.numbers import Number
from auscult.plots.inline import PageFigure, read_figure
from auscult.reports.jobs import JobResult
from auscult.storage.files import read_json

TABLE_ONE_FILE = "table1.csv"
MOST_TABLES = 2
"""So many splits have their Table 1 on the page; all are in the file."""

HEADINGS = {"all": "All", "train": "Training", "val": "Validation", "test": "Test"}
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


@dataclass(frozen=True)
class TableOne:
    """Table 1 of one split.

    Attributes:
        jobs: The runs that share the split.
        rows: (characteristic, category, text of each of `HEADINGS`); the category is empty where there is none.
    """

    jobs: list[str]
    rows: list[tuple[str, str, list[str]]]

    @property
    def groups(self) -> list[tuple[str, list[tuple[str, list[str]]]]]:
        """The rows by characteristic, in order."""
        found: dict[str, list[tuple[str, list[str]]]] = {}
        for characteristic, category, cells in self.rows:
            found.setdefault(characteristic, []).append((category, cells))
        return list(found.items())


@dataclass(frozen=True)
class ClinicalJob:
    """The clinical evaluation of one job.

    Attributes:
        job: Whose it is.
        figures: Of at most six targets.
        rows: (target, intercept, slope, where the model is of use), one a target.
    """

    job: JobResult
    figures: list[PageFigure]
    rows: list[tuple[str, Number, Number, str]]


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
        texts: list[tuple[str, str, list[str]]] = []
        for row in rows:
            name = str(row["characteristic"])
            texts.append((WORDS.get(name, name), str(row["category"]), _cells(row)))
        found.append(TableOne([run.id], texts))
    return found


def table_one_csv(experiment: Experiment, audits: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the tables as they are written: columns `jobs`, `characteristic`, `category` and those of `HEADINGS`."""
    columns = ["jobs", "characteristic", "category", *HEADINGS]
    rows = [
        (" ".join(table.jobs), characteristic, category, *cells)
        for table in tables_one(experiment, audits)
        for characteristic, category, cells in table.rows
    ]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _cells(row: Mapping[str, Any]) -> list[str]:
    is_total = row["category"] == "" and row["characteristic"] in {"patients", "recordings"}
    return [_cell(row[name], is_total=is_total) for name in HEADINGS]


def _cell(cell: Mapping[str, Any], *, is_total: bool) -> str:
    """Return a cell in print.

    >>> _cell({"n": 3, "of": 12}, is_total=False), _cell({"n": 0, "of": 0}, is_total=False)
    ('3 (25%)', '0')
    >>> _cell({"median": 61.5, "low": 50.0, "high": 70.0, "missing": 2}, is_total=False)
    '61.5 (50–70); 2 missing'
    """
    if "n" in cell:
        n, of = cell["n"], cell["of"]
        return f"{n:,}" if is_total or not of or not n else f"{n:,} ({n / of:.0%})"
    missing = f"{cell['missing']:,} missing" if cell["missing"] else ""
    if cell["median"] is None:
        return missing or "–"
    text = f"{cell['median']:.3g} ({cell['low']:.3g}–{cell['high']:.3g})"
    return f"{text}; {missing}" if missing else text


def clinical_jobs(jobs: Sequence[JobResult], task: TaskSettings) -> list[ClinicalJob]:
    """Return the clinical evaluation of jobs.

    Args:
        jobs: Those that are shown in full.
        task: What was predicted.

    Raises:
        DataError: A file is missing.
    """
    return [ClinicalJob(job, _figures(job), _rows(job, task)) for job in jobs]


def _figures(job: JobResult) -> list[PageFigure]:
    folder = job.folder / "clinical"
    try:
        entries = read_json(folder / "index.json")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / 'index.json'}: not readable ({error}); run `evaluate` for this job again"
        ) from error
    found: list[PageFigure] = []
    for entry in entries:
        name, title, caption = entry["name"], entry["title"], entry["caption"]
        if entry["undefined"] is not None:
            found.append(PageFigure(title, caption, None, entry["undefined"]))
        else:
            found.append(read_figure(folder / f"{name}.svg", f"clinical{job.anchor}-{name}", title, caption))
    return found


def _rows(job: JobResult, task: TaskSettings) -> list[tuple[str, Number, Number, str]]:
    found = job.metrics["clinical"]
    rows: list[tuple[str, Number, Number, str]] = []
    for target in task.targets:
        line = found["calibration"][target]
        rows.append(
            (target, _number(line["intercept"]), _number(line["slope"]), useful_text(found["decision_curve"][target]))
        )
    return rows


def _number(found: Mapping[str, Any]) -> Number:
    is_defined = found["value"] is not None
    return Number(
        found["value"],
        found["low"],
        found["high"],
        reason="" if is_defined else found["reason"],
        method=found["method"],
        no_interval=found["reason"] if is_defined else "",
    )


def useful_text(ranges: Sequence[Sequence[float]] | None) -> str:
    """Return at which thresholds a model is of use.

    >>> useful_text([[0.05, 0.4], [0.6, 0.6]]), useful_text([]), useful_text(None)
    ('0.05–0.40, 0.60', 'nowhere', 'undefined: one class only')
    """
    if ranges is None:
        return "undefined: one class only"
    texts = [f"{first:.2f}" if first == last else f"{first:.2f}–{last:.2f}" for first, last in ranges]
    return ", ".join(texts) or "nowhere"
