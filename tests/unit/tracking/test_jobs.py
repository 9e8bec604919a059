import json
import shutil

import pandas as pd
import pytest

from auscult.errors import DataError
from auscult.tracking.jobs import choose_uploads, holds_id, known_ids, read_jobs


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


# --- which files may be uploaded ---


@pytest.fixture
def job_dir(job_dirs):
    return job_dirs[0]


def test_only_figures_weights_and_the_models_description(job_dir):
    uploads, withheld = choose_uploads(job_dir)
    assert [upload.name for upload in uploads] == [
        "model/model.safetensors",
        "model/model.json",
        "figures/learning_curves.png",
        "figures/roc.png",
        "figures/roc.svg",
    ]
    assert withheld == []


def test_maps_by_epoch_are_uploaded_in_a_folder_of_their_own(job_dir):
    (job_dir / "live_maps").mkdir()
    shutil.copyfile(job_dir / "figures" / "roc.png", job_dir / "live_maps" / "epoch_0001.png")
    assert choose_uploads(job_dir)[0][-1].name == "live_maps/epoch_0001.png"


def test_ids_are_known_whole_and_bare(job_dir):
    ids = known_ids(job_dir / "predictions.parquet")
    assert {"icbhi/101", "101", "bd/zarah-0007", "zarah-0007", "101_1b1_Al_sc_Meditron"} <= ids


@pytest.mark.parametrize("text", ["icbhi/101", "zarah-0007", "x 101_1b1_Al_sc_Meditron:0003 y", "BP42_Asthma"])
def test_a_description_that_names_someone_is_withheld(job_dir, text):
    (job_dir / "model.json").write_text(json.dumps({"model": {"name": "mixednet"}, "seen": [text]}))
    uploads, withheld = choose_uploads(job_dir)
    assert withheld == ["model/model.json"]
    assert "model/model.json" not in [upload.name for upload in uploads]


@pytest.mark.parametrize("name", ["zarah-0007.png", "spectrogram_101.png", "101_1b1_Al_sc_Meditron.svg"])
def test_a_figure_named_after_someone_is_withheld_unnamed(job_dir, name):
    source = job_dir / "figures" / ("roc.svg" if name.endswith("svg") else "roc.png")
    shutil.copyfile(source, job_dir / "figures" / name)
    uploads, withheld = choose_uploads(job_dir)
    assert name not in [upload.path.name for upload in uploads]
    assert len(withheld) == 1
    assert name not in withheld[0]


def test_text_inside_pictures_and_weights_is_read(job_dir):
    import numpy as np
    from safetensors.numpy import save_file

    picture = job_dir / "figures" / "roc.png"
    picture.write_bytes(picture.read_bytes() + b"tEXtTitle\0bd/zarah-0007_left_07")
    save_file({"w": np.zeros(2)}, job_dir / "model.safetensors", metadata={"first": "jordan/BP42_Asthma"})
    assert choose_uploads(job_dir)[1] == ["model/model.safetensors", "figures (number 2 by name)"]


def test_words_that_hold_an_id_are_not_ids(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"name": "theory", "rate": 10100, "n": 101, "kind": "testing"}')
    assert not holds_id(path, {"theo", "101", "test", "ng"})
    assert holds_id(path, {"theory"})


def test_predictions_without_ids_are_refused(job_dir):
    pd.DataFrame({"clip_id": ["a"]}).to_parquet(job_dir / "predictions.parquet")
    with pytest.raises(DataError, match="recording_id and patient_id"):
        choose_uploads(job_dir)
    (job_dir / "predictions.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match="evaluate the job again"):
        choose_uploads(job_dir)


def test_torn_weights_are_refused(job_dir):
    (job_dir / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(DataError, match="not a safetensors file"):
        choose_uploads(job_dir)
