import json

import pytest

from auscult.errors import DataError
from auscult.tracking.params import experiment_settings, job_params
from auscult.tracking.points import read_history
from auscult.tracking.record import read_jobs


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


def test_history_gives_every_number_of_every_epoch(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"epoch": 0, "train/loss": 0.7, "val/auroc": None, "epoch_s": 2.0},
        {"epoch": 1, "train/loss": 9.9, "val/auroc": 0.1, "epoch_s": 3.0},
        {"epoch": 1, "train/loss": 0.5, "val/auroc": 0.8, "epoch_s": 3.0},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    points = read_history(path)
    assert [(p.key, p.value, p.step) for p in points] == [
        ("train/epoch_s", 2.0, 0),
        ("train/loss", 0.7, 0),
        ("train/epoch_s", 3.0, 1),
        ("train/loss", 0.5, 1),
        ("val/auroc", 0.8, 1),
    ]
    assert points[-1].timestamp_ms - points[0].timestamp_ms == 3000


@pytest.mark.parametrize("line", ["{", "[]", '{"train/loss": 1}', '{"epoch": "1"}', '{"epoch": -1}', '{"epoch": true}'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2"):
        read_history(path)


def test_content_digest_sees_every_file_and_the_settings(experiment, task, job_dirs):
    before = [job.content for job in read_jobs(experiment, task, job_dirs)]
    assert [job.content for job in read_jobs(experiment, task, job_dirs)] == before
    assert len(set(before)) == 2
    seen = {before[0]}
    for name in ("metrics.jsonl", "metrics.json", "model.json", "figures/roc.svg"):
        path = job_dirs[0] / name
        path.write_text(path.read_text().replace("0.41", "0.42").replace("AUROC", "ROC").rstrip("\n") + "\n ")
        seen.add(read_jobs(experiment, task, job_dirs)[0].content)
    changed = experiment.jobs[0].model_copy(update={"train": experiment.jobs[1].train})
    other = experiment.model_copy(update={"jobs": (changed, experiment.jobs[1])})
    seen.add(read_jobs(other, task, job_dirs)[0].content)
    assert len(seen) == 6


def test_final_metrics_stand_beside_the_epochs(experiment, task, job_dirs):
    points = {(point.key, point.step): point.value for point in read_jobs(experiment, task, job_dirs)[0].points}
    assert points["test/auroc", 0] == 0.93
    assert points["test/patient/pneumonia/auroc_low", 0] == pytest.approx(0.86)
    assert points["val/threshold/pneumonia", 0] == 0.41
    assert points["train/best_epoch", 0] == 9
    assert ("val/auroc", 0) not in points
    assert ("val/auroc", 11) in points
    assert not any("ppv" in key for key, _ in points)


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "metrics.json", "model.safetensors", "model.json", "predictions.parquet"]
)
def test_a_missing_file_is_named(experiment, task, job_dirs, name):
    (job_dirs[1] / name).unlink()
    with pytest.raises(DataError, match=name):
        read_jobs(experiment, task, job_dirs)


def test_as_many_folders_as_jobs(experiment, task, job_dirs):
    with pytest.raises(DataError, match="1 job folders for 2 jobs"):
        read_jobs(experiment, task, job_dirs[:1])


def test_an_outcome_without_a_test_part_is_refused(experiment, task, job_dirs):
    (job_dirs[0] / "metrics.json").write_text('{"val": {}}')
    with pytest.raises(DataError, match="best_epoch"):
        read_jobs(experiment, task, job_dirs)
