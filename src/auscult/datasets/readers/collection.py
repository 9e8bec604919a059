"""From one row (or one file name) of a general collection to its recording and event."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auscult.config.dataset import REMOTE, FilesCsvDataset, LabelFoldersDataset, ManifestColumns, ManifestDataset
from auscult.datasets.folder import is_audio, say_absent, split_name, walk_files
from auscult.datasets.readers.annotations import check_interval
from auscult.datasets.readers.reading import Item, MalformedError, parse_age, parse_code, parse_number
from auscult.storage.tables import Event, Notice, Recording, Rejection

SEX_WORDS = {"f": "female", "female": "female", "m": "male", "male": "male"}
UNKNOWN = ("", "na", "n/a", "nan", "null", "<na>", "?")
"""What stands for an unknown value, in small letters: what R, pandas and people write. `none` is a real label."""


@dataclass(frozen=True)
class _First:
    """The row that first described a recording; the hash stands for the description, to stay small."""

    path: str
    line: int | None
    description: int


class Collector:
    """Places rows, one after the other; it remembers which recordings it has seen, and little of each.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        columns: What holds what.
        settings: Of the dataset: the pattern of file names, whether links may lead out of the root, and the root as it
            is written; where that is `gs://...`, paths below it may be written so.
    """

    def __init__(
        self,
        root: Path,
        dataset: str,
        columns: ManifestColumns,
        settings: ManifestDataset | FilesCsvDataset | LabelFoldersDataset,
    ) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._dataset = dataset
        self._columns = columns
        self._pattern = None if settings.pattern is None else re.compile(settings.pattern)
        self._follow_links = settings.follow_links
        self._remote_root = settings.root
        self._seen: dict[str, _First] = {}
        self._named: set[int] = set()
        self._absent: set[str] = set()

    @property
    def names(self) -> list[str]:
        """All columns, or named groups, that the settings ask for."""
        return self._columns.names

    @property
    def groups(self) -> list[str]:
        """The pattern's named groups."""
        return [] if self._pattern is None else list(self._pattern.groupindex)

    def place(self, file: str, line: int | None, path: str, row: dict[str, str]) -> Iterator[Item]:
        """Yield the recording and the event of one row, or why there is none.

        Args:
            file: Where the row stands, for messages.
            line: Its line, None where the row is a file name.
            path: The recording, relative to the root.
            row: The row's cells by column.
        """
        try:
            path = path_below(self._remote_root, path)
            path = relative_path(self._real_root, path, follow_links=self._follow_links)
            if path in self._absent:
                return  # refused at the first row that names it; its other rows go with it
            # Not Path.exists: it raises where the name is too long for a file.
            if hash(path) not in self._named and not os.path.exists(f"{self._real_root}/{path}"):  # noqa: PTH110
                self._absent.add(path)
                raise MalformedError(say_absent(self._real_root, path))
            self._named.add(hash(path))
            fields = {**row, **self._read_stem(path)}
            recording = self._describe(path, fields)
            event = self._read_event(recording.recording_id, fields, file, line)
            is_new = self._remember(recording, line)
        except MalformedError as error:
            yield Rejection(file, line, str(error))
            return
        if is_new:
            yield recording
        if event is not None:
            yield event

    def find_unnamed(self) -> Iterator[Notice]:
        """Yield a notice for each audio file below the root that no row has named, sorted by path."""
        unnamed = (file for file in walk_files(self._root) if is_audio(file) and hash(file) not in self._named)
        for file in sorted(unnamed):
            yield Notice("file_without_row", file, "no row of the table names this file; it is not read")

    def _read_stem(self, path: str) -> dict[str, str]:
        if self._pattern is None:
            return {}
        stem, _ = split_name(path)
        match = self._pattern.fullmatch(stem)
        if match is None:
            raise MalformedError(f"name: {stem!r} does not match the pattern {self._pattern.pattern!r}")
        return {name: value or "" for name, value in match.groupdict().items()}

    def _describe(self, path: str, fields: dict[str, str]) -> Recording:
        columns = self._columns
        name = path.removesuffix(split_name(path)[1]) if "." not in path else path[: path.rindex(".")]
        patient = name if columns.patient is None else known_text(fields[columns.patient])
        if patient is None:
            raise MalformedError(
                f"patient: {columns.patient} is empty or unknown; without it no split keeps patients apart"
            )
        age, sex = _text(fields, columns.age_years), _text(fields, columns.sex)
        return Recording(
            recording_id=f"{self._dataset}/{name}",
            patient_id=f"{self._dataset}/{patient}",
            path=path,
            site=_text(fields, columns.site),
            device=_text(fields, columns.device),
            age_years=None if age is None else parse_age(age),
            sex=None if sex is None else parse_code(sex.lower(), SEX_WORDS, "sex"),
            labels={label: _text(fields, column) for label, column in columns.labels.items()},
            attributes={attribute: _text(fields, column) for attribute, column in columns.attributes.items()},
        )

    def _read_event(self, recording_id: str, fields: dict[str, str], file: str, line: int | None) -> Event | None:
        columns = self._columns
        if columns.start_s is None or columns.end_s is None or columns.event is None:
            return None
        start, end, kind = (
            known_text(fields[column]) or "" for column in (columns.start_s, columns.end_s, columns.event)
        )
        if not (start or end or kind):
            return None
        if not kind:
            raise MalformedError(f"event: {columns.event} is empty, the times are not")
        start_s, end_s = parse_number(start, columns.start_s), parse_number(end, columns.end_s)
        check_interval(start_s, end_s)
        return Event(recording_id, start_s, end_s, kind, self._dataset, file, line)

    def _remember(self, recording: Recording, line: int | None) -> bool:
        """Tell whether the recording is new; it must be, or be described as before and have events."""
        description = hash(
            (
                recording.patient_id,
                recording.site,
                recording.device,
                recording.age_years,
                recording.sex,
                tuple(recording.labels.items()),
                tuple(recording.attributes.items()),
            )
        )
        first = self._seen.get(recording.recording_id)
        if first is None:
            self._seen[recording.recording_id] = _First(recording.path, line, description)
            return True
        where = first.path if first.line is None else f"{first.path} on line {first.line}"
        if first.path != recording.path or self._columns.event is None:
            raise MalformedError(f"duplicate id: {recording.recording_id} is {where} already")
        if first.description != description:
            raise MalformedError(f"contradiction: another patient, label or attribute than {where}")
        return False


def path_below(remote_root: str, text: str) -> str:
    """Return a path that is written in full (`gs://...`) relative to its root; any other as it is.

    Raises:
        MalformedError: It lies elsewhere.

    >>> path_below("gs://lungs/icbhi", "gs://lungs/icbhi/a/101.wav"), path_below("data", "a/101.wav")
    ('a/101.wav', 'a/101.wav')
    """
    if not text.startswith(REMOTE):
        return text
    start = f"{remote_root.rstrip('/')}/"
    if remote_root.startswith(REMOTE) and text.startswith(start):
        return text.removeprefix(start)
    raise MalformedError(f"path: {text!r} lies outside the root {remote_root!r}")


def relative_path(real_root: str, text: str, *, follow_links: bool) -> str:
    """Return a path below the root in its plain form.

    Raises:
        MalformedError: It is empty, absolute, holds a null character, or leads out of the root.
    """
    if not text:
        raise MalformedError("path: it is empty")
    if "\0" in text:
        raise MalformedError(f"path: {text!r} holds a null character")
    if text.startswith("/"):
        raise MalformedError(f"path: {text!r} is absolute, expected one relative to the root")
    path = os.path.normpath(text)
    if path in ("..", ".") or path.startswith("../"):
        raise MalformedError(f"path: {text!r} leads out of the root")
    real = os.path.realpath(f"{real_root}/{path}")
    if not follow_links and not real.startswith(f"{real_root.rstrip('/')}/"):
        raise MalformedError(
            f"path: {text!r} is a link that leads out of the root; `follow_links: true` in the dataset's YAML allows it"
        )
    return path


def known_text(cell: str) -> str | None:
    """Return a cell's text without outer blanks, None where it says that nothing is known.

    >>> known_text(" Wheeze "), known_text("N/A"), known_text("none")
    ('Wheeze', None, 'none')
    """
    text = cell.strip()
    return None if text.lower() in UNKNOWN else text


def _text(fields: dict[str, str], column: str | None) -> str | None:
    return None if column is None else known_text(fields[column])
