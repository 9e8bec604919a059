"""TensorBoard and CSV logs: whole after an interruption, with learning rates, answers and the model's graph."""

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.unit.training.test_training_run import Killed, kill, results, train

from auscult.examples import load_examples
from auscult.models import load_model
from auscult.training.checkpoint import Position
from auscult.training.live_logs import LiveExamples, LiveLogs

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
    """A training with both logs that was killed in its third epoch and gone on with."""
    folder = tmp_path_factory.mktemp("logged")
    job = setup.with_train(**SETTINGS, live_logs=["tensorboard", "csv"], live_examples=5)
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


def test_every_epoch_stands_there_once(logged, events):
    history = pd.read_csv(logged / "history.csv")
    live = pd.read_csv(logged / "live.csv")
    pd.testing.assert_frame_equal(live[list(history.columns)], history)
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    np.testing.assert_allclose([event.value for event in losses], history["train/loss"], rtol=1e-6)
    # Epochs without a validation have no point there.
    assert [event.step for event in events.Scalars("val/loss")] == [2, 4]


def test_learning_rates_of_every_part_are_told_of_the_epochs_before_the_interruption_too(logged, events):
    live = pd.read_csv(logged / "live.csv")
    for name, base in (("lr/head", 0.02), ("lr/backbone", 0.01)):
        rates = base * 0.5 ** np.arange(EPOCHS)
        np.testing.assert_allclose(live[name], rates)
        np.testing.assert_allclose([event.value for event in events.Scalars(name)], rates, rtol=1e-6)


def test_answers_to_some_validation_clips_are_followed_by_number(setup, logged, events):
    table = pd.read_csv(logged / "live_predictions.csv")
    assert table.columns.tolist() == ["epoch", "clip", "target_sick", "prob_sick"]
    assert table["epoch"].tolist() == [2] * 5 + [4] * 5
    numbers = table["clip"].iloc[:5].tolist()
    examples = load_examples(setup.features, setup.tables, setup.split, setup.task, ("val",))
    assert numbers == np.linspace(0, len(examples) - 1, 5).round().astype(int).tolist()
    assert table["target_sick"].tolist() == examples.targets[numbers, 0].tolist() * 2
    # The last ones are those of the best model: the same clips, asked again.
    assert load_model(logged).meta["best_epoch"] == EPOCHS
    answers = load_model(logged).predict_proba(examples.spectrograms(np.array(numbers)))[:, 0]
    np.testing.assert_allclose(table["prob_sick"].iloc[5:], answers, rtol=1e-5)
    for row in table.iloc[:5].itertuples():
        points = events.Scalars(f"predictions/sick/clip_{row.clip}_{'yes' if row.target_sick else 'no'}")
        assert [point.step for point in points] == [2, 4]
        assert points[0].value == pytest.approx(row.prob_sick, rel=1e-6)


def test_no_name_of_a_patient_or_file_is_told(logged):
    written = b"".join(path.read_bytes() for path in (logged / "tensorboard").iterdir())
    written += (logged / "live.csv").read_bytes() + (logged / "live_predictions.csv").read_bytes()
    assert b"toy/" not in written
    assert b".wav" not in written


def test_the_models_graph_is_there(events):
    names = [node.name for node in events.Graph().node]
    assert any("[backbone]" in name and "convolution" in name for name in names)
    assert any("[head]" in name for name in names)


class Untraceable(torch.nn.Module):
    def forward(self, inputs):
        raise RuntimeError("no")


def test_a_model_that_cannot_be_traced_is_told_and_the_logs_go_on(tmp_path, caplog):
    examples = LiveExamples.spread(np.array([[np.nan], [1.0]], dtype=np.float32), ("sick",), 8)
    logs = LiveLogs(["tensorboard", "csv"], tmp_path, [], examples)
    logs.draw_graph(Untraceable(), torch.zeros(1, 2, 3))
    assert "could not be traced (no)" in caplog.text
    logs.write({"epoch": 1, "train/loss": 0.5}, {"lr/all": 0.1}, np.array([[0.25], [0.75]]))
    logs.close()
    assert (tmp_path / "live_predictions.csv").read_text().splitlines() == [
        "epoch,clip,target_sick,prob_sick",
        "1,0,,0.25",
        "1,1,1,0.75",
    ]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "train/loss",
        "lr/all",
        "predictions/sick/clip_0_unknown",
        "predictions/sick/clip_1_yes",
    }


def test_a_line_that_was_cut_off_costs_its_rates_alone(tmp_path):
    examples = LiveExamples.spread(np.ones((1, 1), dtype=np.float32), ("sick",), 1)
    rows = [{"epoch": epoch, "train/loss": 0.5} for epoch in (1, 2)]
    for n_rows in (0, 1):
        logs = LiveLogs(["csv"], tmp_path, rows[:n_rows], examples)
        logs.write(rows[n_rows], {"lr/all": 0.1}, np.array([[0.25]]))
        logs.close()
    kept = tmp_path / "state" / "live.jsonl"
    kept.write_text(kept.read_text()[:-9])
    LiveLogs(["csv"], tmp_path, rows, examples).close()
    assert pd.read_csv(tmp_path / "live.csv")["lr/all"].tolist()[0] == 0.1
    assert pd.read_csv(tmp_path / "live.csv")["lr/all"].isna().tolist() == [False, True]
    assert len(pd.read_csv(tmp_path / "live_predictions.csv")) == 1


def test_without_logs_nothing_is_written_and_the_training_is_the_same(setup, logged, tmp_path):
    train(setup, tmp_path, setup.with_train(**SETTINGS))
    assert results(tmp_path)[0] == results(logged)[0]
    assert results(tmp_path)[2] == results(logged)[2]
    assert not list(tmp_path.glob("live*"))
    assert not (tmp_path / "state" / "live.jsonl").exists()
