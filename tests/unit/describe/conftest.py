"""One small simulated dataset in ICBHI's layout, written once and read once."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.describe.sources import DatasetTables, read_root
from auscult.simulate.run import write_dataset
from auscult.tables import SIMULATED_MARK


@pytest.fixture(scope="session")
def simulated_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("described") / "lungs"
    write_dataset("icbhi", root, n_patients=5, seed=11, duration_s=(3.0, 5.0))
    (root.parent / SIMULATED_MARK).write_text("simulated\n")
    return root


@pytest.fixture(scope="session")
def lungs_settings(simulated_root: Path) -> DatasetSettings:
    values = {"description": "lungs", "layout": "icbhi", "root": str(simulated_root)}
    return TypeAdapter(DatasetSettings).validate_python(values)


@pytest.fixture(scope="session")
def lungs_tables(simulated_root: Path, lungs_settings: DatasetSettings) -> DatasetTables:
    return read_root(simulated_root, "lungs", lungs_settings)
