"""Several processes, started by the launcher that a user's training has, over gloo on the CPU."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
from tests.unit.training.test_session import progress_of, start_training, wait_until
from tests.unit.training.test_train import AUGMENT, train

from auscult.config.model import TimmSettings
from auscult.models import load_model

CURVES = ["train/loss", "val/loss", "val/auroc"]


def without_batch_norm(job):
    """Its statistics are those of a process' own part of a batch on the CPU; all else must be equal."""
    return job.model_copy(update={"model": TimmSettings(name="timm/test_convnext"), "augment": AUGMENT})


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_two_processes_give_the_curves_of_one_at_the_same_global_batch(setup, tmp_path, accumulate):
    settings = {
        "epochs": 6,
        "batch_size": 5,
        "accumulate_batches": accumulate,
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "clip_gradient": {"norm": 1.0},
        "ema": {"decay": 0.9},
    }
    train(setup, tmp_path / "one", without_batch_norm(setup.with_train(**settings)))
    two = start_training(setup, without_batch_norm(setup.with_train(**settings, devices=2)), tmp_path / "two")
    _, errors = two.communicate(timeout=500)
    assert two.returncode == 0, errors
    one, two = (pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two"))
    np.testing.assert_allclose(two[CURVES], one[CURVES], rtol=2e-4, atol=1e-6)
    assert one["train/loss"].iloc[-1] < 0.8 * one["train/loss"].iloc[0]
    ours, theirs = (load_model(tmp_path / name) for name in ("one", "two"))
    for mine, other in zip(ours.module.parameters(), theirs.module.parameters(), strict=True):
        np.testing.assert_allclose(mine.detach(), other.detach(), rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_a_team_leaves_together_and_goes_on(setup, tmp_path):
    settings = {"epochs": 80, "batch_size": 6, "save": {"every_epochs": 1000}, "devices": 2}
    job = setup.with_train(**settings)
    first = start_training(setup, job, tmp_path)
    wait_until(lambda: progress_of(tmp_path).get("step", 0) > 3, first, timeout_s=200)
    os.killpg(first.pid, signal.SIGTERM)
    _, errors = first.communicate(timeout=200)
    assert first.returncode == 143, errors
    (manifest,) = tmp_path.glob("state/*/[0-9]*.json")
    saved = json.loads(manifest.read_text())
    assert saved["epoch"] >= 1
    again = start_training(setup, job, tmp_path)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert progress_of(tmp_path)["resumed_because"] == "stopped: SIGTERM"
    assert len(pd.read_csv(tmp_path / "history.csv")) == 80
