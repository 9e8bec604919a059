"""Study ids: what a published page calls recordings and patients, whose own names stay with the data.

A study id is the dataset's name and a running number, such as `icbhi-r0042`. Numbers follow a digest of the ids, and
not their order: whoever guesses one name learns nothing from a page, and equal data give equal numbers on each machine.
They hold for one state of a dataset (a recording more moves them), so each result has a key of its own, kept outside
the folder that is published.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import pandas as pd

from auscult.storage.tables import read_facts, write_csv

KEY_FILE = "study_ids.csv"
KEY_COLUMNS = ("study_id", "patient_study_id", "recording_id", "patient_id", "path")
_LEAST_DIGITS: Final = 3


class StudyIds:
    """Names recordings and patients on what is published.

    Args:
        recordings: Columns `recording_id`, `patient_id`, `dataset` and `path` of `tables.RECORDINGS`, of all datasets.
        show_names: Publish the names themselves.

    >>> rows = [("ward/ann/1", "ward/ann", "ward", "ann/1.wav"), ("ward/bob/1", "ward/bob", "ward", "bob/1.wav")]
    >>> table = pd.DataFrame(rows, columns=["recording_id", "patient_id", "dataset", "path"])
    >>> ids = StudyIds(table)
    >>> ids.recording("ward/ann/1"), ids.clip("ward/ann/1:0003"), ids.conceal("ward/bob has 1 recording, ward/bob/1")
    ('ward-r002', 'ward-r002:0003', 'ward-p001 has 1 recording, ward-r001')
    """

    def __init__(self, recordings: pd.DataFrame, *, show_names: bool = False) -> None:
        self._show_names = show_names
        self._recordings = recordings
        self._of_recordings = _numbered(recordings, "recording_id", "r")
        self._of_patients = _numbered(recordings, "patient_id", "p")
        # A recording and a patient may share an id; on a page the recording is what is meant.
        self._of_all = {**self._of_patients, **self._of_recordings}
        self._datasets = sorted(set(recordings["dataset"]))

    @classmethod
    def read(cls, tables: Mapping[str, Path], *, show_names: bool = False) -> StudyIds:
        """Read the recordings of datasets.

        Args:
            tables: Dataset -> folder of its tables.
            show_names: As for the class.

        Raises:
            DataError: A table is missing or damaged.
        """
        columns = ["recording_id", "patient_id", "dataset", "path"]
        parts = [read_facts(Path(folder) / "recordings.parquet", columns).loc[:, columns] for folder in tables.values()]
        return cls(pd.DataFrame(pd.concat(parts, ignore_index=True)), show_names=show_names)

    def recording(self, recording_id: str) -> str:
        """Return what a page calls a recording; an id that is not in the tables raises KeyError."""
        return recording_id if self._show_names else self._of_recordings[recording_id]

    def patient(self, patient_id: str) -> str:
        """Return what a page calls a patient; an id that is not in the tables raises KeyError."""
        return patient_id if self._show_names else self._of_patients[patient_id]

    def clip(self, clip_id: str) -> str:
        """Return what a page calls a clip: its recording and its number there."""
        recording_id, _, number = clip_id.rpartition(":")
        return f"{self.recording(recording_id)}:{number}"

    def conceal(self, text: str) -> str:
        """Return a text with study ids in place of every id of a recording or patient in it."""
        if self._show_names:
            return text
        if text in self._of_all:
            return self._of_all[text]
        if not any(f"{dataset}/" in text for dataset in self._datasets):
            return text
        # Most ids are not in it: a search for each is quicker than one expression of all.
        present = sorted((name for name in self._of_all if name in text), key=len, reverse=True)
        if not present:
            return text
        either = "|".join(re.escape(name) for name in present)
        return re.sub(rf"(?<![\w/.-])(?:{either})(?![\w/-])", lambda match: self._of_all[match[0]], text)

    def conceal_within(self, value: Any) -> Any:
        """Return a JSON-like value whose texts hold no ids, as `conceal` does; keys stay."""
        if isinstance(value, str):
            return self.conceal(value)
        if isinstance(value, Mapping):
            return {key: self.conceal_within(part) for key, part in cast("Mapping[Any, Any]", value).items()}
        if isinstance(value, list | tuple):
            return [self.conceal_within(part) for part in cast("Sequence[Any]", value)]
        return value

    def write_key(self, path: Path) -> None:
        """Write which recording, patient and file each study id stands for, as CSV; it is never published."""
        write_csv(path, self.key())

    def key(self) -> pd.DataFrame:
        """Return one row a recording, columns `KEY_COLUMNS`, by study id."""
        table = self._recordings.assign(
            study_id=[self._of_recordings[str(name)] for name in self._recordings["recording_id"]],
            patient_study_id=[self._of_patients[str(name)] for name in self._recordings["patient_id"]],
        )
        return table.loc[:, list(KEY_COLUMNS)].sort_values("study_id", ignore_index=True)


def _numbered(recordings: pd.DataFrame, column: str, letter: str) -> dict[str, str]:
    """Number the ids of each dataset in the order of their digests."""
    numbered: dict[str, str] = {}
    for dataset, part in recordings.groupby("dataset", sort=True):
        ids = sorted(set(part[column]), key=_digest)
        digits = max(_LEAST_DIGITS, len(str(len(ids))))
        numbered |= {name: f"{dataset}-{letter}{number:0{digits}d}" for number, name in enumerate(ids, start=1)}
    return numbered


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
