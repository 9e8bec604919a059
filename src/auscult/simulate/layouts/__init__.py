"""Writers of the datasets' native layouts."""

from __future__ import annotations

from collections.abc import Callable

from auscult.simulate.layouts.bd import write_bd
from auscult.simulate.layouts.cycles import write_antwerp, write_antwerp_sim, write_perch
from auscult.simulate.layouts.icbhi import write_icbhi
from auscult.simulate.layouts.jordan import write_jordan
from auscult.simulate.layouts.plan import Plan, SimulatedRecording

WRITERS: dict[str, Callable[[Plan], list[SimulatedRecording]]] = {
    "icbhi": write_icbhi,
    "antwerp": write_antwerp,
    "antwerp_sim": write_antwerp_sim,
    "perch": write_perch,
    "jordan": write_jordan,
    "bd": write_bd,
}

RECORDINGS_PER_PATIENT = {
    "icbhi": (2, 6),
    "antwerp": (2, 4),
    "antwerp_sim": (1, 3),
    "perch": (2, 6),
    "jordan": (1, 1),
    "bd": (4, 6),
}

__all__ = ["RECORDINGS_PER_PATIENT", "WRITERS", "Plan", "SimulatedRecording"]
