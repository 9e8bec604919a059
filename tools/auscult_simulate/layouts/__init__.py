"""Writers of the datasets' native layouts."""

from __future__ import annotations

from collections.abc import Callable

from auscult_simulate.layouts.bd import write_bd
from auscult_simulate.layouts.cycles import write_antwerp, write_antwerp_sim, write_perch
from auscult_simulate.layouts.files_csv import write_files_csv
from auscult_simulate.layouts.hf_lung import write_hf_lung
from auscult_simulate.layouts.icbhi import write_icbhi
from auscult_simulate.layouts.jordan import write_jordan
from auscult_simulate.layouts.label_folders import write_label_folders
from auscult_simulate.layouts.manifest import write_manifest
from auscult_simulate.layouts.plan import Plan, SimulatedRecording
from auscult_simulate.layouts.sprsound import write_sprsound
from auscult_simulate.layouts.uid_json import write_uid_json
from auscult_simulate.signals import Range

WRITERS: dict[str, Callable[[Plan], list[SimulatedRecording]]] = {
    "icbhi": write_icbhi,
    "antwerp": write_antwerp,
    "antwerp_sim": write_antwerp_sim,
    "perch": write_perch,
    "jordan": write_jordan,
    "bd": write_bd,
    "sprsound": write_sprsound,
    "hf_lung": write_hf_lung,
    "manifest": write_manifest,
    "uid_json": write_uid_json,
    "label_folders": write_label_folders,
    "files_csv": write_files_csv,
}

RECORDINGS_PER_PATIENT = {
    "icbhi": (2, 6),
    "antwerp": (2, 4),
    "antwerp_sim": (1, 3),
    "perch": (2, 6),
    "jordan": (1, 1),
    "bd": (4, 6),
    "sprsound": (1, 4),
    "hf_lung": (1, 6),
    "manifest": (1, 4),
    "uid_json": (1, 4),
    "label_folders": (1, 4),
    "files_csv": (1, 4),
}
"""Fewest and most recordings of a patient when nothing else is asked for."""

USUAL_DURATION_S: Range = (8.0, 20.0)
DURATIONS_S: dict[str, Range] = {"hf_lung": (15.0, 15.0)}
"""Shortest and longest recording when nothing else is asked for, where that is not `USUAL_DURATION_S`."""

__all__ = ["DURATIONS_S", "RECORDINGS_PER_PATIENT", "USUAL_DURATION_S", "WRITERS", "Plan", "SimulatedRecording"]
