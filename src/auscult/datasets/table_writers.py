"""Write recordings and events to Parquet in batches, so that memory does not grow with the dataset."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandera.pandas as pa
import pyarrow as arrow
from pyarrow import parquet

from auscult.audio.probe import AudioFacts
from auscult.storage.tables import (
    ATTRIBUTE_PREFIX,
    BAND_COLUMNS,
    EVENTS,
    LABEL_PREFIX,
    RECORDINGS,
    Event,
    Recording,
    validate,
)

BATCH_ROWS = 4096
_NUMBERS = {"float64": arrow.float64(), "int64": arrow.int64()}


class BatchWriter:
    """Collects rows, checks each batch against the table's schema as its readers will, and writes it."""

    def __init__(self, path: Path, schema: pa.DataFrameSchema, columns: dict[str, arrow.DataType], name: str) -> None:
        self._schema = schema
        self._name = name
        self._columns = columns
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._writer: parquet.ParquetWriter | None = None

    def add_row(self, row: dict[str, Any]) -> None:
        """Add one row; its keys must be the columns."""
        if row.keys() != self._columns.keys():
            raise ValueError(f"{self._name}: found columns {sorted(row)}, expected {sorted(self._columns)}")
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = arrow.Table.from_pylist(self._rows, schema=arrow.schema(list(self._columns.items())))
        self._rows.clear()
        validate(table.to_pandas(), self._schema, self._name)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, unless an error passes through; a table without rows is a whole file with its columns."""
        if error is None and (self._rows or self._writer is None):
            self._flush()
        if self._writer is not None:
            self._writer.close()


class RecordingWriter(BatchWriter):
    """The recordings table. The first recording settles which label and attribute columns there are."""

    def __init__(self, path: Path, dataset: str) -> None:
        super().__init__(path, RECORDINGS, _columns_of(RECORDINGS), "recordings")
        self._dataset = dataset
        self._is_first = True

    def add(self, recording: Recording, facts: AudioFacts) -> None:
        """Add one recording with the facts of its file."""
        row: dict[str, Any] = {
            "recording_id": recording.recording_id,
            "dataset": self._dataset,
            "patient_id": recording.patient_id,
            "path": recording.path,
            "site": recording.site,
            "device": recording.device,
            "age_years": recording.age_years,
            "sex": recording.sex,
            **vars(facts),
            **{f"{LABEL_PREFIX}{name}": value for name, value in recording.labels.items()},
            **{f"{ATTRIBUTE_PREFIX}{name}": value for name, value in recording.attributes.items()},
        }
        if self._is_first:
            self._is_first = False
            self._columns.update({name: arrow.string() for name in row if name not in self._columns})
        self.add_row(row)


class EventWriter(BatchWriter):
    """The events table.

    Args:
        path: Its place.
        has_bands: Whether the dataset may say of frequencies; without, the table does not have their columns.
    """

    def __init__(self, path: Path, *, has_bands: bool = False) -> None:
        columns = _columns_of(EVENTS)
        kept = {name: kind for name, kind in columns.items() if has_bands or name not in BAND_COLUMNS}
        super().__init__(path, EVENTS, kept, "events")

    def add(self, event: Event) -> None:
        """Add one event."""
        self.add_row({name: getattr(event, name) for name in self._columns})


def _columns_of(schema: pa.DataFrameSchema) -> dict[str, arrow.DataType]:
    return {
        name: _NUMBERS.get(str(column.dtype), arrow.string())
        for name, column in schema.columns.items()
        if not column.regex
    }
