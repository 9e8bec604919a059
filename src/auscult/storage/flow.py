"""The flow of a dataset's recordings: one row for each that was found, read or not, and why not."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from auscult.errors import DataError
from auscult.storage.spreadsheets import from_csv
from auscult.storage.tables import LABEL_PREFIX, validate

FLOW_FILE = "flow.csv"
"""Beside the tables of a dataset."""

READ, NO_AUDIO, UNREADABLE, REJECTED, COPY = "read", "no_audio", "unreadable", "rejected", "copy"
NOT_TAKEN = "not_taken"
STATUSES = (READ, NO_AUDIO, UNREADABLE, REJECTED, COPY, NOT_TAKEN)
"""Read; described and without a file; a file that cannot be decoded; refused for what is said of it; there already; a
sound file that no table names and no layout has a place for."""

_TEXT = pa.Column("str", nullable=True)
_SCHEMA = pa.DataFrameSchema(
    {
        "recording_id": _TEXT,
        "file": pa.Column("str"),
        "line": pa.Column("Int64", nullable=True),
        "patient_id": _TEXT,
        "patient_is_known": pa.Column(bool),
        "sex": _TEXT,
        "age_years": pa.Column(float, nullable=True),
        "site": _TEXT,
        "status": pa.Column("str", pa.Check.isin(STATUSES)),
        "reason": _TEXT,
        f"{LABEL_PREFIX}.+": pa.Column("str", nullable=True, regex=True, required=False),
    },
    strict=True,
)
FLOW_COLUMNS = tuple(name for name, column in _SCHEMA.columns.items() if not column.regex)
"""What every flow holds; the label columns of the recordings follow. `reason` is null for what was read."""


def class_of(reason: str) -> str:
    """Return the class that opens a rejection's reason.

    >>> class_of("missing: there is no file 'a.wav'")
    'missing'
    """
    return reason.split(":", 1)[0]


def count_rows(rows: pd.DataFrame) -> dict[str, int]:
    """Return how many recordings rows of a flow hold, of how many known patients, and how many of unknown ones."""
    known = rows["patient_is_known"].to_numpy(dtype=bool)
    return {
        "recordings": len(rows),
        "patients": len(set(rows["patient_id"].to_numpy(dtype=object)[known])),
        "patients_unknown": int((~known).sum()),
    }


def count_lost(flow: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lost by status and class of reason, the most frequent first, each with `count_rows`."""
    lost = pd.DataFrame(flow[flow["status"] != READ])
    keys = list(zip(lost["status"], (class_of(str(text)) for text in lost["reason"]), strict=True))
    found: list[dict[str, Any]] = []
    for status, reason in sorted(set(keys)):
        rows = pd.DataFrame(lost[[key == (status, reason) for key in keys]])
        found.append({"status": status, "reason": reason, **count_rows(rows)})
    return sorted(found, key=lambda row: (-int(row["recordings"]), str(row["reason"])))


def read_flow(path: Path) -> pd.DataFrame:
    """Read and check the flow of a dataset.

    Raises:
        DataError: The file is missing, or not what an ingest writes.
    """
    try:
        names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
        types: dict[Hashable, Any] = dict.fromkeys(names, "str")
        types |= {"line": "Int64", "age_years": "float64", "patient_is_known": "bool"}
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable flow of recordings ({error}); delete {path.parent} and run the ingest again"
        ) from error
    return validate(from_csv(table), _SCHEMA, str(path))
