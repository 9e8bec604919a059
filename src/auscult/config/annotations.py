"""How the annotation file beside each recording is found and read: the key `annotations` of a dataset's YAML."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from auscult.config.base import Label, Settings, without_none
from auscult.config.task import fold_label
from auscult.errors import unknown_name

PLACEHOLDERS = ("stem", "name", "path", "folder", "parent")
"""What a template may name of a recording: its name without suffix, and with it, its whole path without suffix, its
folder (empty at the root), and the folder above that."""
RESERVED_KINDS = ("annotated", "unplaced", "recording", "marked_recording")
"""Kinds of event that the tables use for themselves."""
_OWN = ("stem", "name", "path")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Column = Annotated[int, Field(strict=True, ge=1)] | Annotated[str, Field(min_length=1)]
"""A column by its number from 1, or by its name in the header; in JSON, a place in a list or a key of an object."""


class AnnotationSettings(Settings):
    """One annotation file a recording: where it lies, what its rows say, and what silence in it means."""

    files: str = Field(
        description="template below the root: {stem}, {name} (with suffix), {path} (whole path without suffix), "
        "{folder} (of the recording), {parent} (the folder above it); * stands for anything but /"
    )
    format: Literal["auto", "table", "audacity", "textgrid", "json"] = Field(
        default="auto", description="auto: told by each file's content"
    )
    start: Column = Field(default=1, description="column number from 1, or name in the header; in JSON a key")
    end: Column | None = Field(default=None, description="column of the end; 2 if neither it nor duration is given")
    duration: Column | None = Field(default=None, description="column of the length, instead of the end")
    low_hz: Column | None = Field(
        default=None, description="column of an event's lowest frequency in Hz; label tracks of Audacity hold it anyhow"
    )
    high_hz: Column | None = Field(default=None, description="column of an event's highest frequency in Hz")
    kind: Column | None = Field(
        default=3, description="column of the label; null: rows have none, and each is what `every` says"
    )
    flags: dict[Label, Column] = Field(
        default={}, description="kind -> column of 0 and 1, instead of one column of labels"
    )
    every: Label | None = Field(default=None, description="each row is also an event of this kind (cycle)")
    kinds: dict[Label, Label | tuple[Label, ...] | None] = Field(
        default={},
        description="label in the file -> kind of event, or several; null drops it. Case does not matter; a label "
        "that is not named keeps its text",
    )
    separator: str | None = Field(default=None, min_length=1, description="between the kinds of one label, such as +")
    events: str | None = Field(
        default=None, description="JSON: where the list of events lies, such as `result.events`; default: the document"
    )
    tiers: tuple[Label, ...] | None = Field(default=None, min_length=1, description="TextGrid: these; default: all")
    unit: Literal["s", "ms", "samples", "hh:mm:ss"] = "s"
    sample_rate_hz: int | None = Field(
        default=None, ge=1, description="of `unit: samples`, where it is not that of the recording's file"
    )
    points: Literal["reject", "drop"] | Annotated[float, Field(gt=0)] = Field(
        default="reject",
        description="labels without a length: refused, left out, or made so many seconds long around it",
    )
    listened: Literal["whole", "events"] = Field(
        default="events",
        description="whole: who wrote a file listened to all of its recording, so no label means no such sound",
    )
    empty_file: Literal["unknown", "listened"] = Field(
        default="unknown", description="what a file without any line says; listened: as a file without a label does"
    )
    shared: bool = Field(default=False, description="recordings of the same name may share one annotation file")
    delimiter: Literal["auto", "tab", "comma", "semicolon", "pipe", "blanks"] = "auto"
    decimal: Literal["auto", "point", "comma"] = "auto"
    header: Literal["auto"] | bool = Field(
        default="auto",
        description="auto: a first row that names the start and the end, or the columns given by name",
    )
    encoding: str | None = Field(default=None, description="default: by byte order mark, UTF-8, or else a guess")

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: str) -> str:
        names = _PLACEHOLDER.findall(files)
        for name in names:
            if name not in PLACEHOLDERS:
                raise ValueError(unknown_name("placeholder", name, PLACEHOLDERS))
        if re.search(r"[{}]", _PLACEHOLDER.sub("", files)):
            raise ValueError(f"files: a brace has no partner in {files!r}; placeholders are written {{stem}}")
        if not set(names) & set(_OWN):
            raise ValueError(f"files: {files!r} names one file for many recordings; use {{stem}}, {{name}} or {{path}}")
        if files.startswith("/") or "://" in files or ".." in files.split("/"):
            raise ValueError(f"files: {files!r} leads out of the root; expected a template relative to it")
        return files

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except (LookupError, ValueError) as error:
            expected = "expected one such as utf-8, cp1252 or utf-16"
            raise ValueError(f"encoding: {encoding!r} is unknown; {expected}") from error
        return encoding

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.end is not None and self.duration is not None:
            raise ValueError("end and duration: an event has one of them")
        if self.flags and self.kind not in (None, 3):
            raise ValueError("kind and flags: the labels stand in one column, or in a column of 0 and 1 for each")
        if self.kind is None and not self.flags and self.every is None:
            raise ValueError("kind is null: name a column of labels, flags, or say with `every` what each row is")
        columns = self.columns
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"two of start, end, duration, low_hz, high_hz, kind and flags are the same column: {columns}"
            )
        if self.header is False and any(isinstance(column, str) for column in columns) and self.format == "table":
            raise ValueError("header: false needs columns by number, from 1")
        return self

    @model_validator(mode="after")
    def _check_units(self) -> Self:
        if self.format in ("audacity", "textgrid") and self.bands:
            raise ValueError(f"low_hz, high_hz: {self.format} files have no columns; leave them out")
        if self.format in ("audacity", "textgrid") and self.unit != "s":
            raise ValueError(f"unit: {self.format} files count in seconds; leave unit out")
        if self.sample_rate_hz is not None and self.unit != "samples":
            raise ValueError("sample_rate_hz belongs to `unit: samples`")
        if self.tiers is not None and self.format not in ("auto", "textgrid"):
            raise ValueError(f"tiers belongs to TextGrid; the format is {self.format}")
        if self.events is not None and self.format not in ("auto", "json"):
            raise ValueError(f"events belongs to JSON; the format is {self.format}")
        if self.empty_file == "listened" and self.listened != "whole":
            raise ValueError("empty_file: listened needs `listened: whole`")
        if self.delimiter == "comma" and self.decimal == "comma":
            raise ValueError("delimiter and decimal: both are commas")
        return self

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        seen: dict[str, object] = {}
        for label, kinds in self.kinds.items():
            if seen.setdefault(fold_label(label), kinds) != kinds:
                raise ValueError(f"kinds gives {label!r} two meanings, {seen[fold_label(label)]!r} and {kinds!r}")
        named = [*self.flags, *([] if self.every is None else [self.every])]
        for kinds in self.kinds.values():
            named += [kinds] if isinstance(kinds, str) else list(kinds or ())
        if any(not fold_label(kind) for kind in named) or () in self.kinds.values():
            raise ValueError("a kind of event is empty; `null` drops a label")
        reserved = sorted({fold_label(kind) for kind in named} & set(RESERVED_KINDS))
        if reserved:
            raise ValueError(f"events cannot be called {', '.join(reserved)}: the tables use these names themselves")
        return self

    @property
    def ends(self) -> dict[str, Column]:
        """The column that ends an event, under `end` or `duration`."""
        if self.duration is not None:
            return {"duration": self.duration}
        return {"end": 2 if self.end is None else self.end}

    @property
    def may_be_label_tracks(self) -> bool:
        """Whether its files may be label tracks of Audacity, which hold frequencies where somebody marked them."""
        return self.format in {"auto", "audacity"}

    @model_serializer(mode="wrap")
    def _without_no_bands(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Tables that were made before frequencies were read stay what they are.
        return without_none(to_dict(self), ("low_hz", "high_hz"))

    @property
    def bands(self) -> dict[str, Column]:
        """The columns that bound an event in frequency, as far as they are given, under `low_hz` and `high_hz`."""
        given = {"low_hz": self.low_hz, "high_hz": self.high_hz}
        return {name: column for name, column in given.items() if column is not None}

    @property
    def columns(self) -> list[Column]:
        """All columns that are read; start and end come first."""
        return [self.start, *self.ends.values(), *self.bands.values(), *self.labels.values()]

    @property
    def labels(self) -> dict[str, Column]:
        """The columns that say what an event is: those of `flags` by kind, or the one of labels under `kind`."""
        if self.flags:
            return dict(self.flags)
        return {} if self.kind is None else {"kind": self.kind}
