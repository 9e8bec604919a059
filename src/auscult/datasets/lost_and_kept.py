"""Do the lost recordings differ from those that were kept? A loss that is not by chance shifts all results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from scipy import stats

from auscult.metrics.multiplicity import holm
from auscult.storage.flow import READ
from auscult.storage.tables import LABEL_PREFIX

MIN_LOST = 5
"""Fewer lost say nothing about whom the loss strikes."""
LEVEL = 0.05
MAX_VALUES = 20
"""Of a column only the most frequent values are compared: each costs power."""


@dataclass(frozen=True)
class Difference:
    """A fact by which the lost differ from the kept.

    Attributes:
        by: `sex`, `age`, `site` or `label <name>`.
        value: The value that is more or less frequent among the lost; None for age.
        lost: How many of the lost have it; of age the median in years.
        n_lost: Of how many of the lost something is stated.
        kept: How many of the kept have it; of age the median in years.
        n_kept: Of how many of the kept something is stated.
        p: Fisher's exact test, or Mann and Whitney's for age; corrected after Holm for all comparisons made.
    """

    by: str
    value: str | None
    lost: float
    n_lost: int
    kept: float
    n_kept: int
    p: float


def find_differences(flow: pd.DataFrame) -> list[Difference]:
    """Return the differences that chance does not explain, the clearest first.

    A patient counts once on each side; a recording without a known patient counts by itself.

    Args:
        flow: The flow of one dataset.
    """
    person = flow["patient_id"].where(flow["patient_is_known"].astype(bool))
    person = person.fillna(pd.Series([f"\0{number}" for number in range(len(flow))], index=flow.index))
    table = flow.assign(person=person, is_lost=flow["status"] != READ)
    if table.loc[table["is_lost"], "person"].nunique() < MIN_LOST:
        return []
    compared = sorted(_compared(table), key=lambda found: found.p)
    p_values = holm([found.p for found in compared])
    corrected = [replace(found, p=p) for found, p in zip(compared, p_values, strict=True) if p is not None]
    return sorted((found for found in corrected if found.p < LEVEL), key=lambda found: found.p)


def _compared(table: pd.DataFrame) -> Iterator[Difference]:
    """Yield every comparison with its own, uncorrected p."""
    labels = [str(name) for name in table.columns if str(name).startswith(LABEL_PREFIX)]
    names = {"sex": "sex", "site": "site"} | {name: f"label {name.removeprefix(LABEL_PREFIX)}" for name in labels}
    for column, name in names.items():
        stated = table.loc[table[column].notna(), [column, "person", "is_lost"]].drop_duplicates()
        lost, kept = stated[stated["is_lost"]], stated[~stated["is_lost"]]
        n_lost, n_kept = int(lost["person"].nunique()), int(kept["person"].nunique())
        if n_lost < MIN_LOST or not n_kept:
            continue
        in_lost, in_kept = lost[column].value_counts(), kept[column].value_counts()
        values = list(stated[column].value_counts().index[:MAX_VALUES])
        if len(values) == 2:
            values = [in_lost.index[0]]  # the other says the same
        for value in values if stated[column].nunique() > 1 else ():
            a, b = int(in_lost.get(value, 0)), int(in_kept.get(value, 0))
            p = _fisher(a, n_lost, b, n_kept)
            yield Difference(name, str(value), a, n_lost, b, n_kept, p)
    ages = table.loc[table["age_years"].notna()].groupby(["is_lost", "person"])["age_years"].min()
    lost_ages, kept_ages = (ages[[side == is_lost for side, _ in ages.index]] for is_lost in (True, False))
    if len(lost_ages) >= MIN_LOST and len(kept_ages):
        p = float(stats.mannwhitneyu(lost_ages, kept_ages).pvalue)
        yield Difference(
            "age", None, float(lost_ages.median()), len(lost_ages), float(kept_ages.median()), len(kept_ages), p
        )


def _fisher(a: int, n_lost: int, b: int, n_kept: int) -> float:
    found: Any = stats.fisher_exact([[a, n_lost - a], [b, n_kept - b]])
    return float(found.pvalue)
