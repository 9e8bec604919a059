"""What training freezes for the evaluation: thresholds by rule, a temperature, the weights of every epoch."""

import json

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
from tests.unit.metrics import reference_scores as scores
from tests.unit.training.test_train import results, suppress_stopped, train

from auscult.config import JobSettings
from auscult.metrics.aggregation import at_level
from auscult.metrics.calibration import apply_maps, fit_maps
from auscult.metrics.thresholds import thresholds_for_task
from auscult.models import load_model
from auscult.storage.files import sha256_file
from auscult.training.dataset import load_clip_dataset
from auscult.training.session import Session, StopReason


def judged(setup, **evaluate):
    return setup.job.model_copy(update={"evaluate": setup.job.evaluate.model_copy(update=evaluate)})


def test_the_temperature_is_stored_and_the_threshold_is_chosen_on_what_it_gives(setup, tmp_path):
    train(setup, tmp_path / "plain")
    train(setup, tmp_path / "scaled", judged(setup, calibration="temperature", threshold="target_sensitivity"))
    plain, scaled = load_model(tmp_path / "plain"), load_model(tmp_path / "scaled")
    assert (plain.temperature, plain.meta["calibration"]) == (1.0, None)
    assert scaled.temperature != 1.0
    assert scaled.meta["calibration"]["loss_after"] <= scaled.meta["calibration"]["loss_before"]
    assert (scaled.meta["threshold_rule"], scaled.meta["threshold_target"]) == ("target_sensitivity", 0.9)

    val = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("val",))
    spectrograms = val.spectrograms(np.arange(len(val)))
    logits = plain.logits(spectrograms)
    assert np.array_equal(scaled.logits(spectrograms), logits)
    exact = 1 / (1 + np.exp(-logits.astype(np.float64) / scaled.temperature))
    answers = scaled.predict_proba(spectrograms)
    assert answers == pytest.approx(exact, abs=1e-6)
    rows = at_level(answers, val.targets, val.clips, setup.task, setup.task.level)
    said = (rows.probabilities[:, 0] >= next(iter(scaled.meta["thresholds"].values()))).astype(float)
    assert scores.sensitivity(rows.targets[:, 0], said) >= 0.9


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_maps_are_those_of_the_validation_clips_and_thresholds_follow(setup, tmp_path, method):
    train(setup, tmp_path / "plain")
    train(setup, tmp_path / "fitted", judged(setup, calibration=method))
    plain, fitted = load_model(tmp_path / "plain"), load_model(tmp_path / "fitted")
    val = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("val",))
    spectrograms = val.spectrograms(np.arange(len(val)))
    logits = plain.logits(spectrograms)
    expected = fit_maps(logits, val.targets, setup.task.targets, method)
    found = fitted.meta["calibration"]
    assert (found["method"], found["fitted_on"], found["notes"]) == (method, "val", expected.notes)
    probabilities = fitted.predict_proba(spectrograms)
    assert probabilities == pytest.approx(apply_maps(logits, expected.maps), abs=1e-4)
    assert fitted.meta["format_version"] == 5
    rows = at_level(probabilities, val.targets, val.clips, setup.task, setup.task.level)
    chosen = thresholds_for_task(val.targets, probabilities, val.clips, setup.task, setup.job.evaluate.threshold)
    assert tuple(fitted.meta["thresholds"].values()) == pytest.approx(chosen.values, abs=1e-4)
    assert rows.probabilities.min() <= chosen.values[0] <= rows.probabilities.max()


def test_every_validated_epoch_is_kept_only_where_it_is_asked_for(setup, tmp_path):
    train(setup, tmp_path / "plain")
    assert load_model(tmp_path / "plain").meta["epochs"] == []
    assert not (tmp_path / "plain" / "epochs").exists()

    train(setup, tmp_path / "kept", judged(setup, best_on_test=True))
    assert results(tmp_path / "kept")[0] == results(tmp_path / "plain")[0]
    meta = load_model(tmp_path / "kept").meta
    history = pd.read_csv(tmp_path / "kept" / "history.csv")
    assert [entry["epoch"] for entry in meta["epochs"]] == history["epoch"].tolist()
    assert [entry["val"] for entry in meta["epochs"]] == history[setup.job.train.monitor].tolist()
    for entry in meta["epochs"]:
        assert sha256_file(tmp_path / "kept" / entry["file"]) == entry["sha256"]
    best = next(entry for entry in meta["epochs"] if entry["epoch"] == meta["best_epoch"])
    ours = safetensors.torch.load_file(tmp_path / "kept" / best["file"])
    theirs = safetensors.torch.load_file(tmp_path / "kept" / "model.safetensors")
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_weights_of_epochs_outlive_an_interruption(setup, tmp_path, monkeypatch):
    job = judged(setup, best_on_test=True)
    train(setup, tmp_path / "whole", job)
    epochs = job.train.epochs
    seen = []

    def stop_once(self, n_steps, epoch_done=None):
        seen.append(epoch_done)
        reason = StopReason("signal", 15) if epoch_done == epochs - 1 and seen.count(epochs - 1) == 1 else None
        return reason, False

    with monkeypatch.context() as patch:
        patch.setattr(Session, "due", stop_once)
        with suppress_stopped():
            train(setup, tmp_path / "cut", job)
    assert not (tmp_path / "cut" / "model.json").exists()
    train(setup, tmp_path / "cut", job)
    whole, cut = (json.loads((tmp_path / name / "model.json").read_text())["epochs"] for name in ("whole", "cut"))
    assert whole == cut
    assert len(cut) == epochs


def test_epochs_of_a_model_that_is_taken_over_do_not_exist():
    with pytest.raises(ValueError, match="no epochs"):
        JobSettings.model_validate(
            {
                "task": "t",
                "datasets": ["toy"],
                "clips": {"length_s": 1, "sample_rate_hz": 1000},
                "spectrogram": {"n_fft": 64, "hop_samples": 24, "n_mels": 32},
                "split": {"kind": "patients"},
                "model": {"name": "test_cnn"},
                "evaluate": {"best_on_test": True},
                "evaluate_only": "results/t/e/1",
            }
        )
