"""Which subset each recording is in, by the kind of split; None for one that takes no part, with the reason."""

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
from auscult.splits.allocate import draw_calibration, draw_fold, draw_subsets, draw_val_fold, draw_validation
from auscult.splits.counts import recording_facts
from auscult.storage.tables import ATTRIBUTE_PREFIX, SUBSETS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from auscult.splits.counts import RecordingFacts

    Mask = NDArray[np.bool_]
    from auscult.config.task import TaskSettings


@dataclass
class Assignment:
    """Sides in the making.

    Attributes:
        recordings: Those that may take part, sorted by id.
        facts: What is known of them.
        by_class: The task is multi-class.
        subsets: `train`, `val`, `calibration`, `test` or None, one a recording.
        left_out: Reason -> ids of the recordings left out for it.
        notes: (kind, text, ids) of what the reader of the audit should know.
    """

    recordings: pd.DataFrame
    facts: RecordingFacts
    by_class: bool
    subsets: NDArray[np.object_]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def leave_out(self, at: Mask, reason: str) -> None:
        """Take recordings out, and remember why; those that are out already keep their first reason."""
        names = self.recordings["recording_id"].to_numpy(dtype=object)
        already = {name for left in self.left_out.values() for name in left}
        self.subsets[at] = None
        left = [name for name in names[at].tolist() if name not in already]
        if left:
            self.left_out[reason] = left

    @property
    def patients(self) -> NDArray[np.object_]:
        """The recordings' patients."""
        return self.facts.patient_ids

    def patients_in(self, subset: str) -> set[str]:
        """Return the patients with a recording in a subset."""
        return set(self.patients[self.subsets == subset])

    def holds(self, patients: set[str]) -> Mask:
        """Return which recordings are of `patients`."""
        return np.isin(self.patients.astype(str), sorted(patients))

    @property
    def unassigned(self) -> Mask:
        """Which recordings are in no subset."""
        return np.array([subset is None for subset in self.subsets], dtype=bool)

    def move(self, patients: set[str], subset: str) -> None:
        """Put the recordings of `patients` in one subset; those that take no part stay out."""
        self.subsets[self.holds(patients) & ~self.unassigned] = subset


TRAIN, VAL, CALIBRATION, TEST = SUBSETS
FACTS = ("dataset", "site", "device", "sex")
"""Columns of the recordings table that a split may go by, beside the attributes."""
OFFICIAL = "official_split"
ON_BOTH_SIDES = "the official list puts the patient in both subsets"


def assign(recordings: pd.DataFrame, events: pd.DataFrame, settings: SplitSettings, task: TaskSettings) -> Assignment:
    """Return a subset for every recording.

    Args:
        recordings: Those with at least one known target, of all datasets.
        events: Their events.
        settings: The kind of split.
        task: For stratification.

    Raises:
        ConfigError: A column, dataset, site or device that is not there.
        InfeasibleError: Patients are in several subsets, or too few are left to draw validation from.
    """
    recordings = recordings.sort_values("recording_id").reset_index(drop=True)
    facts = recording_facts(recordings, events, task)
    unassigned = np.full(len(recordings), None, dtype=object)
    made = Assignment(recordings, facts, task.type == "multi_class", unassigned)
    if isinstance(settings, PatientSplit):
        draw_subsets(made, settings.fractions, settings.seed)
    elif isinstance(settings, FoldSplit):
        draw_fold(made, settings)
    elif isinstance(settings, OfficialSplit):
        _follow_list(made, settings)
    elif isinstance(settings, ColumnSplit):
        _follow_column(made, settings)
    elif isinstance(settings, LeaveDatasetOutSplit):
        _leave_dataset_out(made, settings)
    elif isinstance(settings, LeaveSiteOutSplit):
        _leave_value_out(made, "site", settings.site, settings.dataset, "elsewhere")
    else:
        _leave_value_out(made, "device", settings.device, settings.dataset, "with another device")
    if settings.val_fold is not None:
        draw_val_fold(made, settings.val_fold, settings.seed)
    elif not isinstance(settings, PatientSplit) and not (isinstance(settings, ColumnSplit) and settings.val):
        draw_validation(made, settings.val_fraction, settings.seed)
    if settings.calibration_fraction:
        draw_calibration(made, settings.calibration_fraction, settings.seed)
    return made


def _follow_list(made: Assignment, settings: OfficialSplit) -> None:
    values = split_column(made.recordings, OFFICIAL)
    for name, rows in made.recordings.groupby("dataset").groups.items():
        if values.loc[rows].isna().all():
            raise InfeasibleError(
                f"dataset {name!r} has no official list of train and test; use `split: {{kind: patients}}` for all "
                f"datasets, or leave {name!r} out"
            )
    for subset in (TRAIN, TEST):
        made.subsets[(values == subset).to_numpy(dtype=bool)] = subset
    made.leave_out(made.unassigned, "not on the official list")
    crossing = made.patients_in(TRAIN) & made.patients_in(TEST)
    if not crossing:
        return
    if settings.patients_on_both_sides == "drop":
        made.leave_out(made.holds(crossing), ON_BOTH_SIDES)
    elif settings.patients_on_both_sides == "drop_from_test":
        made.leave_out(made.holds(crossing) & (made.subsets == TEST), ON_BOTH_SIDES)
    elif settings.patients_on_both_sides != "keep":
        made.move(crossing, settings.patients_on_both_sides)
    done = {
        "drop": "left out",
        "drop_from_test": "left out of test",
        "train": "moved to train",
        "test": "moved to test",
        "keep": "kept in both subsets",
    }
    text = f"the official list puts {len(crossing)} patients in both subsets; {done[settings.patients_on_both_sides]}"
    made.notes.append(("official_list_overlap", text, sorted(crossing)))


def _follow_column(made: Assignment, settings: ColumnSplit) -> None:
    values = split_column(made.recordings, settings.column).str.strip()
    present = set(values.dropna())
    named = {TEST: settings.test_values, VAL: settings.val}
    if settings.train != "others":
        named[TRAIN] = settings.train
    else:
        made.subsets[values.notna().to_numpy(dtype=bool)] = TRAIN
    for subset, wanted in named.items():
        made.subsets[values.isin(list(wanted)).to_numpy(dtype=bool)] = subset
    absent = sorted({value for wanted in named.values() for value in wanted} - present)
    if absent:
        shown = sorted(present)[:20]
        text = f"no recording has {settings.column} {', '.join(absent)}; found {', '.join(shown)}"
        if not all(present & set(values) for values in (settings.test_parts or {TEST: settings.test_values}).values()):
            raise ConfigError(f"split.test: {text}{', ...' if len(present) > 20 else ''}")
        made.notes.append(("values_not_found", text, absent))
    made.leave_out(values.isna().to_numpy(dtype=bool), f"no value of {settings.column}")
    made.leave_out(made.unassigned & values.notna().to_numpy(dtype=bool), f"no subset names its {settings.column}")
    if settings.patients_on_both_sides == "drop_from_test":
        crossing = (made.patients_in(TRAIN) | made.patients_in(VAL)) & made.patients_in(TEST)
        if crossing:
            of_test = made.holds(crossing) & (made.subsets == TEST)
            made.leave_out(of_test, f"{settings.column} puts the patient in test and elsewhere")
            text = f"{settings.column} puts {len(crossing)} patients in test and elsewhere too; left out of test"
            made.notes.append(("column_overlap", text, sorted(crossing)))
    _refuse_overlap(made, allowed=settings.allow_patient_overlap)


def _refuse_overlap(made: Assignment, *, allowed: bool) -> None:
    on = {subset: made.patients_in(subset) for subset in SUBSETS}
    crossing = sorted((on[TRAIN] & on[VAL]) | (on[TRAIN] & on[TEST]) | (on[VAL] & on[TEST]))
    if crossing and not allowed:
        raise InfeasibleError(
            f"this split puts {len(crossing)} patients in several subsets, such as {crossing[:5]}: the test set would "
            f"know them from training. Divide by patients (`split: {{kind: patients}}`), leave them out of test "
            f"(`patients_on_both_sides: drop_from_test`), or declare it with `allow_patient_overlap: true`, which the "
            f"report prints"
        )


def _leave_dataset_out(made: Assignment, settings: LeaveDatasetOutSplit) -> None:
    datasets = made.recordings["dataset"].to_numpy(dtype=object)
    if settings.dataset not in set(datasets):
        raise ConfigError(f"split.dataset: {unknown_name('dataset', settings.dataset, set(datasets))}")
    made.subsets[:] = np.where(datasets == settings.dataset, TEST, TRAIN)


def _leave_value_out(made: Assignment, column: str, value: str, dataset: str | None, otherwise: str) -> None:
    """Test one site or device; what else its patients recorded takes no part, nor does what names none."""
    datasets = made.recordings["dataset"].to_numpy(dtype=object)
    concerned = np.ones(len(datasets), dtype=bool) if dataset is None else datasets == dataset
    values = pd.Series(made.recordings[column])
    tested = concerned & (values == value).to_numpy(dtype=bool)
    if not tested.any():
        known = {str(name) for name in pd.Series(values[concerned]).dropna()}
        raise ConfigError(f"split.{column}: {unknown_name(column, value, known)}")
    made.subsets[:] = TRAIN
    made.subsets[tested] = TEST
    made.leave_out(concerned & values.isna().to_numpy(dtype=bool), f"the {column} is not known")
    others = made.holds(made.patients_in(TEST)) & (made.subsets == TRAIN)
    made.leave_out(others, f"recorded {otherwise} of a patient of the tested {column}")


def split_column(recordings: pd.DataFrame, column: str) -> pd.Series:
    """Return the attribute, or one of `FACTS`, by which a split goes.

    Raises:
        ConfigError: There is no such column.
    """
    name = ATTRIBUTE_PREFIX + column
    if name not in recordings.columns and column in FACTS:
        name = column
    if name not in recordings.columns:
        attributes = [c.removeprefix(ATTRIBUTE_PREFIX) for c in recordings.columns if c.startswith(ATTRIBUTE_PREFIX)]
        raise ConfigError(f"split.column: {unknown_name('attribute', column, [*attributes, *FACTS])}")
    return pd.Series(recordings[name])
