"""What is logged of one evaluated job, read from its folder; knows nothing of the server it goes to.

Of its files only figures, maps drawn by epoch, weights and `model.json` are ever uploaded, and none that names a
patient or a recording. Predictions, outcome lists, logs and rejected files name them and stay where they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config import Experiment, Run, TaskSettings
from auscult.config.paths import MAPS_FOLDER, METRICS_FILE
from auscult.errors import DataError
from auscult.storage.files import read_json, settings_key, sha256_file
from auscult.tracking.live import read_run_state
from auscult.tracking.metrics import Point, final_points, read_history
from auscult.tracking.params import job_params, redacted, run_names, without_wording
from auscult.tracking.system import SYSTEM_FILE, read_system

MODEL_FILES = ("model.safetensors", "model.json")
FIGURE_SUFFIXES = (".png", ".svg")
_ID_COLUMNS = ("recording_id", "patient_id")
_MIN_TEXT_CHARACTERS = 4
_MIN_BINARY_CHARACTERS = 6
_MIN_NUMBER_DIGITS = 3


@dataclass(frozen=True)
class Upload:
    """A file and the folder of the run's artifacts that it goes to."""

    path: Path
    folder: str

    @property
    def name(self) -> str:
        """Its place among the artifacts."""
        return f"{self.folder}/{self.path.name}"


@dataclass(frozen=True)
class JobRecord:
    """A job as one run shows it.

    Attributes:
        id: As `config.Run.id`: the job's number, or with fold and seed.
        name: The run's name.
        params: Flat settings.
        points: The final metrics, then those by epoch, then those of the machine.
        live_run: The run that the training was logged to while it ran, and its store; None: it was not.
        uploads: Files for the run's artifacts.
        withheld: Names of those that hold a patient's or a recording's id.
        settings: Everything the job was made with, for the artifact `settings.json`.
        content: Digest of settings, metrics and uploads: equal digests are one run.
        start_ms: Unix time of the first epoch's start.
        end_ms: Unix time of the evaluation's end.
    """

    id: str
    name: str
    params: dict[str, str]
    points: list[Point]
    live_run: tuple[str, str] | None
    uploads: list[Upload]
    withheld: list[str]
    settings: dict[str, Any]
    content: str
    start_ms: int
    end_ms: int


def read_jobs(experiment: Experiment, task: TaskSettings, job_dirs: list[Path]) -> list[JobRecord]:
    """Read every run's folder, in the order of the experiment's runs.

    Raises:
        DataError: Another number of folders than runs, or a folder without a whole outcome.
    """
    if len(job_dirs) != len(experiment.runs):
        raise DataError(
            f"{experiment.group}/{experiment.name}: {len(job_dirs)} job folders for {len(experiment.runs)} jobs; "
            "hand in one folder a job, in their order"
        )
    params = job_params(experiment, task)
    names = run_names(experiment.name, [run.id for run in experiment.runs], params)
    return [
        _read_job(folder, run, task, name=name, params=of_run)
        for folder, run, name, of_run in zip(job_dirs, experiment.runs, names, params, strict=True)
    ]


def _read_job(folder: Path, run: Run, task: TaskSettings, *, name: str, params: dict[str, str]) -> JobRecord:
    history, outcome = folder / METRICS_FILE, folder / "metrics.json"
    for path in (history, outcome):
        if not path.is_file():
            raise DataError(f"{path}: no such file; train and evaluate the job before it is tracked")
    uploads, withheld = choose_uploads(folder)
    settings = {"job": redacted(run.settings.model_dump(mode="json")), "task": task.model_dump(mode="json")}
    files = {upload.name: sha256_file(upload.path) for upload in uploads}
    content = settings_key(
        {"id": run.id, "settings": without_wording(settings), "files": files}
        | {path.name: sha256_file(path) for path in (history, outcome)}
    )
    end_ms = max(_modified_ms(outcome), _modified_ms(history))
    # The final ones first: MLflow's comparison begins with the metric that was logged first.
    state = read_run_state(folder)
    points = [
        *final_points(read_json(outcome), task, end_ms),
        *read_history(history, state.times_ms),
        *read_system(folder / SYSTEM_FILE),
    ]
    return JobRecord(
        id=run.id,
        name=name,
        params=params,
        points=points,
        live_run=state.live_run,
        uploads=uploads,
        withheld=withheld,
        settings=settings,
        content=content,
        start_ms=min([end_ms, *(point.timestamp_ms for point in points)]),
        end_ms=end_ms,
    )


def _modified_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def choose_uploads(job_dir: Path) -> tuple[list[Upload], list[str]]:
    """Return the files of a job that may be uploaded, and the names of those withheld because they hold an id.

    Raises:
        DataError: The weights, `model.json` or `predictions.parquet` (which says the ids to look for) are missing.
    """
    ids = known_ids(job_dir / "predictions.parquet")
    figures = [
        Upload(path, folder)
        for folder in ("figures", MAPS_FOLDER)
        for path in sorted((job_dir / folder).glob("*"))
        if path.suffix in FIGURE_SUFFIXES
    ]
    candidates = [Upload(job_dir / name, "model") for name in MODEL_FILES] + figures
    for upload in candidates:
        if not upload.path.is_file():
            raise DataError(f"{upload.path}: no such file; train and evaluate the job before it is tracked")
    withheld = [upload for upload in candidates if holds_id(upload.path, ids)]
    # The name of a withheld file may be the very id, so figures are numbered in what is said of them.
    names = [
        upload.name if upload.folder == "model" else f"figures (number {figures.index(upload) + 1} by name)"
        for upload in withheld
    ]
    return [upload for upload in candidates if upload not in withheld], names


def known_ids(predictions: Path) -> set[str]:
    """Return the patients' and recordings' ids of a predictions table, whole and without their dataset.

    Raises:
        DataError: The table is missing or unreadable.
    """
    import pyarrow as arrow  # noqa: PLC0415 (half a second, and only where something is uploaded)
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(predictions, columns=list(_ID_COLUMNS), use_threads=False)
    except (OSError, arrow.ArrowInvalid, KeyError) as error:
        raise DataError(
            f"{predictions}: not a readable table with {' and '.join(_ID_COLUMNS)} ({error}); evaluate the job again"
        ) from error
    whole = {str(value) for column in table.columns for value in column.unique().to_pylist() if value is not None}
    return whole | {value.split("/", 1)[1] for value in whole if "/" in value}


def holds_id(path: Path, ids: Collection[str]) -> bool:
    """Tell whether a file's name or content holds one of `ids` as a word of its own.

    Bare numbers are looked for in the name only (a patient called 101 is not told from any other 101 in a content, but
    `<dataset>/101` is), very short ids in neither. Of weights the header is read: the rest is numbers.
    """
    return _mentions(path.stem, ids, in_name=True) or _mentions(
        _text_of(path), ids, in_name=False, binary=path.suffix == ".png"
    )


def _mentions(text: str, ids: Collection[str], *, in_name: bool, binary: bool = False) -> bool:
    for value in ids:
        is_number = value.isdecimal()
        shortest = _MIN_BINARY_CHARACTERS if binary else _MIN_NUMBER_DIGITS if is_number else _MIN_TEXT_CHARACTERS
        if len(value) < shortest or (is_number and not in_name) or value not in text:
            continue
        # `in` is quick and rules out nearly all; the expression settles the rest.
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", text):
            return True
    return False


def _text_of(path: Path) -> str:
    with path.open("rb") as stream:
        if path.suffix != ".safetensors":
            content = stream.read()
        else:
            try:
                (length,) = struct.unpack("<Q", stream.read(8))
                content = stream.read(min(length, path.stat().st_size))
            except struct.error as error:
                raise DataError(f"{path}: not a safetensors file ({error}); train the job again") from error
    # Latin-1 takes any byte, so text inside a binary file is found too; ids outside ASCII are looked for as UTF-8.
    return content.decode("utf-8" if path.suffix in (".json", ".svg") else "latin-1", errors="replace")
