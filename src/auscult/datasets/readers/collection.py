"""From the rows of a collection's tables, or from its file names, to recordings and events."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from auscult.config.columns import Columns, TableFile
from auscult.config.dataset import (
    REMOTE,
    FilesCsvDataset,
    LabelFoldersDataset,
    LabelImagesDataset,
    ManifestDataset,
)
from auscult.datasets.folder import is_audio, is_picture, is_source, split_name, walk_files
from auscult.datasets.readers.annotation_files import AnnotationReader
from auscult.datasets.readers.annotation_marks import read_band
from auscult.datasets.readers.annotations import check_interval
from auscult.datasets.readers.cells import Cells
from auscult.datasets.readers.joins import Join, own_table, refuse_double_columns
from auscult.datasets.readers.locate import Locator, clean_path
from auscult.datasets.readers.raters import RatedRow, merge_rows
from auscult.datasets.readers.reading import Fault, Item, MalformedError, patient_unknown
from auscult.datasets.readers.tables import Table, check_columns, open_table, tidy
from auscult.errors import DataError
from auscult.storage.tables import Event, Notice, Recording, Rejection

CollectionSettings = ManifestDataset | FilesCsvDataset | LabelFoldersDataset | LabelImagesDataset
UNNAMED_RATER = "unknown"
FILE_WITHOUT_ROW = "file_without_row"
"""Kind of the notice that no row of the table names a sound file; its subject is the file."""


@dataclass(frozen=True)
class _First:
    """The row that first described a recording; the hash stands for the description, to stay small."""

    path: str
    line: int | None
    description: int


class Collector:
    """Places files and rows, one after the other; it remembers which recordings it has seen, and little of each.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        columns: What holds what.
        settings: Of the dataset.

    Raises:
        DataError: A joined table cannot be read.
    """

    def __init__(self, root: Path, dataset: str, columns: Columns, settings: CollectionSettings) -> None:
        self._root = root
        self._dataset = dataset
        self._columns = columns
        is_tabular = isinstance(settings, ManifestDataset | FilesCsvDataset)
        self._wide = settings.wide if is_tabular else None
        self._raters = settings.raters if is_tabular else None
        self._variants = self._expand()
        names = [name for _, variant in self._variants for name in variant.names]
        names += [] if self._raters is None else [self._raters.column]
        self._wanted = list(dict.fromkeys(names))
        self._groups = settings.groups
        self._patterns = [
            (re.compile(text), whole)
            for text, whole in ((settings.pattern, False), (settings.path_pattern, True))
            if text is not None
        ]
        self._joins = [Join(root, join, self._wanted, own=own_table(settings)) for join in settings.join]
        # The keys of joins are looked up in the rows, or in what an earlier join gave.
        self._wanted += [join.on for join in self._joins if join.on not in self._wanted]
        files: list[TableFile] = [*settings.join]
        files += [settings.table] if is_tabular else []
        self._cells = Cells(columns, next((file.decimal for file in files if file.decimal is not None), None))
        self._of_pictures = settings.holds_pictures
        self._locator = Locator(
            root,
            settings.root,
            columns.path,
            follow_links=settings.follow_links,
            is_one=is_picture if self._of_pictures else is_audio,
        )
        self._annotations = (
            None if settings.annotations is None else AnnotationReader(root, settings.annotations, dataset)
        )
        self._seen: dict[str, _First] = {}
        self._named: set[int] = set()
        self._absent: set[str] = set()
        self._first_raters: dict[str, str] = {}
        self._unjoined: list[tuple[str, str]] = []
        self._has_checked_columns = False

    def _expand(self) -> list[tuple[str | None, Columns]]:
        """Return the columns once for each value of `wide`."""
        if self._wide is None:
            return [(None, self._columns)]
        text = self._columns.model_dump_json()
        return [
            (value, Columns.model_validate_json(text.replace(self._wide.mark, json.dumps(value)[1:-1])))
            for value in self._wide.values
        ]

    def place_file(self, file: str, fields: Mapping[str, str] | None = None) -> Iterator[Item]:
        """Yield the recording of a file that was found by walking, with what its name and the joined tables say.

        Args:
            file: Relative to the root.
            fields: What else is known of it, by column.
        """
        if not self._has_checked_columns:
            self._check_columns("the patterns", [], set(fields or ()))
        try:
            path = self._locator.find(file)
            recording = self._describe(path, self._complete(path, dict(fields or {})), self._columns, None)
            self._remember(recording, None)
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            return
        yield from self._yield_new(recording)

    def is_annotation(self, file: str) -> bool:
        """Tell whether a file lies where the annotations of recordings lie."""
        return self._annotations is not None and self._annotations.index.is_annotation(file)

    def _check_columns(self, file: str, columns: list[str], groups: set[str]) -> None:
        self._has_checked_columns = True
        refuse_double_columns(self._joins, columns, file)
        elsewhere = {name for join in self._joins for name in join.columns}
        prefix = f"{file}:"
        wanted = [name.removeprefix(prefix) for name in self._wanted if name not in elsewhere]
        check_columns(file, columns, wanted, self._groups | groups)

    def read_table(self, file: str, how: TableFile, folder: str = "") -> Iterator[Item]:
        """Yield the recordings and events of a table, or why there is none.

        Args:
            file: The table, relative to the root.
            how: How it is written.
            folder: What its paths are relative to, below the root.

        Raises:
            DataError: The table is missing, unreadable as a whole, or lacks a column.
        """
        elsewhere = {name for join in self._joins for name in join.columns} | self._groups
        own = self._own_columns()
        wanted = [name for name in self._wanted if name in own or name not in elsewhere]
        table = open_table(self._root, file, how, wanted)
        for name in own:
            if name in elsewhere and tidy(name.removeprefix(f"{file}:")) not in table.columns:
                raise DataError(
                    f"{file}: {name!r} is no column of this table: a group of a pattern or a joined table cannot say "
                    f"which file or rater a row is about; expected one of {', '.join(table.columns)}"
                )
        self._check_columns(file, table.columns, set())
        yield from table.notices
        if self._columns.event is not None:
            yield from self._read_events(table, folder)
        else:
            yield from self._read_recordings(table, folder)

    def _own_columns(self) -> list[str]:
        """Return the columns that only the table of recordings can have: those of paths and of the rater."""
        own = [columns.path.column for _, columns in self._variants if columns.path is not None]
        return own if self._raters is None else [*own, self._raters.column]

    def _rows(self, table: Table, folder: str) -> Iterator[tuple[int, RatedRow | Fault]]:
        """Yield each row once for each of its recordings, with the cells that are asked for."""
        prefix = f"{table.file}:"
        places = {name: plain for name in self._wanted if (plain := tidy(name.removeprefix(prefix))) in table.columns}
        is_empty = True
        for number, row in table.rows():
            is_empty = False
            if isinstance(row, Fault):
                yield number, row
                continue
            fields = {name: row[plain] for name, plain in places.items()}
            for value, columns in self._variants:
                if columns.path is None:
                    raise TypeError("the settings of a table name no path column")
                written = clean_path(fields[columns.path.column])
                is_below = folder and written and not written.startswith(("/", REMOTE))
                path = f"{folder}/{written}" if is_below else written
                yield number, RatedRow(table.file, number, path, fields, columns, value, self._rater(fields))
        if is_empty:
            raise DataError(f"{table.file} has a header and no rows; expected at least one for each recording")

    def _rater(self, fields: Mapping[str, str]) -> str | None:
        return None if self._raters is None else self._cells.text(fields, self._raters.column) or UNNAMED_RATER

    def _read_events(self, table: Table, folder: str) -> Iterator[Item]:
        for number, row in self._rows(table, folder):
            if isinstance(row, Fault):
                yield Rejection(table.file, row.line, row.reason)
                continue
            if (notice := self._no_recording(row)) is not None:
                yield notice
                continue
            try:
                path, fields = self._find(row)
                if path is None:
                    continue
                recording = self._describe(path, fields, row.columns, row.value)
            except MalformedError as error:
                yield Rejection(table.file, number, str(error), lost=self._describe_lost(row))
                continue
            yield from self._take_event_row(row, recording, fields)

    def _take_event_row(self, row: RatedRow, recording: Recording, fields: Mapping[str, str]) -> Iterator[Item]:
        try:
            if self._remember(recording, row.line):
                yield from self._yield_new(recording)
            first_rater = self._first_raters.setdefault(recording.recording_id, row.rater) if row.rater else None
            if self._raters is not None and self._raters.keep == "first" and row.rater != first_rater:
                yield Notice("other_rater", recording.path, f"line {row.line}: the word of {first_rater} counts")
                return
            event = self._read_event(recording.recording_id, fields, row)
        except MalformedError as error:
            # What the event would have said is unknown for all of the recording.
            known = recording.recording_id if recording.recording_id in self._seen else None
            yield Rejection(row.file, row.line, str(error), event_of=known)
            return
        if event is not None:
            yield event

    def _read_recordings(self, table: Table, folder: str) -> Iterator[Item]:
        counts: Counter[int] = Counter()
        raters: set[str] = set()
        for _, row in self._rows(table, folder):
            if not isinstance(row, Fault):
                counts[hash(row.path)] += 1
                raters.update([] if row.rater is None else [row.rater])
        held: dict[str, list[RatedRow]] = {}
        for number, row in self._rows(table, folder):
            if isinstance(row, Fault):
                yield Rejection(table.file, row.line, row.reason)
            elif row.path:
                rows = held.setdefault(row.path, [])
                rows.append(row)
                if len(rows) == counts[hash(row.path)]:
                    yield from self._place_rows(held.pop(row.path), sorted(raters))
            elif (notice := self._no_recording(row)) is not None:
                yield notice
            else:
                yield Rejection(table.file, number, "path: it is empty", lost=self._describe_lost(row))
        for rows in held.values():
            yield from self._place_rows(rows, sorted(raters))

    def _no_recording(self, row: RatedRow) -> Notice | None:
        """Return a notice where a row's path is empty because no recording was made."""
        may_be_empty = self._wide is not None or (row.columns.path is not None and row.columns.path.may_be_empty)
        if row.path or not may_be_empty:
            return None
        of_place = "" if row.value is None else f"{row.value}: "
        return Notice("no_file_in_cell", f"{row.file}:{row.line}", f"{of_place}its path's cell is empty")

    def _place_rows(self, rows: list[RatedRow], raters: list[str]) -> Iterator[Item]:
        """Yield the recording that all rows of one path describe."""
        described: list[tuple[RatedRow, Recording]] = []
        first = rows[0]
        try:
            for row in rows:
                path, fields = self._find(row)
                if path is None:
                    return
                described.append((row, self._describe(path, fields, row.columns, row.value)))
            recording, notices = merge_rows(described, self._raters, raters)
            self._remember(recording, first.line)
        except MalformedError as error:
            yield Rejection(first.file, first.line, str(error), lost=self._describe_lost(first))
            return
        yield from notices
        yield from self._yield_new(recording)

    def _find(self, row: RatedRow) -> tuple[str | None, dict[str, str]]:
        """Return a row's file and all that is known of it; no file where the row's was refused before."""
        if row.path in self._absent:
            return None, {}
        try:
            path = self._locator.find(row.path)
        except MalformedError:
            self._absent.add(row.path)
            raise
        return path, self._complete(path, dict(row.fields))

    def _complete(self, path: str, fields: dict[str, str]) -> dict[str, str]:
        """Add what the file's name and the joined tables say."""
        self._named.add(hash(path))
        for pattern, is_whole in self._patterns:
            stem, suffix = split_name(path)
            text = path[: len(path) - len(suffix)] if is_whole else stem
            match = pattern.fullmatch(text)
            if match is None:
                raise MalformedError(f"name: {text!r} does not match the pattern {pattern.pattern!r}")
            fields |= {name: value or "" for name, value in match.groupdict().items()}
        for join in self._joins:
            found = join.look_up(self._cells.text(fields, join.on))
            fields |= dict.fromkeys(join.columns, "") if found is None else found
            if found is None:
                self._unjoined.append((join.file, path))
        return fields

    def _describe(self, path: str, fields: Mapping[str, str], columns: Columns, value: str | None) -> Recording:
        """Return the recording of a file.

        Raises:
            MalformedError: Nobody knows whose it is.
        """
        if columns.patient is not None and self._cells.patient(fields, columns.patient) is None:
            column = " or ".join(columns.patient)
            raise MalformedError(f"patient: {column} is empty or unknown; without it no split keeps patients apart")
        return self._facts(path, fields, columns, value)

    def _facts(self, path: str, fields: Mapping[str, str], columns: Columns, value: str | None) -> Recording:
        name = path if "." not in path.rsplit("/", 1)[-1] else path[: path.rindex(".")]
        cells = self._cells
        patient = name if columns.patient is None else cells.patient(fields, columns.patient)
        attributes = {
            attribute: cells.mapped(fields, source, attribute) for attribute, source in columns.attributes.items()
        }
        if self._wide is not None:
            attributes[self._wide.name] = value
        return Recording(
            recording_id=f"{self._dataset}/{name}",
            patient_id="" if patient is None else f"{self._dataset}/{patient}",
            path=path,
            site=cells.mapped(fields, columns.site, "site"),
            device=cells.mapped(fields, columns.device, "device"),
            age_years=cells.age_years(fields, columns.age_years),
            sex=cells.sex(fields, columns.sex),
            labels={label: cells.label(fields, source, label) for label, source in columns.labels.items()},
            attributes=attributes,
        )

    def _describe_lost(self, row: RatedRow) -> Recording:
        """Return what a row says of a recording that is not read; what only its file's name could say is unknown."""
        fields = defaultdict[str, str](str, row.fields)
        for join in self._joins:
            fields.update(join.look_up(self._cells.text(fields, join.on)) or {})
        found = self._facts(self._locator.by_template(row.path) or f"line {row.line}", fields, row.columns, row.value)
        return replace(found, patient_id="") if row.columns.patient is None else found

    def _read_event(self, recording_id: str, fields: Mapping[str, str], row: RatedRow) -> Event | None:
        columns, cells = row.columns, self._cells
        if columns.start_s is None or columns.end_s is None or columns.event is None:
            return None
        kind = cells.mapped(fields, columns.event, "event")
        if cells.text(fields, columns.event.column) is None:
            times = (columns.start_s.column, columns.end_s.column)
            if all(cells.text(fields, time) is None for time in times):
                return None
            raise MalformedError(f"event: {columns.event.column} is empty, the times are not")
        start_s, end_s = cells.time_s(fields, columns.start_s), cells.time_s(fields, columns.end_s)
        check_interval(start_s, end_s)
        if kind is None:
            return None  # mapped to null: of no interest
        low_hz, high_hz = read_band(*(cells.frequency_hz(fields, name) for name in (columns.low_hz, columns.high_hz)))
        source = row.rater or self._dataset
        return Event(recording_id, start_s, end_s, kind, source, row.file, row.line, low_hz=low_hz, high_hz=high_hz)

    def _yield_new(self, recording: Recording) -> Iterator[Item]:
        yield recording
        if self._columns.patient is None:
            yield patient_unknown(recording.recording_id, "no column or group says whose it is")
        if self._annotations is not None:
            yield from self._annotations.read(recording)

    def _remember(self, recording: Recording, line: int | None) -> bool:
        """Tell whether the recording is new; it must be, or be of the same patient and labels and have events.

        What its first row says of optional facts stands: those of further rows are not looked at.

        Raises:
            MalformedError: It is not new, and no event of it, or described otherwise.
        """
        description = hash((recording.patient_id, tuple(recording.labels.items())))
        first = self._seen.get(recording.recording_id)
        if first is None:
            self._seen[recording.recording_id] = _First(recording.path, line, description)
            return True
        where = first.path if first.line is None else f"{first.path} on line {first.line}"
        if first.path != recording.path or self._columns.event is None:
            raise MalformedError(f"duplicate id: {recording.recording_id} is {where} already")
        if first.description != description:
            raise MalformedError(f"contradiction: another patient or label than {where}")
        return False

    def finish(self, *, has_table: bool) -> Iterator[Item]:
        """Yield what is left to say once all rows or files were placed.

        Args:
            has_table: Whether a table names the files; sound files that it does not name are then noticed.

        Raises:
            DataError: A value map names what the tables do not hold.
        """
        for join in self._joins:
            yield from join.items
            yield from join.unused()
        for file, path in self._unjoined:
            yield Notice("without_joined_row", path, f"{file} has no row with its key; what it would say is unknown")
        if self._locator.n_by_name:
            text = "paths were not found as written; one file alone has that name"
            yield Notice("found_by_name", f"{self._locator.n_by_name} rows", text)
        if self._annotations is not None:
            yield from self._annotations.find_unused()
        yield from self._cells.notices()
        if has_table:
            yield from self._find_unnamed()
        self._cells.check_values(self._dataset)

    def _find_unnamed(self) -> Iterator[Notice]:
        unnamed = (
            file
            for file in walk_files(self._root)
            if is_source(file, of_pictures=self._of_pictures) and hash(file) not in self._named
        )
        for file in sorted(unnamed):
            yield Notice(FILE_WITHOUT_ROW, file, "not in the table: no row names this file; it is not read")
