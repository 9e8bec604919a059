"""Averages over trainings that had other patients as validation: nobody judges whom they learned from."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.training.conftest import Setup

from auscult.config import Experiment, JobSettings
from auscult.errors import DataError
from auscult.models import SavedModel
from auscult.models.operating_point import choose_operating_point
from auscult.splits.assign import assign
from auscult.storage.files import read_json
from auscult.storage.tables import read_events, read_recordings, read_split, write_csv
from auscult.training.dataset import ID_COLUMNS, ClipDataset, load_clip_dataset
from auscult.training.train import train


@dataclass(frozen=True)
class Trained:
    """A job of two parts and two seeds: settings and split table of each run; the last one is the ensemble."""

    setup: Setup
    runs: dict[str, JobSettings]
    splits: dict[str, Path]
    folder: Path

    def average(self, output_dir: Path, **changes: str) -> dict:
        """Average the members (another folder for some where `changes` names one) and return the description."""
        *members, (ensemble, job) = self.runs.items()
        folders = tuple(changes.get(name, f"{self.folder}/{name}") for name, _ in members)
        train(
            self.setup.features,
            self.setup.tables,
            self.splits[ensemble],
            member_splits=[self.splits[name] for name, _ in members],
            job=job.model_copy(update={"ensemble": folders}),
            task=self.setup.task,
            output_dir=output_dir,
            device="cpu",
        )
        return read_json(output_dir / "model.json")


def write_split_of(setup: Setup, job: JobSettings, path: Path) -> Path:
    recordings = read_recordings(setup.tables["toy"] / "recordings.parquet")
    known = pd.DataFrame(recordings[recordings["label_health"].notna()])
    made = assign(known, read_events(setup.tables["toy"] / "events.parquet"), job.split, setup.task)
    write_csv(path, made.recordings[["recording_id", "patient_id", "dataset"]].assign(split=made.subsets))
    return path


@pytest.fixture(scope="module")
def trained(setup: Setup, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("parts")
    one = setup.with_train(epochs=1).model_dump(mode="json")
    job = JobSettings.model_validate({**one, "val_folds": 2, "seeds": [0, 1], "ensemble": True})
    made = Experiment(name="e", group="toy", task="toy", description="d", jobs=(job,))
    runs = {run.id: run.settings for run in made.runs}
    splits = {name: write_split_of(setup, run, folder / name / "split.csv") for name, run in runs.items()}
    for name, run in list(runs.items())[:-1]:
        train(
            setup.features, setup.tables, splits[name], job=run, task=setup.task,
            output_dir=folder / name, device="cpu",
        )  # fmt: skip
    return Trained(setup, runs, splits, folder)


def test_operating_points_come_from_members_that_did_not_learn_from_the_patient(trained, tmp_path, monkeypatch):
    """Each member is sure and right on what it trained on, and knows nothing of all others."""
    setup = trained.setup
    dataset = load_clip_dataset(setup.features, setup.tables, trained.splits["1/ensemble"], setup.task, ("train",))
    truth = dataset.targets[:, 0]
    recordings = dataset.clips["recording_id"]
    planted: dict[tuple[int, int], np.ndarray] = {}
    out_of_fold = np.full((2, len(dataset)), np.nan)
    for fold in (1, 2):
        table = read_split(trained.splits[f"1/val{fold}_seed0"])
        held_out = recordings.isin(table.loc[table["split"] == "val", "recording_id"]).to_numpy()
        assert 0 < held_out.sum() < len(dataset)
        for seed in (0, 1):
            guesses = np.random.default_rng([fold, seed]).normal(-2, 0.5, len(dataset))
            planted[fold, seed] = np.where(held_out, guesses, np.where(truth == 1, 12.0, -12.0)).astype(np.float32)
            out_of_fold[seed, held_out] = planted[fold, seed][held_out]
    assert np.isfinite(out_of_fold).all()

    def logits(model: SavedModel, rows: np.ndarray) -> np.ndarray:
        about = model.meta["training"]
        return planted[about["split"]["val_fold"]["fold"], about["settings"]["seed"]][rows, None]

    monkeypatch.setattr(ClipDataset, "stored", lambda self, kind, rows: rows)
    monkeypatch.setattr(SavedModel, "logits", logits)
    described = trained.average(tmp_path)
    probability = (1 / (1 + np.exp(-out_of_fold))).mean(axis=0)
    expected = choose_operating_point(
        np.log(probability / (1 - probability))[:, None],
        dataset.targets,
        dataset.clips[ID_COLUMNS],
        setup.task,
        trained.runs["1/ensemble"].evaluate,
    )
    for level, point in expected["operating_points"].items():
        found = described["operating_points"][level]["thresholds"]["sick"]
        assert found == pytest.approx(point["thresholds"]["sick"], abs=1e-5)
        assert 0.02 < found < 0.35  # between guesses; of what they learned from, members say 0 or 1
    assert described["chosen_on"] == "out_of_fold"
    assert described["training"]["n_val"] == described["training"]["n_train"] == len(dataset)
    assert described["training"]["at_best_epoch"]["val/auroc"] < 0.9


def test_the_average_is_saved_with_all_members_and_no_validation_set(trained, tmp_path):
    described = trained.average(tmp_path)
    assert [member["name"] for member in described["members"]] == [
        "1/val1_seed0", "1/val1_seed1", "1/val2_seed0", "1/val2_seed1",
    ]  # fmt: skip
    assert described["training"]["split"]["val_fold"] == {"n_folds": 2, "fold": None}
    assert described["operating_points"]["clip"]["chosen_on"]["sick"]["positive"] > 0


def test_a_member_of_another_split_is_refused(trained, tmp_path):
    setup = trained.setup
    other = trained.runs["1/val1_seed0"]
    other = other.model_copy(update={"split": other.split.model_copy(update={"seed": 9})})
    split = write_split_of(setup, other, tmp_path / "split.csv")
    train(
        setup.features,
        setup.tables,
        split,
        job=other,
        task=setup.task,
        output_dir=tmp_path / "2" / "val1",
        device="cpu",
    )
    with pytest.raises(DataError, match="2/val1 was trained by another split than its ensemble"):
        trained.average(tmp_path / "out", **{"1/val1_seed0": f"{tmp_path}/2/val1"})


def test_parts_that_share_recordings_are_refused(trained, tmp_path):
    same = {**trained.splits, "1/val2_seed0": tmp_path / "again.csv"}
    write_csv(same["1/val2_seed0"], read_split(trained.splits["1/val1_seed0"]))
    with pytest.raises(DataError, match="recordings of its validation set are validation of other members too"):
        replace(trained, splits=same).average(tmp_path / "out")
