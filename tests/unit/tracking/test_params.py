"""What a run shows of its settings: nothing that names a person, a machine or a password."""

import json

import pytest
from tests.unit.tracking.conftest import CONFIG

from auscult.config import JobSettings, load_experiment, load_task
from auscult.tracking.params import redacted, training_params


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/zarah")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/mnt/disk7/patients/train2356/1", ".../1"),
        ("/home/zarah/results/1", "~/results/1"),
        ("postgresql://zarah:sesam@db.hospital/runs", "postgresql://***@db.hospital/runs"),
        ("token=sesam", "token=***"),
        ("results/pneumonia/train2356", "results/pneumonia/train2356"),
    ],
)
def test_paths_and_passwords_are_hidden_wherever_they_stand(text, shown):
    found = redacted({"a": text, "b": [text, {"c": (text,)}], "lr": 0.1, "seeds": [1, None, True]})
    assert found == {"a": shown, "b": [shown, {"c": [shown]}], "lr": 0.1, "seeds": [1, None, True]}
    assert "zarah" not in json.dumps(found)
    assert "sesam" not in json.dumps(found)


def test_no_path_of_a_job_reaches_its_params():
    experiment, task = load_experiment(CONFIG, "pneumonia", "train2356"), load_task(CONFIG, "pneumonia")
    noise = {"name": "background_noise", "folder": "/mnt/secret_ward/noise"}
    job = experiment.jobs[0].model_dump(mode="json") | {"augment": {"waveform": [noise]}}
    params = training_params(JobSettings.model_validate(job), task)
    assert "secret_ward" not in json.dumps(params)
    assert ".../noise" in json.dumps(params)
