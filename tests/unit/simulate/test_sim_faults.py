"""Readers find each planted fault, and nothing in a tree without."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.config import NativeDataset
from auscult.corpora import ingest
from auscult.errors import ConfigError, DataError
from auscult.simulate.faults import plant_faults
from auscult.simulate.layouts import WRITERS
from auscult.simulate.layouts.jordan import N_JUNK_ROWS
from auscult.simulate.run import write_dataset
from auscult.tables import read_events, read_recordings

N_PATIENTS = 16


def _ingest(root: Path, layout: str, output: Path) -> list[tuple[str, str]]:
    settings = NativeDataset(description="simulated", layout=layout, root=str(root))
    ingest.run(root, layout, settings, output)
    with open(output / "rejected.csv", encoding="utf-8", newline="") as stream:
        return [(row["file"], row["line"]) for row in csv.DictReader(stream)]


def _junk(layout: str) -> set[tuple[str, str]]:
    """Return the rows of JORDAN's sheet that are no patients, which belong to its dirt."""
    if layout != "jordan":
        return set()
    first = 1 + N_PATIENTS + 1
    return {("Data annotation.xlsx", str(row)) for row in range(first, first + N_JUNK_ROWS)}


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_a_tree_with_its_usual_dirt_is_read_whole(layout: str, tmp_path: Path) -> None:
    written = write_dataset(
        layout, tmp_path / "raw", n_patients=N_PATIENTS, seed=5, duration_s=(3, 4), recordings_per_patient=(2, 3)
    )
    rejected = _ingest(tmp_path / "raw", layout, tmp_path / "tables")
    assert set(rejected) <= _junk(layout)
    recordings = read_recordings(tmp_path / "tables" / "recordings.parquet")
    assert set(recordings["recording_id"]) == {recording.recording_id for recording in written}
    n_patients = len({recording.patient.patient_id for recording in written})
    assert recordings["patient_id"].nunique() == n_patients == N_PATIENTS
    if layout in ("icbhi", "antwerp", "antwerp_sim", "perch"):
        n_cycles = sum(sound.kind == "cycle" for recording in written for sound in recording.sounds)
        events = read_events(tmp_path / "tables" / "events.parquet")
        assert (events["kind"] == "cycle").sum() == n_cycles


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_readers_name_each_planted_fault_and_nothing_else(layout: str, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    write_dataset(layout, root, n_patients=N_PATIENTS, seed=6, duration_s=(3, 4), recordings_per_patient=(2, 3))
    faults = plant_faults(root, layout, np.random.default_rng(3))
    assert len(faults) >= 10
    assert len({fault.kind for fault in faults}) == len(faults)
    planted = {(fault.file, "" if fault.line is None else str(fault.line)) for fault in faults}
    assert len(planted) == len(faults)
    rejected = _ingest(root, layout, tmp_path / "tables")
    assert set(rejected) - _junk(layout) == planted
    assert len(rejected) == len(set(rejected))


def test_planting_is_repeatable(tmp_path: Path) -> None:
    planted = []
    for name in "ab":
        write_dataset("perch", tmp_path / name, n_patients=10, seed=1, duration_s=(2.5, 3))
        planted.append(plant_faults(tmp_path / name, "perch", np.random.default_rng(8)))
    assert planted[0] == planted[1]
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_planted_audio_is_truly_damaged(tmp_path: Path) -> None:
    write_dataset("perch", tmp_path, n_patients=10, seed=1, duration_s=(2.5, 3))
    by_kind = {fault.kind: tmp_path / fault.file for fault in plant_faults(tmp_path, "perch", np.random.default_rng(0))}
    assert by_kind["empty file"].stat().st_size == 0
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(by_kind["text named wav"])
    assert soundfile.info(by_kind["wav without samples"]).frames == 0
    assert np.isnan(soundfile.read(by_kind["samples not finite"])[0]).sum() == 1
    content = by_kind["truncated wav"].read_bytes()
    assert int.from_bytes(content[4:8], "little") + 8 > len(content)


def test_refuses_a_tree_that_is_too_small(tmp_path: Path) -> None:
    write_dataset("antwerp_sim", tmp_path, n_patients=3, seed=1, duration_s=(2.5, 3), recordings_per_patient=(1, 1))
    with pytest.raises(DataError, match="3 recordings, too few"):
        plant_faults(tmp_path, "antwerp_sim", np.random.default_rng(0))


def test_refuses_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown layout 'jordn'; did you mean 'jordan'"):
        plant_faults(tmp_path, "jordn", np.random.default_rng(0))
