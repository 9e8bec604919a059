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
