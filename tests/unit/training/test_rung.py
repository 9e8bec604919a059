"""A rung: what a trial reached on validation up to an epoch, or why it failed."""

import json
from pathlib import Path

import pytest

from auscult.config.trials import rung_key
from auscult.errors import DataError
from auscult.training.rung import run_rung
from auscult.training.train import train


def run(setup, output: Path, job, epoch: int) -> dict:
    def until(last: int) -> None:
        train(**setup.inputs, job=job, output_dir=output.parent, device="cpu", threads=1, until_epoch=last)

    run_rung(output, job, epoch, until)
    return json.loads(output.read_text())


def test_a_rung_holds_the_epochs_up_to_it(setup, tmp_path):
    second = run(setup, tmp_path / "epoch2.json", setup.job, 2)
    assert [row["epoch"] for row in second["rows"]] == [1, 2] and second["status"] == "reached"
    assert second["key"] == rung_key(setup.job) and second["kept_epoch"] in {1, 2} and second["peak_memory_mb"] > 0
    last = run(setup, tmp_path / "epoch4.json", setup.job, 4)
    assert last["rows"][:2] == second["rows"] and len(last["rows"]) == 4
    # A lost file of an earlier rung is written again from what was trained.
    (tmp_path / "epoch2.json").unlink()
    assert run(setup, tmp_path / "epoch2.json", setup.job, 2)["rows"] == second["rows"]


def test_a_trial_that_diverges_is_an_outcome_and_a_damaged_input_is_none(setup, tmp_path):
    job = setup.with_train(optimizer={"name": "sgd", "lr": 1e30})
    failed = run(setup, tmp_path / "a" / "epoch2.json", job, 2)
    assert failed["status"] == "failed" and failed["reason"].startswith("DivergedError: the ")

    def damaged(_: int) -> None:
        raise DataError("damaged")

    with pytest.raises(DataError):
        run_rung(tmp_path / "b" / "epoch2.json", job, 2, damaged)
    assert not (tmp_path / "b" / "epoch2.json").exists()


def test_only_what_is_trained_tells_rungs_apart(setup):
    other = setup.job.model_copy(update={"note": "another word"})
    assert rung_key(other) == rung_key(setup.job) != rung_key(setup.with_train(batch_size=4))
