"""Read a whole native tree, decode every file, and say what is wrong and what differs from the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from auscult.audio.probe import AudioFacts
from auscult.config import DatasetSettings, paths
from auscult.datasets.decode_audio import probe_of
from auscult.datasets.fetch_raw import damaged
from auscult.datasets.folder import printable
from auscult.datasets.not_taken import read_items
from auscult.datasets.sound_findings import sound_findings
from auscult.datasets.sources import DatasetTables, has_tables, read_root, read_tables, root_folder
from auscult.errors import DataError
from auscult.storage.patient_ids import SIMILAR_PATIENTS, SPELLINGS
from auscult.storage.tables import Notice, Rejection

_EVENT_COLUMNS = ["recording_id", "start_s", "end_s", "kind"]


@dataclass(frozen=True)
class Difference:
    """Ids of recordings, sorted.

    Attributes:
        gained: In the root, not in the tables.
        lost: In the tables, not usable in the root.
        changed: Another sound: the SHA-256 of the file differs.
        described_otherwise: The same sound with another patient, label, path, attribute or event.
    """

    gained: tuple[str, ...]
    lost: tuple[str, ...]
    changed: tuple[str, ...]
    described_otherwise: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        """Whether the root is what the tables say."""
        return not (self.gained or self.lost or self.changed or self.described_otherwise)


def compare(now: DatasetTables, before: DatasetTables) -> Difference:
    """Return what differs between a root just read and older tables of the same dataset."""
    new, old = now.recordings.set_index("recording_id"), before.recordings.set_index("recording_id")
    both = new.index.intersection(old.index)
    changed = both[(new.loc[both, "sha256"].to_numpy() != old.loc[both, "sha256"].to_numpy())]
    same_sound = both.difference(changed)
    otherwise = _differing_rows(new.loc[same_sound], old.loc[same_sound]) | _differing_events(
        now.events, before.events, set(same_sound)
    )
    return Difference(
        gained=_sorted(new.index.difference(old.index)),
        lost=_sorted(old.index.difference(new.index)),
        changed=_sorted(changed),
        described_otherwise=tuple(sorted(otherwise)),
    )


def _sorted(index: pd.Index) -> tuple[str, ...]:
    return tuple(sorted(str(name) for name in index))


def _differing_rows(new: pd.DataFrame, old: pd.DataFrame) -> set[str]:
    columns = sorted(set(new.columns) | set(old.columns))
    new, old = new.reindex(columns=columns), old.reindex(columns=columns)
    # Two missing values are the same value; `!=` says otherwise.
    differs = (new != old) & ~(new.isna() & old.isna())
    return {str(name) for name in new.index[differs.any(axis=1)]}


def _differing_events(new: pd.DataFrame, old: pd.DataFrame, chosen: set[str]) -> set[str]:
    now, before = (_counted(events, chosen) for events in (new, old))
    merged = now.merge(before, on=_EVENT_COLUMNS, how="outer", suffixes=("_new", "_old"))
    differs = merged["n_new"].fillna(0) != merged["n_old"].fillna(0)
    return {str(name) for name in merged.loc[differs, "recording_id"]}


def _counted(events: pd.DataFrame, chosen: set[str]) -> pd.DataFrame:
    own = events.loc[events["recording_id"].isin(list(chosen)), _EVENT_COLUMNS]
    return own.value_counts(sort=False).rename("n").reset_index()


PUBLISHED: dict[str, dict[str, int]] = {
    "icbhi": {"recordings": 920, "patients": 126, "events of kind cycle": 6898},
    "jordan": {"recordings": 336, "patients": 112},
}
"""Layout -> what the whole published dataset holds. A part of it is no fault."""


@dataclass(frozen=True)
class Shared:
    """One sound under several names: files of equal bytes."""

    sha256: str
    recordings: tuple[str, ...]
    patients: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        dataset: Its name.
        root: What was read: a folder, or the bucket that was fetched.
        counts: What was found: recordings, patients, events of each kind.
        published: The same of the whole published dataset, where that is known.
        faults: What could not be placed: file, line, reason.
        notices: Worth knowing and no fault.
        shared_between_patients: Sounds that stand under two patients or more.
        shared_within_patient: Sounds that one patient has twice; no fault.
        compared_with: The tables' folder, None when there are none.
        difference: From these tables.
        tables_error: Why the tables cannot be compared with.
        error: Why nothing could be read; all else is then empty.
        flow: What became of the recordings that were found (`datasets.flow.account`).
    """

    dataset: str
    root: str
    counts: dict[str, int]
    published: dict[str, int]
    faults: tuple[Rejection, ...]
    notices: tuple[Notice, ...]
    shared_between_patients: tuple[Shared, ...]
    shared_within_patient: tuple[Shared, ...]
    compared_with: str | None
    difference: Difference | None
    tables_error: str | None = None
    error: str | None = None
    flow: dict[str, Any] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether every file was placed, no sound has two patients, and the tables say what the root holds."""
        differs = self.difference is not None and not self.difference.is_none
        return not (self.error or self.tables_error or self.faults or self.shared_between_patients or differs)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON, with `is_clean`."""
        return {"is_clean": self.is_clean, **asdict(self)}


def verify(
    dataset: str,
    settings: DatasetSettings,
    *,
    tables_dir: Path | None,
    probe: Callable[[Path], AudioFacts] | None = None,
) -> Verification:
    """Read a root and compare it with the workflow's tables; nothing is written.

    Args:
        dataset: Its name.
        settings: Its layout.
        tables_dir: Where the tables may be; None compares with nothing.
        probe: Decodes a file and returns its facts, or raises DataError; default: as the layout asks for.

    A root that is missing, may not be read or holds no usable recording gives a verification with an error.
    """
    try:
        root = root_folder(dataset, settings)
        listener = _Listener(root, settings, probe or probe_of(settings))
        now = read_root(root, dataset, settings, probe=listener)
    except DataError as error:
        return Verification(dataset, settings.root, {}, {}, (), (), (), (), None, None, error=str(error))
    compared_with, difference, tables_error = None, None, None
    if tables_dir is not None and has_tables(tables_dir):
        compared_with = str(tables_dir)
        try:
            difference = compare(now, read_tables(tables_dir))
        except DataError as error:
            tables_error = str(error)
    is_simulated = "simulated" in now.summary["notices"]
    shared = _shared(now.recordings)
    return Verification(
        dataset=dataset,
        root=settings.root,
        counts=_counts(now),
        published={} if is_simulated else PUBLISHED.get(settings.layout, {}),
        faults=(*_cache_faults(dataset, settings, root), *_faults(now.rejected)),
        notices=tuple(_notices(dataset, settings, root, now, listener.findings)),
        shared_between_patients=tuple(found for found in shared if len(found.patients) > 1),
        shared_within_patient=tuple(found for found in shared if len(found.patients) == 1),
        compared_with=compared_with,
        difference=difference,
        tables_error=tables_error,
        flow=now.summary["flow"],
    )


class _Listener:
    """Decodes a file as the ingest does, and keeps what is odd about its sound, in words."""

    def __init__(self, root: Path, settings: DatasetSettings, probe: Callable[[Path], AudioFacts]) -> None:
        self._root = root
        self._settings = settings
        self._probe = probe
        self.findings: list[Notice] = []

    def __call__(self, path: Path) -> AudioFacts:
        facts = self._probe(path)
        subject = printable(path.relative_to(self._root).as_posix())
        channel, full_scale = self._settings.channel, self._settings.full_scale
        self.findings += sound_findings(facts, subject, channel=channel, full_scale=full_scale)
        return facts


def _counts(tables: DatasetTables) -> dict[str, int]:
    events: dict[str, Any] = tables.summary["events"]
    return {
        "recordings": len(tables.recordings),
        "patients": len(set(tables.recordings["patient_id"])),
        **{f"events of kind {kind}": int(found["count"]) for kind, found in events.items()},
    }


def _cache_faults(dataset: str, settings: DatasetSettings, root: Path) -> list[Rejection]:
    """Of a root in a bucket: the files here that are not what the bucket held when it was fetched."""
    if not paths.is_remote(settings.root):
        return []
    reason = f"cache: not what the bucket held; `auscult data fetch {dataset}` brings it again"
    return [Rejection(name, None, reason) for name in damaged(root, Path(paths.raw_listing_path(dataset)))]


def _faults(rejected: pd.DataFrame) -> list[Rejection]:
    rows = rejected.itertuples(index=False, name=None)
    return [Rejection(str(file), None if pd.isna(line) else int(line), str(reason)) for file, line, reason in rows]


def _notices(
    dataset: str, settings: DatasetSettings, root: Path, now: DatasetTables, heard: Sequence[Notice]
) -> list[Notice]:
    """Return the notices with their texts, which tables do not hold: the reader tells them again, decoding nothing.

    Those of the ingest itself are known by kind and subject alone.
    """
    told = [*heard, *(item for item in read_items(root, dataset, settings) if isinstance(item, Notice))]
    kinds = {notice.kind for notice in told}
    for kind, found in now.summary["notices"].items():
        if kind not in kinds:
            text = SPELLINGS if kind == SIMILAR_PATIENTS else str(kind).replace("_", " ")
            told += [Notice(kind, str(subject), text) for subject in found["subjects"]]
    return told


def _shared(recordings: pd.DataFrame) -> list[Shared]:
    doubles = recordings.loc[recordings["sha256"].duplicated(keep=False)]
    return [
        Shared(str(sha256), tuple(sorted(part["recording_id"])), tuple(sorted(set(part["patient_id"]))))
        for sha256, part in doubles.groupby("sha256", sort=True)
    ]
