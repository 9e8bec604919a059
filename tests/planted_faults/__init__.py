"""Damages on request: what a reader must refuse and name, planted in a dataset that was written before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.planted_faults.audio import plant_audio_faults
from tests.planted_faults.cycles import plant_cycle_faults
from tests.planted_faults.hf_lung import plant_hf_lung_faults
from tests.planted_faults.icbhi import plant_icbhi_faults
from tests.planted_faults.label_folders import plant_label_folders_faults
from tests.planted_faults.sheets import plant_bd_faults, plant_jordan_faults
from tests.planted_faults.sprsound import plant_sprsound_faults
from tests.planted_faults.tables import plant_files_csv_faults, plant_manifest_faults
from tests.planted_faults.tree import PlantedFault, Tree
from tests.planted_faults.uid_json import plant_uid_json_faults

from auscult.errors import ConfigError, unknown_name

_PLANTERS: dict[str, Callable[[Tree], list[PlantedFault]]] = {
    "icbhi": plant_icbhi_faults,
    "antwerp": plant_cycle_faults,
    "antwerp_sim": plant_cycle_faults,
    "perch": plant_cycle_faults,
    "jordan": plant_jordan_faults,
    "bd": plant_bd_faults,
    "sprsound": plant_sprsound_faults,
    "hf_lung": plant_hf_lung_faults,
    "manifest": plant_manifest_faults,
    "uid_json": plant_uid_json_faults,
    "label_folders": plant_label_folders_faults,
    "files_csv": plant_files_csv_faults,
}


def plant_faults(root: Path, layout: str, rng: np.random.Generator) -> list[PlantedFault]:
    """Damage a written dataset in more than ten ways, each recording in one way at most.

    Args:
        root: A folder that `run.write_dataset` has filled, with some 40 recordings (20 where there are cycle files).
        layout: Its layout.
        rng: The only source of randomness.

    Returns:
        What was done, with the file and line where a reader should say so.

    Raises:
        ConfigError: For an unknown layout.
        DataError: When there are fewer recordings than faults.
    """
    if layout not in _PLANTERS:
        raise ConfigError(unknown_name("layout", layout, _PLANTERS))
    tree = Tree(root, rng)
    return [*plant_audio_faults(tree), *_PLANTERS[layout](tree)]


__all__ = ["PlantedFault", "plant_faults"]
