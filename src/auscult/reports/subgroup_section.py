"""The report's account of subgroups: how far each differs from the rest, and how much datasets and sites differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from auscult.formatting.numbers import METRIC_NAMES, Number, p_text, people_text
from auscult.metrics.multiplicity import ERROR_RATE
from auscult.reports.jobs import JobResult

SUBGROUPS_FILE = "subgroups.csv"
HETEROGENEITY_FILE = "heterogeneity.csv"
MOST_ROWS = 40
"""So many rows a job stand on the page, those that differ most surely; all are in the file."""


@dataclass(frozen=True)
class GapCell:
    """One score of a subgroup less that of the rest.

    Attributes:
        gap: With its interval.
        between: Both values, in words; empty where one is undefined.
        p: The corrected p-value, in words; empty without one.
        differs: It holds after correction.
    """

    gap: Number
    between: str
    p: str
    differs: bool


@dataclass(frozen=True)
class SubgroupRow:
    """One subgroup and target.

    Attributes:
        by: The attribute.
        value: The subgroup.
        against: What it is compared with.
        target: Its name.
        people: Patients of the subgroup.
        people_against: Of the others.
        cells: One a score.
    """

    by: str
    value: str
    against: str
    target: str
    people: str
    people_against: str
    cells: list[GapCell]


def subgroup_rows(job: JobResult) -> list[SubgroupRow]:
    """Return the rows of a job's table, at most `MOST_ROWS`, in the order of its attributes."""
    entries = job.metrics["clinical"]["subgroups"]
    surest = sorted(range(len(entries)), key=lambda index: _least_p(entries[index]))[:MOST_ROWS]
    return [_row(entries[index]) for index in sorted(surest)]


def gap_names(jobs: Sequence[JobResult]) -> list[str]:
    """Return the names of the scores that are compared; empty where there is no subgroup."""
    entries = [entry for job in jobs for entry in job.metrics["clinical"]["subgroups"]]
    return [METRIC_NAMES[name] for name in entries[0]["gaps"]] if entries else []


def subgroups_csv(jobs: Sequence[JobResult]) -> pd.DataFrame:
    """Return a row a job, subgroup, target and score."""
    columns = ["job", "by", "value", "against", "target", "patients", "positive_patients", "negative_patients"]
    columns += [f"against_{name}" for name in columns[-3:]]
    columns += ["score", "one", "other", "difference", "low", "high", "p", "p_holm", "method", "reason"]
    rows = [
        {
            "job": job.id,
            **{name: entry[name] for name in ("by", "value", "against", "target")},
            **entry["n"],
            **{f"against_{name}": n for name, n in entry["n_against"].items()},
            "score": score,
            "difference": gap["value"],
            **{name: gap[name] for name in ("one", "other", "low", "high", "p", "p_holm", "method", "reason")},
        }
        for job in jobs
        for entry in job.metrics["clinical"]["subgroups"]
        for score, gap in entry["gaps"].items()
    ]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def heterogeneity_texts(job: JobResult, *, names_target: bool) -> list[str]:
    """Return what is said of each dataset or site comparison of a job, a sentence or two each."""
    return [heterogeneity_text(found, names_target=names_target) for found in job.metrics["clinical"]["heterogeneity"]]


def heterogeneity_csv(jobs: Sequence[JobResult]) -> pd.DataFrame:
    """Return a row a job, attribute, target and study, and one for the pooled value of each."""
    rows: list[dict[str, Any]] = []
    for job in jobs:
        for found in job.metrics["clinical"]["heterogeneity"]:
            head = {"job": job.id, "by": found["by"], "target": found["target"]}
            rows += [
                {**head, "row": "study", "value": study["value"], **study["n"], **_area(study["auroc"])}
                for study in found["studies"]
            ]
            pooled = found["pooled"] or {}
            rows.append(
                {**head, "row": "pooled", **_area({**pooled, "method": found["method"], "reason": found["reason"]})}
                | {name: pooled.get(name) for name in _OF_POOLED}
            )
    columns = ["job", "by", "target", "row", "value", "patients", "positive_patients", "negative_patients"]
    return pd.DataFrame(rows, columns=pd.Index([*columns, *_area({}), *_OF_POOLED]))


_OF_POOLED = ("prediction_low", "prediction_high", "tau", "i_squared", "q_p", "n_studies")


def _area(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {"auroc": "value", "low": "low", "high": "high", "method": "method", "reason": "reason"}
    return {name: found.get(key) for name, key in names.items()}


def heterogeneity_text(found: Mapping[str, Any], *, names_target: bool) -> str:
    """Return what an entry of `evaluation.subgroups.heterogeneity` says: the pooled AUROC, or why there is none."""
    of = f", {found['target']}" if names_target else ""
    head = f"By {found['by']}{of}: "
    pooled = found["pooled"]
    if pooled is None:
        return f"{head}not pooled, {found['reason']}."
    number = Number(pooled["value"], pooled["low"], pooled["high"])
    return (
        f"{head}AUROC {number.text} pooled over {pooled['n_studies']}; of another {found['by']} "
        f"{pooled['prediction_low']:.3f}–{pooled['prediction_high']:.3f} is expected. {pooled['i_squared']:.0%} of the "
        f"spread is beyond chance (I²; p {p_text(pooled['q_p'])})."
    )


def _least_p(entry: Mapping[str, Any]) -> float:
    return min((gap["p"] for gap in entry["gaps"].values() if gap["p"] is not None), default=2.0)


def _row(entry: Mapping[str, Any]) -> SubgroupRow:
    people, others = (
        people_text(*(entry[key][name] for name in ("patients", "positive_patients", "negative_patients")))
        for key in ("n", "n_against")
    )
    cells = [_cell(gap) for gap in entry["gaps"].values()]
    return SubgroupRow(entry["by"], entry["value"], entry["against"], entry["target"], people, others, cells)


def _cell(gap: Mapping[str, Any]) -> GapCell:
    is_defined = gap["value"] is not None
    reason = "one class only" if not is_defined else ""
    number = Number(gap["value"], gap["low"], gap["high"], reason, no_interval=gap["reason"] if is_defined else "")
    p = gap["p_holm"]
    return GapCell(
        number,
        f"{Number(gap['one']).value_text} against {Number(gap['other']).value_text}" if is_defined else "",
        "" if p is None else p_text(p),
        p is not None and p <= ERROR_RATE,
    )
