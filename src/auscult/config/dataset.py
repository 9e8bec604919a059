"""Where a dataset lies and how it is laid out: `config/datasets/<name>.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings
from auscult.errors import unknown_name


class _Dataset(Settings):
    """What every dataset says of itself."""

    description: str
    root: str = Field(description="folder, relative to the project; `--config roots='{name: folder}'` overrides it")
    tracked_by: str | None = Field(default=None, description="the .dvc file that versions the root, if any")
    channel: Literal["mean"] | Annotated[int, Field(ge=0)] = Field(default="mean", description="of multi-channel audio")


class NativeDataset(_Dataset):
    """A published dataset in its own layout (FORMATS of the readers in `corpora/`)."""

    layout: Literal["icbhi", "jordan", "perch", "antwerp", "antwerp_sim", "bd"]
    pattern: str | None = Field(
        default=None,
        description="antwerp, antwerp_sim: regular expression on the whole stem, where it is not named as ICBHI's; "
        "named groups: patient, and any of location, mode, device",
    )

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        if self.pattern is None:
            return self
        if self.layout not in ("antwerp", "antwerp_sim"):
            raise ValueError(f"pattern belongs to the layouts antwerp and antwerp_sim; the layout is {self.layout!r}")
        groups = named_groups(self.pattern)
        strange = sorted(groups - {"patient", "location", "mode", "device"})
        if "patient" not in groups or strange:
            raise ValueError(
                f"pattern must name the group patient, and may name location, mode, device; it has {sorted(groups)}"
            )
        return self


def named_groups(pattern: str) -> set[str]:
    """Return the named groups of a regular expression, or say why it is none."""
    try:
        return set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"pattern is no regular expression: {error}") from error


class ManifestColumns(Settings):
    """Which column (or named group of `pattern`) holds what."""

    path: str | None = Field(default=None, description="column of the manifest; required with one")
    patient: str | None = None
    site: str | None = None
    device: str | None = None
    age_years: str | None = None
    sex: str | None = None
    start_s: str | None = Field(default=None, description="of an event; rows that share a path share the recording")
    end_s: str | None = None
    event: str | None = Field(default=None, description="kind of the event between start_s and end_s")
    labels: dict[str, str] = Field(default={}, description="label name -> column")
    attributes: dict[str, str] = Field(default={}, description="attribute name -> column, for splits by column")

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        given = [name for name in ("start_s", "end_s", "event") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ValueError(f"an event needs start_s, end_s and event; only {given} given")
        return self


class ManifestDataset(_Dataset):
    """Any collection: a table with a path column, or files whose names say it all."""

    layout: Literal["manifest"]
    manifest: str | None = Field(default=None, description="CSV, TSV or Parquet, relative to the root")
    files: str = Field(default="**/*.wav", description="glob below the root, when there is no manifest")
    pattern: str | None = Field(
        default=None, description="regular expression on the file's whole stem; its named groups"
    )
    columns: ManifestColumns = ManifestColumns()
    follow_links: bool = Field(default=False, description="take files that are links to files outside the root")

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        groups = set[str]() if self.pattern is None else named_groups(self.pattern)
        if self.manifest is None:
            columns = self.columns.model_dump(exclude={"labels", "attributes"}, exclude_none=True)
            named = {*columns.values(), *self.columns.labels.values(), *self.columns.attributes.values()}
            unknown = sorted(named - groups)
            if unknown:
                raise ValueError(f"columns {unknown} are no named groups of pattern; it has {sorted(groups)}")
        elif self.columns.path is None:
            raise ValueError("columns.path must name the manifest's column of file paths")
        return self


LAYOUTS: tuple[str, ...] = (*NativeDataset.model_fields["layout"].annotation.__args__, "manifest")  # type: ignore[union-attr]


def _check_layout(value: Any) -> Any:
    layout = value.get("layout") if isinstance(value, dict) else getattr(value, "layout", None)
    if layout not in LAYOUTS:
        raise PydanticCustomError("named", "{message}", {"message": unknown_name("layout", str(layout), LAYOUTS)})
    return value


def _tag(value: Any) -> str:
    layout = value["layout"] if isinstance(value, dict) else value.layout
    return "manifest" if layout == "manifest" else "native"


DatasetSettings = Annotated[
    Annotated[NativeDataset, Tag("native")] | Annotated[ManifestDataset, Tag("manifest")],
    Discriminator(_tag),
    BeforeValidator(_check_layout),
]
