"""Several rows of one file: of several raters, or written twice; what they agree on stands, the rest is named."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from auscult.config.columns import Columns, Raters
from auscult.datasets.readers.reading import MalformedError
from auscult.storage.tables import Notice, Recording

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class RatedRow:
    """One row of a table, or one recording of a row that holds several.

    Attributes:
        file: The table.
        line: Its line or row, from 1.
        path: What it says of the file.
        fields: Its cells, by the columns that are asked for.
        columns: What holds what in it.
        value: Which of the row's recordings it is, where a row holds several.
        rater: Who judged it, where the table says so.
    """

    file: str
    line: int
    path: str
    fields: dict[str, str]
    columns: Columns
    value: str | None = None
    rater: str | None = None

    def by(self, rater: str | None) -> RatedRow:
        """Return the row with its rater."""
        return replace(self, rater=rater)


def merge_rows(
    rows: Sequence[tuple[RatedRow, Recording]], raters: Raters | None, names: Sequence[str]
) -> tuple[Recording, list[Notice]]:
    """Return the one recording that some rows describe.

    Where they differ in a label or another fact, and the settings do not say whose word counts, it is unknown.

    Args:
        rows: At least one, of one file, in the table's order.
        raters: What counts where raters differ.
        names: All raters of the table.

    Raises:
        MalformedError: The rows name different patients: nobody knows whose sound it is.
    """
    first = rows[0][1]
    patients = {recording.patient_id for _, recording in rows}
    if len(patients) > 1:
        raise MalformedError(
            f"contradiction: the lines {_lines(rows)} give {first.path} to different patients; none of them is believed"
        )
    notices: list[Notice] = []
    if len(rows) > 1 and raters is None and all(recording == first for _, recording in rows):
        notices.append(Notice("repeated_row", first.path, f"the lines {_lines(rows)} say the same of it"))
    if raters is not None and raters.keep == "first":
        labels = dict(first.labels)
        _note_differing_labels(rows, notices, f"the word of {rows[0][0].rater} on line {rows[0][0].line} counts")
    else:
        labels = {
            label: _agreed(rows, lambda recording, label=label: recording.labels[label]) for label in first.labels
        }
        _note_differing_labels(rows, notices, "unknown; `raters` in the dataset's YAML says whose word counts")
    if raters is not None and raters.keep == "each":
        labels |= _by_rater(rows, names)
    merged = replace(
        first,
        site=_agreed(rows, lambda recording: recording.site),
        device=_agreed(rows, lambda recording: recording.device),
        age_years=_agreed(rows, lambda recording: recording.age_years),
        sex=_agreed(rows, lambda recording: recording.sex),
        labels=labels,
        attributes={
            name: _agreed(rows, lambda recording, name=name: recording.attributes[name]) for name in first.attributes
        },
    )
    return merged, notices


def _lines(rows: Sequence[tuple[RatedRow, Recording]]) -> str:
    return ", ".join(str(row.line) for row, _ in rows)


def _agreed(rows: Sequence[tuple[RatedRow, Recording]], value_of: Callable[[Recording], Value | None]) -> Value | None:
    """Return the one value that all rows give that give any; None where they differ."""
    values = {value for _, recording in rows if (value := value_of(recording)) is not None}
    return next(iter(values)) if len(values) == 1 else None


def _note_differing_labels(rows: Sequence[tuple[RatedRow, Recording]], notices: list[Notice], outcome: str) -> None:
    for label in rows[0][1].labels:
        values = {recording.labels[label] for _, recording in rows} - {None}
        if len(values) > 1:
            said = ", ".join(
                f"{recording.labels[label]!r} on line {row.line}{f' ({row.rater})' if row.rater else ''}"
                for row, recording in rows
            )
            notices.append(Notice("raters_differ", rows[0][1].path, f"{label}: {said}; {outcome}"))


def _by_rater(rows: Sequence[tuple[RatedRow, Recording]], names: Sequence[str]) -> dict[str, str | None]:
    """Return each label once for each rater, unknown where a rater did not judge, or judged twice and differently."""
    labels: dict[str, str | None] = {}
    for name in names:
        own = [(row, recording) for row, recording in rows if row.rater == name]
        for label in rows[0][1].labels:
            value = _agreed(own, lambda recording, label=label: recording.labels[label]) if own else None
            labels[f"{label}_{name}"] = value
    return labels
