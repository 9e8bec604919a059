"""From clips to recordings and patients."""

import numpy as np
import pandas as pd
import pytest

from auscult.config.task import Aggregate, TaskSettings
from auscult.metrics.aggregation import METHODS, aggregate, at_level

NAN = np.nan
P = np.array([[0.2], [0.5], [0.9], [0.4]])
Y = np.array([[0.0], [1.0], [NAN], [NAN]])
IDS = ["b", "b", "a", "a"]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("mean", [0.65, 0.35]), ("max", [0.9, 0.5]), ("noisy_or", [1 - 0.1 * 0.6, 1 - 0.8 * 0.5])],
)
def test_probabilities(method, expected):
    ids, probabilities, _ = aggregate(P, Y, IDS, method)
    assert ids.tolist() == ["a", "b"]
    np.testing.assert_allclose(probabilities[:, 0], expected)


def test_one_positive_clip_makes_a_patient_positive_and_nothing_known_stays_unknown():
    targets = aggregate([[0.1]] * 6, [[0], [1], [0], [NAN], [NAN], [NAN]], list("aabbcc"), "mean")[2]
    np.testing.assert_array_equal(targets[:, 0], [1, 0, NAN])


@pytest.mark.parametrize("method", METHODS)
def test_order_of_rows_does_not_matter_and_one_row_is_itself(method):
    generator = np.random.default_rng(0)
    p, y = generator.random((50, 3)), generator.integers(0, 2, (50, 3)).astype(float)
    ids = generator.integers(0, 9, 50).astype(str)
    order = generator.permutation(50)
    one, other = aggregate(p, y, ids, method), aggregate(p[order], y[order], ids[order], method)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second) if first.dtype == object else np.testing.assert_allclose(
            first, second
        )
    alone = aggregate(p, y, np.arange(50), method)
    np.testing.assert_allclose(alone[1], p)
    np.testing.assert_array_equal(alone[2], y)


def test_certain_clips_do_not_break_noisy_or():
    np.testing.assert_array_equal(aggregate([[1.0], [0.0]], [[1], [0]], ["a", "a"], "noisy_or")[1], [[1.0]])


def test_a_group_of_several_classes_has_no_class():
    y = [[1, 0], [1, 0], [1, 0], [0, 1], [NAN, NAN], [0, 1], [NAN, NAN]]
    p = [[0.8, 0.2]] * 7
    ids, probabilities, targets = aggregate(p, y, list("aabbccd"), "mean", multi_class=True)
    assert ids.tolist() == list("abcd")
    np.testing.assert_array_equal(targets, [[1, 0], [NAN, NAN], [0, 1], [NAN, NAN]])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_no_rows():
    ids, probabilities, targets = aggregate(np.zeros((0, 2)), np.zeros((0, 2)), [], "max")
    assert (len(ids), probabilities.shape, targets.shape) == (0, (0, 2), (0, 2))


def test_faults_are_refused():
    with pytest.raises(ValueError, match="allowed: mean, max, noisy_or"):
        aggregate(P, Y, IDS, "median")
    with pytest.raises(ValueError, match=r"\(4, 1\), \(4, 1\) and \(3,\)"):
        aggregate(P, Y, IDS[:3], "mean")
    for p, y in ((P, np.hstack([Y, Y])), (P[:, 0], Y[:, 0]), (P[:, :, None], Y[:, :, None])):
        with pytest.raises(ValueError, match="twice"):
            aggregate(p, y, IDS, "mean")
    with pytest.raises(ValueError, match="averaged"):
        aggregate(P, Y, IDS, "max", multi_class=True)


def task_of(kind: str, method: str = "mean") -> TaskSettings:
    targets = ("a", "b") if kind == "multi_class" else ("a",)
    return TaskSettings(description="t", type=kind, targets=targets, level="clip", aggregate=Aggregate(method=method))


def test_levels_keep_each_rows_patient():
    ids = pd.DataFrame(
        {
            "clip_id": ["x:0", "x:1", "y:0", "z:0"],
            "recording_id": ["x", "x", "y", "z"],
            "patient_id": ["p2", "p2", "p1", "p2"],
        }
    )
    clip = at_level(P, Y, ids, task_of("binary"), "clip")
    assert (clip.ids.tolist(), clip.patient_ids.tolist()) == (ids["clip_id"].tolist(), ["p2", "p2", "p1", "p2"])
    recording = at_level(P, Y, ids, task_of("binary", "max"), "recording")
    assert (recording.ids.tolist(), recording.patient_ids.tolist()) == (["x", "y", "z"], ["p2", "p1", "p2"])
    np.testing.assert_allclose(recording.probabilities[:, 0], [0.5, 0.9, 0.4])
    patient = at_level(P, Y, ids, task_of("binary"), "patient")
    assert patient.ids.tolist() == patient.patient_ids.tolist() == ["p1", "p2"]
    assert clip.n_mixed == recording.n_mixed == patient.n_mixed == 0
    with pytest.raises(ValueError, match="allowed: clip, recording, patient"):
        at_level(P, Y, ids, task_of("binary"), "window")


def test_groups_of_several_classes_are_counted_apart_from_unknown_ones():
    ids = pd.DataFrame({"clip_id": list("1234"), "recording_id": list("1234"), "patient_id": ["p", "p", "q", "r"]})
    y = np.array([[1, 0], [0, 1], [NAN, NAN], [0, 1]])
    rows = at_level(np.full((4, 2), 0.5), y, ids, task_of("multi_class"), "patient")
    assert rows.n_mixed == 1
    np.testing.assert_array_equal(rows.targets, [[NAN, NAN], [NAN, NAN], [0, 1]])
