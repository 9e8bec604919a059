"""A study with MLflow: a parent, a child a trial, each with how it ended, and nothing twice."""

import socket

import pytest

from auscult.config import TrackingSettings
from auscult.config.trials import Chosen
from auscult.tracking.search import track_search


@pytest.fixture
def chosen() -> Chosen:
    def trial(number: int, state: str, *values: float) -> dict:
        rungs = [{"epoch": 3**n, "value": value, "of_seeds": [value]} for n, value in enumerate(values)]
        return {
            "number": number,
            "state": state,
            "values": {"train.optimizer.lr": 10.0**-number, "model": {"name": "mixednet"}},
            "value": values[-1] if values else None,
            "rungs": rungs,
            "training_s": 60.0,
            "reason": "" if values else "DivergedError: NaN",
        }

    trials = [trial(0, "pruned", 0.5), trial(1, "failed"), trial(2, "complete", 0.6, 0.8)]
    return Chosen.model_validate(
        {
            "experiment": "pneumonia/tuned",
            "key": "0123456789ab",
            "metric": "val/auroc",
            "mode": "max",
            "trial": 2,
            "value": 0.8,
            "values": trials[2]["values"],
            "reason": "trial 2: the best",
            "budget": {"training_h": 0.05, "epochs": 5, "epochs_without_pruning": 9},
            "trials": trials,
        }
    )


def runs(client) -> dict:
    experiment = client.get_experiment_by_name("pneumonia")
    return {run.data.tags.get("auscult.trial", "study"): run for run in client.search_runs([experiment.experiment_id])}


def test_a_parent_and_a_child_a_trial_with_its_state(chosen: Chosen, client, store_uri: str) -> None:
    tracking = TrackingSettings(uri=store_uri)
    assert track_search(chosen, "pneumonia", tracking) is None
    found = runs(client)
    assert {name: run.info.status for name, run in found.items()} == {
        "study": "FINISHED",
        "0": "KILLED",
        "1": "FAILED",
        "2": "FINISHED",
    }
    parent = found["study"].info.run_id
    assert {found[name].data.tags["mlflow.parentRunId"] for name in "012"} == {parent}
    assert [found[name].data.tags["auscult.state"] for name in "012"] == ["pruned", "failed", "complete"]
    assert found["2"].data.params == {"train.optimizer.lr": "0.01", "model.name": "mixednet"}
    history = client.get_metric_history(found["2"].info.run_id, "val/auroc")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.6), (3, 0.8)]
    best = client.get_metric_history(parent, "best/val/auroc")
    assert [(metric.step, metric.value) for metric in best] == [(0, 0.5), (2, 0.8)]

    assert track_search(chosen, "pneumonia", tracking) is None
    experiment = client.get_experiment_by_name("pneumonia")
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert len(client.get_metric_history(parent, "best/val/auroc")) == 2


def test_a_store_that_does_not_answer_is_said(chosen: Chosen) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert "does not answer" in str(track_search(chosen, "pneumonia", TrackingSettings(uri=uri)))
    assert track_search(chosen, "pneumonia", TrackingSettings(enabled=False)) is None
