"""A job that is trained once for each dataset, site or device, which is left out of training and makes the test set."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Label, Settings
from auscult.config.split import (
    LeaveDatasetOutSplit,
    LeaveDeviceOutSplit,
    LeaveSiteOutSplit,
    PatientSplit,
    SplitSettings,
)

_UNSAFE_IN_FOLDERS = re.compile(r"[^A-Za-z0-9_.-]+")
_MOST_CHARACTERS = 60


class MatrixSettings(Settings):
    """What is left out, one value after the other."""

    leave_out: Literal["dataset", "site", "device"] = Field(
        description="each of its values is the test set of one training, and takes no part in training and validation"
    )
    values: tuple[Label, ...] = Field(
        default=(),
        description="which values, as the tables hold them; default: every dataset of the job. Sites and devices must "
        "be named, since only the data know them (`auscult data describe`)",
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.leave_out != "dataset" and not self.values:
            raise ValueError(
                f"name the values to leave out: `matrix: {{leave_out: {self.leave_out}, values: [...]}}`; "
                "`auscult data describe` lists those of a dataset"
            )
        if len(self.values) == 1:
            raise ValueError(
                f"values: found {self.values[0]!r} alone, expected two or more; for one use `split: {{kind: "
                f"leave_{self.leave_out}_out, {self.leave_out}: {self.values[0]}}}`"
            )
        twice = sorted({value for value in self.values if self.values.count(value) > 1})
        if twice:
            raise ValueError(f"values: {twice} stand there twice")
        return self


def folder_names(values: tuple[str, ...]) -> dict[str, str]:
    """Return a name for each value that is safe in a folder's.

    All but letters, digits, `_`, `.` and `-` becomes a hyphen. Values that would then share a name, also where case
    does not count, have a digest behind it.

    >>> folder_names(("icbhi", "Littmann 3200/B"))
    {'icbhi': 'icbhi', 'Littmann 3200/B': 'Littmann-3200-B'}
    >>> folder_names(("ward A", "ward/a"))
    {'ward A': 'ward-A-8f1fd0', 'ward/a': 'ward-a-691c8f'}
    """
    names = {value: _UNSAFE_IN_FOLDERS.sub("-", value).strip("-.")[:_MOST_CHARACTERS] for value in values}
    folded = [name.lower() for name in names.values()]
    return {
        value: name
        if name and folded.count(name.lower()) == 1
        else "-".join([*([name] if name else []), hashlib.sha256(value.encode()).hexdigest()[:6]])
        for value, name in names.items()
    }


def split_without(split: PatientSplit, matrix: MatrixSettings, value: str) -> SplitSettings:
    """Return the split whose test set is one value; validation takes the share of the rest that it has in `split`."""
    kept = {
        "val_fraction": split.fractions.val_share,
        "seed": split.seed,
        "allow_leaks": split.allow_leaks,
        "allow_absent": split.allow_absent,
        "calibration_fraction": split.calibration_fraction,
    }
    if matrix.leave_out == "dataset":
        return LeaveDatasetOutSplit.model_validate({"kind": "leave_dataset_out", "dataset": value, **kept})
    if matrix.leave_out == "site":
        return LeaveSiteOutSplit.model_validate({"kind": "leave_site_out", "site": value, **kept})
    return LeaveDeviceOutSplit.model_validate({"kind": "leave_device_out", "device": value, **kept})
