"""Patients drawn at random: all sides, one fold, or validation from the train patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.errors import InfeasibleError
from auscult.splits.allocate import allocate
from auscult.tables import SIDES

if TYPE_CHECKING:
    from auscult.config.split import FoldSplit, Fractions
    from auscult.splits.assignment import Assignment

TRAIN, VAL, TEST = SIDES


def draw_sides(made: Assignment, fractions: Fractions, seed: int) -> None:
    """Divide all patients by the fractions."""
    evidence = made.facts.by_patient()
    shares = (fractions.train, fractions.val, fractions.test)
    drawn = allocate(evidence, shares, np.random.default_rng(seed), by_class=made.by_class)
    at = np.searchsorted(evidence.patient_ids.astype(str), made.patients.astype(str))
    made.sides = np.array(SIDES, dtype=object)[drawn[at]]


def draw_fold(made: Assignment, settings: FoldSplit) -> None:
    """Divide all patients into folds and put one of them on the test side.

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
    made.sides[:] = TRAIN
    made.move(set(evidence.patient_ids[folds == settings.fold - 1]), TEST)


def draw_validation(made: Assignment, fraction: float, seed: int) -> None:
    """Move a stratified share of the train patients to validation; those who also stand in test stay.

    Raises:
        InfeasibleError: Fewer than two patients stand in train alone.
    """
    candidates = made.patients_on(TRAIN) - made.patients_on(TEST)
    if len(candidates) < 2:
        raise InfeasibleError(
            f"validation is drawn from patients who stand in train and not in test; found {len(candidates)}, at least "
            f"2 are needed. Name validation values (kind `column`: `val`), or use `split: {{kind: patients}}`"
        )
    evidence = made.facts.take((made.sides == TRAIN) & made.holds(candidates)).by_patient()
    # A stream of its own: the parts of a k-fold are the same whatever becomes of validation.
    generator = np.random.default_rng([seed, 1])
    drawn = allocate(evidence, (1 - fraction, fraction), generator, by_class=made.by_class)
    made.move(set(evidence.patient_ids[drawn == 1]), VAL)
