"""What a training writes of its epochs: metrics.jsonl, history.csv and TensorBoard, whole after an interruption."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.unit.training.test_train import Killed, kill, results, train

from auscult.models import load_model
from auscult.training.checkpoint import Position
from auscult.training.dataset import load_clip_dataset
from auscult.training.history import History, TensorBoard, followed_predictions

EPOCHS = 4
SETTINGS = {
    "epochs": EPOCHS,
    "eval_every": 2,
    "monitor": "val/loss",
    "mode": "min",
    "optimizer": {"lr": 0.01, "groups": {"head": {"lr": 0.02}}},
    "schedules": [{"name": "exponential", "gamma": 0.5}],
}


@pytest.fixture(scope="module")
def logged(setup, tmp_path_factory):
    """A training with TensorBoard and followed clips that was killed in its third epoch and resumed."""
    folder = tmp_path_factory.mktemp("logged")
    job = setup.with_train(**SETTINGS, live_logs=["tensorboard"], live_examples=5)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, Position(3, 0), "after")
        with pytest.raises(Killed):
            train(setup, folder, job)
    train(setup, folder, job)
    return folder


@pytest.fixture(scope="module")
def events(logged):
    events = EventAccumulator(str(logged / "tensorboard"))
    events.Reload()
    return events


def points(events, name):
    return {event.step: event.value for event in events.Scalars(name)}


def test_every_epoch_stands_in_each_file_once(logged, events):
    history = pd.read_csv(logged / "history.csv")
    lines = [json.loads(line) for line in (logged / "metrics.jsonl").read_text().splitlines()]
    pd.testing.assert_frame_equal(pd.DataFrame(lines), history, check_dtype=False)
    losses = points(events, "train/loss")
    assert list(losses) == [1, 2, 3, 4]
    np.testing.assert_allclose(list(losses.values()), history["train/loss"], rtol=1e-6)
    # Epochs without a validation have no point there.
    assert list(points(events, "val/loss")) == [2, 4]


def test_learning_rates_of_every_group_are_logged_also_of_the_epochs_before_the_interruption(logged, events):
    history = pd.read_csv(logged / "history.csv")
    for name, base in (("lr/head", 0.02), ("lr/backbone", 0.01)):
        lrs = base * 0.5 ** np.arange(EPOCHS)
        np.testing.assert_allclose(history[name], lrs)
        np.testing.assert_allclose(list(points(events, name).values()), lrs, rtol=1e-6)
    assert history["lr"].tolist() == history["lr/head"].tolist()


def test_predictions_for_some_validation_clips_are_followed_by_number(setup, logged, events):
    history = pd.read_csv(logged / "history.csv")
    dataset = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("val",))
    numbers = np.linspace(0, len(dataset) - 1, 5).round().astype(int)
    names = [f"predictions/sick/clip_{k}_{'yes' if dataset.targets[k, 0] else 'no'}" for k in numbers]
    assert [name for name in history if name.startswith("predictions/")] == names
    assert history[names].notna().all(axis=1).tolist() == [False, True, False, True]
    # The last ones are those of the best model: the same clips, predicted again.
    assert load_model(logged).meta["best_epoch"] == EPOCHS
    again = load_model(logged).predict_proba(dataset.spectrograms(numbers))[:, 0]
    np.testing.assert_allclose(history[names].iloc[-1], again, rtol=1e-5)
    for name in names:
        assert points(events, name) == pytest.approx({2: history[name][1], 4: history[name][3]}, rel=1e-6)


def test_no_name_of_a_patient_or_file_is_logged(logged):
    written = b"".join(path.read_bytes() for path in (logged / "tensorboard").iterdir())
    written += (logged / "history.csv").read_bytes() + (logged / "metrics.jsonl").read_bytes()
    assert b"predictions/sick/clip_0" in written
    assert b"toy/" not in written
    assert b".wav" not in written


def test_the_models_graph_is_there(events):
    names = [node.name for node in events.Graph().node]
    assert any("[backbone]" in name and "convolution" in name for name in names)
    assert any("[head]" in name for name in names)


class Untraceable(torch.nn.Module):
    def forward(self, inputs):
        raise RuntimeError("no")


def test_a_model_that_cannot_be_traced_is_reported_and_the_log_continues(tmp_path, caplog):
    history = History(tmp_path, [{"epoch": 1, "train/loss": 0.5}], tensorboard=True)
    history.draw_graph(Untraceable(), lambda: torch.zeros(1, 2, 3))
    assert "could not be traced (no)" in caplog.text
    history.append({"epoch": 2, "train/loss": 0.25, "val/auroc": None})
    history.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert points(events, "train/loss") == {1: 0.5, 2: 0.25}
    assert events.Tags()["scalars"] == ["train/loss"]


def test_an_unknown_target_is_named_so_and_clips_are_spread_evenly():
    targets = np.array([[np.nan], [1.0], [0.0], [1.0], [0.0]], dtype=np.float32)
    probabilities = np.array([[0.1], [0.2], [0.3], [0.4], [0.5]])
    assert followed_predictions(targets, probabilities, ("sick",), 3) == {
        "predictions/sick/clip_0_unknown": 0.1,
        "predictions/sick/clip_2_no": 0.3,
        "predictions/sick/clip_4_no": 0.5,
    }
    assert len(followed_predictions(targets, probabilities, ("sick",), 64)) == 5


def test_a_new_session_writes_tensorboard_anew(tmp_path):
    for _ in range(2):
        TensorBoard(tmp_path, [{"epoch": 1, "train/loss": 0.5}]).close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_without_logs_nothing_is_added_and_the_training_is_the_same(setup, logged, tmp_path):
    train(setup, tmp_path, setup.with_train(**SETTINGS))
    assert results(tmp_path)[0] == results(logged)[0]
    history, with_logs = (pd.read_csv(folder / "history.csv") for folder in (tmp_path, logged))
    added = [name for name in with_logs if name not in history]
    assert len(added) == 5
    assert all(name.startswith("predictions/") for name in added)
    assert history["val/loss"].equals(with_logs["val/loss"])
    assert not (tmp_path / "tensorboard").exists()


def test_equal_learning_rates_stand_in_one_column(setup, tmp_path):
    train(setup, tmp_path, setup.with_train(epochs=1))
    assert [name for name in pd.read_csv(tmp_path / "history.csv") if name.startswith("lr")] == ["lr"]


def test_old_settings_are_refused_with_the_new_ones_named(setup):
    with pytest.raises(ValidationError, match=r"history.csv holds the learning rates .* `live_examples`"):
        setup.with_train(live_logs=["csv"])
    with pytest.raises(ValidationError, match=r"`start` is now called `pretrained`"):
        setup.with_train(start={"timm": "hub"})
