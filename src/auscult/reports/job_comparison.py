"""The jobs of an experiment against each other by the primary figure, corrected for all pairs that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.config.protocol import PlannedComparison, PrimaryFigure
from auscult.formatting.numbers import LOWER_IS_BETTER, Number, number_of, plural
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.evidence import OF_A_CLASS, view_values
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.multiplicity import max_t_p, two_families_p, verdict
from auscult.metrics.repeated import RunPredictions
from auscult.metrics.score_intervals import MIN_PATIENTS_RESAMPLED
from auscult.reports.jobs import JobResult, test_predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COLUMNS = ("job", "base", "metric", "difference", "low", "high", "p_corrected", "verdict", "planned", "n", "reason")


@dataclass(frozen=True)
class JobComparison:
    """One job against another.

    Attributes:
        job: Its number.
        base: The other's.
        difference: Of the primary figure, job less base; of folds and seeds that of their means.
        p: Corrected for all pairs that are compared; None where they cannot be tested.
        verdict: `better` or `worse` where the difference holds after correction; else empty.
        is_planned: By a protocol that still holds.
        n: What was compared, in words.
    """

    job: int
    base: int
    difference: Number
    p: float | None
    verdict: str
    is_planned: bool
    n: str


@dataclass(frozen=True)
class _Tested:
    """The test rows of a job, of all its runs together: patients, those of the rarest class, the same in words.

    `values` is the primary figure under each weighting of patients.
    """

    rows: frozenset[tuple[str, tuple[float, ...]]]
    n_patients: int
    n_rarest: int
    n: str
    values: Floats


def default_pairs(jobs: Sequence[JobResult]) -> list[PlannedComparison]:
    """Return every job against the first."""
    numbers = list(dict.fromkeys(job.number for job in jobs))
    return [PlannedComparison(job=number, base=numbers[0]) for number in numbers[1:]]


def compare_jobs(
    jobs: Sequence[JobResult],
    task: TaskSettings,
    primary: PrimaryFigure,
    planned: Sequence[PlannedComparison],
    others: Sequence[PlannedComparison],
) -> list[JobComparison]:
    """Compare jobs with each other, each resample of patients judging all of them.

    Args:
        jobs: The results of all runs, job after job.
        task: What was predicted.
        primary: Whose differences are tested.
        planned: Pairs that a protocol names: they are corrected among themselves, and have most of the error.
        others: Pairs that nobody planned, and that are not among `planned`.
    """
    numbers = {number for pair in (*planned, *others) for number in (pair.job, pair.base)}
    # An ensemble is no run of its job: it is made of them.
    wanted = [job for job in jobs if job.number in numbers and not job.settings.ensemble]
    if not wanted:
        return []
    of_runs = [(job.number, test_predictions(job, task)) for job in wanted]
    rows = [at_level(run.probabilities, run.targets, run.ids, task, primary.level) for _, run in of_runs]
    everyone = np.unique(np.concatenate([one.patient_ids.astype(str) for one in rows]))
    settings = wanted[0].settings.evaluate
    weights = resample_weights(len(everyone), settings.bootstrap_draws, np.random.default_rng(settings.seed))
    tested = {
        number: _tested([(run, one) for (_, run), one in members], task, primary, everyone, weights)
        for number, members in (
            (number, list(group))
            for number, group in groupby(zip(of_runs, rows, strict=True), key=lambda pair: pair[0][0])
        )
    }
    pairs = [*planned, *others]
    within = [max_t_p(*_stacked(family, tested)) for family in (planned, others)]
    corrected = np.concatenate(two_families_p(*within))
    return [
        _comparison(pair, tested, None if np.isnan(p) else float(p), primary, is_planned=at < len(planned))
        for at, (pair, p) in enumerate(zip(pairs, corrected, strict=True))
    ]


def _tested(
    runs: Sequence[tuple[RunPredictions, LevelRows]],
    task: TaskSettings,
    primary: PrimaryFigure,
    everyone: NDArray[np.str_],
    weights: NDArray[np.float32],
) -> _Tested:
    found = [
        view_values(rows, task, run.thresholds, np.searchsorted(everyone, rows.patient_ids.astype(str)), weights)
        for run, rows in runs
    ]
    values = [one[primary.view][primary.metric] for one in found]
    defined = [one for one in values if not np.isnan(one[0])]
    table = pd.concat(
        [pd.DataFrame(rows.targets).assign(id=rows.ids.astype(str), patient=rows.patient_ids) for _, rows in runs]
    ).drop_duplicates("id")
    truth = table[list(range(len(task.targets)))].to_numpy(dtype=np.float64)
    patients = table["patient"].to_numpy()
    n_patients = len(set(patients))
    # A class against the rest, or each target: how many patients have a positive, a negative row.
    counts = [tuple(len(set(patients[column == value])) for value in (1, 0)) for column in truth.T]
    n = plural(n_patients, "patient")
    if primary.view in task.targets:
        counts = [counts[task.targets.index(primary.view)]]
        n += f" ({counts[0][0]:,} positive, {counts[0][1]:,} negative)"
    return _Tested(
        rows=frozenset(zip(table["id"], map(tuple, np.nan_to_num(truth, nan=-1.0).tolist()), strict=True)),
        n_patients=n_patients,
        n_rarest=min(min(pair) for pair in counts),
        n=n,
        values=np.mean(defined, axis=0) if defined else np.full_like(values[0], np.nan),
    )


def _stacked(
    family: Sequence[PlannedComparison], tested: dict[int, _Tested]
) -> tuple[list[Floats], list[int]] | tuple[Floats, list[int]]:
    if not family:
        return np.empty((0, 1)), []
    rarest = [tested[pair.base].n_rarest for pair in family]
    differences = [_difference(pair, tested) for pair in family]
    # With too few patients nothing is tested, and nothing called better or worse.
    return [
        difference if n >= MIN_PATIENTS_RESAMPLED else np.full_like(difference, np.nan)
        for difference, n in zip(differences, rarest, strict=True)
    ], rarest


def _difference(pair: PlannedComparison, tested: dict[int, _Tested]) -> Floats:
    """Return the difference under each weighting; NaN throughout where the two were tested on other rows."""
    one, base = tested[pair.job], tested[pair.base]
    return one.values - base.values if one.rows == base.rows else np.full_like(base.values, np.nan)


def _comparison(
    pair: PlannedComparison, tested: dict[int, _Tested], p: float | None, primary: PrimaryFigure, *, is_planned: bool
) -> JobComparison:
    base, values = tested[pair.base], _difference(pair, tested)
    found = estimate(values, base.n_rarest, OF_A_CLASS)
    reason = "not defined on this test set"
    if tested[pair.job].rows != base.rows:
        reason = "the two were tested on other patients or labels"
    is_percent = primary.view == "four_class"
    difference = number_of(found, reason, is_percent=is_percent)
    word = verdict(found["value"], p, is_lower_better=primary.metric in LOWER_IS_BETTER)
    return JobComparison(pair.job, pair.base, difference, p, word, is_planned, base.n)


def comparison_table(found: Sequence[JobComparison], metric: str) -> pd.DataFrame:
    """Return comparisons as `comparisons.csv` holds them."""
    rows = [
        (
            one.job,
            one.base,
            metric,
            one.difference.value,
            one.difference.low,
            one.difference.high,
            one.p,
            one.verdict,
            one.is_planned,
            one.n,
            one.difference.reason if one.difference.value is None else one.difference.no_interval,
        )
        for one in found
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
