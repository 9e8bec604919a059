"""A split in the making: the side of each recording, and why some take no part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from auscult.splits.evidence import RecordingFacts

    Mask = NDArray[np.bool_]


@dataclass
class Assignment:
    """Sides in the making.

    Attributes:
        recordings: Those that may take part, sorted by id.
        facts: What is known of them.
        by_class: The task is multi-class.
        sides: `train`, `val`, `test` or None, one a recording.
        left_out: Reason -> ids of the recordings left out for it.
        notes: (kind, text, ids) of what the reader of the audit should know.
    """

    recordings: pd.DataFrame
    facts: RecordingFacts
    by_class: bool
    sides: NDArray[np.object_]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def leave_out(self, at: Mask, reason: str) -> None:
        """Take recordings out, and remember why; those that are out already keep their first reason."""
        names = self.recordings["recording_id"].to_numpy(dtype=object)
        already = {name for left in self.left_out.values() for name in left}
        self.sides[at] = None
        left = [name for name in names[at].tolist() if name not in already]
        if left:
            self.left_out[reason] = left

    @property
    def patients(self) -> NDArray[np.object_]:
        """The recordings' patients."""
        return self.facts.patient_ids

    def patients_on(self, side: str) -> set[str]:
        """Return the patients with a recording on a side."""
        return set(self.patients[self.sides == side])

    def holds(self, patients: set[str]) -> Mask:
        """Return which recordings are of `patients`."""
        return np.isin(self.patients.astype(str), sorted(patients))

    @property
    def nowhere(self) -> Mask:
        """Which recordings stand on no side."""
        return np.array([side is None for side in self.sides], dtype=bool)

    def move(self, patients: set[str], side: str) -> None:
        """Put the recordings of `patients` on one side; those that take no part stay out."""
        self.sides[self.holds(patients) & ~self.nowhere] = side
