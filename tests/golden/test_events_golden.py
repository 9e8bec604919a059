"""Scores of events equal those of sed_eval, psds_eval and sed_scores_eval; `make_events_golden.py` says which."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from auscult.config.events import Collars, IntersectionCriteria
from auscult.labels import Intervals
from auscult.metrics.events import EventCounts, TrueEvents, count_events, count_segments, score_values
from auscult.metrics.psds import count_intersections, psds_values

GOLDEN = json.loads(Path(__file__).with_name("events.json").read_text(encoding="utf-8"))
KINDS = tuple(GOLDEN["kinds"])
DURATIONS_S = np.array(GOLDEN["durations_s"])
NO_EVENTS = Intervals(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
SCORES = ("precision", "recall", "f1", "error_rate")


def intervals(rows: list) -> Intervals:
    recordings, kinds, starts, ends = zip(*rows, strict=True)
    places = np.array(recordings) * len(KINDS) + np.array([KINDS.index(kind) for kind in kinds])
    return Intervals(places, np.array(starts), np.array(ends))


TRUTH = TrueEvents(KINDS, DURATIONS_S, intervals(GOLDEN["truth"]), NO_EVENTS)
POINTS = [intervals(rows) for rows in GOLDEN["points"]]
EVERYBODY = (np.zeros(len(DURATIONS_S), dtype=np.int64), np.ones((1, 1), dtype=np.float32))


def assert_scores(counts: EventCounts, golden: dict) -> None:
    values = score_values(counts.summed(*EVERYBODY), KINDS)
    for view, expected in golden.items():
        found = [values[view][name][0] for name in SCORES]
        assert found == pytest.approx(expected, abs=1e-12), view


def criteria(values: list) -> IntersectionCriteria:
    names = ("detection", "truth", "cross_trigger", "cross_trigger_weight", "instability_weight")
    return IntersectionCriteria(**dict(zip((*names, "max_false_alarms_per_hour"), values, strict=True)))


@pytest.mark.parametrize("point", range(len(POINTS)))
@pytest.mark.parametrize("number", range(len(GOLDEN["collars"])))
def test_event_scores_are_those_of_sed_eval(point: int, number: int) -> None:
    onset_s, offset_s, share = GOLDEN["collars"][number]
    counts = count_events(TRUTH, POINTS[point], Collars(onset_s=onset_s, offset_s=offset_s, offset_share=share))
    assert_scores(counts, GOLDEN["sed_eval"][point]["by_events"][number])


@pytest.mark.parametrize("point", range(len(POINTS)))
@pytest.mark.parametrize("number", range(len(GOLDEN["segments_s"])))
def test_segment_scores_are_those_of_sed_eval(point: int, number: int) -> None:
    counts = count_segments(TRUTH, POINTS[point], GOLDEN["segments_s"][number])
    assert_scores(counts, GOLDEN["sed_eval"][point]["by_segments"][number])


@pytest.mark.parametrize("number", range(len(GOLDEN["criteria"])))
def test_psds_is_that_of_psds_eval(number: int) -> None:
    settings = criteria(GOLDEN["criteria"][number])
    found = psds_values(count_intersections(TRUTH, POINTS, settings), *EVERYBODY, settings)
    assert found.tolist() == pytest.approx([GOLDEN["psds_eval"][number]], abs=1e-12)


@pytest.mark.parametrize("number", range(len(GOLDEN["criteria"])))
def test_psds_of_all_thresholds_is_that_of_sed_scores_eval(number: int) -> None:
    scores = [np.array(each) for each in GOLDEN["scores"]]
    cuts = np.unique(np.concatenate([each.ravel() for each in scores]))
    middles = [(low + high) / 2 for low, high in pairwise(cuts)]
    points = [at_threshold(scores, cut) for cut in (0.0, *middles)]
    settings = criteria(GOLDEN["criteria"][number])
    found = psds_values(count_intersections(TRUTH, points, settings), *EVERYBODY, settings)
    assert found.tolist() == pytest.approx([GOLDEN["sed_scores_eval"][number]], abs=1e-9)


def at_threshold(scores: list[np.ndarray], cut: float) -> Intervals:
    rows = []
    for recording, values in enumerate(scores):
        for kind, active in zip(KINDS, (values > cut).T, strict=True):
            edges = np.flatnonzero(np.diff(active.astype(int), prepend=0, append=0)) * GOLDEN["frame_s"]
            rows += [[recording, kind, start, end] for start, end in edges.reshape(-1, 2)]
    return intervals(rows)
