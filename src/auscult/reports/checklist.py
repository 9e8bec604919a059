"""TRIPOD+AI, STARD-AI and CLAIM as sheets: what a report fills, what the authors say, and what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from auscult.config.study import StudySettings
from auscult.errors import DataError
from auscult.reports.html import page_templates
from auscult.reports.jobs import JobResult
from auscult.reports.methods_data import states_devices
from auscult.splits.table_one import NOT_STATED
from auscult.storage.files import write_text
from auscult.storage.spreadsheets import from_csv
from auscult.storage.tables import write_csv

CHECKLISTS = ("tripod_ai", "stard_ai", "claim")
PAGE = "checklists.html"
REPORT = "report.html"
Status = Literal["FILLED", "FROM THE AUTHOR", "MISSING"]
COLUMNS = ("item", "section", "text", "status", "place", "author", "study_field")
_IDS = re.compile(r'\bid="([^"]+)"')
_OF_PEOPLE = frozenset({"sex", "age group"})
_OF_CLUSTERS = frozenset({"dataset", "site"})
_HELD_OUT = frozenset({"leave_dataset_out", "leave_site_out"})


@dataclass(frozen=True)
class Row:
    """One row of a checklist.

    Attributes:
        item: Its number.
        section: Of the paper.
        text: What is asked, in our words.
        status: Whether the report has it.
        place: Where, an anchor of the report; empty where it has not.
        author: What `study.yaml` says; empty where it says nothing.
        study_fields: The fields of `study.yaml` that it may be said in.
    """

    item: str
    section: str
    text: str
    status: Status
    place: str
    author: str
    study_fields: tuple[str, ...]


@dataclass(frozen=True)
class Checklist:
    """One sheet.

    Attributes:
        key: One of `CHECKLISTS`.
        name: In print.
        source: Where it was published.
        note: What is to know of it; may be empty.
        rows: In order.
    """

    key: str
    name: str
    source: str
    note: str
    rows: tuple[Row, ...]

    @property
    def sections(self) -> list[tuple[str, list[Row]]]:
        """The rows under the sections of a paper, in order."""
        return [(section, list(rows)) for section, rows in groupby(self.rows, key=lambda row: row.section)]

    @property
    def counts(self) -> str:
        """How many rows have each status, in words."""
        found = [row.status for row in self.rows]
        return (
            f"{found.count('FILLED')} of {len(found)} rows filled by this report, "
            f"{found.count('FROM THE AUTHOR')} from the author, {found.count('MISSING')} missing"
        )


def places_of(page: str, jobs: Sequence[JobResult], summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what a report has: name of a place -> its anchor.

    Args:
        page: The text of `report.html`.
        jobs: The results that it shows.
        summaries: Dataset -> `summary.json`.
    """
    anchors = list(dict.fromkeys(_IDS.findall(page)))
    places = {anchor: anchor for anchor in anchors}
    for name in ("slices", "examples", "confusion"):
        first = next((anchor for anchor in anchors if anchor.endswith(f"-{name}")), None)
        places |= {name: first} if first is not None else {}
    for job in reversed(jobs):
        anchor = f"job-{job.anchor}-slices"
        if anchor in anchors:
            places |= {"fairness": anchor} if _tells_apart(job, _OF_PEOPLE) else {}
            places |= {"clusters": anchor} if _tells_apart(job, _OF_CLUSTERS) else {}
    compared = {entry["by"] for job in jobs for entry in job.metrics["clinical"]["subgroups"]}
    places |= {"fairness": "subgroups"} if compared & _OF_PEOPLE and "subgroups" in anchors else {}
    by = {entry["by"] for job in jobs for entry in job.metrics["slices"]}
    places |= {"clusters_by": "methods-groups"} if by & _OF_CLUSTERS and "methods-groups" in anchors else {}
    places |= {"devices": "methods-data"} if states_devices(summaries) and "methods-data" in anchors else {}
    elsewhere = [_is_elsewhere(job) for job in jobs]
    places |= {"external": "result"} if any(elsewhere) else {}
    places |= {"internal": "result"} if not all(elsewhere) else {}
    return places


def _tells_apart(job: JobResult, attributes: frozenset[str]) -> bool:
    """Whether a job was judged in two groups or more by one of these attributes."""
    judged = Counter(
        entry["by"] for entry in job.metrics["slices"] if entry["metrics"] is not None and entry["value"] != NOT_STATED
    )
    return any(judged[name] > 1 for name in attributes)


def _is_elsewhere(job: JobResult) -> bool:
    """Whether a job was tested on a dataset or a site that its model was not trained on."""
    if job.settings.split.kind in _HELD_OUT:
        return True
    return job.settings.evaluate_only is not None and not set(job.settings.datasets) & set(
        job.model.get("datasets", job.settings.datasets)
    )


def fill(places: Mapping[str, str], study: StudySettings) -> list[Checklist]:
    """Return all sheets.

    Args:
        places: From `places_of`.
        study: What the authors say.
    """
    said: dict[str, str] = study.model_dump()
    found: list[Checklist] = []
    for key in CHECKLISTS:
        sheet = _sheet(key)
        rows = tuple(_row(row, places, said) for row in sheet["rows"])
        found.append(Checklist(key, sheet["name"], sheet["source"], sheet["note"].strip(), rows))
    return found


def _sheet(key: str) -> dict[str, Any]:
    return yaml.safe_load((resources.files("auscult.reports") / "checklists" / f"{key}.yaml").read_text("utf-8"))


def _row(row: Mapping[str, Any], places: Mapping[str, str], said: Mapping[str, str]) -> Row:
    place = next((places[name] for name in row.get("places", []) if name in places), "")
    fields = tuple(row.get("study", []))
    author = " ".join(said[field].strip() for field in fields if said[field].strip())
    status: Status = "FILLED" if place else "FROM THE AUTHOR" if author else "MISSING"
    return Row(row["item"], row["section"], row["text"], status, place, author, fields)


def csv_name(key: str) -> str:
    """Return the file of a sheet.

    >>> csv_name("tripod_ai")
    'checklist_tripod_ai.csv'
    """
    return f"checklist_{key}.csv"


def write_checklists(found: Sequence[Checklist], folder: Path, title: str) -> None:
    """Write `checklists.html` and a CSV a sheet into a result."""
    for sheet in found:
        rows = [
            (
                row.item,
                row.section,
                row.text,
                row.status,
                row.place and f"{REPORT}#{row.place}",
                row.author,
                " ".join(row.study_fields),
            )
            for row in sheet.rows
        ]
        write_csv(folder / csv_name(sheet.key), pd.DataFrame(rows, columns=list(COLUMNS)))
    page = page_templates().get_template("checklists.html.j2").render(sheets=found, title=title, report=REPORT)
    write_text(folder / PAGE, page)


def read_checklist(folder: Path, key: str) -> pd.DataFrame:
    """Read a sheet of a published result.

    Raises:
        DataError: The result has none, or it cannot be read.
    """
    path = folder / csv_name(key)
    if not path.is_file():
        raise DataError(f"{path}: no such file; a result is results/<folder>/<experiment>, published by this version")
    try:
        table = from_csv(pd.read_csv(path, dtype=str, keep_default_na=False))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}); publish the result again") from error
    if list(table.columns) != list(COLUMNS):
        raise DataError(f"{path}: found the columns {list(table.columns)}, expected {list(COLUMNS)}; publish it again")
    return table


def sheet_names() -> dict[str, str]:
    """Return key -> name in print."""
    return {key: _sheet(key)["name"] for key in CHECKLISTS}
