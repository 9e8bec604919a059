"""Where a dataset lies and how it is laid out: `config/datasets/<name>.yaml`."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from auscult.config.annotations import AnnotationSettings
from auscult.config.base import NAME_PATTERN, Label, Settings
from auscult.config.columns import Columns, JoinedTable, Raters, TableFile, Wide
from auscult.config.plugins import OrPlugin, PluginSettings, plugin_kind, plugin_names
from auscult.errors import unknown_name

REMOTE = "gs://"
"""How the root of a dataset in a bucket begins."""


class OfficialList(Settings):
    """What is known of a dataset's own list of train and test."""

    cannot_judge: dict[Label, Annotated[str, Field(min_length=1)]] = Field(
        description="target -> why no result on the list's test set can say anything about it"
    )


class RateBounds(Settings):
    """Sample rates that are believed; a file whose header states another is refused."""

    min: int = Field(default=100, ge=20, description="Hz; lung and heart sounds begin at 20 Hz, and need twice that")
    max: int = Field(default=1_000_000, ge=20, description="Hz; beyond it no sound card records")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} Hz and max {self.max} Hz; expected min to be no more than max")
        return self


class _Dataset(Settings):
    """What every dataset says of itself."""

    description: str
    root: str = Field(
        description="folder, relative to the project, or gs://bucket/prefix; "
        "`--config roots='{name: folder}'` overrides it"
    )
    tracked_by: str | None = Field(default=None, description="the .dvc file that versions the root, if any")
    channel: Literal["mean"] | Annotated[int, Field(ge=0)] = Field(default="mean", description="of multi-channel audio")
    full_scale: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="level that is full scale in files of float samples, by which they are divided: 32768 where floats "
        "hold what 16 bit would",
    )
    rate_hz: RateBounds = Field(default=RateBounds(), description="sample rates that are believed of its files")
    official_split: OfficialList | None = Field(
        default=None, description="what `split: {kind: official}` must know of the dataset's list, if anything"
    )
    shards: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="jobs that read, cut and transform the recordings side by side; default: by the folder's size",
    )

    @property
    def holds_pictures(self) -> bool:
        """Whether its recordings are pictures."""
        return False

    @property
    def may_know_bands(self) -> bool:
        """Whether its files may say at which frequencies an event lies."""
        return False

    @field_validator("root")
    @classmethod
    def _check_root(cls, root: str) -> str:
        scheme, mark, rest = root.partition("://")
        if mark and (scheme != "gs" or not re.fullmatch(r"[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?", rest)):
            raise ValueError("expected a folder, or gs://bucket/prefix")
        return root if mark else os.path.expanduser(root)  # noqa: PTH111 (a path stays as it is written otherwise)

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


class _Collection(_Dataset):
    """What the general layouts share: names and tables of the collection's own, read as the columns say."""

    pattern: str | None = Field(
        default=None, description="regular expression on the file's whole stem; its named groups are columns"
    )
    path_pattern: str | None = Field(
        default=None,
        description="regular expression on the whole path below the root, without the suffix; its groups are columns",
    )
    columns: Columns = Columns()
    join: tuple[JoinedTable, ...] = Field(default=(), description="tables of patients, visits or labels, by a key")
    annotations: AnnotationSettings | None = Field(
        default=None, description="the annotation file of each recording: intervals and what they hold"
    )
    follow_links: bool = Field(default=False, description="take files that are links to files outside the root")

    @property
    def may_know_bands(self) -> bool:
        """Whether its files may say at which frequencies an event lies."""
        files = self.annotations
        return bool(self.columns.bands) or (files is not None and (bool(files.bands) or files.may_be_label_tracks))

    @property
    def groups(self) -> set[str]:
        """The named groups of both patterns."""
        return {group for text in (self.pattern, self.path_pattern) if text for group in named_groups(text)}

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        if self.annotations is not None and self.columns.event is not None:
            raise ValueError("events stand in the table (columns.event) or in annotation files, not in both")
        both = [named_groups(text) for text in (self.pattern, self.path_pattern) if text is not None]
        twice = sorted(set.intersection(*both)) if len(both) == 2 else []
        if twice:
            raise ValueError(f"pattern and path_pattern both name the groups {twice}")
        return self

    def check_groups(self) -> None:
        """Check that all columns are groups of a pattern, where no table could have them."""
        if not self.join:
            self.columns.check_groups(self.groups)


class _Tabular(_Collection):
    """A collection with a table of recordings."""

    table: TableFile = Field(default=TableFile(), description="how the table is written, where that is not found out")
    raters: Raters | None = Field(default=None, description="several rows of one file, each by another rater")
    wide: Wide | None = Field(default=None, description="several recordings in one row")

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        if self.wide is not None and self.wide.mark not in self.columns.model_dump_json():
            raise ValueError(f"wide: no column holds {self.wide.mark}, so that every recording would be the same")
        if self.raters is not None and self.raters.keep == "agreement" and self.columns.event is not None:
            raise ValueError("raters: events have no agreement; keep `first` or `each`, whose events name their rater")
        return self


class ManifestDataset(_Tabular):
    """Any collection: a table with a path column, or files whose names say it all."""

    layout: Literal["manifest"]
    manifest: str | None = Field(
        default=None,
        description="CSV, TSV, Excel, ODS or Parquet, below the root: a row for each recording or event",
    )
    files: str | None = Field(
        default=None, description="glob below the root, when there is no manifest; without it all audio files are taken"
    )

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if self.manifest is None:
            self.check_groups()
            if self.columns.path is not None or self.raters is not None or self.wide is not None:
                raise ValueError("columns.path, raters and wide belong to a table of recordings; name it: `manifest`")
        elif self.columns.path is None:
            raise ValueError("columns.path must name the manifest's column of file paths")
        return self


class _SoundOrPictures(_Collection):
    """A collection whose files are sound, or, where it says so, pictures."""

    holds: Literal["sound", "pictures"] = Field(
        default="sound", description="what its files are; pictures: PNG, JPEG, TIFF, BMP or WebP"
    )

    @property
    def holds_pictures(self) -> bool:
        """Whether its recordings are pictures."""
        return self.holds == "pictures"

    @model_validator(mode="after")
    def _check_pictures(self) -> Self:
        if self.holds_pictures and (self.annotations is not None or self.columns.event is not None):
            raise ValueError("annotations and columns.event mark times in sound; pictures have none: leave them out")
        return self

    @model_serializer(mode="wrap")
    def _without_sound(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Collections of sound that were read before there were pictures are not read again.
        values: dict[str, Any] = to_dict(self)
        return {name: value for name, value in values.items() if name != "holds" or self.holds_pictures}


class FilesCsvDataset(_Tabular, _SoundOrPictures):
    """A table with the columns `files` (a path each) and `type` (its label)."""

    layout: Literal["files_csv"]
    info: str = Field(default="info.csv", description="the table, relative to the root")
    folder: str = Field(default="", description="what the paths are relative to, below the root")

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.columns.path is not None or "type" in self.columns.labels:
            raise ValueError(
                "the layout files_csv gives columns.path (`files`) and columns.labels.type (`type`) itself"
            )
        return self


class LabelFoldersDataset(_SoundOrPictures):
    """A folder per label set: `crackle+wheeze/any-name.wav`."""

    layout: Literal["label_folders"]
    label: str = Field(default="label", pattern=NAME_PATTERN, description="name of the label that the folders give")
    known_labels: tuple[Label, ...] = Field(
        default=(), description="the only parts that a folder's name may have; without it, any"
    )

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        self.check_groups()
        if self.label in self.columns.labels:
            raise ValueError(f"the label {self.label!r} is given by the folders, and by columns.labels")
        return self


class LabelImagesDataset(_Collection):
    """Pictures, and of each a label image: 0 background, 1 too hard to annotate, from 2 on a value for each object."""

    layout: Literal["label_images"]
    images: str = Field(default="images", description="folder of the pictures, below the root; empty: the root")
    labels: str = Field(
        default="labels", description="folder of the label images, below the root, laid out as that of the pictures"
    )
    suffix: str = Field(
        default="",
        description="what the stem of a label image has behind that of its picture: `_label` for a_label.png of a.jpg",
    )

    @property
    def holds_pictures(self) -> bool:
        """Whether its recordings are pictures: all are."""
        return True

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        self.check_groups()
        if self.images.strip("/") == self.labels.strip("/") and not self.suffix:
            raise ValueError("images and labels are one folder: say what the names of label images end with (`suffix`)")
        if self.annotations is not None:
            raise ValueError("annotations mark times in sound; pictures have label images instead: leave it out")
        if OBJECTS_LABEL in self.columns.labels:
            raise ValueError(f"the label {OBJECTS_LABEL!r} is given by the label images, and by columns.labels")
        return self


OBJECTS_LABEL = "objects"
"""Label of a picture, read from its label image: `present`, `absent`, or unknown where all that is there is value 1."""


class IdxDataset(_Dataset):
    """Pictures and labels in files of the idx format: `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`."""

    layout: Literal["idx"]
    label: str = Field(default="label", pattern=NAME_PATTERN, description="name of the label that the files give")
    classes: tuple[Annotated[Label, Field(min_length=1)], ...] = Field(
        default=(), description="what the labels 0, 1, ... are called; without it, their digits"
    )

    @property
    def holds_pictures(self) -> bool:
        """Whether its recordings are pictures: all are."""
        return True

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise ValueError(f"classes: {twice} stand there twice; each label has a name of its own")
        return self


class UidJsonDataset(_Dataset):
    """A folder per recording with `waveform.<ext>` and `metadata.json`; `train.csv` and `test.csv` beside them."""

    layout: Literal["uid_json"]
    uid: str = Field(default="uid", description="column of train.csv and test.csv that names the folder")
    patient: str | None = Field(default=None, description="column of the patient; without it each recording is one")
    targets: str = Field(default="targets.txt", description="text file that names the target columns, one a line")


@plugin_kind("reader", lambda: LAYOUTS)
class PluginDataset(PluginSettings, _Dataset, extra="allow"):
    """A collection that a file of `plugins/` reads."""

    name_key: ClassVar[str] = "layout"

    layout: str


_KINDS: dict[str, str] = {
    **dict.fromkeys(NativeDataset.model_fields["layout"].annotation.__args__, "native"),  # type: ignore[union-attr]
    "manifest": "manifest",
    "files_csv": "files_csv",
    "label_folders": "label_folders",
    "label_images": "label_images",
    "idx": "idx",
    "uid_json": "uid_json",
}
LAYOUTS: tuple[str, ...] = tuple(_KINDS)


def _check_layout(value: Any) -> Any:
    layout = value.get("layout") if isinstance(value, dict) else getattr(value, "layout", None)
    if layout not in LAYOUTS:
        known = [*LAYOUTS, *plugin_names("reader")]
        raise PydanticCustomError("named", "{message}", {"message": unknown_name("layout", str(layout), known)})
    return value


def _tag(value: Any) -> str:
    layout = value["layout"] if isinstance(value, dict) else value.layout
    return _KINDS[layout]


_OwnDataset = Annotated[
    Annotated[NativeDataset, Tag("native")]
    | Annotated[ManifestDataset, Tag("manifest")]
    | Annotated[FilesCsvDataset, Tag("files_csv")]
    | Annotated[LabelFoldersDataset, Tag("label_folders")]
    | Annotated[LabelImagesDataset, Tag("label_images")]
    | Annotated[IdxDataset, Tag("idx")]
    | Annotated[UidJsonDataset, Tag("uid_json")],
    Discriminator(_tag),
    BeforeValidator(_check_layout),
]

DatasetSettings = Annotated[_OwnDataset | PluginDataset, OrPlugin(_OwnDataset, PluginDataset, LAYOUTS)]
