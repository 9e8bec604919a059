"""The demo that the project ships: all six layouts, small enough for a repository, large enough to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from auscult.storage.tables import SIMULATED_MARK
from auscult_simulate.layouts import SimulatedRecording
from auscult_simulate.signals import Range
from auscult_simulate.write import make_empty_folder, write_dataset

MAX_BYTES = 7_800_000
"""Most that the demo may take. A second at 4 kHz and 16 bit is 8,000 bytes: the parts below plan for 7.6 million."""


@dataclass(frozen=True)
class DemoPart:
    """One dataset of the demo."""

    n_patients: int
    duration_s: Range
    recordings_per_patient: tuple[int, int]
    severity: Mapping[str, Range] = field(default_factory=dict[str, Range])


_MILD_TO_GRAVE: Mapping[str, Range] = MappingProxyType({"pneumonia": (-0.05, 0.8)})
"""Some patients have pneumonia without any sound of it, and the mild sound nearly healthy: a good model errs too."""

PARTS: Mapping[str, DemoPart] = MappingProxyType(
    {
        # 44 x 1.5 x 4 s = 2.1 MB, and 0.5 MB for the wide ones
        "icbhi": DemoPart(44, (3.6, 4.4), (1, 2), severity=_MILD_TO_GRAVE),
        "jordan": DemoPart(24, (3.4, 4.0), (1, 1), severity=_MILD_TO_GRAVE),  # 24 x 3 x 3.7 s = 2.1 MB
        "bd": DemoPart(42, (3.4, 4.0), (1, 2), severity=_MILD_TO_GRAVE),  # 42 x 1.5 x 3.7 s = 1.9 MB
        "antwerp": DemoPart(8, (3.6, 4.4), (2, 2)),  # 8 x 2 x 4 s = 0.5 MB
        "antwerp_sim": DemoPart(8, (3.6, 4.4), (1, 1)),  # 8 x 4 s = 0.3 MB
        "perch": DemoPart(8, (3.6, 4.4), (1, 1)),  # 8 x 4 s = 0.3 MB
    }
)
_WIDE_SHARE = 1 / 20
_WIDE_DURATION_S = (2.0, 2.3)


_MARK_TEXT = """# Simulated sounds

The datasets in this folder were written by `auscult simulate demo`, in the layouts of real ones. No patient was
recorded.
While this file stands here, every table and report made from them says so; remove it with the simulated datasets.
"""


def write_demo(root: Path, seed: int) -> dict[str, list[SimulatedRecording]]:
    """Write the demo: a folder a dataset below `root`.

    Args:
        root: Folder to write into; made when absent, refused when it holds anything.
        seed: Of everything drawn.

    Returns:
        The truth about each recording by dataset.

    Raises:
        DataError: When the folder is not empty.
    """
    make_empty_folder(root)
    (root / SIMULATED_MARK).write_text(_MARK_TEXT, encoding="utf-8", newline="\n")
    return {
        layout: write_dataset(
            layout,
            root / layout,
            n_patients=part.n_patients,
            seed=seed,
            duration_s=part.duration_s,
            recordings_per_patient=part.recordings_per_patient,
            wide_share=_WIDE_SHARE,
            wide_duration_s=_WIDE_DURATION_S,
            severity=part.severity,
        )
        for layout, part in PARTS.items()
    }
