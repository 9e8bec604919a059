"""Each reader on whole simulated trees: what was put in comes out, each planted fault is named, and nothing else."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.planted_faults import plant_faults

from auscult.config import load_dataset
from auscult.config.dataset import LAYOUTS
from auscult.datasets.ingest import ingest
from auscult.storage.files import read_json
from auscult.storage.tables import read_events, read_recordings
from auscult_simulate.dataset_yaml import dataset_settings
from auscult_simulate.layouts import WRITERS, SimulatedRecording
from auscult_simulate.layouts.jordan import N_JUNK_ROWS
from auscult_simulate.write import write_dataset

N_PATIENTS = 16
GENERAL = ("manifest", "uid_json", "label_folders", "files_csv")
EACH = [(layout, variant) for layout in sorted(WRITERS) for variant in "ab"]


@dataclass(frozen=True)
class Simulated:
    root: Path
    truth: list[SimulatedRecording]


@dataclass(frozen=True)
class Tables:
    recordings: pd.DataFrame
    events: pd.DataFrame
    rejected: Counter[tuple[str, str, str]]
    summary: dict


@pytest.fixture(scope="module")
def simulate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Simulated]:
    written: dict[tuple[str, str], Simulated] = {}

    def write(layout: str, variant: str) -> Simulated:
        if (layout, variant) not in written:
            root = tmp_path_factory.mktemp(f"{layout}-{variant}") / "root"
            truth = write_dataset(
                layout,
                root,
                n_patients=N_PATIENTS,
                seed=5,
                duration_s=(2.5, 3.0),
                recordings_per_patient=(2, 3),
                variant=variant,
            )
            written[layout, variant] = Simulated(root, truth)
        return written[layout, variant]

    return write


def read(root: Path, layout: str, variant: str, output: Path) -> Tables:
    ingest(root, layout, dataset_settings(layout, root, variant), output)
    with open(output / "rejected.csv", encoding="utf-8", newline="") as stream:
        rejected = Counter((row["file"], row["line"], row["reason"].split(":")[0]) for row in csv.DictReader(stream))
    return Tables(
        read_recordings(output / "recordings.parquet").set_index("recording_id"),
        read_events(output / "events.parquet"),
        # The rows below KAUH's table, which are no patients, belong to its dirt.
        Counter({row: count for row, count in rejected.items() if layout != "jordan" or not _is_junk(*row)}),
        read_json(output / "summary.json"),
    )


def _is_junk(file: str, line: str, reason: str) -> bool:
    first = 1 + N_PATIENTS + 1
    is_below = file == "Data annotation.xlsx" and int(line or 0) in range(first, first + N_JUNK_ROWS)
    return is_below and reason == "not a patient row"


def _texts(column: pd.Series) -> dict[str, str | None]:
    return column.astype(object).where(column.notna(), None).to_dict()


def test_the_simulator_writes_every_layout_of_sound() -> None:
    assert sorted(WRITERS) == sorted(set(LAYOUTS) - {"label_images", "idx"})


@pytest.mark.parametrize(("layout", "variant"), EACH)
def test_a_clean_tree_with_its_dirt_reads_exactly_as_it_was_made(
    layout: str, variant: str, simulate: Callable, tmp_path: Path
) -> None:
    made = simulate(layout, variant)
    tables = read(made.root, layout, variant, tmp_path)
    assert tables.rejected == Counter()
    assert sorted(tables.recordings.index) == sorted(recording.recording_id for recording in made.truth)
    for recording in made.truth:
        row = tables.recordings.loc[recording.recording_id]
        assert made.root / row["path"] == recording.path
        # BD's ids are numbers in its sheet: patients are named by the number, without leading zeros.
        patient = recording.patient.patient_id.lstrip("0") if layout == "bd" else recording.patient.patient_id
        assert row["patient_id"] == f"{layout}/{patient}"
        assert row["duration_s"] == pytest.approx(recording.duration_s, abs=1e-9)
        assert (row["sample_rate_hz"], row["n_channels"]) == (recording.sample_rate_hz, recording.n_channels)
        if not pd.isna(row["age_years"]):
            assert row["age_years"] == pytest.approx(recording.patient.age_years, abs=0.051)
        assert pd.isna(row["sex"]) or row["sex"] == recording.patient.sex
    names = {name for recording in made.truth for name in recording.labels}
    assert {column for column in tables.recordings if column.startswith("label_")} == {f"label_{n}" for n in names}
    for name in names:
        assert _texts(tables.recordings[f"label_{name}"]) == {r.recording_id: r.labels[name] for r in made.truth}
    read_as = Counter(tables.events[["recording_id", "start_s", "end_s", "kind"]].itertuples(index=False, name=None))
    assert read_as == Counter(
        (event.recording_id, event.start_s, event.end_s, event.kind)
        for recording in made.truth
        for event in recording.annotations
    )


@pytest.mark.parametrize(("layout", "variant"), EACH)
def test_each_planted_fault_is_rejected_with_its_reason_and_nothing_else_is(
    layout: str, variant: str, simulate: Callable, tmp_path: Path
) -> None:
    made = simulate(layout, variant)
    root = tmp_path / "root"
    shutil.copytree(made.root, root, symlinks=True)
    faults = plant_faults(root, layout, np.random.default_rng(3))
    assert len({fault.kind for fault in faults}) == len(faults) >= 10
    tables = read(root, layout, variant, tmp_path / "tables")
    assert tables.rejected == Counter(
        (fault.file, "" if fault.line is None else str(fault.line), fault.reason) for fault in faults
    )
    # What no fault has touched is read as before.
    whole = {recording.recording_id: recording for recording in made.truth}
    kept = [recording_id for recording_id in tables.recordings.index if recording_id in whole]
    assert len(kept) >= len(whole) - len(faults)
    for name in {name for recording in made.truth for name in recording.labels}:
        for recording_id, label in _texts(tables.recordings.loc[kept, f"label_{name}"]).items():
            assert label in (None, whole[recording_id].labels[name]), "a fault never turns a label into another one"


@pytest.mark.parametrize("layout", ["icbhi", "jordan", "bd"])
def test_the_diagnosis_of_each_simulated_patient_arrives(layout: str, simulate: Callable, tmp_path: Path) -> None:
    made = simulate(layout, "a")
    tables = read(made.root, layout, "a", tmp_path)
    column, ill = {"bd": ("label_pep1", "1")}.get(layout, ("label_diagnosis", "pneumonia"))
    expected = {recording.recording_id for recording in made.truth if recording.disease == "pneumonia"}
    assert set(tables.recordings.index[tables.recordings[column] == ill]) == expected
    assert expected


@pytest.mark.parametrize("layout", sorted(set(WRITERS) - set(GENERAL)))
def test_the_projects_own_settings_of_a_published_dataset_read_it_too(layout: str, project_dir: Path) -> None:
    apart = {"description", "root", "tracked_by", "shards", "official_split"}
    theirs = load_dataset(project_dir / "config", layout).model_dump(exclude=apart)
    assert dataset_settings(layout, Path("data")).model_dump(exclude=apart) == theirs


SPRSOUND_PLACES = {"Pl": "left posterior", "Ll": "left lateral", "Pr": "right posterior", "Lr": "right lateral"}


@pytest.mark.parametrize(
    "layout", ["icbhi", "antwerp", "antwerp_sim", "sprsound", "manifest", "label_folders", "files_csv"]
)
def test_the_place_on_the_chest_arrives(layout: str, simulate: Callable, tmp_path: Path) -> None:
    made = simulate(layout, "b")
    places = _texts(read(made.root, layout, "b", tmp_path).recordings["attr_chest_location"])
    said = {key: key for key in ("Al", "Ar", "Pl", "Pr", "Ll", "Lr", "Tc")} if layout != "sprsound" else SPRSOUND_PLACES
    assert places == {recording.recording_id: said[recording.site] for recording in made.truth}


@pytest.mark.parametrize("layout", ["hf_lung", "uid_json"])
def test_a_patient_is_on_one_side_of_the_datasets_own_split(layout: str, simulate: Callable, tmp_path: Path) -> None:
    made = simulate(layout, "a")
    recordings = read(made.root, layout, "a", tmp_path).recordings
    sides = recordings["attr_official_split"].groupby(recordings["patient_id"]).agg(lambda column: set(column.dropna()))
    assert all(len(found) <= 1 for found in sides)
    assert set().union(*sides) == {"train", "test"}


def test_unknown_stays_unknown_in_the_new_layouts(simulate: Callable, tmp_path: Path) -> None:
    for layout, column in (("manifest", "label_diagnosis"), ("files_csv", "label_type"), ("uid_json", "label_wheeze")):
        tables = read(simulate(layout, "a").root, layout, "a", tmp_path / layout)
        assert 0 < tables.recordings[column].isna().sum() < len(tables.recordings)


def test_what_is_nobodys_fault_is_noticed(simulate: Callable, tmp_path: Path) -> None:
    uid = simulate("uid_json", "a")
    notices = read(uid.root, "uid_json", "a", tmp_path / "uid").summary["notices"]
    rowless = [r for r in uid.truth if all(value is None for value in r.labels.values())]
    assert notices["folder_without_row"]["count"] == len(rowless) > 0
    hf_lung = simulate("hf_lung", "b")
    notices = read(hf_lung.root, "hf_lung", "b", tmp_path / "hf").summary["notices"]
    empty = [recording for recording in hf_lung.truth if not recording.annotations]
    assert notices["empty_label_file"]["count"] == len(empty) > 0
