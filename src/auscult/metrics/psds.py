"""Events by what they share, and the polyphonic sound detection score (PSDS): hits over all operating points.

Bilen et al. 2020, A framework for the robust evaluation of sound event detection, ICASSP. An event found counts where
true events of its kind cover enough of it; a true event is a hit where such events cover enough of it. An event that
does not count is a false alarm, and a cross trigger of each other kind that covers enough of it. What is unknown is cut
off as in `events`, and the hours and true events are those that are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auscult.labels import Intervals, overlaps, without_intervals
from auscult.metrics.events import TrueEvents, per_cell, seconds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.config.events import IntersectionCriteria

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_SECONDS_PER_HOUR = 3600.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class IntersectionCounts:
    """Counts of some operating points, and what they are a share of.

    Attributes:
        hits: True events that are hits, shape [recording, point, kind].
        false_alarms: Events found that do not count, the same shape.
        cross_triggers: Of these, those that a true event of another kind covers, shape [recording, point, kind found,
            true kind].
        n_true: True events, shape [recording, kind].
        true_s: Their seconds together, shape [recording, kind].
        known_s: Seconds that are known, shape [recording, kind].
    """

    hits: Floats
    false_alarms: Floats
    cross_triggers: Floats
    n_true: Floats
    true_s: Floats
    known_s: Floats


def count_intersections(
    truth: TrueEvents, points: Sequence[Intervals], criteria: IntersectionCriteria
) -> IntersectionCounts:
    """Count hits, false alarms and cross triggers at each operating point.

    Args:
        truth: What is known.
        points: The events found at each, their rows as those of `truth`; those of one kind do not overlap.
        criteria: When they count.
    """
    true = without_intervals(truth.events, truth.unknown)
    counts = [_count(truth, true, without_intervals(found, truth.unknown), criteria) for found in points]
    hits, false_alarms, cross_triggers = (np.stack(parts, axis=1) for parts in zip(*counts, strict=True))
    return IntersectionCounts(
        hits,
        false_alarms,
        cross_triggers,
        per_cell(true.rows, truth),
        seconds_of(true, truth),
        truth.known_s(),
    )


def _count(
    truth: TrueEvents, true: Intervals, found: Intervals, criteria: IntersectionCriteria
) -> tuple[Floats, Floats, Floats]:
    n_recordings, n_kinds = len(truth.durations_s), len(truth.kinds)
    found_s, true_s = found.ends - found.starts, true.ends - true.starts
    at, of_true, shared_s = overlaps(found, true)
    covered_s = np.bincount(at, weights=shared_s, minlength=len(found_s))
    counts = covered_s >= (criteria.detection - _ROUNDING) * found_s
    used = counts[at]
    covered_by_s = np.bincount(of_true[used], weights=shared_s[used], minlength=len(true_s))
    is_hit = covered_by_s >= (criteria.truth - _ROUNDING) * true_s
    wrong = found.take(~counts)
    cross_triggers = np.zeros((n_recordings, n_kinds, n_kinds))
    recordings, kinds = np.divmod(wrong.rows, n_kinds)
    for kind in range(n_kinds):
        # As if every event found were of this kind: what of it do true events of the kind cover?
        at, _, shared_s = overlaps(Intervals(recordings * n_kinds + kind, wrong.starts, wrong.ends), true)
        covered_s = np.bincount(at, weights=shared_s, minlength=len(wrong.rows))
        is_triggered = covered_s >= (criteria.cross_trigger - _ROUNDING) * (wrong.ends - wrong.starts)
        is_triggered &= kinds != kind
        np.add.at(cross_triggers[:, :, kind], (recordings[is_triggered], kinds[is_triggered]), 1)
    return per_cell(true.rows[is_hit], truth), per_cell(wrong.rows, truth), cross_triggers


def psds_values(
    counts: IntersectionCounts, patients: Integers, weights: NDArray[np.float32], criteria: IntersectionCriteria
) -> Floats:
    """Return the PSDS of each weighting of patients, in [0, 1], shape [weighting]; NaN where a kind has no true event.

    The share of hits at each number of false alarms per hour, the best of all operating points with no more of them:
    the mean over kinds, less `instability_weight` deviations; its mean up to `max_false_alarms_per_hour`.

    Args:
        counts: Of each recording.
        patients: The row of `weights` of each recording.
        weights: Shape [patient, weighting].
        criteria: Gives the weights and the end.
    """
    by_recording = weights[patients].T.astype(np.float64)

    def summed(values: Floats) -> Floats:
        return np.tensordot(by_recording, values, axes=1)

    n_true, true_s, known_s = (summed(values)[:, None] for values in (counts.n_true, counts.true_s, counts.known_s))
    with np.errstate(divide="ignore", invalid="ignore"):
        hit_rates = summed(counts.hits) / n_true
        rates = summed(counts.false_alarms) * _SECONDS_PER_HOUR / known_s
        if criteria.cross_trigger_weight and n_true.shape[2] > 1:
            triggers = summed(counts.cross_triggers) * _SECONDS_PER_HOUR / true_s[:, :, None]
            n_others = n_true.shape[2] - 1
            rates = rates + criteria.cross_trigger_weight * np.nan_to_num(triggers).sum(axis=3) / n_others
    return np.array([_area(*pair, criteria) for pair in zip(hit_rates, rates, strict=True)])


def _area(hit_rates: Floats, rates: Floats, criteria: IntersectionCriteria) -> float:
    """Return the normalised area under the mean curve of one weighting, from [point, kind] each."""
    if np.isnan(hit_rates).any():
        return float("nan")
    end = criteria.max_false_alarms_per_hour
    steps = np.unique(np.concatenate([[0.0, end], rates[rates < end]]))
    curves = np.stack([_best_up_to(steps[:-1], rates[:, kind], hit_rates[:, kind]) for kind in range(rates.shape[1])])
    effective = np.maximum(curves.mean(axis=0) - criteria.instability_weight * curves.std(axis=0), 0.0)
    return float((effective * np.diff(steps)).sum() / end)


def _best_up_to(at: Floats, rates: Floats, hit_rates: Floats) -> Floats:
    """Return the highest rate of hits of all points whose rate of false alarms is at most each of `at`."""
    order = np.argsort(rates, kind="stable")
    best = np.concatenate([[0.0], np.maximum.accumulate(hit_rates[order])])
    return best[np.searchsorted(rates[order], at, side="right")]
