"""The division of patients against trying every move and every swap."""

import itertools

import numpy as np
import pytest

from auscult.splits.allocate import WEIGHT_OF_ALL, allocate
from auscult.splits.counts import Evidence

SHARES = (0.6, 0.25, 0.15)


def patients_of(seed: int, n_patients: int, n_datasets: int) -> Evidence:
    """Patients who are positive, negative or both of two sounds; every combination occurs often."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, (n_patients, 2))
    names = np.array([f"p{number:03d}" for number in range(n_patients)], dtype=object)
    datasets = np.array(["one", "two"], dtype=object)[rng.integers(0, n_datasets, n_patients)]
    return Evidence(names, datasets, positive=state != 0, negative=state != 1)


def counted(evidence: Evidence) -> np.ndarray:
    """What is counted of each patient, shape [patient, feature]; with several datasets each sound of each, too."""
    wishes = evidence.negative & ~evidence.positive
    labels = np.hstack([evidence.positive, evidence.negative, wishes]).astype(float)
    every = np.full((len(labels), 1), WEIGHT_OF_ALL)
    of_dataset = (evidence.datasets[:, None] == np.unique(evidence.datasets)).astype(float)
    if of_dataset.shape[1] == 1:
        return np.hstack([every, labels])
    return np.hstack([every, of_dataset, labels, *(column[:, None] * labels for column in of_dataset.T)])


def squared_surplus(features: np.ndarray, sides: np.ndarray) -> float:
    """The sum over features and sides of (patients on the side less its share) squared."""
    held = np.stack([features[sides == side].sum(axis=0) for side in range(len(SHARES))])
    return float(((held - np.outer(SHARES, features.sum(axis=0))) ** 2).sum())


@pytest.mark.parametrize("n_datasets", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_no_move_and_no_swap_brings_the_counts_nearer_to_their_shares(seed, n_datasets):
    evidence = patients_of(seed, 61, n_datasets)
    features = counted(evidence)
    sides = allocate(evidence, SHARES, np.random.default_rng(seed))
    reached = squared_surplus(features, sides)
    for patient, side in itertools.product(range(len(sides)), range(len(SHARES))):
        moved = sides.copy()
        moved[patient] = side
        assert squared_surplus(features, moved) > reached - 1e-4
    for one, other in itertools.combinations(range(len(sides)), 2):
        swapped = sides.copy()
        swapped[[one, other]] = sides[[other, one]]
        assert squared_surplus(features, swapped) > reached - 1e-4


def rare_patients() -> Evidence:
    """40 patients of two datasets, three of whom are positive of the first sound and five negative of the second."""
    at = np.arange(40)
    positive = np.stack([np.isin(at, (3, 17, 29)), ~np.isin(at, (1, 8, 15, 22, 39))], axis=1)
    names = np.array([f"p{number:03d}" for number in at], dtype=object)
    return Evidence(names, np.where(at % 3 == 0, "one", "two").astype(object), positive, ~positive)


@pytest.mark.parametrize(
    ("evidence", "by_class", "expected"),
    [
        (patients_of(0, 61, 1), False, "0011001201010010002100002000210101020000000211220101200000010"),
        (patients_of(1, 61, 2), False, "0100000011010010000100021002012010000200022110112000020110002"),
        (patients_of(2, 14, 2), False, "11001200000210"),
        (rare_patients(), False, "0002120100020001101002210010010021100000"),
        (rare_patients(), True, "0001120000020001101002210011020012100000"),
    ],
)
def test_a_seed_divides_as_it_did_in_earlier_versions(evidence, by_class, expected):
    """Results that were published name a seed: it must go on meaning the same patients."""
    sides = allocate(evidence, SHARES, np.random.default_rng(7), by_class=by_class)
    assert "".join(map(str, sides)) == expected
