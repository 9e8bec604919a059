"""The challenge's scores by hand."""

import numpy as np
import pytest

from auscult.metrics.icbhi import UNKNOWN, confusion, four_classes, icbhi_score, normal_class_scores, scores_of

# True class by class said: none, crackle, wheeze, both.
HAND = np.array([[60, 20, 15, 5], [10, 25, 3, 2], [8, 4, 16, 2], [3, 5, 6, 6]])


def test_strict_scores_pool_the_abnormal_cycles():
    found = scores_of(HAND)
    # Se = (25 + 16 + 6) / (40 + 30 + 20), not the mean of the classes' recalls (which is 48.61).
    assert float(found["sensitivity"]) == pytest.approx(100 * 47 / 90)
    assert float(found["specificity"]) == 60.0
    assert float(found["score"]) == pytest.approx((100 * 47 / 90 + 60) / 2)
    se, sp = 100 * 47 / 90, 60.0
    assert float(found["harmonic_score"]) == pytest.approx(2 * se * sp / (se + sp))


def test_two_classes_count_any_abnormal_answer():
    found = scores_of(HAND)
    assert float(found["two_class_sensitivity"]) == pytest.approx(100 * (90 - 21) / 90)
    assert float(found["two_class_specificity"]) == 60.0
    assert float(found["two_class_score"]) == pytest.approx((100 * 69 / 90 + 60) / 2)


def test_answering_normal_to_everything_scores_50():
    true = np.array([0, 0, 0, 1, 2, 3, 1])
    assert icbhi_score(true, np.zeros(7, dtype=np.int64)) == 50.0
    found = scores_of(confusion(true, np.zeros(7, dtype=np.int64)))
    assert {name: float(value) for name, value in found.items()} == {
        "sensitivity": 0.0,
        "specificity": 100.0,
        "score": 50.0,
        "harmonic_score": 0.0,
        "two_class_sensitivity": 0.0,
        "two_class_specificity": 100.0,
        "two_class_score": 50.0,
        "two_class_harmonic_score": 0.0,
    }


def test_all_right_scores_100_and_all_wrong_0():
    true = np.array([0, 1, 2, 3])
    assert icbhi_score(true, true) == 100.0
    wrong = scores_of(confusion(true, np.array([1, 0, 0, 0])))
    assert float(wrong["score"]) == 0.0
    assert float(wrong["harmonic_score"]) == 0.0


def test_a_wheeze_called_both_is_a_miss_for_four_classes_and_a_hit_for_two():
    found = scores_of(confusion(np.array([0, 2]), np.array([0, 3])))
    assert float(found["sensitivity"]) == 0.0
    assert float(found["two_class_sensitivity"]) == 100.0


@pytest.mark.parametrize("true", [[0, 0], [1, 2], []])
def test_without_normal_or_abnormal_cycles_the_score_is_undefined(true):
    true = np.array(true, dtype=np.int64)
    assert icbhi_score(true, np.zeros_like(true)) is None
    assert np.isnan(scores_of(confusion(true, np.zeros_like(true)))["harmonic_score"])


def test_unknown_cycles_are_left_out():
    true = four_classes([0, 1, np.nan, 0, np.nan], [0, 1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(true, [0, 3, UNKNOWN, UNKNOWN, UNKNOWN])
    np.testing.assert_array_equal(confusion(true, np.array([0, 3, 1, 2, 1])).sum(), 2)


def test_the_challenges_test_part_answered_by_one_class():
    # ICBHI 2017 holds 3642 normal, 1864 crackle, 886 wheeze and 506 both cycles; "crackle" for all of them:
    table = np.zeros((4, 4))
    table[:, 1] = [3642, 1864, 886, 506]
    assert float(scores_of(table)["score"]) == pytest.approx(100 * 1864 / 3256 / 2)


def test_many_tables_at_once():
    tables = np.stack([HAND, np.eye(4) * 3])
    assert scores_of(tables)["score"].tolist() == [float(scores_of(HAND)["score"]), 100.0]


def test_faulty_classes_are_refused():
    for true, said in (([0, 1], [0]), ([0], [0, 1]), ([[0, 1]], [[0, 1]])):
        with pytest.raises(ValueError, match="one length"):
            confusion(np.array(true), np.array(said))
    with pytest.raises(ValueError, match=r"0 \.\. 3"):
        confusion(np.array([0, 4]), np.array([0, 0]))
    # 4 x 1 - 1 would be counted as a row of class 0 called "both".
    with pytest.raises(ValueError, match=r"0 \.\. 3"):
        confusion(np.array([0, 1]), np.array([0, UNKNOWN]))


def test_the_score_of_the_sprsound_challenge_equals_a_hand_table():
    # Rows: true normal, cas, das, poor quality; columns: predicted.
    table = np.array([[80, 6, 4, 10], [5, 12, 3, 0], [2, 8, 10, 0], [9, 1, 0, 30]])
    found = {name: float(value) for name, value in normal_class_scores(table, 0, (3,)).items()}
    assert found["specificity"] == pytest.approx(80 / 100)
    assert found["sensitivity"] == pytest.approx((12 + 10) / 40)
    assert found["two_class_sensitivity"] == pytest.approx((12 + 3 + 8 + 10) / 40)
    assert found["average_score"] == pytest.approx(0.675)
    assert found["harmonic_score"] == pytest.approx(2 * 0.8 * 0.55 / 1.35)
    assert found["challenge_score"] == pytest.approx((0.675 + 2 * 0.8 * 0.55 / 1.35) / 2)
    assert "two_class_specificity" not in found


def test_four_classes_score_alike_in_both_conventions_names():
    generator = np.random.default_rng(3)
    table = generator.integers(1, 50, (4, 4))
    percent, share = scores_of(table), normal_class_scores(table, 0)
    assert float(percent["score"]) == pytest.approx(100 * float(share["average_score"]))
    assert float(percent["two_class_score"]) == pytest.approx(100 * float(share["two_class_average_score"]))
