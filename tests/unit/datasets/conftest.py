"""Tiny native trees, and the tables that an ingest makes of them."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
import soundfile
from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import DatasetTables, read_root
from auscult.storage.files import read_json
from auscult.storage.tables import SIMULATED_MARK, read_events, read_recordings
from auscult_simulate.write import write_dataset

WriteWav = Callable[..., Path]
WriteText = Callable[[str, bytes], Path]


@dataclass(frozen=True)
class Ingested:
    recordings: pd.DataFrame
    events: pd.DataFrame
    rejected: list[tuple[str, int | None, str]]
    summary: dict[str, Any]

    @property
    def fault_classes(self) -> list[tuple[str, int | None, str]]:
        return [(file, line, reason.split(":")[0]) for file, line, reason in self.rejected]

    def row(self, recording_id: str) -> pd.Series:
        return self.recordings.set_index("recording_id").loc[recording_id]

    def kinds_of(self, recording_id: str) -> list[tuple[float, float, str]]:
        rows = self.events[self.events["recording_id"] == recording_id]
        return list(rows[["start_s", "end_s", "kind"]].itertuples(index=False, name=None))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def write_wav(root: Path) -> WriteWav:
    def write(name: str, duration_s: float = 4.0, sample_rate_hz: int = 4000, seed: int = 0, **options: Any) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (round(duration_s * sample_rate_hz), options.pop("channels", 1))
        waveform = np.random.default_rng(seed).uniform(-0.5, 0.5, shape)
        soundfile.write(path, waveform, sample_rate_hz, **{"subtype": "PCM_16", **options})
        return path

    return write


@pytest.fixture
def write_text(root: Path) -> WriteText:
    def write(name: str, content: bytes) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def write_sheet(root: Path) -> Callable[..., Path]:
    def write(name: str, rows: list[list[Any]]) -> Path:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        book.save(path)
        return path

    return write


@pytest.fixture
def run_ingest(root: Path, tmp_path: Path) -> Callable[..., Ingested]:
    def run(layout: str, *, where: Path = root, probe: Any = None, **settings: Any) -> Ingested:
        parsed = TypeAdapter(DatasetSettings).validate_python(
            {"description": "a test", "root": str(where), "layout": layout, **settings}
        )
        output_dir = tmp_path / "tables"
        ingest(where, "set", parsed, output_dir, **({"probe": probe} if probe else {}))
        with open(output_dir / "rejected.csv", encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        assert header == ["file", "line", "reason"]
        rejected = [(file, int(line) if line else None, reason) for file, line, reason in rows]
        summary = read_json(output_dir / "summary.json")
        assert summary["rejected"]["total"] == len(rejected)
        return Ingested(
            read_recordings(output_dir / "recordings.parquet"),
            read_events(output_dir / "events.parquet"),
            rejected,
            summary,
        )

    return run


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
