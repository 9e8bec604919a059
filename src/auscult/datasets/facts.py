"""A dataset in numbers, computed from its tables alone, and those numbers in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from auscult.datasets.sources import DatasetTables
from auscult.formatting.numbers import duration_text, plural
from auscult.formatting.text import tally
from auscult.storage.tables import ATTRIBUTE_PREFIX, LABEL_PREFIX

MANY_VALUES = 12
"""A column with more values than this, and with more than half as many as there are patients, singles people out."""

_DATE = re.compile(r"(19|20)[0-9]{2}[-/.]?[01][0-9][-/.]?[0-3][0-9]")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ValueCount:
    """How many recordings, and how many patients, carry one value."""

    value: str
    recordings: int
    patients: int


@dataclass(frozen=True)
class Column:
    """The values of one column.

    Attributes:
        name: As people call it.
        values: The most frequent first.
        missing: Recordings without a value.
        identifies: Whether the values single patients out; they are then not for a page.
    """

    name: str
    values: tuple[ValueCount, ...]
    missing: int
    identifies: bool = False


@dataclass(frozen=True)
class EventKind:
    """The events of one kind; durations in seconds, rising, shape [event]."""

    kind: str
    recordings: int
    durations_s: Values

    @property
    def median_s(self) -> float:
        """The middle duration."""
        return float(np.median(self.durations_s))


@dataclass(frozen=True)
class Facts:
    """A dataset in numbers.

    Attributes:
        n_recordings: Usable recordings.
        n_patients: Their patients.
        durations_s: Of the recordings, rising, shape [recording].
        per_patient: Recordings of each patient, shape [patient].
        technical: Sample rate (of sound), encoding, channels, device, site.
        sex: Patients by sex; `recordings` of it counts recordings.
        ages_years: Of the patients whose age is known, at their first recording, rising.
        labels: Native label columns.
        attributes: Other columns that a split may go by.
        events: By kind, the most frequent first.
        rejected: Class of reason -> how many.
        notices: Kind -> how many.
        is_simulated: Whether the sounds are simulated.
        flow: What became of the recordings that were found (`datasets.flow.account`).
    """

    n_recordings: int
    n_patients: int
    durations_s: Values
    per_patient: Values
    technical: tuple[Column, ...]
    sex: Column
    ages_years: Values
    labels: tuple[Column, ...]
    attributes: tuple[Column, ...]
    events: tuple[EventKind, ...]
    rejected: dict[str, int]
    notices: dict[str, int]
    is_simulated: bool
    flow: dict[str, Any]

    @property
    def noun(self) -> str:
        """What one recording is: `recording`, or `picture`."""
        return "picture" if self.are_pictures else "recording"

    @property
    def are_pictures(self) -> bool:
        """Whether they are pictures, which last no time."""
        return not self.durations_s.any()

    @property
    def duration_s(self) -> float:
        """Length of all sound."""
        return float(self.durations_s.sum())

    @property
    def n_ages_unknown(self) -> int:
        """Patients whose age is not known."""
        return self.n_patients - len(self.ages_years)


def collect(tables: DatasetTables) -> Facts:
    """Return the facts of a dataset."""
    recordings = tables.recordings
    patients = recordings.groupby("patient_id", sort=True)
    of_sound = [("sample rate (Hz)", "sample_rate_hz")] if recordings["duration_s"].to_numpy().any() else []
    technical = [
        *of_sound,
        ("encoding", "encoding"),
        ("channels", "n_channels"),
        ("device", "device"),
        ("site", "site"),
    ]
    names = [str(name) for name in recordings.columns]
    notices: dict[str, int] = {kind: int(found["count"]) for kind, found in tables.summary["notices"].items()}
    return Facts(
        n_recordings=len(recordings),
        n_patients=patients.ngroups,
        durations_s=np.sort(recordings["duration_s"].to_numpy(np.float64)),
        per_patient=patients.size().to_numpy(np.float64),
        technical=tuple(_column(recordings, column, name) for name, column in technical),
        sex=_column(recordings, "sex", "sex"),
        ages_years=np.sort(patients["age_years"].first().dropna().to_numpy(np.float64)),
        labels=_columns(recordings, names, LABEL_PREFIX),
        attributes=_columns(recordings, names, ATTRIBUTE_PREFIX),
        events=_events(tables.events),
        rejected=dict(tables.summary["rejected"]["by_class"]),
        notices={kind: count for kind, count in notices.items() if kind != "simulated"},
        is_simulated="simulated" in notices,
        flow=dict(tables.summary["flow"]),
    )


def _columns(recordings: pd.DataFrame, names: Sequence[str], prefix: str) -> tuple[Column, ...]:
    chosen = [name for name in names if name.startswith(prefix)]
    return tuple(_column(recordings, name, name.removeprefix(prefix)) for name in chosen)


def _column(recordings: pd.DataFrame, column: str, name: str) -> Column:
    stated = recordings.loc[recordings[column].notna(), [column, "patient_id"]]
    pairs = [(str(value), str(patient)) for value, patient in stated.itertuples(index=False, name=None)]
    n_recordings = Counter(value for value, _ in pairs)
    n_patients = Counter(value for value, _ in set(pairs))
    counts = [ValueCount(value, count, n_patients[value]) for value, count in n_recordings.items()]
    return Column(
        name=name,
        values=tuple(sorted(counts, key=lambda found: (-found.recordings, found.value))),
        missing=len(recordings) - len(pairs),
        identifies=_identifies(pairs),
    )


def _identifies(pairs: list[tuple[str, str]]) -> bool:
    """Tell whether values single patients out: they are patients' ids, dates, or nearly as many as there are patients.

    Args:
        pairs: (value, patient id) of each recording that has a value.

    >>> _identifies([("7", "demo/7"), ("8", "demo/8")]), _identifies([("copd", "demo/7"), ("copd", "demo/8")])
    (True, False)
    >>> _identifies([("20190203", "demo/7"), ("20190203", "demo/8")])
    True
    """
    n_ids = sum(value == patient.partition("/")[2] for value, patient in pairs)
    n_values, n_patients = len({value for value, _ in pairs}), len({patient for _, patient in pairs})
    n_dates = sum(_DATE.match(value) is not None for value, _ in pairs)
    return 2 * max(n_ids, n_dates) > len(pairs) or n_values > max(MANY_VALUES, n_patients / 2)


def _events(events: pd.DataFrame) -> tuple[EventKind, ...]:
    durations_s = events["end_s"] - events["start_s"]
    found = [
        EventKind(str(kind), len(set(part["recording_id"])), np.sort(durations_s.loc[part.index].to_numpy()))
        for kind, part in events.groupby("kind")
    ]
    return tuple(sorted(found, key=lambda part: (-len(part.durations_s), part.kind)))


MAX_VALUES_SHOWN = 12
OLDEST_YEARS = 90
"""Ages above stand with it: so few people are older that an exact age would single them out."""


def counts_text(column: Column, *, show_ids: bool, unit: str = "recordings") -> str:
    """Return `value (count), ...` of a column, the most frequent first.

    Args:
        column: Its values.
        show_ids: Whether values that single patients out are shown.
        unit: Count `recordings` or `patients`.
    """
    if column.identifies and not show_ids:
        return f"{len(column.values):,} different values (not shown: they may single patients out)"
    counts = {value.value: int(getattr(value, unit)) for value in column.values}
    missing = column.missing if unit == "recordings" else 0
    return tally(counts, most=MAX_VALUES_SHOWN, missing=missing, none="not stated")


def span_text(values: Values) -> str:
    """Return the range of values and their median.

    >>> span_text(np.array([0.5, 4.0, 12.25])), span_text(np.array([15.0, 15.0]))
    ('0.5 to 12.2, median 4', 'each 15')
    """
    low, middle, high = float(values.min()), float(np.median(values)), float(values.max())
    return f"each {low:.3g}" if low == high else f"{low:.3g} to {high:.3g}, median {middle:.3g}"


def ages_text(facts: Facts) -> str:
    """Return the range of ages in years; ages above 90 are not told apart."""
    text = f"{span_text(facts.ages_years.clip(max=OLDEST_YEARS))} years"
    return f"{text} (90 stands for 90 and older)" if facts.ages_years.max() > OLDEST_YEARS else text


def kinds_text(counts: dict[str, int]) -> str:
    """Return `kind (count), ...`, the most frequent first.

    >>> kinds_text({"official_list_absent": 2, "few_recordings": 3})
    'few recordings (3), official list absent (2)'
    """
    return tally({kind.replace("_", " "): count for kind, count in counts.items()})


def extent_text(facts: Facts) -> str:
    """Return recordings, patients and length of sound in one line."""
    of = f"{plural(facts.n_recordings, facts.noun)} of {plural(facts.n_patients, 'patient')}"
    return of if facts.are_pictures else f"{of}, {duration_text(facts.duration_s)} of sound"
