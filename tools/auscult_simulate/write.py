"""Writing a simulated dataset in a native layout, and the demo that the project ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from auscult.errors import ConfigError, DataError, unknown_name
from auscult.storage.tables import SIMULATED_MARK
from auscult_simulate.diseases import DISEASES
from auscult_simulate.layouts import (
    DURATIONS_S,
    RECORDINGS_PER_PATIENT,
    USUAL_DURATION_S,
    WRITERS,
    Plan,
    SimulatedRecording,
)
from auscult_simulate.signals import Range

_MARK_TEXT = """# Simulated sounds

The dataset in this folder was written by `auscult simulate dataset`, in the layout of a real one or of an own
collection. No patient was recorded.
While this file stands here, every table and report made from it says so.
"""


def write_dataset(
    layout: str,
    root: Path,
    *,
    n_patients: int,
    seed: int,
    duration_s: Range | None = None,
    recordings_per_patient: tuple[int, int] | None = None,
    dataset: str | None = None,
    variant: Literal["a", "b"] = "a",
    wide_share: float = 0.1,
    wide_duration_s: Range | None = None,
    severity: Mapping[str, Range] | None = None,
) -> list[SimulatedRecording]:
    """Write a dataset of simulated lung sounds; equal arguments give equal bytes.

    Args:
        layout: A key of `layouts.WRITERS`.
        root: Folder to write into; made when absent, refused when it holds anything.
        n_patients: Patients with recordings.
        seed: Of everything drawn, not negative.
        duration_s: Shortest and longest recording; default: as the real dataset, roughly.
        recordings_per_patient: Fewest and most; default: as the real dataset, roughly.
        dataset: Name in the ids of the ground truth; default: the layout's.
        variant: Which of the two kinds of copies in the wild is written (see the layout's module).
        wide_share: ICBHI only: share of recordings at 10 or 44.1 kHz with up to 32 bits.
        wide_duration_s: Length of those; None: as the others.
        severity: Mildest and gravest course by disease, from 0 (nothing is heard) to 1 (the full picture, which those
            not named have); below 0 is as 0, so that (-0.1, 0.9) leaves one patient in ten without any sound of it.

    Returns:
        The truth about each recording, in the order of writing.

    Raises:
        ConfigError: For an unknown layout or impossible numbers.
        DataError: When the folder is not empty.
    """
    if layout not in WRITERS:
        raise ConfigError(unknown_name("layout", layout, WRITERS))
    if n_patients < 1:
        raise ConfigError(f"n_patients is {n_patients}; a dataset has at least one patient")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; a seed is not negative")
    duration_s = duration_s or usual_duration_s(layout)
    for name, bounds in (("duration_s", duration_s), ("wide_duration_s", wide_duration_s or duration_s)):
        if not 1.0 <= bounds[0] <= bounds[1] <= 600.0:
            raise ConfigError(f"{name} is {bounds}; expected 1 <= shortest <= longest <= 600")
    per_patient = recordings_per_patient or RECORDINGS_PER_PATIENT[layout]
    if not 1 <= per_patient[0] <= per_patient[1]:
        raise ConfigError(f"recordings_per_patient is {per_patient}; expected 1 <= fewest <= most")
    if not 0 <= wide_share <= 1:
        raise ConfigError(f"wide_share is {wide_share}; expected a share from 0 to 1")
    severity = severity or {}
    for disease, (mildest, gravest) in severity.items():
        if disease not in DISEASES:
            raise ConfigError(f"severity: {unknown_name('disease', disease, DISEASES)}")
        if not -1 <= mildest <= gravest <= 1:
            raise ConfigError(f"severity of {disease} is {(mildest, gravest)}; expected -1 <= mildest <= gravest <= 1")
    make_empty_folder(root)
    plan = Plan(
        root=root,
        dataset=dataset or layout,
        n_patients=n_patients,
        seed=seed,
        duration_s=duration_s,
        recordings_per_patient=per_patient,
        variant=variant,
        wide_share=wide_share,
        wide_duration_s=wide_duration_s,
        severity=severity,
    )
    return WRITERS[layout](plan)


def usual_duration_s(layout: str) -> Range:
    """Return the shortest and the longest recording of a layout when nothing else is asked for."""
    return DURATIONS_S.get(layout, USUAL_DURATION_S)


def write_mark(root: Path) -> None:
    """Write the mark into a simulated dataset's folder: tables and reports made from it then say that it is simulated.

    No reader takes the mark for a part of the dataset.
    """
    (root / SIMULATED_MARK).write_text(_MARK_TEXT, encoding="utf-8", newline="\n")


def make_empty_folder(root: Path) -> None:
    """Make a folder, or accept an empty one.

    Raises:
        DataError: When something is there already.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; name a folder to write into")
    root.mkdir(parents=True, exist_ok=True)
    found = sorted(path.name for path in root.iterdir())
    if found:
        raise DataError(
            f"{root} is not empty ({len(found)} entries, such as {found[0]!r}); nothing is overwritten: name another "
            "folder or empty this one"
        )
