"""The tables that the stages hand to each other: their columns, their checks, their reading and writing.

Ids are unique across datasets: `recording_id` is `<dataset>/<name>`, `patient_id` is `<dataset>/<native id>`,
`clip_id` is `<recording_id>:<index>`. A missing value is null, never a special number or text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
from pyarrow import parquet

from auscult.errors import DataError
from auscult.storage.files import atomic_path
from auscult.storage.spreadsheets import to_csv

if TYPE_CHECKING:
    from auscult.config import TaskSettings

LABEL_PREFIX = "label_"
ATTRIBUTE_PREFIX = "attr_"
SIMULATED_MARK = "SIMULATED.md"
"""A file of this name beside datasets says that they are simulated; their tables and reports then say so too."""
SUBSETS = ("train", "val", "calibration", "test")
"""`calibration` is there only where a split asks for it."""


def named_subsets(found: Iterable[object]) -> tuple[str, ...]:
    """Return the subsets that tables and counts name: three, and the calibration subset where it is among `found`.

    >>> named_subsets(["train", "test"]), named_subsets(["calibration"])
    (('train', 'val', 'test'), ('train', 'val', 'calibration', 'test'))
    """
    present = set(found)
    return tuple(name for name in SUBSETS if name != "calibration" or name in present)


UNPLACED = "unplaced"
"""Kind of an event that spans what is unknown of a recording because an event in it could not be placed in time."""
ANNOTATED = "annotated"
"""Kind of an event that spans what somebody listened to: without another event in it, there is none."""


@dataclass(frozen=True)
class Recording:
    """One audio file of one patient, as its layout describes it; `None` where the layout does not say.

    Attributes:
        recording_id: `<dataset>/<name>`, unique.
        patient_id: `<dataset>/<native patient id>`.
        path: Relative to the dataset's root, with `/`.
        age_years: Age at the recording.
        sex: `female`, `male` or None.
        labels: Native label columns (`diagnosis`, `sounds`, `pep1`, ...); parts joined by `+`, lower case.
        attributes: Other facts that a split may go by (`official_split`, `filter`, `index`, ...).
    """

    recording_id: str
    patient_id: str
    path: str
    site: str | None = None
    device: str | None = None
    age_years: float | None = None
    sex: str | None = None
    labels: dict[str, str | None] = field(default_factory=dict)
    attributes: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """An interval of a recording: its kind (`cycle`, `crackle`, `wheeze`, ...) and who or what marked it.

    An `end_s` of infinity means the recording's end, whose time a reader does not know. `low_hz` and `high_hz` bound it
    in frequency, None where nobody says. `file` and `line` say where it was read, for messages only: they are no
    columns of the table.
    """

    recording_id: str
    start_s: float
    end_s: float
    kind: str
    source: str
    file: str | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class Rejection:
    """What a reader could not place: the file (relative to the root), the line (from 1; None for the file) and why.

    A reason opens with its class and a colon (`duplicate id: ...`); summaries count by class.

    Attributes:
        lost: The recording that is not read because of it, as far as it is known (an id or patient that is not: empty);
            None where none is lost.
        event_of: The recording that holds an event which could not be placed in time. What it would have said is
            unknown for all of that recording (`UNPLACED`), and so no target of it becomes negative.
    """

    file: str
    line: int | None
    reason: str
    lost: Recording | None = field(default=None, compare=False)
    event_of: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Notice:
    """Worth reporting and nobody's fault (a recording on the official list that is not in the folder, say)."""

    kind: str
    subject: str
    text: str


def _text(*, nullable: bool = False, unique: bool = False, **checks: Any) -> pa.Column:
    return pa.Column(str, nullable=nullable, unique=unique, coerce=False, **checks)


SOUND_FACTS = (
    *("peak", "rms_db", "clipped_share", "dc", "silent_share", "dead_channels", "channel_correlation", "mean_loss_db"),
    *("band_limit_hz", "trailing_bytes", "placeholder_size"),
)
"""Numbers that say how a recording sounds (`audio.probe.AudioFacts`); null where nobody can tell."""

RECORDINGS = pa.DataFrameSchema(
    {
        "recording_id": _text(unique=True),
        "dataset": _text(),
        "patient_id": _text(),
        "path": _text(),
        "site": _text(nullable=True),
        "device": _text(nullable=True),
        "age_years": pa.Column(float, pa.Check.in_range(0, 130), nullable=True),
        "sex": _text(nullable=True, checks=pa.Check.isin(["female", "male"])),
        "sample_rate_hz": pa.Column("int64", pa.Check.ge(0)),
        "n_channels": pa.Column("int64", pa.Check.gt(0)),
        "n_samples": pa.Column("int64", pa.Check.ge(0)),
        "duration_s": pa.Column(float, pa.Check.ge(0)),
        "encoding": _text(),
        "sha256": _text(),
        "fingerprint": _text(nullable=True),
        **{name: pa.Column(float, nullable=True, required=False) for name in SOUND_FACTS},
        "dead_which": pa.Column(str, nullable=True, required=False),
        f"{LABEL_PREFIX}.+": pa.Column(str, nullable=True, regex=True, required=False),
        f"{ATTRIBUTE_PREFIX}.+": pa.Column(str, nullable=True, regex=True, required=False),
    },
    checks=pa.Check(
        lambda table: (table[["sample_rate_hz", "n_samples", "duration_s"]] > 0).sum(axis=1).isin([0, 3]),
        error="sample_rate_hz, n_samples and duration_s are all above 0, or, of a picture, all 0",
    ),
    strict=True,
)
"""One row a recording, or a picture, which has no rate, no samples and lasts no time. `n_samples` counts per channel;
`sha256` is of the file's bytes; `fingerprint` is of its sound (`audio.fingerprint`), null where there is too little to
tell."""

BAND_COLUMNS = ("low_hz", "high_hz")
"""The lowest and the highest frequency of an event."""

EVENTS = pa.DataFrameSchema(
    {
        "recording_id": _text(),
        "start_s": pa.Column(float, pa.Check.ge(0)),
        "end_s": pa.Column(float),
        "kind": _text(),
        "source": _text(),
        **{name: pa.Column(float, pa.Check.ge(0), nullable=True, required=False) for name in BAND_COLUMNS},
    },
    checks=[
        pa.Check(lambda table: table["end_s"] > table["start_s"], error="end_s must lie after start_s"),
        pa.Check(
            lambda table: ~(table["high_hz"] <= table["low_hz"]) if set(BAND_COLUMNS) <= set(table) else True,
            error="high_hz must lie above low_hz",
        ),
    ],
    strict=True,
)
"""One row an event, in seconds from the recording's start; `low_hz` and `high_hz` are null where nobody knows them.

Tables of datasets that cannot say of frequencies do not have these two columns on the disk."""

CLIPS = pa.DataFrameSchema(
    {
        "clip_id": _text(unique=True),
        "recording_id": _text(),
        "patient_id": _text(),
        "dataset": _text(),
        "start_s": pa.Column(float, pa.Check.ge(0)),
        "end_s": pa.Column(float, pa.Check.ge(0)),
        "n_valid": pa.Column("int64", pa.Check.gt(0)),
    },
    strict=True,
)
"""One row a clip: where it lies in its recording (`end_s` is the end of the true sound), and its unpadded samples.

A picture is one clip from 0 to 0 s, with its unpadded pixels."""

SPLIT = pa.DataFrameSchema(
    {
        "recording_id": _text(unique=True),
        "patient_id": _text(),
        "dataset": _text(),
        "split": _text(checks=pa.Check.isin(SUBSETS)),
    },
    strict=True,
)
"""One row a recording that takes part; a recording without a row takes no part."""

REJECTED_COLUMNS = ("file", "line", "reason")


def validate(table: pd.DataFrame, schema: pa.DataFrameSchema, name: str) -> pd.DataFrame:
    """Return `table` when it fits `schema`.

    Raises:
        DataError: Naming the table, the columns and some failing values.
    """
    try:
        return schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        rows = [
            f"  {row.column}: {row.check} failed for {row.failure_case!r} (row {row.index})"
            for row in cases.head(5).itertuples()
        ]
        raise DataError(f"{name}: {len(cases)} values do not fit the table's schema:\n" + "\n".join(rows)) from error


def read_recordings(path: Path) -> pd.DataFrame:
    """Read and check a recordings table."""
    return validate(_read_parquet(path), RECORDINGS, str(path))


def read_facts(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read some columns, and all labels, of a recordings table that was checked when it was written.

    It spares the memory of all others: fingerprints are most of a table.

    Raises:
        DataError: The file is missing or damaged.
    """
    return _read_parquet(path, set(columns))


def read_events(path: Path) -> pd.DataFrame:
    """Read and check an events table; one without frequencies is returned with these unknown."""
    table = validate(_read_parquet(path), EVENTS, str(path))
    return table.assign(**{name: np.nan for name in BAND_COLUMNS if name not in table})


def read_split(path: Path) -> pd.DataFrame:
    """Read and check a split table (CSV)."""
    return validate(pd.read_csv(path, dtype=str, keep_default_na=False), SPLIT, str(path))


def _read_parquet(path: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if columns is not None:
            names = [name for name in names if name in columns or name.startswith(LABEL_PREFIX)]
        # memory_map off and one thread: many short stages run side by side.
        return file.read(columns=names, use_threads=False).to_pandas()
    except (OSError, arrow.ArrowInvalid) as error:
        raise DataError(f"{path}: not a readable Parquet table ({error}); delete it and run again") from error


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV, atomically; what a spreadsheet would take for a formula is quoted."""
    with atomic_path(path) as temporary:
        temporary.write_text(to_csv(table), encoding="utf-8", newline="")


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """Return events as a checked table, empty ones too."""
    table = pd.DataFrame([asdict(event) for event in events], columns=list(EVENTS.columns))
    table = table.astype(
        {"recording_id": "str", "kind": "str", "source": "str"}
        | dict.fromkeys(("start_s", "end_s", *BAND_COLUMNS), np.float64)
    )
    return validate(table, EVENTS, "events")


ID_COLUMNS = ("clip_id", "recording_id", "patient_id", "dataset", "split", "start_s", "end_s")


def target_column(target: str) -> str:
    """Column that holds the truth: 1, 0 or null."""
    return f"target_{target}"


def probability_column(target: str) -> str:
    """Column that holds the probability."""
    return f"prob_{target}"


def positive_column(target: str) -> str:
    """Column that says whether the probability reaches the target's threshold."""
    return f"positive_{target}"


def threshold_column(target: str) -> str:
    """Column that holds the target's threshold at the row's level."""
    return f"threshold_{target}"


def unsure_column(view: str) -> str:
    """Column that says whether a conformal set has not one class."""
    return f"unsure_{view}"


def predictions_table(
    clips: pd.DataFrame,
    targets: npt.NDArray[np.floating],
    probabilities: npt.NDArray[np.floating],
    task: TaskSettings,
) -> pd.DataFrame:
    """Return one row a clip: `ID_COLUMNS`, then `target_<name>` (null: unknown) and `prob_<name>` of each target.

    Args:
        clips: Rows with `ID_COLUMNS`.
        targets: Shape [clip, target]: 1, 0 or NaN.
        probabilities: Shape [clip, target].
        task: Names the targets.
    """
    table = clips.loc[:, list(ID_COLUMNS)].reset_index(drop=True)
    for column, target in enumerate(task.targets):
        table[target_column(target)] = targets[:, column].astype(np.float32)
        table[probability_column(target)] = probabilities[:, column]
    return table


def truth_of(predictions: pd.DataFrame, task: TaskSettings) -> npt.NDArray[np.float32]:
    """Return what is known, shape [clip, target]: 1, 0 or NaN."""
    columns = [target_column(target) for target in task.targets]
    return predictions[columns].to_numpy(dtype=np.float32, na_value=np.nan)


def probabilities_of(predictions: pd.DataFrame, task: TaskSettings) -> npt.NDArray[np.float64]:
    """Return the probabilities, shape [clip, target]."""
    return predictions[[probability_column(target) for target in task.targets]].to_numpy(dtype=np.float64)


def read_predictions(path: Path, task: TaskSettings) -> pd.DataFrame:
    """Read a table of predictions.

    Raises:
        DataError: The file is missing or unreadable, or lacks a column.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable table of predictions ({error}); run `evaluate` again") from error
    wanted = [*ID_COLUMNS, *(name(target) for target in task.targets for name in (target_column, probability_column))]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(f"{path}: the columns {missing} are missing; it belongs to another task: run `evaluate` again")
    return table
