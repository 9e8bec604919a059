import json

import pytest

from auscult import tracking
from auscult.config import TrackingSettings


@pytest.fixture
def log(experiment, task, job_dirs, store_uri, provenance, tmp_path):  # noqa: PLR0917 (fixtures)
    def call(**changes):
        output = tmp_path / "tracked.json"
        settings = TrackingSettings(uri=store_uri, register_model=True)
        tracking.track(
            experiment, task, job_dirs, tracking=settings, output=output, provenance={**provenance, **changes}
        )
        return json.loads(output.read_text())

    return call


def test_each_jobs_model_is_registered_once_with_its_card(log, client):
    first = log()
    assert first["registered"] == {"1": "pneumonia.train2356.1:1", "2": "pneumonia.train2356.2:1"}
    assert log()["registered"] == first["registered"]
    version = client.get_model_version("pneumonia.train2356.1", "1")
    assert version.run_id == first["children"]["1"]
    assert version.source.endswith(f"{version.run_id}/artifacts/model")
    assert version.tags["auscult.data"] == "d41d8cd98f00b204e9800998ecf8427e.dir"
    for part in (
        "# train2356/1 mixednet",
        "- datasets: icbhi, jordan, bd",
        "| pneumonia | AUROC | 0.930 | 0.860 to 0.990 |",
        "no medical device",
    ):
        assert part in version.description
    assert "Warning" not in version.description
    assert client.get_registered_model("pneumonia.train2356.1").description == version.description


def test_a_model_trained_anew_is_the_next_version(log, client, job_dirs):
    log()
    path = job_dirs[0] / "metrics.jsonl"
    path.write_text(path.read_text() + '{"epoch": 12, "train/loss": 0.01}\n')
    again = log()
    assert again["registered"] == {"1": "pneumonia.train2356.1:2", "2": "pneumonia.train2356.2:1"}
    assert client.get_model_version("pneumonia.train2356.1", "2").run_id == again["children"]["1"]


def test_simulated_sounds_are_warned_of(log, client):
    log(simulated=["bd"])
    assert "the sounds of bd are simulated" in client.get_model_version("pneumonia.train2356.1", "1").description


def test_a_model_that_names_a_patient_is_not_registered(log, client, job_dirs):
    (job_dirs[1] / "model.json").write_text('{"seen": "bd/zarah-0007"}')
    assert list(log()["registered"]) == ["1"]


def test_without_the_setting_nothing_is_registered(  # noqa: PLR0917 (fixtures)
    experiment, task, job_dirs, store_uri, provenance, tmp_path, client
):
    output = tmp_path / "tracked.json"
    where = TrackingSettings(uri=store_uri)
    tracking.track(experiment, task, job_dirs, tracking=where, output=output, provenance=provenance)
    assert json.loads(output.read_text())["registered"] == {}
    assert client.search_registered_models() == []
