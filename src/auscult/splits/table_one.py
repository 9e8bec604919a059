"""Table 1 of a study: who the patients of each subset are, and what is known of their recordings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.storage.tables import named_subsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings
    from auscult.splits.counts import RecordingFacts

    Texts = NDArray[np.object_]

ALL = "all"
NOT_STATED = "not stated"
FEWEST_PATIENTS = 5
"""Sites and devices of fewer patients in all subsets together are summed up: they could identify somebody."""
MOST_CATEGORIES = 10
"""So many sites or devices have a line; the rarest of the others are summed up."""
_SUMMED_UP = ("site", "device")


def table_one(
    recordings: pd.DataFrame, subsets: Texts, facts: RecordingFacts, task: TaskSettings
) -> list[dict[str, Any]]:
    """Return the rows of Table 1.

    Each has `characteristic`, `category` (empty where there is none), `unit` (`patients` or `recordings`) and a cell
    for all and for each subset: `{"n", "of"}`, or of a number `{"median", "low", "high", "mean", "deviation",
    "missing"}` with the quartiles as ends, None without any. A patient counts in every site, device and class that a
    recording names; of several sexes as `several`; its age is the median of those of its recordings.

    Args:
        recordings: Those that take part, rows of `tables.RECORDINGS`.
        subsets: The subset of each, shape [recording].
        facts: What is known of each.
        task: Its targets and type.
    """
    table = pd.DataFrame(
        {
            "patient": recordings["patient_id"].to_numpy(dtype=object),
            "subset": subsets,
            "age": recordings["age_years"].to_numpy(dtype=np.float64),
            **{
                name: recordings[name].astype(object).where(recordings[name].notna(), NOT_STATED).to_numpy(dtype=object)
                for name in ("sex", "site", "device", "dataset")
            },
        }
    )
    parts = {ALL: np.ones(len(table), dtype=bool), **{name: subsets == name for name in named_subsets(subsets)}}
    here = {name: pd.DataFrame(table[chosen]) for name, chosen in parts.items()}
    n_patients = {name: len(set(part["patient"])) for name, part in here.items()}
    rows = [
        _row("patients", "", "patients", {name: {"n": n, "of": n} for name, n in n_patients.items()}),
        _row("recordings", "", "recordings", {name: {"n": len(part), "of": len(part)} for name, part in here.items()}),
        _row(
            "recordings a patient",
            "",
            "patients",
            {
                name: _summary(np.unique(part["patient"].to_numpy(dtype=str), return_counts=True)[1])
                for name, part in here.items()
            },
        ),
        _row(
            "age (years)",
            "",
            "patients",
            {name: _summary(_ages(part)) for name, part in here.items()},
        ),
    ]
    for name in ("sex", "dataset", "site", "device"):
        rows += _categories(name, here, n_patients)
    return rows + _labels(facts, parts, n_patients, task)


def _categories(name: str, here: dict[str, pd.DataFrame], n_patients: dict[str, int]) -> list[dict[str, Any]]:
    """Return a row a category, the most frequent first, then what is summed up and what is not stated."""
    of_patients = {part: _by_patient(table, name) for part, table in here.items()}
    frequent = Counter(map(str, of_patients[ALL][name]))
    order = sorted((value for value in frequent if value != NOT_STATED), key=lambda value: (-frequent[value], value))
    kept = order
    if name in _SUMMED_UP:
        kept = [value for value in order if frequent[value] >= FEWEST_PATIENTS]
        kept = kept if len(kept) <= MOST_CATEGORIES else kept[: MOST_CATEGORIES - 1]
    groups = [(value, [value]) for value in kept]
    rest = [value for value in order if value not in kept]
    groups += [(f"{len(rest)} {'other' if kept else 'small ones'}", rest)] if rest else []
    groups += [(NOT_STATED, [NOT_STATED])] if NOT_STATED in frequent else []
    return [
        _row(
            name,
            label,
            "patients",
            {
                part: {"n": len(set(pairs["patient"][pairs[name].isin(values)])), "of": n_patients[part]}
                for part, pairs in of_patients.items()
            },
        )
        for label, values in groups
    ]


def _by_patient(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the patients with their values, each pair once; a patient of several sexes has the value `several`."""
    values: dict[str, set[str]] = {}
    for patient, value in zip(table["patient"], table[name], strict=True):
        values.setdefault(str(patient), set()).add(str(value))
    rows: list[tuple[str, str]] = []
    for patient, found in values.items():
        # What one recording states holds for a patient's others.
        stated = found - {NOT_STATED} or found
        rows += [(patient, value) for value in (["several"] if name == "sex" and len(stated) > 1 else sorted(stated))]
    return pd.DataFrame(rows, columns=pd.Index(["patient", name]))


def _ages(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the median age of each patient's recordings; NaN where none states it."""
    return np.asarray(table.groupby("patient")["age"].median(), dtype=np.float64)


def _labels(
    facts: RecordingFacts, parts: dict[str, NDArray[np.bool_]], n_patients: dict[str, int], task: TaskSettings
) -> list[dict[str, Any]]:
    kinds = (("positive", 1.0),) if task.type == "multi_class" else (("positive", 1.0), ("negative", 0.0))
    values = {name: facts.take(chosen) for name, chosen in parts.items()}
    patients = {name: of.patient_values() for name, of in values.items()}
    rows: list[dict[str, Any]] = []
    for unit, tables in (("patients", patients), ("recordings", {name: of.targets for name, of in values.items()})):
        totals = n_patients if unit == "patients" else {name: len(table) for name, table in tables.items()}
        for column, target in enumerate(task.targets):
            for kind, value in kinds:
                category = f"{unit}" if task.type == "multi_class" else f"{kind}, {unit}"
                counts = {name: int((table[:, column] == value).sum()) for name, table in tables.items()}
                rows.append(_label_row(target, category, unit, counts, totals))
            if task.type != "multi_class":
                counts = {name: int(np.isnan(table[:, column]).sum()) for name, table in tables.items()}
                rows.append(_label_row(target, f"unknown, {unit}", unit, counts, totals))
        if task.type == "multi_class":
            counts = {name: int(np.isnan(table).all(axis=1).sum()) for name, table in tables.items()}
            rows.append(_label_row("class unknown", unit, unit, counts, totals))
    order = list(dict.fromkeys(row["characteristic"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["characteristic"]))


def _label_row(target: str, category: str, unit: str, counts: dict[str, int], totals: dict[str, int]) -> dict[str, Any]:
    return _row(target, category, unit, {name: {"n": n, "of": totals[name]} for name, n in counts.items()})


def _row(characteristic: str, category: str, unit: str, cells: dict[str, Any]) -> dict[str, Any]:
    return {"characteristic": characteristic, "category": category, "unit": unit, **cells}


def _summary(values: NDArray[np.floating] | NDArray[np.integer]) -> dict[str, float | int | None]:
    known = values[~np.isnan(values)]
    missing = len(values) - len(known)
    if not len(known):
        return {**dict.fromkeys(("median", "low", "high", "mean", "deviation")), "missing": missing}
    low, median, high = (float(value) for value in np.quantile(known, [0.25, 0.5, 0.75]))
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    ends = {"median": median, "low": low, "high": high, "mean": float(known.mean()), "deviation": deviation}
    return {**ends, "missing": missing}
