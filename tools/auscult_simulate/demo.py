"""The demo that the project ships: all six layouts, small enough for a repository, large enough to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from auscult.storage.tables import SIMULATED_MARK
from auscult_simulate.layouts import SimulatedRecording
from auscult_simulate.signals import Range
from auscult_simulate.write import make_empty_folder, write_dataset

MAX_BYTES = 7_800_000
"""Most that the demo may take. A second at 4 kHz and 16 bit is 8,000 bytes: the parts below plan for 7.3 million."""


@dataclass(frozen=True)
class DemoPart:
    """One dataset of the demo."""

    n_patients: int
    duration_s: Range
    recordings_per_patient: tuple[int, int]


PARTS: Mapping[str, DemoPart] = MappingProxyType(
    {
        "icbhi": DemoPart(24, (4.0, 5.0), (2, 2)),  # 24 x 2 x 4.5 s = 1.7 MB, and 0.6 MB for the wide ones
        "jordan": DemoPart(20, (4.0, 4.6), (1, 1)),  # 20 x 3 x 4.3 s = 2.1 MB
        "bd": DemoPart(20, (3.6, 4.2), (3, 3)),  # 20 x 3 x 3.9 s = 1.9 MB
        "antwerp": DemoPart(8, (4.0, 5.0), (2, 2)),  # 8 x 2 x 4.5 s = 0.6 MB
        "antwerp_sim": DemoPart(8, (4.0, 5.0), (1, 1)),  # 8 x 4.5 s = 0.3 MB
        "perch": DemoPart(8, (4.0, 5.0), (1, 1)),  # 8 x 4.5 s = 0.3 MB
    }
)
_WIDE_SHARE = 1 / 12
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
        )
        for layout, part in PARTS.items()
    }
