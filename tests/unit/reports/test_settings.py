import pytest

from auscult.config import JobSettings
from auscult.reports.settings import differing_keys, job_labels, shared_settings

BASE = {
    "task": "t",
    "datasets": ["a"],
    "clips": {},
    "spectrogram": {},
    "split": {"kind": "patients"},
    "model": {"name": "mixednet"},
}


def _jobs(*differences):
    return [JobSettings.model_validate({**BASE, **difference}) for difference in differences]


@pytest.mark.parametrize(
    ("difference", "label"),
    [
        ({"spectrogram": {"n_fft": 512}}, "n_fft 512"),
        ({"train": {"optimizer": {"lr": 0.01}}}, "lr 0.01"),
        ({"model": {"name": "timm/resnet18"}}, "timm/resnet18"),
        ({"split": {"kind": "official"}}, "split by official"),
        ({"datasets": ["a", "b"]}, "datasets a, b"),
    ],
)
def test_a_job_is_named_by_what_sets_it_apart(difference, label):
    assert job_labels(_jobs({}, difference))[1] == label


def test_notes_are_no_difference_and_a_single_job_is_named_by_its_model():
    assert differing_keys(_jobs({"note": "one"}, {"note": "two"})) == []
    assert job_labels(_jobs({})) == ["mixednet"]


def test_shared_and_differing_settings_are_all_there_is():
    jobs = _jobs({}, {"train": {"epochs": 3}})

    shared = shared_settings(jobs)

    assert differing_keys(jobs) == ["train.epochs"]
    assert "epochs" not in shared["train"]
    assert shared["train"]["optimizer.lr"] == "0.001"
    assert shared["data"]["datasets"] == "a"
    assert shared["split"]["fractions.train"] == "0.7"
