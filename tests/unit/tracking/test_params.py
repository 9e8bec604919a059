"""What a run shows of its settings: nothing that names a person, a machine or a password."""

import json

import pytest
from tests.unit.tracking.conftest import CONFIG

from auscult.config import JobSettings, load_experiment, load_task
from auscult.tracking.params import (
    MAX_PARAM_CHARACTERS,
    experiment_settings,
    flat_params,
    job_params,
    redacted,
    run_names,
    training_params,
)


@pytest.fixture
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/zarah")


@pytest.mark.usefixtures("home")
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


def test_long_values_are_cut_and_still_differ():
    long = "x" * (MAX_PARAM_CHARACTERS + 1)
    first = flat_params({"note": long + "a"})["note"]
    second = flat_params({"note": long + "b"})["note"]
    assert len(first) == len(second) == MAX_PARAM_CHARACTERS
    assert first != second
    assert flat_params({"note": long[:MAX_PARAM_CHARACTERS]})["note"] == long[:MAX_PARAM_CHARACTERS]


def test_every_leaf_has_a_name_and_a_text():
    settings = {"a": {}, "b": [], "c": [[1, 2], [3]], "d": False, "e@f": 1, "g": {"..": 2}}
    assert flat_params(settings) == {
        "a": "none",
        "b": "none",
        "c": "[[1, 2], [3]]",
        "d": "false",
        "e_f": "1",
        "g.__": "2",
    }


def test_run_names_stay_short():
    jobs = [{"model.name": "mixednet"}, {"model.name": "mixednet", **{f"a.k{n}": "v" * 20 for n in range(9)}}]
    names = run_names("e", [str(number) for number in range(1, len(jobs) + 1)], jobs)
    assert names[0] == "e/1 mixednet"
    assert len(names[1]) == 80
    assert names[1].startswith("e/2 mixednet k0=")


def test_params_are_the_resolved_settings(experiment, task):
    first, second = job_params(experiment, task)
    assert first["train.optimizer.lr"] == "0.001"
    assert first["datasets"] == "icbhi, jordan, bd"
    assert first["spectrogram.n_fft"] == "1024"
    assert first["task"] == "pneumonia"
    assert first["task.level"] == "patient"
    assert (first["model.name"], second["model.name"]) == ("mixednet", "timm/mobilenetv3_small_050")


def test_settings_digest_ignores_wording_and_sees_the_rest(experiment, task):
    reworded = experiment.model_copy(update={"description": "other words"})
    assert experiment_settings(reworded, task) == experiment_settings(experiment, task)
    fewer = experiment.model_copy(update={"jobs": experiment.jobs[:1]})
    assert experiment_settings(fewer, task) != experiment_settings(experiment, task)


def test_no_text_of_settings_names_a_person_or_a_machine():
    settings = {
        "backbone": "/home/zarah/weights.pt",
        "more": [{"uri": "http://bob:pw@host/x"}, "/data/bd/zarah"],
        "n": 3,
    }
    assert redacted(settings) == {
        "backbone": ".../weights.pt",
        "more": [{"uri": "http://***@host/x"}, ".../zarah"],
        "n": 3,
    }
