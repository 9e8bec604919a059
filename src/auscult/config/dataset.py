"""Where a dataset lies and how it is laid out: `config/datasets/<name>.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from auscult.config.base import NAME_PATTERN, Label, Settings
from auscult.errors import unknown_name

REMOTE = "gs://"
"""How the root of a dataset in a bucket begins."""


class OfficialList(Settings):
    """What is known of a dataset's own list of train and test."""

    cannot_judge: dict[Label, Annotated[str, Field(min_length=1)]] = Field(
        description="target -> why no result on the list's test set can say anything about it"
    )


class _Dataset(Settings):
    """What every dataset says of itself."""

    description: str
    root: str = Field(
        description="folder, relative to the project, or gs://bucket/prefix; "
        "`--config roots='{name: folder}'` overrides it"
    )
    tracked_by: str | None = Field(default=None, description="the .dvc file that versions the root, if any")
    channel: Literal["mean"] | Annotated[int, Field(ge=0)] = Field(default="mean", description="of multi-channel audio")
    official_split: OfficialList | None = Field(
        default=None, description="what `split: {kind: official}` must know of the dataset's list, if anything"
    )
    shards: int = Field(
        default=1, ge=1, le=10_000, description="jobs that read, cut and transform the recordings side by side"
    )

    @field_validator("root")
    @classmethod
    def _check_root(cls, root: str) -> str:
        scheme, mark, rest = root.partition("://")
        if mark and (scheme != "gs" or not re.fullmatch(r"[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?", rest)):
            raise ValueError("expected a folder, or gs://bucket/prefix")
        return root

    @model_validator(mode="after")
    def _check_tracked_by(self) -> Self:
        if self.root.startswith(REMOTE) and self.tracked_by is not None:
            raise ValueError(f"tracked_by: DVC tracks folders of this project; the root is {self.root}: leave it out")
        return self


class NativeDataset(_Dataset):
    """A published dataset in its own layout (see the readers in `datasets/readers`)."""

    layout: Literal["icbhi", "jordan", "perch", "antwerp", "antwerp_sim", "bd", "sprsound", "hf_lung"]
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

    @property
    def names(self) -> list[str]:
        """All columns, or named groups, that are asked for."""
        single = self.model_dump(exclude={"labels", "attributes"}, exclude_none=True)
        return [*single.values(), *self.labels.values(), *self.attributes.values()]

    def check_groups(self, groups: set[str]) -> None:
        """Check that all names are groups of a pattern, where there is no table to have them as columns."""
        unknown = sorted(set(self.names) - groups)
        if unknown:
            raise ValueError(f"columns {unknown} are no named groups of pattern; it has {sorted(groups)}")


class ManifestDataset(_Dataset):
    """Any collection: a table with a path column, or files whose names say it all."""

    layout: Literal["manifest"]
    manifest: str | None = Field(default=None, description="CSV, TSV or Parquet, relative to the root")
    files: str | None = Field(
        default=None,
        description="glob below the root, when there is no manifest; without it every wav, flac, ogg and mp3 is taken",
    )
    pattern: str | None = Field(
        default=None, description="regular expression on the file's whole stem; its named groups"
    )
    columns: ManifestColumns = ManifestColumns()
    follow_links: bool = Field(default=False, description="take files that are links to files outside the root")

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        groups = set[str]() if self.pattern is None else named_groups(self.pattern)
        if self.manifest is None:
            self.columns.check_groups(groups)
        elif self.columns.path is None:
            raise ValueError("columns.path must name the manifest's column of file paths")
        return self


class FilesCsvDataset(_Dataset):
    """A table with the columns `files` (a path each) and `type` (its label)."""

    layout: Literal["files_csv"]
    info: str = Field(default="info.csv", description="the table, relative to the root")
    folder: str = Field(default="", description="what the paths are relative to, below the root")
    pattern: str | None = Field(default=None, description="regular expression on the whole stem; its named groups")
    columns: ManifestColumns = Field(
        default=ManifestColumns(), description="further columns; `path` and the label `type` are given by the layout"
    )
    follow_links: bool = Field(default=False, description="take files that are links to files outside the root")

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.pattern is not None:
            named_groups(self.pattern)
        if self.columns.path is not None or "type" in self.columns.labels:
            raise ValueError(
                "the layout files_csv gives columns.path (`files`) and columns.labels.type (`type`) itself"
            )
        return self


class LabelFoldersDataset(_Dataset):
    """A folder per label set: `crackle+wheeze/any-name.wav`."""

    layout: Literal["label_folders"]
    label: str = Field(default="label", pattern=NAME_PATTERN, description="name of the label that the folders give")
    known_labels: tuple[Label, ...] = Field(
        default=(), description="the only parts that a folder's name may have; without it, any"
    )
    pattern: str | None = Field(default=None, description="regular expression on the whole stem; its named groups")
    columns: ManifestColumns = Field(default=ManifestColumns(), description="what the pattern's named groups hold")
    follow_links: bool = Field(default=False, description="take files that are links to files outside the root")

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        groups = set[str]() if self.pattern is None else named_groups(self.pattern)
        self.columns.check_groups(groups)
        if self.label in self.columns.labels:
            raise ValueError(f"the label {self.label!r} is given by the folders, and by columns.labels")
        return self


class UidJsonDataset(_Dataset):
    """A folder per recording with `waveform.<ext>` and `metadata.json`; `train.csv` and `test.csv` beside them."""

    layout: Literal["uid_json"]
    uid: str = Field(default="uid", description="column of train.csv and test.csv that names the folder")
    patient: str | None = Field(default=None, description="column of the patient; without it each recording is one")
    targets: str = Field(default="targets.txt", description="text file that names the target columns, one a line")


_KINDS: dict[str, str] = {
    **dict.fromkeys(NativeDataset.model_fields["layout"].annotation.__args__, "native"),  # type: ignore[union-attr]
    "manifest": "manifest",
    "files_csv": "files_csv",
    "label_folders": "label_folders",
    "uid_json": "uid_json",
}
LAYOUTS: tuple[str, ...] = tuple(_KINDS)


def _check_layout(value: Any) -> Any:
    layout = value.get("layout") if isinstance(value, dict) else getattr(value, "layout", None)
    if layout not in LAYOUTS:
        raise PydanticCustomError("named", "{message}", {"message": unknown_name("layout", str(layout), LAYOUTS)})
    return value


def _tag(value: Any) -> str:
    layout = value["layout"] if isinstance(value, dict) else value.layout
    return _KINDS[layout]


DatasetSettings = Annotated[
    Annotated[NativeDataset, Tag("native")]
    | Annotated[ManifestDataset, Tag("manifest")]
    | Annotated[FilesCsvDataset, Tag("files_csv")]
    | Annotated[LabelFoldersDataset, Tag("label_folders")]
    | Annotated[UidJsonDataset, Tag("uid_json")],
    Discriminator(_tag),
    BeforeValidator(_check_layout),
]
