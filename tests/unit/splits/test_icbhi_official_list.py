"""ICBHI's official list: its published counts, its patients in both subsets, and what it cannot judge."""

import subprocess
from collections import Counter

import pandas as pd
import pytest

from auscult.config import ColumnRule, TaskSettings, load_dataset, load_task
from auscult.datasets.ingest import ingest
from auscult.datasets.readers.annotations import parse_cycles
from auscult.datasets.readers.icbhi_files import parse_diagnoses, parse_official_list
from auscult.errors import InfeasibleError
from auscult.labels import clip_targets
from auscult.storage.tables import read_events, read_recordings

BOTH_SUBSETS = ["156", "218"]
CHOICES = {"drop": "left out", "train": "moved to train", "test": "moved to test", "keep": "kept in both subsets"}


def official(choice):
    declared = {"allow_patient_overlap": True} if choice == "keep" else {}
    return {"kind": "official", "patients_on_both_sides": choice, **declared}


def check_named(audit, split, choice):
    """The audit names the patients whatever becomes of them."""
    ids = [f"icbhi/{patient}" for patient in BOTH_SUBSETS]
    found = next(finding for finding in audit["findings"] if finding["kind"] == "official_list_overlap")
    assert found["ids"] == ids
    assert found["text"].endswith(f"2 patients in both subsets; {CHOICES[choice]}")
    here = split[split["patient_id"].isin(ids)]
    subsets = here.groupby("patient_id")["split"].agg(set).to_dict()
    if choice == "keep":
        assert subsets == {patient: {"train", "test"} for patient in ids}
        overlap = next(finding for finding in audit["findings"] if finding["kind"] == "patient_overlap")
        assert (overlap["severity"], overlap["ids"]) == ("declared", ids)
    elif choice == "drop":
        assert subsets == {}
        assert "the official list puts the patient in both subsets" in {part["reason"] for part in audit["left_out"]}
    else:
        assert all(found <= ({"test"} if choice == "test" else {"train", "val"}) for found in subsets.values())
        assert set(subsets) == set(ids)


@pytest.fixture(scope="module")
def simulated(project_dir, tmp_path_factory):
    """The tables of the demo's ICBHI, whose list is like the real one."""
    root, output = project_dir / "data" / "icbhi", tmp_path_factory.mktemp("tables")
    if not root.is_dir():
        pytest.skip("the demo data are not there; run: dvc pull")
    ingest(root, "icbhi", load_dataset(project_dir / "config", "icbhi"), output)
    return read_recordings(output / "recordings.parquet"), read_events(output / "events.parquet")


@pytest.mark.parametrize("choice", CHOICES)
def test_patients_on_both_sides_of_a_simulated_list_are_named(simulated, project_dir, run_split, choice):
    recordings, events = simulated
    task = load_task(project_dir / "config", "crackles_wheezes")
    split, audit = run_split(recordings, official(choice), task, [events])
    check_named(audit, split, choice)


@pytest.fixture(scope="module")
def listed(real_data):
    """The lines of the real list, and the patients' diagnoses."""
    folder = real_data / "icbhi_sample"
    path = folder / "ICBHI_challenge_train_test.txt"
    if not path.is_file():
        pytest.skip(f"no official list at {path}")
    lines, faults = parse_official_list(path.read_bytes())
    assert faults == []
    if len(lines) != 920:
        pytest.skip(f"{path} holds {len(lines)} of 920 recordings")
    diagnoses, faults = parse_diagnoses((folder / "patient_diagnosis.csv").read_bytes())
    assert faults == []
    return lines, {line.patient: line.diagnosis for line in diagnoses}


@pytest.fixture
def listed_table(listed, make_recordings):
    """A recordings table of all 920, without their sound."""
    lines, diagnoses = listed
    rows = [(line.stem, line.name.patient, diagnoses[line.name.patient]) for line in lines]
    return make_recordings(rows, attr_official_split=[line.subset for line in lines])


def test_the_real_list_has_the_published_counts(listed):
    lines, diagnoses = listed
    assert Counter(line.subset for line in lines) == {"train": 539, "test": 381}
    assert len({line.name.key for line in lines}) == 920
    assert len(diagnoses) == 126
    subsets = pd.DataFrame([(line.name.patient, line.subset) for line in lines]).groupby(0)[1].agg(set)
    assert sorted(subsets[subsets.map(len) == 2].index) == BOTH_SUBSETS


def test_what_the_dataset_says_of_its_list_is_true(listed, project_dir):
    lines, diagnoses = listed
    subsets = {line.subset for line in lines if diagnoses[line.name.patient] == "pneumonia"}
    patients = sorted(patient for patient, diagnosis in diagnoses.items() if diagnosis == "pneumonia")
    assert subsets == {"train"}
    reason = load_dataset(project_dir / "config", "icbhi").official_split.cannot_judge["pneumonia"]
    assert f"({', '.join(patients)})" in reason
    assert len(patients) == 6


@pytest.mark.parametrize("choice", CHOICES)
def test_patients_on_both_sides_of_the_real_list_are_named(listed_table, run_split, choice):
    rule = ColumnRule(column="diagnosis", positive=("copd",), negative="others")
    task = TaskSettings(
        description="copd?",
        type="binary",
        targets=("copd",),
        level="recording",
        datasets={"icbhi": {"copd": rule}},
    )
    split, audit = run_split(listed_table, official(choice), task)
    check_named(audit, split, choice)


def test_pneumonia_on_the_real_list_is_refused_by_the_gate_too(listed_table, pneumonia, run_split):
    with pytest.raises(InfeasibleError) as error:
        run_split(listed_table, official("drop"), pneumonia)
    message = str(error.value)
    assert "test holds no patient with a positive of 'pneumonia'" in message
    assert "Proposal: `split: {kind: patients}` can divide them, for at least 6 patients" in message


def test_the_cycle_files_give_the_counts_of_awk_and_all_of_them_the_published_ones(real_data):
    whole, sample = (sorted((real_data / name).glob("*_*_*_*_*.txt")) for name in ("icbhi", "icbhi_sample"))
    files = whole or sample
    classes: Counter[tuple[bool, bool]] = Counter()
    for path in files:
        cycles, faults = parse_cycles(path.read_bytes())
        assert faults == []
        classes.update((cycle.has_crackle, cycle.has_wheeze) for cycle in cycles)
    columns = subprocess.run(["awk", "{ print $3, $4 }", *files], capture_output=True, text=True, check=True).stdout
    assert classes == Counter(
        (crackle == "1", wheeze == "1") for crackle, wheeze in map(str.split, columns.splitlines())
    )
    if len(files) == 920:
        assert classes == {(False, False): 3642, (True, False): 1864, (False, True): 886, (True, True): 506}


def test_the_labels_of_the_samples_cycles_equal_a_count_with_awk(real_data, project_dir, tmp_path):
    """From the files through tables and task to the four classes, against the files' own columns."""
    folder = real_data / "icbhi_sample"
    config = project_dir / "config"
    ingest(folder, "icbhi", load_dataset(config, "icbhi"), tmp_path)
    recordings, events = read_recordings(tmp_path / "recordings.parquet"), read_events(tmp_path / "events.parquet")
    cycles = events[events["kind"] == "cycle"][["recording_id", "start_s", "end_s"]].reset_index(drop=True)
    targets = clip_targets(cycles, recordings, events, load_task(config, "crackles_wheezes"))
    classes = Counter(zip(cycles["recording_id"], *targets.T.astype(int).tolist(), strict=True))
    files = sorted(str(path) for path in folder.glob("*_*_*_*_*.txt"))
    program = '{ n = split(FILENAME, path, "/"); print path[n], $3, $4 }'
    lines = subprocess.run(["awk", program, *files], capture_output=True, text=True, check=True).stdout.splitlines()
    counted = Counter()
    for line in lines:
        file, crackle, wheeze = line.split()
        counted[f"icbhi/{file.removesuffix('.txt')}", int(crackle), int(wheeze)] += 1
    assert classes == counted
    assert sum(classes.values()) == 97
