"""What a root holds now, against the tables that the workflow made of it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from auscult.describe.sources import DatasetTables

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
