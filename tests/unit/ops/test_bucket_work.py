"""Where jobs share no disk: what is refused, and how the working folder stands for the copies of a bucket's files."""

import pytest

from auscult.config import JobSettings
from auscult.config.upstream import Upstream
from auscult.errors import ConfigError
from auscult.ops.bucket_work import (
    Carried,
    bucket_of,
    carried,
    fetch_folders,
    require_files_in_bucket,
    use_project_as_copies,
)

BUCKET = "gs://lungs/try"
COPIES = ".snakemake/storage/gcs/lungs/try"
SETTINGS = {
    "task": "toy",
    "datasets": ("toy",),
    "clips": {"length_s": 1, "sample_rate_hz": 4000},
    "spectrogram": {"n_fft": 256, "hop_samples": 100, "n_mels": 32},
    "split": {"kind": "patients"},
    "model": {"name": "test_cnn"},
    "train": {"epochs": 1, "batch_size": 16, "optimizer": {"lr": 0.01}, "monitor": "val/auroc"},
    "evaluate": {"bootstrap_draws": 20, "n_examples": 1},
}


@pytest.mark.parametrize(
    ("provider", "prefix", "said"),
    [
        ("s3", "s3://lungs", "--default-storage-provider s3: expected gcs"),
        ("gcs", "lungs/try", "found 'lungs/try', expected gs://bucket/prefix"),
        ("gcs", "gs://", "expected gs://bucket/prefix"),
        ("gcs", None, "found None, expected gs://bucket/prefix"),
    ],
)
def test_another_store_is_refused(provider, prefix, said):
    with pytest.raises(ConfigError, match=said):
        bucket_of(provider, prefix)


def test_copies_of_the_bucket_are_the_projects_files(tmp_path):
    for _ in range(2):  # each process of a run does it
        use_project_as_copies(tmp_path / COPIES, BUCKET, tmp_path)
    (tmp_path / COPIES / "work").mkdir()
    (tmp_path / COPIES / "work/a").write_text("a")
    assert (tmp_path / "work/a").read_text() == "a"
    with pytest.raises(ConfigError, match="works with gs://lungs/try, and gs://lungs/other was asked for; use a clone"):
        use_project_as_copies(tmp_path / ".snakemake/storage/gcs/lungs/other", "gs://lungs/other", tmp_path)


def test_a_folder_with_results_of_its_own_is_left_alone(tmp_path):
    (tmp_path / "results/pneumonia").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds results of runs without a bucket, .* use a clone of its own"):
        use_project_as_copies(tmp_path / COPIES, BUCKET, tmp_path)
    assert not (tmp_path / ".snakemake").exists()


def test_copies_of_an_earlier_run_are_not_mixed_with_the_projects_files(tmp_path):
    (tmp_path / COPIES).mkdir(parents=True)
    with pytest.raises(ConfigError, match="expected a link to the project; remove it"):
        use_project_as_copies(tmp_path / COPIES, BUCKET, tmp_path)


def test_what_lies_on_one_machine_alone_is_refused():
    noise = {"name": "background_noise", "quantity": 0.5, "folder": "data/noise", "snr_db": [0, 10]}
    job = JobSettings.model_validate({**SETTINGS, "augment": {"waveform": [noise]}})
    elsewhere = Upstream("train.pretrained.weights", "/home/me/a.pt", "/home/me/a.pt", ("/home/me/a.pt",), ())
    with pytest.raises(
        ConfigError, match=r"pneumonia/a/1: .*data/noise; train\.pretrained\.weights: /home/me/a\.pt; tune"
    ):
        require_files_in_bucket("pneumonia/a/1", job, elsewhere, is_tuned=True)
    require_files_in_bucket("pneumonia/a/1", JobSettings.model_validate(SETTINGS), None, is_tuned=False)


def test_with_a_shared_disk_nothing_is_carried(tmp_path):
    with carried(tmp_path, [], environment={}) as files:
        files.send_saved()
    assert Carried(tmp_path, bucket=None).send() == 0
    assert fetch_folders([tmp_path], environment={}) == [tmp_path]
