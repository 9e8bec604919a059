"""The calibration subset: temperature and operating points come from it alone, the epoch from validation alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.training.conftest import Setup, make_setup

from auscult.config import JobSettings
from auscult.models import load_model
from auscult.models.operating_point import choose_operating_point
from auscult.storage.files import read_json
from auscult.storage.tables import read_recordings, read_split, write_csv, write_parquet
from auscult.training.dataset import ID_COLUMNS, load_clip_dataset
from auscult.training.train import train

POINT = ("temperature", "thresholds", "operating_points", "calibration", "chosen_on")


def with_calibration(folder: Path, **changes: object) -> Setup:
    """Four subsets: the patients of test are shared out to calibration and test, and the job says so."""
    made = make_setup(folder, n_patients=48)
    table = read_split(made.split)
    tested = np.flatnonzero(table["split"] == "test")
    table.loc[tested[: len(tested) // 2], "split"] = "calibration"
    write_csv(made.split, table)
    job = made.job.model_dump(mode="json")
    job["split"] |= {"calibration_fraction": 0.3}
    job["evaluate"] |= {"calibration": "temperature"}
    return replace(made, job=JobSettings.model_validate({**job, **changes}))


def relabelled(setup: Setup, subset: str) -> None:
    """Turn about the labels of the patients of a subset, as ingested anew from corrected data."""
    path = setup.tables["toy"] / "recordings.parquet"
    recordings = read_recordings(path)
    split = read_split(setup.split)
    here = recordings["recording_id"].isin(split.loc[split["split"] == subset, "recording_id"])
    other = recordings["label_health"].map({"sick": "well", "well": "sick"})
    write_parquet(path, recordings.assign(label_health=recordings["label_health"].where(~here, other).astype("str")))


def trained(setup: Setup, folder: Path, **changes: object) -> dict:
    job = setup.job.model_copy(update=changes)
    train(
        setup.features, setup.tables, setup.split, job=job, task=setup.task,
        output_dir=folder, device="cpu",
    )  # fmt: skip
    return read_json(folder / "model.json")


@pytest.fixture(scope="module")
def setup(tmp_path_factory) -> Setup:
    return with_calibration(tmp_path_factory.mktemp("calibrated"))


def test_the_operating_point_is_that_of_the_calibration_subset(setup, tmp_path):
    described = trained(setup, tmp_path)
    dataset = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("calibration",))
    logits = load_model(tmp_path).logits(dataset.spectrograms(np.arange(len(dataset))))
    expected = choose_operating_point(
        logits, dataset.targets, dataset.clips[ID_COLUMNS], setup.task, setup.job.evaluate, chosen_on="calibration"
    )
    assert described["chosen_on"] == described["calibration"]["fitted_on"] == "calibration"
    assert described["temperature"] == pytest.approx(expected["temperature"], rel=1e-3)
    assert described["thresholds"]["sick"] == pytest.approx(expected["thresholds"]["sick"], abs=1e-3)
    assert described["training"]["n_calibration"] == len(dataset)


def test_permuted_labels_of_validation_change_no_operating_point(setup, tmp_path):
    """One epoch: there is none to choose."""
    one = setup.job.train.model_copy(update={"epochs": 1})
    before = trained(setup, tmp_path / "before", train=one)
    other = with_calibration(tmp_path / "other")
    relabelled(other, "val")
    after = trained(other, tmp_path / "after", train=one)
    assert before["training"]["at_best_epoch"]["val/loss"] != after["training"]["at_best_epoch"]["val/loss"]
    assert before["weights_sha256"] == after["weights_sha256"]
    assert {name: before[name] for name in POINT} == {name: after[name] for name in POINT}


def test_a_label_that_changes_in_it_rewrites_the_operating_point_of_the_same_weights(tmp_path):
    setup = with_calibration(tmp_path / "data")
    before = trained(setup, tmp_path / "run")
    history = (tmp_path / "run" / "history.csv").read_bytes()
    relabelled(setup, "calibration")
    after = trained(setup, tmp_path / "run")
    assert after["weights_sha256"] == before["weights_sha256"]
    assert (tmp_path / "run" / "history.csv").read_bytes() == history
    assert after["calibration"] != before["calibration"]


def test_the_share_is_part_of_what_a_training_is_bound_to(setup, tmp_path):
    trained(setup, tmp_path)
    (first,) = [path.name for path in (tmp_path / "state").iterdir() if path.is_dir()]
    split = setup.job.split.model_copy(update={"calibration_fraction": 0.4})
    trained(setup, tmp_path, split=split)
    assert [path.name for path in (tmp_path / "state").iterdir() if path.is_dir()] != [first]


def test_the_mean_of_seeds_takes_its_operating_point_from_it(setup, tmp_path):
    names = [f"1/seed{seed}" for seed in (0, 1)]
    for seed, name in enumerate(names):
        trained(setup, tmp_path / name, train=setup.job.train.model_copy(update={"epochs": 1, "seed": seed}))
    described = trained(setup, tmp_path / "mean", ensemble=tuple(f"{tmp_path}/{name}" for name in names))
    dataset = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("calibration",))
    counts = described["operating_points"]["clip"]["chosen_on"]["sick"]
    assert counts == {"positive": int(dataset.targets.sum()), "negative": int((1 - dataset.targets).sum())}
    assert described["chosen_on"] == "calibration" and described["training"]["n_calibration"] == len(dataset)
