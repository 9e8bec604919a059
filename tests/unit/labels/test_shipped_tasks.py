"""The shipped tasks on simulated native trees: what each dataset's rules come to, against the simulator's truth."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auscult.config import load_dataset, load_experiment, load_task
from auscult.datasets.ingest import ingest
from auscult.datasets.readers import READERS
from auscult.errors import ConfigError
from auscult.labels import clip_targets, recording_targets
from auscult.storage.tables import Event, Recording, events_frame, read_events, read_recordings
from auscult_simulate.layouts.plan import SimulatedRecording
from auscult_simulate.write import write_dataset

NAN = float("nan")
CRACKLES = {"crackle", "fine_crackle", "coarse_crackle"}
LISTENED_TO = {"cycle", "inhalation", "exhalation"}
MUST_RUN = {
    "pneumonia": {"icbhi", "jordan", "bd"},
    "crackles_wheezes": {"icbhi", "perch", "jordan", "antwerp", "antwerp_sim", "sprsound", "hf_lung"},
    "adventitious": {"icbhi", "perch", "jordan", "antwerp", "antwerp_sim", "sprsound", "hf_lung"},
}
PAIRS = [(task, dataset) for task, datasets in MUST_RUN.items() for dataset in sorted(datasets)]


def expected_of_events(recording: SimulatedRecording, task: str) -> list[float]:
    kinds = {event.kind for event in recording.annotations}
    absent = 0.0 if kinds & LISTENED_TO else NAN
    if task == "adventitious":
        return [1.0 if kinds & (CRACKLES | {"wheeze", "rhonchus", "stridor"}) else absent]
    crackle = 1.0 if kinds & CRACKLES else absent
    wheeze = 1.0 if "wheeze" in kinds else NAN if kinds & {"rhonchus", "stridor"} else absent
    return [crackle, wheeze]


def expected_of_sounds(recording: SimulatedRecording, task: str) -> list[float]:
    parts = set((recording.labels["sounds"] or "").split("+"))
    if task == "adventitious":
        return [1.0 if parts & {"crackles", "wheeze"} else 0.0 if parts == {"normal"} else NAN]
    answers = []
    for target, other in (("crackles", "wheeze"), ("wheeze", "crackles")):
        answers.append(1.0 if target in parts else 0.0 if parts <= {"normal", other} else NAN)
    return answers


def expected_of_diagnosis(recording: SimulatedRecording, dataset: str) -> list[float]:
    if dataset == "bd":
        return [{"1": 1.0, "0": 0.0}.get(recording.labels["pep1"] or "", NAN)]
    diagnosis = recording.labels["diagnosis"]
    if diagnosis is None:
        return [NAN]
    parts = set(diagnosis.split("+"))
    return [1.0 if "pneumonia" in parts else NAN if dataset == "icbhi" and "lrti" in parts else 0.0]


def expected(recording: SimulatedRecording, task: str, dataset: str) -> list[float]:
    if task == "pneumonia":
        return expected_of_diagnosis(recording, dataset)
    return expected_of_sounds(recording, task) if dataset == "jordan" else expected_of_events(recording, task)


@pytest.fixture(scope="module")
def ingested(project_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """Return a function that gives the truth and the tables of a dataset; each is simulated once."""
    done: dict[str, tuple[dict[str, SimulatedRecording], Path]] = {}

    def simulate(dataset: str) -> tuple[dict[str, SimulatedRecording], Path]:
        if dataset not in done:
            folder = tmp_path_factory.mktemp(dataset)
            settings = load_dataset(project_dir / "config", dataset)
            written = write_dataset(
                settings.layout,
                folder / "raw",
                n_patients=16,
                seed=4,
                duration_s=(4, 5),
                recordings_per_patient=(1, 2),
                dataset=dataset,
            )
            ingest(folder / "raw", dataset, settings, folder / "tables")
            done[dataset] = {recording.recording_id: recording for recording in written}, folder / "tables"
        return done[dataset]

    return simulate


@pytest.mark.parametrize(("task", "dataset"), PAIRS)
def test_recordings_get_the_target_that_their_labels_mean(project_dir: Path, ingested, task: str, dataset: str) -> None:
    truth, tables = ingested(dataset)
    settings = load_task(project_dir / "config", task)
    recordings, events = read_recordings(tables / "recordings.parquet"), read_events(tables / "events.parquet")
    found = recording_targets(recordings, events, settings)
    wanted = [expected(truth[recording_id], task, dataset) for recording_id in recordings["recording_id"]]
    np.testing.assert_array_equal(found, np.float32(wanted))
    assert (found == 1).any()
    assert (found == 0).any()


def test_the_tasks_map_what_must_run(project_dir: Path) -> None:
    for task, datasets in MUST_RUN.items():
        assert set(load_task(project_dir / "config", task).supported_datasets) == datasets


@pytest.mark.parametrize("task", ["crackles_wheezes", "adventitious"])
def test_jordan_is_in_doubt_where_clips_are_judged(project_dir: Path, task: str) -> None:
    assert load_task(project_dir / "config", task).doubtful == ("jordan",)


def test_a_doubtful_dataset_needs_to_be_declared(project_dir: Path, tmp_path: Path) -> None:
    config = Path(shutil.copytree(project_dir / "config", tmp_path / "config"))
    path = config / "experiments" / "adventitious" / "doubtful.yaml"
    path.parent.mkdir()
    text = """
description: all of them
task: adventitious
datasets: [icbhi, jordan]
clips: {unit: recording, length_s: 5, sample_rate_hz: 4000}
spectrogram: {n_fft: 512, hop_samples: 128, n_mels: 64}
split: {preset: patients_70_15_15}
model: {name: mixednet}
"""
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"allow_doubtful: \[jordan\]"):
        load_experiment(config, "adventitious", "doubtful")
    path.write_text(text + "allow_doubtful: [jordan]\n")
    assert load_experiment(config, "adventitious", "doubtful").job(1).allow_doubtful == ("jordan",)


PUBLISHED_COUNTS = {
    "sprsound_events": {"train": [5159, 1497], "inter": [1040, 389], "intra": [688, 316]},
    "sprsound_event_kinds": {
        "train": [5159, 39, 452, 15, 49, 912, 30],
        "inter": [1040, 0, 305, 0, 3, 80, 1],
        "intra": [688, 14, 108, 2, 14, 175, 3],
    },
    "sprsound_records": {"train": [1303, 469, 177], "inter": [241, 106, 8], "intra": [241, 136, 2]},
    "sprsound_record_kinds": {
        "train": [1303, 126, 248, 95, 177], "inter": [241, 65, 24, 17, 8], "intra": [241, 42, 75, 19, 2]
    },
}  # fmt: skip
"""Part -> examples of each class, in the order of the task's targets, as the release states them."""


@pytest.mark.parametrize("name", PUBLISHED_COUNTS)
def test_the_challenge_s_classes_are_counted_as_the_release_states_them(
    project_dir: Path, real_data: Path, name: str
) -> None:
    task = load_task(project_dir / "config", name)
    root = real_data / "sprsound_2022"
    settings = load_dataset(project_dir / "config", "sprsound")
    items = list(READERS["sprsound"](root, "sprsound", settings))
    found = [item for item in items if isinstance(item, Recording)]
    recordings = pd.DataFrame(
        {
            "recording_id": [item.recording_id for item in found],
            "patient_id": [item.patient_id for item in found],
            "label_record": [item.labels["record"] for item in found],
            "part": [item.attributes["part"] for item in found],
        }
    ).assign(dataset="sprsound", duration_s=16.0)
    events = events_frame(item for item in items if isinstance(item, Event))
    rows = recordings
    values = recording_targets(recordings, events, task)
    if task.level == "clip":
        rows = pd.DataFrame(events[events["kind"] == "cycle"]).merge(recordings[["recording_id", "part"]])
        values = clip_targets(rows, recordings, events, task)
    table = pd.DataFrame(values, columns=list(task.targets)).groupby(rows["part"].to_numpy()).sum().astype(int)
    assert {part: table.loc[part].tolist() for part in table.index} == PUBLISHED_COUNTS[name]
