"""What may go wrong with a training from outside: damage, a second process, a signal at a bad moment."""

import signal

import pandas as pd
import pytest
from tests.unit.training.test_session import progress_of, start_training, wait_until
from tests.unit.training.test_train import ALL_THAT_HAS_A_STATE, AUGMENT, Killed, kill, results, train

from auscult.errors import DataError
from auscult.training.checkpoint import Position
from auscult.training.session import Stop, StopReason, TrainingStopped


@pytest.fixture
def job(setup):
    return setup.with_train(**ALL_THAT_HAS_A_STATE).model_copy(update={"augment": AUGMENT})


def test_a_flipped_byte_in_the_last_save_costs_what_came_after_the_one_before(
    setup, job, tmp_path, *, monkeypatch, caplog
):
    train(setup, tmp_path / "whole", job)
    with monkeypatch.context() as patch:
        kill(patch, Position(3, 4), "after")
        with pytest.raises(Killed):
            train(setup, tmp_path / "cut", job)
    (last,) = (tmp_path / "cut" / "state").glob("*/00003-000004.pt")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "cut", job)
    assert "00003-000004.json is damaged and skipped" in caplog.text
    assert "resuming in epoch 3 of 5, after batch 2" in caplog.text
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_second_process_on_one_run_stops_with_the_owners_name_and_changes_nothing(setup, tmp_path):
    job = setup.with_train(epochs=100_000, save={"every_epochs": 100_000})
    training = start_training(setup, job, tmp_path)
    try:
        wait_until(lambda: progress_of(tmp_path).get("step", 0) > 5, training, timeout_s=200)
        with pytest.raises(DataError, match=rf"is being trained by process {training.pid} on .*end that process"):
            train(setup, tmp_path, job)
        assert progress_of(tmp_path)["status"] == "training"
        assert training.poll() is None
    finally:
        training.send_signal(signal.SIGTERM)
        _, errors = training.communicate(timeout=200)
    assert training.returncode == 143, errors


def test_a_signal_in_a_validation_leaves_it_and_it_is_begun_again(setup, job, tmp_path, *, monkeypatch, caplog):
    train(setup, tmp_path / "whole", job)
    asked, n_batches = [], 12 // 4  # of a validation: 12 clips, 4 a batch
    first = 2 * n_batches + 2  # in the third epoch's, before its second batch

    def urgent_reason(self):
        asked.append(1)
        return StopReason("SIGTERM", 143) if len(asked) >= first else None

    with monkeypatch.context() as patch:
        patch.setattr(Stop, "urgent_reason", property(urgent_reason))
        with pytest.raises(TrainingStopped, match="SIGTERM") as stopped:
            train(setup, tmp_path / "cut", job)
    assert stopped.value.code == 143
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "cut", job)
    assert "resuming in epoch 3 of 5, after batch 5" in caplog.text
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_half_precision_learns_and_goes_on_bit_for_bit_on_a_cpu_too(setup, tmp_path, monkeypatch):
    job = setup.with_train(epochs=12, batch_size=4, monitor="val/loss", mode="min", precision="bf16-mixed")
    train(setup, tmp_path / "whole", job)
    with monkeypatch.context() as patch:
        kill(patch, Position(7, 0), "after")
        with pytest.raises(Killed):
            train(setup, tmp_path / "cut", job)
    train(setup, tmp_path / "cut", job)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    history = pd.read_csv(tmp_path / "cut" / "history.csv")
    assert history["train/loss"].iloc[-1] < 0.8 * history["train/loss"].iloc[0]
    assert history["val/auroc"].max() > 0.9
    exact = setup.with_train(epochs=12, batch_size=4, monitor="val/loss", mode="min")
    train(setup, tmp_path / "exact", exact)
    losses = pd.read_csv(tmp_path / "exact" / "history.csv")["train/loss"]
    assert (history["train/loss"] != losses).any()
    assert history["train/loss"].tolist() == pytest.approx(losses.tolist(), rel=0.1, abs=0.02)


def test_a_cpu_that_cannot_compute_in_float16_says_what_it_takes_instead(setup, tmp_path, caplog):
    for precision in ("bf16-mixed", "16-mixed"):
        train(setup, tmp_path / precision, setup.with_train(epochs=1, precision=precision))
    assert caplog.text.count("train.precision: 16-mixed needs a GPU; this CPU computes in bf16-mixed instead") == 1
    assert results(tmp_path / "16-mixed")[0] == results(tmp_path / "bf16-mixed")[0]
