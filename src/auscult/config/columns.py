"""Which column of a table, or which named group of a pattern, holds what, and how its cells are read."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from auscult.config.base import NAME_PATTERN, Label, Settings, without_none

ValueMap = dict[Label, Label | None]
"""What stands in a cell -> what it means; null: unknown. Case, and blanks around a value, do not matter."""


class _Column(Settings):
    """A column, or a named group of the pattern."""

    column: str = Field(min_length=1)

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        return [self.column]


class _MappedColumn(_Column):
    values: ValueMap = Field(default={}, description="what stands in a cell -> what it means; null: unknown")
    may_be_absent: tuple[Label, ...] = Field(
        default=(), description="keys of `values` that the table need not hold; any other that it lacks is an error"
    )

    @model_validator(mode="after")
    def _check_absent(self) -> Self:
        _check_subset(self.may_be_absent, self.values)
        return self


def _check_subset(names: Iterable[str], values: ValueMap) -> None:
    strange = [name for name in names if name not in values]
    if strange:
        raise ValueError(f"may_be_absent names {strange}, which `values` does not hold")


class PathColumn(_Column):
    """The column of paths: as they stand, by a template, or by a name that one file alone has."""

    template: str | None = Field(
        default=None, description="path below the root, {} stands for the cell: `audio/{}.wav`"
    )
    may_be_empty: bool = Field(
        default=False,
        description="a row without a path is no recording (a form of REDCap without a file) and noticed; "
        "false: it is a recording that is lost",
    )

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str | None) -> str | None:
        if template is not None and template.count("{}") != 1:
            raise ValueError("expected one {} in it, where the cell's text goes")
        return template


class TextColumn(_MappedColumn):
    """A column of text: a site, a device, an attribute."""


class SexColumn(_MappedColumn):
    """The column of sexes: female, male, f, m, or what `values` maps to them."""

    @field_validator("values")
    @classmethod
    def _check_sexes(cls, values: ValueMap) -> ValueMap:
        strange = sorted({str(value) for value in values.values()} - {"female", "male", "None"})
        if strange:
            raise ValueError(f"a sex is female, male or null (unknown), not {', '.join(strange)}")
        return values


class TimeColumn(_Column):
    """A column of times in a recording."""

    unit: Literal["s", "ms"] = "s"


class AgeColumn(Settings):
    """Ages as numbers, or as the time from a date of birth to a date of recording."""

    column: str | None = None
    unit: Literal["years", "months", "weeks", "days"] = Field(
        default="years", description="of numbers without a unit of their own; `18 months` or `3 y` say theirs"
    )
    born: str | None = Field(default=None, description="column of the date of birth, with `at`")
    at: str | None = Field(default=None, description="column of the date of the recording")
    date_format: str | None = Field(
        default=None, description="such as %d/%m/%Y; without it 2024-12-31 and 31.12.2024 are read"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.born is None) or (self.born is None) != (self.at is None):
            raise ValueError("an age is either in `column`, or runs from `born` to `at`")
        return self

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        return [name for name in (self.column, self.born, self.at) if name is not None]


class LabelColumn(Settings):
    """A label: the text of one column, or the names of checkbox columns that are ticked."""

    column: str | None = None
    separator: str | None = Field(
        default=None, min_length=1, description="between several values in a cell: `crackle; wheeze`"
    )
    checkboxes: dict[str, Label] = Field(
        default={}, description="column of 0 and 1 -> what it says when it is 1 (REDCap: sound___1)"
    )
    none: Label | None = Field(default=None, description="what it says when no box is ticked; default: unknown")
    values: ValueMap = Field(default={}, description="what stands in a cell -> what it means; null: unknown")
    may_be_absent: tuple[Label, ...] = Field(
        default=(), description="keys of `values` that the table need not hold; any other that it lacks is an error"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (not self.checkboxes):
            raise ValueError("a label is read from `column`, or from `checkboxes`")
        if self.checkboxes and (self.separator or self.values):
            raise ValueError("`separator` and `values` belong to `column`; checkboxes name their values themselves")
        if self.none is not None and not self.checkboxes:
            raise ValueError("`none` belongs to `checkboxes`; an empty cell of a column is unknown")
        _check_subset(self.may_be_absent, self.values)
        return self

    @property
    def names(self) -> list[str]:
        """All columns that are read."""
        return list(self.checkboxes) if self.column is None else [self.column]


def _from_name(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


Path = Annotated[PathColumn, BeforeValidator(_from_name, json_schema_input_type=str | PathColumn)]
Text = Annotated[TextColumn, BeforeValidator(_from_name, json_schema_input_type=str | TextColumn)]
Sex = Annotated[SexColumn, BeforeValidator(_from_name, json_schema_input_type=str | SexColumn)]
Age = Annotated[AgeColumn, BeforeValidator(_from_name, json_schema_input_type=str | AgeColumn)]
Time = Annotated[TimeColumn, BeforeValidator(_from_name, json_schema_input_type=str | TimeColumn)]
LabelSource = Annotated[LabelColumn, BeforeValidator(_from_name, json_schema_input_type=str | LabelColumn)]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Patient = Annotated[
    tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...]), Field(min_length=1)
]


class Columns(Settings):
    """Which column (or named group of `pattern`) holds what."""

    path: Path | None = Field(default=None, description="column of the manifest; required with one")
    patient: Patient | None = Field(
        default=None, description="one column, or several that tell a person apart together: [site, number]"
    )
    site: Text | None = None
    device: Text | None = None
    age_years: Age | None = None
    sex: Sex | None = None
    start_s: Time | None = Field(default=None, description="of an event; rows that share a path share the recording")
    end_s: Time | None = None
    event: Text | None = Field(default=None, description="kind of the event between start_s and end_s")
    low_hz: str | None = Field(default=None, description="column of the event's lowest frequency in Hz")
    high_hz: str | None = Field(default=None, description="column of the event's highest frequency in Hz")
    labels: dict[str, LabelSource] = Field(default={}, description="label name -> column")
    attributes: dict[str, Text] = Field(
        default={}, description="attribute name -> column, for splits and tasks by column"
    )
    unknown: tuple[Label, ...] = Field(
        default=(), description="further texts that mean unknown, in every column: [k.A., '-9', '.']"
    )

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        given = [name for name in ("start_s", "end_s", "event") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ValueError(f"an event needs start_s, end_s and event; only {given} given")
        if self.bands and not given:
            raise ValueError("low_hz and high_hz bound an event: name start_s, end_s and event too")
        return self

    @model_serializer(mode="wrap")
    def _without_no_bands(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Tables that were made before frequencies were read stay what they are.
        return without_none(to_dict(self), ("low_hz", "high_hz"))

    @property
    def bands(self) -> list[str]:
        """The columns that bound an event in frequency, as far as they are given."""
        return [name for name in (self.low_hz, self.high_hz) if name is not None]

    @property
    def names(self) -> list[str]:
        """All columns, or named groups, that are asked for."""
        single = (self.path, self.site, self.device, self.age_years, self.sex, self.start_s, self.end_s, self.event)
        sources = [*single, *self.labels.values(), *self.attributes.values()]
        return [
            *(self.patient or ()),
            *self.bands,
            *(name for source in sources if source is not None for name in source.names),
        ]

    def check_groups(self, groups: set[str]) -> None:
        """Check that all names are groups of a pattern, where there is no table to have them as columns."""
        unknown = sorted(set(self.names) - groups)
        if unknown:
            raise ValueError(f"columns {unknown} are no named groups of pattern; it has {sorted(groups)}")


class TableFile(Settings):
    """How a table is written, where it is not read by what is found."""

    sheet: str | Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="of a workbook: its name, or its number from 1; default: the first"
    )
    header_row: int | None = Field(
        default=None, ge=1, description="row (line) with the columns' names; default: the first of 20 that holds them"
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | Literal["tab"] | None = Field(
        default=None, description="between cells of a text table: , ; | tab; default: what is found"
    )
    encoding: str | None = Field(default=None, description="of a text table, such as cp1252; default: what is found")
    decimal: Literal[".", ","] | None = Field(
        default=None, description="mark in numbers; default: what is found (1,234 is then refused)"
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            return codecs.lookup(encoding).name
        except LookupError:
            raise ValueError("no encoding of this name; known are utf-8, cp1252, latin-1, utf-16, ...") from None


class JoinedTable(TableFile):
    """A further table, whose columns are added to the rows that share a key with it."""

    table: str = Field(description="CSV, TSV, Excel, ODS or Parquet, relative to the root")
    on: str = Field(description="column, or named group, of the recordings that holds the key")
    key: str | None = Field(default=None, description="the key's column in this table; default: the same name")

    @property
    def key_column(self) -> str:
        """The key's column in this table."""
        return self.on if self.key is None else self.key


class Raters(Settings):
    """What to do with several rows of one file, each by another rater."""

    column: str = Field(description="column of the rater's name")
    keep: Literal["agreement", "first", "each"] = Field(
        description="agreement: a label on which they differ is unknown; first: the row that comes first; each: one "
        "label for each rater, `<label>_<rater>`, beside the one on which they agree"
    )


class Wide(Settings):
    """Several recordings in one row: columns that hold `{name}` are read once for each of the values."""

    name: str = Field(pattern=NAME_PATTERN, description="what differs, such as position; it becomes an attribute")
    values: tuple[Label, ...] = Field(min_length=1, description="what `{name}` stands for in the columns, in turn")

    @property
    def mark(self) -> str:
        """What stands for the value in a column's name."""
        return f"{{{self.name}}}"
