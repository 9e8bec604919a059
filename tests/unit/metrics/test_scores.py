"""Scores against scikit-learn, and what they do where they are undefined."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from auscult.metrics import scores

REFERENCES = {
    "auroc": reference.roc_auc_score,
    "auprc": reference.average_precision_score,
    "brier": reference.brier_score_loss,
    "sensitivity": reference.recall_score,
    "specificity": lambda y, p: reference.recall_score(y, p, pos_label=0),
    "ppv": reference.precision_score,
    "npv": lambda y, p: reference.precision_score(y, p, pos_label=0),
    "f1": reference.f1_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "accuracy": reference.accuracy_score,
    "mcc": reference.matthews_corrcoef,
}
labels = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=60)


def undefined(name: str, y: np.ndarray, said: np.ndarray) -> bool:
    both = 0 < y.sum() < len(y)
    return {
        "auroc": not both,
        "auprc": not both,
        "brier": False,
        "sensitivity": y.sum() == 0,
        "specificity": y.sum() == len(y),
        "ppv": said.sum() == 0,
        "npv": said.sum() == len(said),
        "f1": y.sum() + said.sum() == 0,
        "balanced_accuracy": not both,
        "accuracy": False,
        "mcc": not both or not 0 < said.sum() < len(said),
    }[name]


@settings(max_examples=50, deadline=None)
@given(rows=labels)
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_scores_equal_scikit_learn(name, rows):
    y = np.array([truth for truth, _ in rows], dtype=int)
    p = np.array([score for _, score in rows]) / 20
    said = (p >= 0.5).astype(int)
    answers = p if name in scores.PROBABILITY_SCORES else said
    found = getattr(scores, name)(y, answers)
    if undefined(name, y, said):
        assert found is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = REFERENCES[name](y, answers)
    assert found == pytest.approx(expected, abs=1e-12)


def test_every_score_is_registered_and_compared():
    registered = {**scores.PROBABILITY_SCORES, **scores.DECISION_SCORES}
    assert set(registered) == set(REFERENCES) | {"ece"}
    for name, score in registered.items():
        assert getattr(scores, name) is score


@pytest.mark.parametrize("name", sorted({**scores.PROBABILITY_SCORES, **scores.DECISION_SCORES}))
def test_unknown_rows_change_nothing(name):
    generator = np.random.default_rng(3)
    y = (generator.random(80) < 0.4).astype(float)
    p = generator.random(80)
    answers = p if name in scores.PROBABILITY_SCORES else (p >= 0.5).astype(float)
    unknown = generator.random(80) < 0.4
    masked = np.where(unknown, np.nan, y)
    score = getattr(scores, name)
    # What stands in an unknown row must not matter, not even when it is no number.
    spoilt = np.where(unknown, np.nan, answers)
    assert score(masked, spoilt) == score(y[~unknown], answers[~unknown]) is not None


@pytest.mark.parametrize("name", sorted({**scores.PROBABILITY_SCORES, **scores.DECISION_SCORES}))
def test_nothing_known_is_undefined(name):
    score = getattr(scores, name)
    assert score([], []) is None
    assert score([np.nan, np.nan], [0, 1]) is None


def test_equal_scores_order_nothing():
    assert scores.auroc([1, 0, 1, 0], [0.5] * 4) == 0.5
    assert scores.auprc([1, 0, 1, 0], [0.5] * 4) == 0.5
    assert scores.auroc([0, 1, 1, 0], [0.5, 0.5, 0.9, 0.1]) == 0.875


def test_ece_by_hand():
    # Bins of width 0.5: (0.2, 0.4 | truth 0, 1) and (0.9 | truth 1): |0.3 - 0.5| * 2/3 + |0.9 - 1| * 1/3.
    assert scores.ece([0, 1, 1], [0.2, 0.4, 0.9], n_bins=2) == pytest.approx(0.2 * 2 / 3 + 0.1 / 3)


@pytest.mark.slow
def test_ece_equals_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    generator = np.random.default_rng(0)
    p = generator.random(500)
    y = (generator.random(500) < p**2).astype(int)
    expected = functional.binary_calibration_error(torch.tensor(p), torch.tensor(y), n_bins=15)
    assert scores.ece(y, p) == pytest.approx(float(expected), abs=1e-6)


def test_faulty_input_is_refused():
    with pytest.raises(ValueError, match="0, 1 and NaN"):
        scores.auroc([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="one length"):
        scores.auroc([0, 1], [0.1])
    with pytest.raises(ValueError, match="1 answers are not finite"):
        scores.brier([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="apply a threshold"):
        scores.f1([0, 1], [0.1, 0.9])
