"""The figures of a task that finds events, from a trained model to `events.csv` and `metrics.json`."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.training.conftest import Setup
from tests.unit.training.test_events import BANDS_TASK, TASK, make_events, over_bands

from auscult.config import JobSettings
from auscult.errors import DataError
from auscult.evaluation.events import EVENT_COLUMNS, judge_events
from auscult.models import SavedModel, load_model
from auscult.storage.tables import read_events
from auscult.training import train as training
from auscult.training.dataset import ClipDataset, load_clip_dataset


@dataclass(frozen=True)
class Judged:
    setup: Setup
    model: SavedModel
    examples: ClipDataset
    job: JobSettings


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    setup = make_events(folder, n_patients=60, seed=2)
    training.train(**setup.inputs, job=setup.with_train(epochs=8), output_dir=folder / "run", device="cpu", threads=1)
    examples = load_clip_dataset(setup.features, setup.tables, setup.split, TASK, ("val", "test"))
    job = JobSettings.model_validate({**setup.job.model_dump(mode="json"), "evaluate": {"bootstrap_draws": 200}})
    return Judged(setup, load_model(folder / "run"), examples, job)


def judge(judged: Judged, folder: Path, model: SavedModel | None = None) -> dict:
    found = judge_events(
        model or judged.model,
        judged.examples,
        job=judged.job,
        task=TASK,
        tables=judged.setup.tables,
        generator=np.random.default_rng(1),
        folder=folder,
    )
    assert len(found.events) == len(pd.read_csv(folder / "events.csv"))
    return found.scores


def test_scores_have_intervals_and_agree_with_the_list_of_events(judged: Judged, tmp_path: Path) -> None:
    found = judge(judged, tmp_path)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {"val", "test"}
    section = found["test"]
    listed = pd.read_csv(tmp_path / "events.csv")
    assert tuple(listed.columns) == EVENT_COLUMNS
    test = listed[listed["split"] == "test"]
    for kind in TASK.targets:
        outcomes = test.loc[test["kind"] == kind, "outcome"].value_counts()
        tp, fp, fn = (int(outcomes.get(name, 0)) for name in ("hit", "false alarm", "miss"))
        score = section["by_event"][kind]["f1"]
        assert score["value"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert score["reason"] if score["value"] == 1 else score["low"] < score["value"] < score["high"]
        over = {row["collar_s"]: row["f1"][kind] for row in section["over_tolerance"]}
        assert list(over.values()) == sorted(over.values())
        assert over[0.1] == pytest.approx(score["value"])
        assert section["objects"][kind]["iou"]["value"] > 0.5
    assert 0 < section["psds"]["value"] <= 1
    hits = test[test["outcome"] == "hit"]
    assert (hits["start_s"] - hits["true_start_s"]).abs().max() <= 0.1 + 1e-3
    # What is listed of the truth is the truth, up to where nobody can say.
    true = read_events(judged.setup.tables["toy"] / "events.parquet")
    kept = true[true["recording_id"].isin(set(test["recording_id"])) & (true["kind"] == "wheeze")]
    told = test[(test["kind"] == "wheeze") & test["true_start_s"].notna()]
    assert np.sort(told["true_start_s"]) == pytest.approx(np.sort(kept["start_s"]), abs=1e-3)


def test_the_same_again_gives_the_same(judged: Judged, tmp_path: Path) -> None:
    assert judge(judged, tmp_path / "a") == judge(judged, tmp_path / "b")
    assert (tmp_path / "a" / "events.csv").read_bytes() == (tmp_path / "b" / "events.csv").read_bytes()


def test_a_model_without_decoding_is_refused(judged: Judged, tmp_path: Path) -> None:
    meta = {key: value for key, value in judged.model.meta.items() if key != "event_decoding"}
    with pytest.raises(DataError, match="it has no `event_decoding`"):
        judge(judged, tmp_path, SavedModel(judged.model.module, judged.model.normalisation, meta))


def test_maps_over_bands_are_judged_by_cells_and_events_in_time(tmp_path: Path) -> None:
    setup = make_events(tmp_path, n_patients=15, seed=3)
    inputs = over_bands(setup, train={"epochs": 6})
    training.train(**inputs, output_dir=tmp_path / "run")
    model = load_model(tmp_path / "run")
    examples = load_clip_dataset(setup.features, setup.tables, setup.split, BANDS_TASK, ("val", "test"))
    job = JobSettings.model_validate({**inputs["job"].model_dump(mode="json"), "evaluate": {"bootstrap_draws": 0}})
    found = judge_events(
        model,
        examples,
        job=job,
        task=BANDS_TASK,
        tables=setup.tables,
        generator=np.random.default_rng(1),
        folder=tmp_path,
    ).scores["test"]
    test = examples.subset("test")
    maps, true = model.maps(examples.spectrograms(test)), examples.events.take(test).maps()
    for kind, name in enumerate(TASK.targets):
        cut = model.meta["event_decoding"][name]["threshold"]
        is_found, is_true = maps[:, kind] >= cut, true[:, kind] == 1
        known = true[:, kind] >= 0
        iou = (is_found & is_true).sum() / ((is_found | is_true) & known).sum()
        assert found["objects"][name]["iou"]["value"] == pytest.approx(iou)
        assert found["by_event"][name]["f1"]["value"] > 0.5
