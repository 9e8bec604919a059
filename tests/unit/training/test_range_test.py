"""The range test: a rate that grows evenly on a logarithmic scale, and an end when the loss leaves."""

import json

import pytest

from auscult.training.range_test import range_test


def run(setup, output, lr: float, gamma: float, n_steps: int) -> dict:
    schedules = [{"name": "exponential", "by": "step", "gamma": gamma}]
    job = setup.with_train(optimizer={"name": "sgd", "lr": lr}, schedules=schedules)
    range_test(output, **setup.inputs, clips=None, job=job, n_steps=n_steps, device="cpu", threads=1)
    return json.loads(output.read_text())


def test_the_rate_grows_from_step_to_step_over_epochs(setup, tmp_path):
    curve = run(setup, tmp_path / "range.json", 1e-4, 1.5, 12)
    assert curve["lr"] == pytest.approx([1e-4 * 1.5**step for step in range(12)])
    assert len(curve["loss"]) == len(curve["smoothed"]) == 12 and curve["smoothed"][0] == pytest.approx(
        curve["loss"][0]
    )
    assert not (tmp_path / "state").exists()


def test_it_ends_when_the_loss_has_left(setup, tmp_path):
    curve = run(setup, tmp_path / "range.json", 1e-3, 2.0, 200)
    assert 10 < len(curve["lr"]) < 60
