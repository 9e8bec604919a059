"""How patients are divided into train, val and test."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from auscult.config.base import Label, Settings

Leak = Literal[
    "byte_equal_audio", "near_duplicate_audio", "byte_equal_pictures", "near_duplicate_pictures", "similar_patient_ids"
]
"""What the leakage audit may find of recordings, and an experiment may declare."""


class Fractions(Settings):
    """Shares of the patients; they add up to one."""

    train: float = Field(default=0.7, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.val + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"train, val and test add up to {total:g}, not to 1")
        return self

    @property
    def val_share(self) -> float:
        """Validation's share of the patients outside the test set."""
        return self.val / (self.train + self.val)


class ValFold(Settings):
    """One part of the patients outside the test set as validation: they are in `n_folds` equal parts, stratified.

    The test set is that of the split without it. Equal `seed` and `n_folds` give the same parts for every `fold`.
    """

    n_folds: int = Field(ge=2, le=100)
    fold: int | None = Field(
        default=None, ge=1, description="the part that is validation, from 1; none: nobody is, all of them are train"
    )

    @model_validator(mode="after")
    def _check_fold(self) -> Self:
        if self.fold is not None and self.fold > self.n_folds:
            raise ValueError(f"fold {self.fold} lies beyond n_folds {self.n_folds}")
        return self


WITH_CALIBRATION = (
    "calibration_fraction with folds of validation: their mean has its operating point from every patient outside the "
    "test set already, out of fold; leave one of the two out"
)
_LATER = ("val_fold", "calibration_fraction")


class _Split(Settings):
    """What every kind of split may declare."""

    allow_leaks: dict[Leak, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="findings of the leakage audit that do not stop the run, each with the reason, which the report "
        "prints: {near_duplicate_audio: why}",
    )

    allow_absent: dict[Literal["train", "val", "calibration", "test"], tuple[Label, ...]] = Field(
        default={},
        description="targets of which a subset may hold no patient, which the report prints: {val: [stridor]}",
    )

    val_fold: ValFold | None = Field(
        default=None, description="the validation set as one part of several; the experiment's `val_folds: N` makes all"
    )

    calibration_fraction: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="share of the validation patients on which temperature, operating points and conformal sets are "
        "chosen, in place of validation, which then chooses the epoch alone; 0: none",
    )

    @property
    def names_validation(self) -> str:
        """Say what fixes the validation set of this kind; empty where it is drawn from the patients outside test."""
        return ""

    @model_validator(mode="after")
    def _check_val_fold(self) -> Self:
        if self.val_fold is not None and self.names_validation:
            raise ValueError(f"val_fold divides the patients outside the test set anew, but {self.names_validation}")
        if self.val_fold is not None and self.calibration_fraction:
            raise ValueError(WITH_CALIBRATION)
        return self

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not asked for, so that splits which were made before keep their key."""
        found: dict[str, Any] = handler(self)
        return {name: value for name, value in found.items() if name not in _LATER or value}


class PatientSplit(_Split):
    """Patients drawn at random, stratified by dataset and by the task's targets."""

    kind: Literal["patients"]
    fractions: Fractions = Fractions()
    seed: int = Field(default=0, ge=0)


class OfficialSplit(_Split):
    """The dataset's own list (ICBHI 2017); the validation set is drawn from its train patients."""

    kind: Literal["official"]
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    patients_on_both_sides: Literal["train", "test", "drop", "drop_from_test", "keep"] = Field(
        default="drop",
        description="what to do with patients that the list puts in both subsets: to one of them, out of both, out of "
        "test alone; `keep` needs allow_patient_overlap",
    )
    allow_patient_overlap: bool = Field(default=False, description="declared in the report when true")

    @model_validator(mode="after")
    def _check_overlap(self) -> Self:
        if self.patients_on_both_sides == "keep" and not self.allow_patient_overlap:
            raise ValueError(
                "patients_on_both_sides: keep needs allow_patient_overlap: true, so that the report says so"
            )
        return self


class ColumnSplit(_Split):
    """Sides by the value of a recording attribute; `val_fraction` of the train patients when `val` is empty.

    A recording without a value, or with one that no subset names, takes no part.
    """

    kind: Literal["column"]
    column: str = Field(description="an attribute of the dataset, or one of dataset, site, device, sex")
    test: (
        Annotated[tuple[Label, ...], Field(min_length=1)] | dict[str, Annotated[tuple[Label, ...], Field(min_length=1)]]
    ) = Field(description="values, or part -> values: parts of the test set that are judged apart as well")
    val: tuple[Label, ...] = ()
    train: tuple[Label, ...] | Literal["others"] = "others"
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    patients_on_both_sides: Literal["refuse", "drop_from_test", "keep"] = Field(
        default="refuse",
        description="patients whom the values put in train (or val) and test; `keep` needs allow_patient_overlap",
    )
    allow_patient_overlap: bool = Field(default=False, description="declared in the report when true")

    @property
    def names_validation(self) -> str:
        """Say which values are validation."""
        return f"the values {', '.join(self.val)} of {self.column} are validation; leave `val` out" if self.val else ""

    @property
    def test_parts(self) -> dict[str, tuple[Label, ...]]:
        """Parts of the test set that are judged apart: name -> values; empty where there is one whole."""
        return self.test if isinstance(self.test, dict) else {}

    @property
    def test_values(self) -> tuple[Label, ...]:
        """All values of the test set."""
        if isinstance(self.test, dict):
            return tuple(value for values in self.test.values() for value in values)
        return self.test

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if isinstance(self.test, dict) and not self.test:
            raise ValueError("test names no part")
        twice = sorted({value for value in self.test_values if self.test_values.count(value) > 1})
        if twice:
            raise ValueError(f"test: {twice} stand in two parts, or twice in one")
        return self

    @model_validator(mode="after")
    def _check_overlap(self) -> Self:
        if self.patients_on_both_sides == "drop_from_test" and self.allow_patient_overlap:
            raise ValueError("patients_on_both_sides: drop_from_test leaves no overlap; remove allow_patient_overlap")
        if self.patients_on_both_sides == "keep" and not self.allow_patient_overlap:
            raise ValueError(
                "patients_on_both_sides: keep needs allow_patient_overlap: true, so that the report says so"
            )
        return self

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        subsets = {"test": set(self.test_values), "val": set(self.val)}
        if self.train != "others":
            subsets["train"] = set(self.train)
        names = list(subsets)
        for index, first in enumerate(names):
            for second in names[index + 1 :]:
                both = sorted(subsets[first] & subsets[second])
                if both:
                    raise ValueError(f"{both} stand in both {first} and {second}")
        return self


class FoldSplit(_Split):
    """One fold of a k-fold: patients in `n_folds` equal parts, stratified; part `fold` is the test subset.

    Equal `seed` and `n_folds` give the same parts for every `fold`; validation is drawn from the other patients.
    """

    kind: Literal["folds"]
    n_folds: int = Field(default=5, ge=2, le=100)
    fold: int = Field(ge=1, description="the part that is tested, from 1")
    val_fraction: float = Field(default=0.15, gt=0, lt=1, description="of the patients outside the fold")
    seed: int = Field(default=0, ge=0)

    @property
    def names_validation(self) -> str:
        """Say that the folds are those of the test set."""
        return "every fold has a test set of its own here; use split.kind: patients"

    @model_validator(mode="after")
    def _check_fold(self) -> Self:
        if self.fold > self.n_folds:
            raise ValueError(f"fold {self.fold} lies beyond n_folds {self.n_folds}")
        return self


class LeaveDatasetOutSplit(_Split):
    """One dataset is tested, all others train; the validation set is drawn from the others' patients."""

    kind: Literal["leave_dataset_out"]
    dataset: str = Field(description="the dataset that is tested")
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class LeaveSiteOutSplit(_Split):
    """One site is tested, all others train; the validation set is drawn from the others' patients.

    What the site's patients recorded elsewhere takes no part, nor do recordings whose site is not known.
    """

    kind: Literal["leave_site_out"]
    site: Label = Field(description="the site that is tested")
    dataset: str | None = Field(default=None, description="whose site it is; default: of every dataset")
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class LeaveDeviceOutSplit(_Split):
    """One device is tested, all others train; the validation set is drawn from the others' patients.

    What the device's patients recorded with another takes no part, nor do recordings whose device is not known.
    """

    kind: Literal["leave_device_out"]
    device: Label = Field(description="the device that is tested")
    dataset: str | None = Field(default=None, description="whose device it is; default: of every dataset")
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


SplitSettings = Annotated[
    PatientSplit
    | OfficialSplit
    | ColumnSplit
    | FoldSplit
    | LeaveDatasetOutSplit
    | LeaveSiteOutSplit
    | LeaveDeviceOutSplit,
    Field(discriminator="kind"),
]
