"""Patients drawn at random and divided among subsets: shares as asked, every label in every subset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auscult.errors import InfeasibleError
from auscult.storage.tables import SUBSETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.splits.counts import Evidence

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    from auscult.config.split import FoldSplit, Fractions, ValFold
    from auscult.splits.assign import Assignment


MAX_STRATA_TO_SWAP = 300
"""Swaps are tried among all pairs of strata up to so many; beyond, single moves only."""
MAX_STEPS = 1000
WEIGHT_OF_ALL = 2.0
"""How much more the shares of all patients count than those of one label or dataset."""
N_DECIMALS = 6
_GAIN = 1e-5


@dataclass(frozen=True)
class _Plan:
    """Strata and what is counted of them.

    Attributes:
        sizes: Patients per stratum, shape [stratum].
        features: Shape [stratum, feature]: everything counted whose shares should hold.
        labels: Shape [stratum, label]: the features of which every subset needs a patient; wishes stand last.
        n_required: How many of the labels are no mere wishes.
        shares: Shape [subset].
    """

    sizes: Counts
    features: Floats
    labels: NDArray[np.bool_]
    n_required: int
    shares: Floats

    def surplus(self, counts: Counts) -> Floats:
        """Return how many patients more than its share each subset has of each feature, shape [feature, subset]."""
        totals = self.sizes @ self.features
        return self.features.T @ counts - np.outer(totals, self.shares)


def allocate(
    evidence: Evidence, shares: Sequence[float], generator: np.random.Generator, *, by_class: bool = False
) -> NDArray[np.int64]:
    """Return the subset (index into `shares`) of every patient, shape [patient].

    The answer depends on the set of patients, the shares and the generator; not on the order of rows.

    Args:
        evidence: What each patient holds; its sorted ids give the order.
        shares: They add up to one.
        generator: The only source of randomness.
        by_class: A multi-class task: holding a class is a label, not holding it is none.
    """
    parts = [evidence.positive] if by_class else [evidence.positive, evidence.negative]
    n_required = sum(part.shape[1] for part in parts)
    if not by_class:
        wishes = evidence.negative & ~evidence.positive
        # Where patients are positive or negative and never both, this says nothing new.
        parts.append(wishes[:, (wishes != evidence.negative).any(axis=0)])
    labels = np.concatenate(parts, axis=1)
    names, codes = np.unique(evidence.datasets.astype(str), return_inverse=True)
    of_dataset = np.eye(len(names), dtype=bool)[codes]
    pattern = np.concatenate([of_dataset, labels], axis=1)
    strata_rows, strata = np.unique(pattern, axis=0, return_inverse=True)
    # Strata are looked at in random order, for ties go to the first.
    order = generator.permutation(len(strata_rows))
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    strata, strata_rows = position[strata.ravel()], strata_rows[order]
    features = _features(strata_rows[:, : len(names)], strata_rows[:, len(names) :])
    plan = _Plan(
        sizes=np.bincount(strata, minlength=len(strata_rows)),
        features=features,
        labels=strata_rows[:, len(names) :],
        n_required=n_required,
        shares=np.asarray(shares, dtype=np.float64),
    )
    counts = _reserve(plan)
    counts += _whole_shares(plan, counts)
    _place_rest(plan, counts)
    _polish(plan, counts)
    subsets = np.empty(len(strata), dtype=np.int64)
    members = np.split(np.argsort(strata, kind="stable"), np.cumsum(plan.sizes)[:-1])
    for stratum, patients in enumerate(members):
        subsets[generator.permutation(patients)] = np.repeat(np.arange(len(shares)), counts[stratum])
    return subsets


def _features(of_dataset: NDArray[np.bool_], labels: NDArray[np.bool_]) -> Floats:
    """Return what is counted of each stratum: itself, its dataset, its labels, and its labels by dataset."""
    both = (of_dataset[:, :, None] & labels[:, None, :]).reshape(len(labels), -1)
    every = np.full((len(labels), 1), WEIGHT_OF_ALL)
    parts = [every, labels] if of_dataset.shape[1] == 1 else [every, of_dataset, labels, both]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _reserve(plan: _Plan) -> Counts:
    """Give every subset a patient of every label, as far as there are enough."""
    counts = np.zeros((len(plan.sizes), len(plan.shares)), dtype=np.int64)
    totals = plan.sizes @ plan.labels
    subsets = np.argsort(plan.shares, kind="stable")
    required, wishes = totals[: plan.n_required], totals[plan.n_required :]
    for label in [*np.argsort(required, kind="stable"), *(plan.n_required + np.argsort(wishes, kind="stable"))]:
        for subset in subsets:
            missing = (plan.labels * counts[:, [subset]]).sum(axis=0) == 0
            free = plan.sizes - counts.sum(axis=1)
            candidates = np.flatnonzero(plan.labels[:, label] & (free > 0))
            # A label must be there, whatever the subset's share; a wish fills no subset beyond it.
            has_room = label < plan.n_required or counts[:, subset].sum() < plan.sizes.sum() * plan.shares[subset]
            if missing[label] and len(candidates) and has_room:
                serves = (plan.labels[candidates] & missing).sum(axis=1)
                best = np.lexsort((-free[candidates], -serves))[0]
                counts[candidates[best], subset] += 1
    return counts


def _whole_shares(plan: _Plan, reserved: Counts) -> Counts:
    """Return the whole patients that each stratum's shares still ask for."""
    asked = plan.sizes[:, None] * plan.shares
    wanted = np.maximum(np.floor(asked + 1e-9).astype(np.int64) - reserved, 0)
    for stratum in np.flatnonzero(wanted.sum(axis=1) > plan.sizes - reserved.sum(axis=1)):
        while wanted[stratum].sum() > plan.sizes[stratum] - reserved[stratum].sum():
            over = np.where(wanted[stratum] > 0, reserved[stratum] + wanted[stratum] - asked[stratum], -np.inf)
            wanted[stratum, np.argmax(_comparable(over))] -= 1
    return wanted


def _place_rest(plan: _Plan, counts: Counts) -> None:
    """Place what rounding left over, one patient at a time, where the counts then fit their shares best."""
    surplus = plan.surplus(counts)
    rest = plan.sizes - counts.sum(axis=1)
    for stratum in np.repeat(np.arange(len(rest)), rest):
        subset = int(np.argmin(_comparable(plan.features[stratum] @ surplus)))
        counts[stratum, subset] += 1
        surplus[:, subset] += plan.features[stratum]


def _polish(plan: _Plan, counts: Counts) -> None:
    """Move or swap patients while the sum of squared surpluses falls and no label leaves a subset."""
    subsets = range(len(plan.shares))
    likeness = plan.features @ plan.features.T if len(plan.sizes) <= MAX_STRATA_TO_SWAP else None
    for _ in range(MAX_STEPS):
        surplus = plan.surplus(counts)
        steps = [
            step
            for one in subsets
            for other in subsets
            if one != other
            for step in _steps(plan, counts, surplus, (one, other), likeness)
        ]
        steps.sort(key=lambda step: round(step[0], N_DECIMALS))
        for _gain, moved in steps:
            after = counts + moved
            if _covered(plan, after) >= _covered(plan, counts):
                counts[:] = after
                break
        else:
            return


def _steps(
    plan: _Plan, counts: Counts, surplus: Floats, subsets: tuple[int, int], likeness: Floats | None
) -> list[tuple[float, Counts]]:
    """Return the best move between two subsets, and the best swap, with half their change where that is a gain."""
    one, other = subsets
    pull = _comparable(plan.features @ (surplus[:, other] - surplus[:, one]))
    norms = (plan.features**2).sum(axis=1)
    movable = counts[:, one] > 0
    found: list[tuple[float, Counts]] = []
    change = np.where(movable, norms + pull, np.inf)
    stratum = int(np.argmin(change))
    if change[stratum] < -_GAIN:
        found.append((float(change[stratum]), _shift(counts, stratum, one, other)))
    if likeness is not None:
        change = _comparable(norms[:, None] + norms[None, :] - 2 * likeness + pull[:, None] - pull[None, :])
        change[~movable] = np.inf
        change[:, counts[:, other] == 0] = np.inf
        stratum, back = divmod(int(np.argmin(change)), len(pull))
        if change[stratum, back] < -_GAIN:
            moved = _shift(counts, stratum, one, other) + _shift(counts, back, other, one)
            found.append((float(change[stratum, back]), moved))
    return found


def _comparable(values: Floats) -> Floats:
    """Round to what no order of summation changes, so that ties are ties on every machine."""
    return np.round(values, N_DECIMALS)


def _shift(counts: Counts, stratum: int, one: int, other: int) -> Counts:
    moved = np.zeros_like(counts)
    moved[stratum, one], moved[stratum, other] = -1, 1
    return moved


def _covered(plan: _Plan, counts: Counts) -> int:
    """Count the pairs (label, subset) that hold a patient."""
    return int(np.count_nonzero(plan.labels.T.astype(np.int64) @ counts))


TRAIN, VAL, CALIBRATION, TEST = SUBSETS


def draw_subsets(made: Assignment, fractions: Fractions, seed: int) -> None:
    """Divide all patients by the fractions."""
    evidence = made.facts.by_patient()
    shares = (fractions.train, fractions.val, fractions.test)
    drawn = allocate(evidence, shares, np.random.default_rng(seed), by_class=made.by_class)
    at = np.searchsorted(evidence.patient_ids.astype(str), made.patients.astype(str))
    made.subsets = np.array((TRAIN, VAL, TEST), dtype=object)[drawn[at]]


def draw_fold(made: Assignment, settings: FoldSplit) -> None:
    """Divide all patients into folds and make one of them the test set.

    Raises:
        InfeasibleError: There are fewer patients than folds.
    """
    evidence = made.facts.by_patient()
    if len(evidence.patient_ids) < settings.n_folds:
        raise InfeasibleError(
            f"{len(evidence.patient_ids)} patients cannot be divided into {settings.n_folds} folds; lower n_folds"
        )
    shares = [1 / settings.n_folds] * settings.n_folds
    folds = allocate(evidence, shares, np.random.default_rng([settings.seed, 0]), by_class=made.by_class)
    made.subsets[:] = TRAIN
    made.move(set(evidence.patient_ids[folds == settings.fold - 1]), TEST)


def draw_validation(made: Assignment, fraction: float, seed: int) -> None:
    """Move a stratified share of the train patients to validation; those who also stand in test stay.

    Raises:
        InfeasibleError: Fewer than two patients stand in train alone.
    """
    candidates = made.patients_in(TRAIN) - made.patients_in(TEST)
    if len(candidates) < 2:
        raise InfeasibleError(
            f"validation is drawn from patients who stand in train and not in test; found {len(candidates)}, at least "
            f"2 are needed. Name validation values (kind `column`: `val`), or use `split: {{kind: patients}}`"
        )
    evidence = made.facts.take((made.subsets == TRAIN) & made.holds(candidates)).by_patient()
    # A stream of its own: the parts of a k-fold are the same whatever becomes of validation.
    generator = np.random.default_rng([seed, 1])
    drawn = allocate(evidence, (1 - fraction, fraction), generator, by_class=made.by_class)
    made.move(set(evidence.patient_ids[drawn == 1]), VAL)


def draw_val_fold(made: Assignment, settings: ValFold, seed: int) -> None:
    """Make one of several parts of the patients outside test validation, or none; all others of them are train.

    Those who stand in test too stay in train.

    Raises:
        InfeasibleError: There are fewer such patients than parts.
    """
    made.subsets[made.subsets == VAL] = TRAIN
    if settings.fold is None:
        return
    candidates = made.patients_in(TRAIN) - made.patients_in(TEST)
    if len(candidates) < settings.n_folds:
        raise InfeasibleError(
            f"{len(candidates)} patients outside the test set cannot be divided into {settings.n_folds} parts; lower "
            "val_folds"
        )
    evidence = made.facts.take((made.subsets == TRAIN) & made.holds(candidates)).by_patient()
    shares = [1 / settings.n_folds] * settings.n_folds
    # A stream of its own: the test set is the same whatever becomes of validation.
    parts = allocate(evidence, shares, np.random.default_rng([seed, 2]), by_class=made.by_class)
    made.move(set(evidence.patient_ids[parts == settings.fold - 1]), VAL)


def draw_calibration(made: Assignment, fraction: float, seed: int) -> None:
    """Move a stratified share of the patients who stand in validation alone to the calibration subset.

    Raises:
        InfeasibleError: There are fewer than two such patients.
    """
    candidates = made.patients_in(VAL) - made.patients_in(TRAIN) - made.patients_in(TEST)
    if len(candidates) < 2:
        raise InfeasibleError(
            f"calibration_fraction divides the patients of validation; found {len(candidates)}, at least 2 are needed: "
            "raise the share of validation, or leave calibration_fraction out"
        )
    evidence = made.facts.take((made.subsets == VAL) & made.holds(candidates)).by_patient()
    # A stream of its own: the other subsets are the same whatever becomes of validation.
    generator = np.random.default_rng([seed, 3])
    drawn = allocate(evidence, (1 - fraction, fraction), generator, by_class=made.by_class)
    made.move(set(evidence.patient_ids[drawn == 1]), CALIBRATION)
