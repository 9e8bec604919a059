"""Operating points against an exhaustive search."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.metrics import reference_scores as scores

from auscult.config.task import FourClass, TaskSettings
from auscult.metrics import thresholds
from auscult.metrics.thresholds import FALLBACK, choose_thresholds, thresholds_for_task

NAN = np.nan
rows = st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.integers(0, 12)), min_size=1, max_size=40)
pairs = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.sampled_from([0.0, 1.0]), st.integers(0, 6), st.integers(0, 6)),
    min_size=1,
    max_size=25,
)


def all_cuts(p: np.ndarray) -> list[float]:
    return [*np.unique(p), np.inf]


def youden(y: np.ndarray, said: np.ndarray) -> float:
    return scores.sensitivity(y, said) + scores.specificity(y, said) - 1


@settings(max_examples=200, deadline=None)
@given(rows=rows, rule=st.sampled_from(["youden", "f1"]))
def test_a_single_threshold_is_the_best_of_all(rows, rule):
    y, p = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 12
    chosen = choose_thresholds(y[:, None], p[:, None], rule)
    known = ~np.isnan(y)
    if not 0 < y[known].sum() < known.sum():
        assert chosen.values == (FALLBACK,)
        assert "threshold 0.5 kept" in chosen.notes[0]
        return
    merit = youden if rule == "youden" else scores.f1

    def merit_at(threshold: float) -> float:
        return merit(y[known], (p[known] >= threshold).astype(float))

    best = max(merit_at(cut) for cut in all_cuts(p[known]))
    if chosen.notes:
        assert rule == "youden"
        assert best <= 1e-12
        assert chosen.values == (FALLBACK,)
    else:
        assert merit_at(chosen.values[0]) == pytest.approx(best, abs=1e-12)


def score_at(y: np.ndarray, p: np.ndarray, cuts: tuple[float, float]) -> float:
    """The ICBHI score in per cent: half the share of normal rows called so, half that of abnormal ones wholly right."""
    is_right = ((p >= np.array(cuts)) == (y == 1)).all(axis=1)
    normal = (y == 0).all(axis=1)
    return 50 * (is_right[normal].mean() + is_right[~normal].mean())


def brute_force_icbhi(y: np.ndarray, p: np.ndarray) -> float:
    return max(score_at(y, p, cuts) for cuts in itertools.product(all_cuts(p[:, 0]), all_cuts(p[:, 1])))


@settings(max_examples=100, deadline=None)
@given(rows=pairs)
def test_the_joint_choice_is_the_best_of_all(rows):
    y = np.array([row[:2] for row in rows])
    p = np.array([row[2:] for row in rows]) / 6
    chosen = choose_thresholds(y, p, "icbhi_score", (0, 1))
    known = ~np.isnan(y).any(axis=1)
    y, p = y[known], p[known]
    abnormal = int(y.any(axis=1).sum())
    if not 0 < abnormal < len(y):
        assert chosen.values == (FALLBACK, FALLBACK)
        assert "thresholds 0.5 kept" in chosen.notes[0]
        return
    best = brute_force_icbhi(y, p)
    if chosen.notes:
        assert best == pytest.approx(50)
    else:
        assert score_at(y, p, chosen.values) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(4))
def test_beyond_its_grid_the_joint_choice_moves_until_no_step_in_one_threshold_gains(monkeypatch, seed):
    generator = np.random.default_rng(seed)
    y = (generator.random((150, 2)) < 0.4).astype(float)
    p = np.clip(0.35 * y + 0.65 * generator.random((150, 2)), 0, 1)
    monkeypatch.setattr(thresholds, "N_GRID_CUTS", 5)
    crackle, wheeze = choose_thresholds(y, p, "icbhi_score", (0, 1)).values
    reached = score_at(y, p, (crackle, wheeze))
    grid = [np.append(np.unique(p[:, k]), np.inf)[np.linspace(0, 150, 5).round().astype(int)] for k in (0, 1)]
    assert reached > max(score_at(y, p, cuts) for cuts in itertools.product(*grid))
    assert reached == pytest.approx(max(score_at(y, p, (cut, wheeze)) for cut in all_cuts(p[:, 0])))
    assert reached == pytest.approx(max(score_at(y, p, (crackle, cut)) for cut in all_cuts(p[:, 1])))


def test_the_threshold_lies_in_the_middle_of_the_gap():
    assert choose_thresholds([[0], [0], [1], [1]], [[0.1], [0.2], [0.6], [0.9]], "youden").values == (0.4,)
    assert choose_thresholds([[0], [1]], [[0.0], [1.0]], "f1").values == (0.5,)


def test_among_equal_cuts_the_widest_gap_is_taken():
    # Cutting at 0.25 and at 0.6 both give Se + Sp = 1.5; the gap around 0.6 is wider.
    y = [[0], [1], [0], [1]]
    assert choose_thresholds(y, [[0.2], [0.3], [0.4], [0.8]], "youden").values == (pytest.approx(0.6),)
    # Equally wide gaps: the lower one.
    assert choose_thresholds(y, [[0.125], [0.25], [0.375], [0.5]], "youden").values == (0.1875,)


def test_neighbouring_floats_are_still_parted():
    low = 0.3
    high = float(np.nextafter(low, 1))
    value = choose_thresholds([[0], [1]], [[low], [high]], "youden").values[0]
    assert low < value <= high


def test_scores_of_float32_keep_their_side():
    p = np.float32([[0.1], [0.7]])
    value = choose_thresholds([[0], [1]], p, "youden").values[0]
    assert [bool(score >= value) for score in p[:, 0]] == [False, True]


@pytest.mark.parametrize("p", [0.3, 0.5, 1.0, 0.0])
def test_scores_that_separate_nothing_keep_one_half_and_say_so(p):
    chosen = choose_thresholds([[0], [1], [0]], [[p]] * 3, "youden")
    assert chosen.values == (FALLBACK,)
    assert "better than chance" in chosen.notes[0]


def test_f1_may_call_everything_positive():
    chosen = choose_thresholds([[1], [0], [1], [1]], [[0.2], [0.9], [0.3], [0.4]], "f1")
    assert chosen.values == (pytest.approx(0.1),)
    assert chosen.notes == ()


def test_order_of_rows_does_not_matter():
    generator = np.random.default_rng(1)
    y = (generator.random((300, 2)) < 0.3).astype(float)
    p = generator.integers(0, 30, (300, 2)) / 30
    order = generator.permutation(300)
    for rule in ("youden", "f1", "icbhi_score"):
        first = choose_thresholds(y, p, rule, (0, 1))
        assert choose_thresholds(y[order], p[order], rule, (0, 1)) == first


def test_other_targets_beside_the_pair_take_youden():
    generator = np.random.default_rng(2)
    y = (generator.random((100, 3)) < 0.4).astype(float)
    p = np.clip(0.4 * y + 0.6 * generator.random((100, 3)), 0, 1)
    joint = choose_thresholds(y, p, "icbhi_score", (2, 0))
    assert joint.values[1] == choose_thresholds(y[:, [1]], p[:, [1]], "youden").values[0]
    swapped = choose_thresholds(y[:, [2, 0]], p[:, [2, 0]], "icbhi_score", (0, 1))
    assert (joint.values[2], joint.values[0]) == swapped.values


def test_notes_name_the_target():
    chosen = choose_thresholds([[0, 1]], [[0.2, 0.4]], "f1", names=("crackle", "wheeze"))
    assert chosen.notes[0].startswith("crackle: validation holds 0 positives and 1 negatives")
    assert chosen.notes[1].startswith("wheeze: validation holds 1 positives and 0 negatives")


def test_faults_are_refused():
    with pytest.raises(ValueError, match="allowed: youden, f1, icbhi_score"):
        choose_thresholds([[0]], [[0.1]], "best")
    with pytest.raises(ValueError, match="columns of crackle and wheeze"):
        choose_thresholds([[0]], [[0.1]], "icbhi_score")
    with pytest.raises(ValueError, match=r"\(1, 1\) and \(1, 2\)"):
        choose_thresholds([[0]], [[0.1, 0.2]], "f1")


def test_a_task_chooses_at_its_level():
    ids = pd.DataFrame({"clip_id": list("abcd"), "recording_id": list("abcd"), "patient_id": ["p", "p", "q", "q"]})
    y, p = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([[0.1], [0.9], [0.3], [0.3]])
    by_patient = TaskSettings(description="t", type="binary", targets=("sick",), level="patient")
    chosen = thresholds_for_task(y, p, ids, by_patient, "youden")
    assert chosen.values == (pytest.approx(0.4),), "patients have 0.5 and 0.3"
    four = TaskSettings(
        description="t",
        type="multi_label",
        targets=("wheeze", "crackle"),
        level="clip",
        four_class=FourClass(crackle="crackle", wheeze="wheeze"),
    )
    both = thresholds_for_task(np.repeat(y, 2, axis=1), np.repeat(p, 2, axis=1), ids, four, "icbhi_score")
    assert len(both.values) == 2
    classes = TaskSettings(description="t", type="multi_class", targets=("a", "b"), level="clip")
    assert thresholds_for_task(np.eye(2)[[0, 1, 0, 1]], np.full((4, 2), 0.5), ids, classes, "youden").values == ()


@settings(max_examples=200, deadline=None)
@given(rows=rows, rule=st.sampled_from(["target_sensitivity", "target_specificity"]), tenths=st.integers(1, 9))
def test_a_goal_is_reached_at_the_least_cost(rows, rule, tenths):
    y, p = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 12
    known = ~np.isnan(y)
    chosen = choose_thresholds(y[:, None], p[:, None], rule, goal=tenths / 10)
    if not 0 < y[known].sum() < known.sum():
        assert chosen.values == (FALLBACK,)
        return
    wanted, other = scores.sensitivity, scores.specificity
    if rule == "target_specificity":
        wanted, other = other, wanted
    said = [(p[known] >= cut).astype(float) for cut in (*all_cuts(p[known]), chosen.values[0])]
    reached = [other(y[known], answers) for answers in said if wanted(y[known], answers) >= tenths / 10 - 1e-12]
    assert wanted(y[known], said[-1]) >= tenths / 10 - 1e-12
    assert other(y[known], said[-1]) == pytest.approx(max(reached))
    assert bool(chosen.notes) == (other(y[known], said[-1]) == 0)


def test_nine_of_ten_are_enough_for_nine_tenths():
    y = np.array([[1.0]] * 10 + [[0.0]] * 10)
    p = np.concatenate([np.linspace(0.5, 0.95, 10), np.linspace(0.02, 0.2, 10)])[:, None]
    p[0] = 0.01
    (threshold,) = choose_thresholds(y, p, "target_sensitivity", goal=0.9).values
    assert 0.2 < threshold < 0.55


def test_nine_of_ten_are_enough_for_a_specificity_of_nine_tenths():
    y = np.array([[0.0]] * 10 + [[1.0]] * 10)
    p = np.concatenate([np.linspace(0.05, 0.5, 10), np.linspace(0.8, 0.98, 10)])[:, None]
    p[9] = 0.99
    (threshold,) = choose_thresholds(y, p, "target_specificity", goal=0.9).values
    assert 0.45 < threshold < 0.8
