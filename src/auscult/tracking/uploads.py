"""Which files of a job may leave the working copy, and the check that none of them names a patient or a recording.

Only what is listed here is ever uploaded: figures, weights and `model.json`. Predictions, outcome lists, logs and
rejected files name patients and recordings and stay where they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from auscult.errors import DataError

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


def choose_uploads(job_dir: Path) -> tuple[list[Upload], list[str]]:
    """Return the files of a job that may be uploaded, and the names of those withheld because they hold an id.

    Raises:
        DataError: The weights, `model.json` or `predictions.parquet` (which says the ids to look for) are missing.
    """
    ids = known_ids(job_dir / "predictions.parquet")
    figures = sorted(path for path in (job_dir / "figures").glob("*") if path.suffix in FIGURE_SUFFIXES)
    candidates = [Upload(job_dir / name, "model") for name in MODEL_FILES] + [
        Upload(path, "figures") for path in figures
    ]
    for upload in candidates:
        if not upload.path.is_file():
            raise DataError(f"{upload.path}: no such file; train and evaluate the job before it is tracked")
    withheld = [upload for upload in candidates if holds_id(upload.path, ids)]
    # The name of a withheld file may be the very id, so figures are numbered in what is said of them.
    names = [
        upload.name if upload.folder == "model" else f"figures (number {figures.index(upload.path) + 1} by name)"
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
