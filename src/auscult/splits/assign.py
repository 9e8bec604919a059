"""Which side each recording stands on, by the kind of split; None for one that takes no part, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.split import (
    ColumnSplit,
    FoldSplit,
    LeaveDatasetOutSplit,
    LeaveSiteOutSplit,
    OfficialSplit,
    PatientSplit,
    SplitSettings,
)
from auscult.errors import ConfigError, InfeasibleError, unknown_name
from auscult.splits.allocate import allocate
from auscult.splits.evidence import patient_evidence
from auscult.tables import ATTRIBUTE_PREFIX, SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auscult.config.task import TaskSettings

    Mask = NDArray[np.bool_]

TRAIN, VAL, TEST = SIDES
FACTS = ("dataset", "site", "device", "sex")
"""Columns of the recordings table that a split may go by, beside the attributes."""
OFFICIAL = "official_split"


@dataclass
class Assignment:
    """Sides in the making.

    Attributes:
        recordings: Those that may take part, sorted by id.
        sides: `train`, `val`, `test` or None, one a recording.
        left_out: Reason -> ids of the recordings left out for it.
        notes: (kind, text, ids) of what the reader of the audit should know.
    """

    recordings: pd.DataFrame
    sides: NDArray[np.object_]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def leave_out(self, at: Mask, reason: str) -> None:
        """Take recordings out, and remember why."""
        if at.any():
            self.sides[at] = None
            self.left_out[reason] = self.recordings["recording_id"].to_numpy(dtype=object)[at].tolist()

    @property
    def patients(self) -> NDArray[np.object_]:
        """The recordings' patients."""
        return self.recordings["patient_id"].to_numpy(dtype=object)

    def patients_on(self, side: str) -> set[str]:
        """Return the patients with a recording on a side."""
        return set(self.patients[self.sides == side])

    def holds(self, patients: set[str]) -> Mask:
        """Return which recordings are of `patients`."""
        return np.isin(self.patients.astype(str), sorted(patients))

    def move(self, patients: set[str], side: str) -> None:
        """Put all recordings of `patients` on one side."""
        self.sides[self.holds(patients)] = side


def assign(recordings: pd.DataFrame, events: pd.DataFrame, settings: SplitSettings, task: TaskSettings) -> Assignment:
    """Return a side for every recording.

    Args:
        recordings: Those with at least one known target, of all datasets.
        events: Their events.
        settings: The kind of split.
        task: For stratification.

    Raises:
        ConfigError: A column, dataset or site that is not there.
        InfeasibleError: Patients stand on several sides, or nobody is left to draw validation from.
    """
    recordings = recordings.sort_values("recording_id").reset_index(drop=True)
    made = Assignment(recordings, np.full(len(recordings), None, dtype=object))
    if isinstance(settings, PatientSplit):
        shares = (settings.fractions.train, settings.fractions.val, settings.fractions.test)
        _draw(made, events, task, shares, np.random.default_rng(settings.seed))
        return made
    if isinstance(settings, FoldSplit):
        _take_fold(made, events, task, settings)
    elif isinstance(settings, OfficialSplit):
        _follow_list(made, settings)
    elif isinstance(settings, ColumnSplit):
        _follow_column(made, settings)
        if settings.val:
            return made
    elif isinstance(settings, LeaveDatasetOutSplit):
        _leave_dataset_out(made, settings)
    else:
        _leave_site_out(made, settings)
    # A second, independent stream: the parts of a k-fold are the same whatever becomes of validation.
    generator = np.random.default_rng([settings.seed, 1])
    _draw_validation(made, events, task, settings.val_fraction, generator)
    return made


def _draw(
    made: Assignment,
    events: pd.DataFrame,
    task: TaskSettings,
    shares: tuple[float, ...],
    generator: np.random.Generator,
) -> None:
    evidence = patient_evidence(made.recordings, events, task)
    drawn = allocate(evidence, shares, generator, by_class=task.type == "multi_class")
    at = pd.Index(evidence.patient_ids).get_indexer(pd.Index(made.patients))
    made.sides = np.array(SIDES, dtype=object)[drawn[at]]


def _draw_validation(
    made: Assignment, events: pd.DataFrame, task: TaskSettings, fraction: float, generator: np.random.Generator
) -> None:
    """Move a stratified share of the train patients to validation; those who also stand in test stay."""
    candidates = made.patients_on(TRAIN) - made.patients_on(TEST)
    if len(candidates) < 2:
        raise InfeasibleError(
            f"validation is drawn from patients who stand in train and not in test; found {len(candidates)}, at least "
            f"2 are needed. Name validation values (kind `column`: `val`), or use `split: {{kind: patients}}`"
        )
    chosen = (made.sides == TRAIN) & made.holds(candidates)
    evidence = patient_evidence(pd.DataFrame(made.recordings[chosen]), events, task)
    drawn = allocate(evidence, (1 - fraction, fraction), generator, by_class=task.type == "multi_class")
    made.move(set(evidence.patient_ids[drawn == 1]), VAL)


def _take_fold(made: Assignment, events: pd.DataFrame, task: TaskSettings, settings: FoldSplit) -> None:
    evidence = patient_evidence(made.recordings, events, task)
    if len(evidence.patient_ids) < settings.n_folds:
        raise InfeasibleError(
            f"{len(evidence.patient_ids)} patients cannot be divided into {settings.n_folds} folds; lower n_folds"
        )
    shares = [1 / settings.n_folds] * settings.n_folds
    generator = np.random.default_rng([settings.seed, 0])
    folds = allocate(evidence, shares, generator, by_class=task.type == "multi_class")
    made.sides[:] = TRAIN
    made.move(set(evidence.patient_ids[folds == settings.fold - 1]), TEST)


def _follow_list(made: Assignment, settings: OfficialSplit) -> None:
    values = _column(made.recordings, OFFICIAL)
    for name, rows in made.recordings.groupby("dataset").groups.items():
        if values.loc[rows].isna().all():
            raise InfeasibleError(
                f"dataset {name!r} has no official list of train and test; use `split: {{kind: patients}}` for all "
                f"datasets, or leave {name!r} out"
            )
    for side in (TRAIN, TEST):
        made.sides[(values == side).to_numpy(dtype=bool)] = side
    made.leave_out(_none(made), "not on the official list")
    crossing = made.patients_on(TRAIN) & made.patients_on(TEST)
    if not crossing:
        return
    if settings.patients_on_both_sides == "drop":
        made.leave_out(made.holds(crossing), "the official list puts the patient on both sides")
    elif settings.patients_on_both_sides != "keep":
        made.move(crossing, settings.patients_on_both_sides)
    done = {"drop": "left out", "train": "moved to train", "test": "moved to test", "keep": "kept on both sides"}
    text = f"the official list puts {len(crossing)} patients on both sides; {done[settings.patients_on_both_sides]}"
    made.notes.append(("official_list_overlap", text, sorted(crossing)))


def _follow_column(made: Assignment, settings: ColumnSplit) -> None:
    values = _column(made.recordings, settings.column).str.strip()
    present = set(values.dropna())
    named = {TEST: settings.test, VAL: settings.val}
    if settings.train != "others":
        named[TRAIN] = settings.train
    else:
        made.sides[values.notna().to_numpy(dtype=bool)] = TRAIN
    for side, wanted in named.items():
        made.sides[values.isin(list(wanted)).to_numpy(dtype=bool)] = side
    absent = sorted({value for wanted in named.values() for value in wanted} - present)
    if absent:
        shown = sorted(present)[:20]
        text = f"no recording has {settings.column} {', '.join(absent)}; found {', '.join(shown)}"
        if not present & set(settings.test):
            raise ConfigError(f"split.test: {text}{', ...' if len(present) > 20 else ''}")
        made.notes.append(("values_not_found", text, absent))
    made.leave_out(values.isna().to_numpy(dtype=bool), f"no value of {settings.column}")
    made.leave_out(_none(made) & values.notna().to_numpy(dtype=bool), f"no side names its {settings.column}")
    _refuse_overlap(made, allowed=settings.allow_patient_overlap)


def _refuse_overlap(made: Assignment, *, allowed: bool) -> None:
    on = {side: made.patients_on(side) for side in SIDES}
    crossing = sorted((on[TRAIN] & on[VAL]) | (on[TRAIN] & on[TEST]) | (on[VAL] & on[TEST]))
    if crossing and not allowed:
        raise InfeasibleError(
            f"this split puts {len(crossing)} patients on several sides, such as {crossing[:5]}: the test part would "
            f"know them from training. Divide by patients (`split: {{kind: patients}}`), or declare it with "
            f"`allow_patient_overlap: true`, which the report prints"
        )


def _leave_dataset_out(made: Assignment, settings: LeaveDatasetOutSplit) -> None:
    datasets = made.recordings["dataset"].to_numpy(dtype=object)
    if settings.dataset not in set(datasets):
        raise ConfigError(f"split.dataset: {unknown_name('dataset', settings.dataset, set(datasets))}")
    made.sides[:] = np.where(datasets == settings.dataset, TEST, TRAIN)


def _leave_site_out(made: Assignment, settings: LeaveSiteOutSplit) -> None:
    datasets = made.recordings["dataset"].to_numpy(dtype=object)
    concerned = np.ones(len(datasets), dtype=bool) if settings.dataset is None else datasets == settings.dataset
    sites = pd.Series(made.recordings["site"])
    tested = concerned & (sites == settings.site).to_numpy(dtype=bool)
    if not tested.any():
        known = {str(site) for site in pd.Series(sites[concerned]).dropna()}
        raise ConfigError(f"split.site: {unknown_name('site', settings.site, known)}")
    made.sides[:] = TRAIN
    made.sides[tested] = TEST
    made.leave_out(concerned & sites.isna().to_numpy(dtype=bool), "the site is not known")
    elsewhere = made.holds(made.patients_on(TEST)) & (made.sides == TRAIN)
    made.leave_out(elsewhere, "recorded elsewhere of a patient of the tested site")


def _column(recordings: pd.DataFrame, column: str) -> pd.Series:
    name = ATTRIBUTE_PREFIX + column
    if name not in recordings.columns and column in FACTS:
        name = column
    if name not in recordings.columns:
        attributes = [c.removeprefix(ATTRIBUTE_PREFIX) for c in recordings.columns if c.startswith(ATTRIBUTE_PREFIX)]
        raise ConfigError(f"split.column: {unknown_name('attribute', column, [*attributes, *FACTS])}")
    return pd.Series(recordings[name])


def _none(made: Assignment) -> Mask:
    return np.array([side is None for side in made.sides], dtype=bool)
