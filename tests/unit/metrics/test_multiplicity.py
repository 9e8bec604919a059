"""Corrected p-values: against brute force, at the edges, and by the errors that they let through."""

import numpy as np
import pytest
from scipy.stats import binom

from auscult.config import TaskSettings
from auscult.metrics.aggregation import LevelRows
from auscult.metrics.comparison import compare_rows
from auscult.metrics.multiplicity import ERROR_RATE, holm, max_t_p, two_families_p


def brute_force_p(differences, n_units):
    """Westfall and Young's algorithm 2.8 as written, one hypothesis and one resample after the other."""
    n_resamples = differences.shape[1] - 1
    spread = differences[:, 1:].std(axis=1)
    found = np.abs(differences[:, 0]) / (spread * np.sqrt(n_units / (n_units - 1)))
    p, highest = np.empty(len(found)), 0.0
    for place, at in enumerate(remaining := list(np.argsort(-found))):
        rest = remaining[place:]
        at_least = 0
        for column in range(1, n_resamples + 1):
            distances = [abs(differences[one, column] - differences[one, 0]) / spread[one] for one in rest]
            at_least += max(distances) >= found[at]
        highest = max(highest, (1 + at_least) / (1 + n_resamples))
        p[at] = highest
    return p


def test_the_maximum_statistic_equals_brute_force():
    rng = np.random.default_rng(4)
    estimates = np.array([0.0, 0.4, -0.9, 1.6, 0.05])[:, None]
    shared = rng.normal(size=(1, 200))
    resamples = estimates + 0.3 * (shared + rng.normal(size=(5, 200)))
    differences = np.concatenate([estimates, resamples], axis=1)
    n_units = np.array([9, 9, 12, 30, 5])
    assert max_t_p(differences, n_units) == pytest.approx(brute_force_p(differences, n_units))


def test_what_cannot_be_tested_has_no_p_and_disturbs_no_other():
    rng = np.random.default_rng(1)
    plain = np.concatenate([[0.5], 0.5 + 0.1 * rng.normal(size=100)])
    undefined, always, equal = np.full(101, np.nan), np.full(101, 0.2), np.zeros(101)
    mostly_undefined = np.where(np.arange(101) < 40, plain, np.nan)
    p = max_t_p(np.stack([undefined, plain, always, equal, mostly_undefined, plain]), [9, 9, 9, 9, 9, 1])
    assert np.isnan(p).tolist() == [True, False, True, False, True, True]
    assert p[1] == max_t_p(plain[None], [9])[0]
    assert p[3] == 1
    assert np.isnan(max_t_p(np.ones((2, 1)), [9, 9])).all()


def test_a_second_family_has_the_whole_error_only_after_all_of_the_first_is_rejected():
    assert two_families_p([0.01, 0.04], [0.05])[1] == pytest.approx([0.05])
    assert two_families_p([0.01, 0.041], [0.05])[1][0] > ERROR_RATE
    assert two_families_p([0.01, np.nan], [0.05])[1] == pytest.approx([0.25])
    assert two_families_p([0.01], [])[1].shape == (0,)


def test_holm_equals_golden_values():
    # statsmodels 0.15.0, multipletests([0.001, 0.02, 0.03, 0.04, 0.2], method="holm")
    assert holm([0.04, 0.001, 0.2, 0.02, 0.03]) == pytest.approx([0.09, 0.005, 0.2, 0.08, 0.09])
    assert holm([]) == []


TASK = TaskSettings(description="", type="binary", targets=("ill",), level="patient")


def words_of_a_null_comparison(rng, *, n_patients, n_results, n_resamples):
    """Compare results of equal skill, whose errors go together as those of trainings on the same data do."""
    truth = (np.arange(n_patients) < 0.3 * n_patients).astype(np.float32)[:, None]
    ids = np.array([f"p{number}" for number in range(n_patients)])
    common = 1.2 * truth + 0.8 * rng.normal(size=truth.shape)
    rows = []
    for _ in range(n_results):
        logits = 1.2 * (common + 0.6 * rng.normal(size=truth.shape) - 0.6)
        rows.append(LevelRows(ids, ids, 1 / (1 + np.exp(-logits)), truth, 0))
    views = compare_rows(rows, [np.array([0.5])] * n_results, TASK, rng, n_resamples)
    return [line.verdict(other) for view in views for line in view.lines for other in range(n_results - 1)]


@pytest.mark.parametrize("n_patients", [20, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.soak])])
def test_twenty_results_without_a_difference_seldom_have_a_word(n_patients):
    rng, n_pages = np.random.default_rng(n_patients), 80
    sizes = {"n_patients": n_patients, "n_results": 21, "n_resamples": 200}
    n_wrong = sum(any(words_of_a_null_comparison(rng, **sizes)) for _ in range(n_pages))
    assert n_wrong <= binom.ppf(0.99, n_pages, ERROR_RATE)


def test_a_large_difference_keeps_its_word():
    rng = np.random.default_rng(5)
    truth = (np.arange(80) < 30).astype(np.float32)[:, None]
    ids = np.array([f"p{number}" for number in range(80)])
    logits = [skill * (2 * truth - 1) + rng.normal(size=truth.shape) for skill in (0.2, 1.5, 0.2)]
    rows = [LevelRows(ids, ids, 1 / (1 + np.exp(-one)), truth, 0) for one in logits]
    (view,) = compare_rows(rows, [np.array([0.5])] * 3, TASK, rng, 400)
    words = {line.metric: [line.verdict(other) for other in range(2)] for line in view.lines}
    assert words["AUROC"] == ["better", ""]
    # Of an error, less is better.
    assert words["Brier score"] == ["better", ""]
