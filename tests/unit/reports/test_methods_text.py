"""The methods in plain English say what the settings say."""

import re

import pytest

from auscult.config import JobSettings
from auscult.reports.jobs import read_jobs
from auscult.reports.methods_data import data_text, split_text
from auscult.reports.methods_text import methods_paragraphs, methods_text
from auscult.reports.methods_training import repeats_text
from auscult.storage.files import read_json

pytestmark = pytest.mark.usefixtures("plain_figures")

PROVENANCE = {
    "python": "3.11.7",
    "git": {"commit": "0123456789abcdef"},
    "packages": {"auscult": "0.1.0", "torch": "2.14.1", "timm": "not installed"},
    "gpus": ["NVIDIA H100"],
}


def paragraphs(published, **changes):
    jobs = read_jobs(published.experiment, published.task, published.job_dirs)
    for job in jobs:
        job.metrics.update(changes)
    return methods_paragraphs(
        published.experiment,
        published.task,
        jobs,
        audits=[read_json(path) for path in published.audits],
        summaries={name: read_json(path) for name, path in published.summaries.items()},
        provenance=PROVENANCE,
        protocol="No protocol was frozen.",
    )


def job_of(split, *datasets, **changes):
    needed = {"clips": {}, "spectrogram": {}, "model": {"name": "mixednet"}}
    return JobSettings.model_validate(
        {"task": "t", "datasets": datasets or ("one", "two"), "split": split, **needed, **changes}
    )


def text_of(published, **changes):
    return " ".join(paragraphs(published, **changes).values())


def test_a_binary_task_from_question_to_software(publishable):
    split = {"kind": "patients", "fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 4}
    difference = {
        "split": split,
        "clips": {"length_s": 10, "sample_rate_hz": 8000, "hop_s": 5, "pad": "repeat"},
        "train": {"epochs": 20, "optimizer": {"name": "adamw", "lr": 3e-4, "weight_decay": 0.01}, "seed": 3},
        "augment": {"spectrogram": [{"name": "mask_time"}, {"name": "mask_frequency"}]},
        "evaluate": {"bootstrap_draws": 60, "threshold": "youden"},
    }
    text = text_of(publishable("binary", difference))
    for part in (
        "The data were one (1,180 recordings of 60 patients) and two (1,180 recordings of 60 patients).",
        "The recording devices were Meditron, Litt3200 in one and two.",
        "In one and two, labels were taken as follows: pneumonia (label diagnosis: positive if pneumonia; negative if "
        "any other value).",
        "The question was: Does the patient have pneumonia? This is a binary task",
        "Patients were divided at random, stratified by dataset and target, into training (70%), validation (15%) and "
        "test (15%) parts (seed 4).",
        "All parts come from the same datasets, with the same label rules and the same preparation.",
        "No patient was in more than one part",
        "resampled to 8 kHz, and cut into windows of 10 s every 5 s; shorter ones were padded by repeating them.",
        "log-mel spectrograms of 64 bands from 0 to 4000 Hz (Hann window of 512 samples, 64 ms; step 128 samples, "
        "16 ms)",
        "The model was mixednet with 14,945 parameters, its initial weights random.",
        "Training clips were augmented by mask_time and mask_frequency.",
        "at most 20 epochs with the optimizer adamw (learning rate 0.0003, weight decay 0.01) in batches of 32 clips, "
        "minimising binary "
        "cross-entropy.",
        "the loss was weighted by class (balanced)",
        "The epoch with the highest AUROC on the validation part was kept.",
        "Training was run once, with the random seed 3; no models were combined.",
        "The probabilities of clips were averaged for each patient.",
        "The threshold was the one that maximises Youden's index on the validation part; clips, recordings and "
        "patients have thresholds of their own.",
        "Probabilities were not recalibrated.",
        "no model was updated or recalibrated on it.",
        "Performance was also computed in groups by dataset and sex, for groups of at least 5 patients",
        "auscult 0.1.0 (project at commit 0123456789ab) in Python 3.11.7, using torch 2.14.1 on NVIDIA H100.",
    ):
        assert part in text, part
    assert "timm" not in text
    assert "Pairs of jobs" not in text


def test_what_jobs_share_is_said_once_and_what_differs_of_each(publishable):
    text = text_of(publishable("binary", {}, {"train": {"epochs": 15}}, {"train": {"epochs": 20}}))
    assert text.count("Recordings were decoded") == 1
    assert "In job 1, it was trained for at most 30 epochs" in text
    assert "In job 2, it was trained for at most 15 epochs" in text
    assert "The configurations compared are job 1 to job 3." in text
    assert "Pairs of jobs were compared by a paired bootstrap over patients" in text


def test_multi_label_and_multi_class_decide_in_their_own_ways(publishable):
    text = text_of(publishable("multi_label"), threshold_rule="target_sensitivity", threshold_target=0.8)
    assert (
        "each target is present or absent, independently of the others (targets: crackle, wheeze), judged by clip"
        in text
    )
    assert "keeps a sensitivity of at least 0.8 at the highest specificity on the validation part" in text
    assert "Patients may be in more than one part, as declared" in text
    text = text_of(publishable("multi_class"))
    assert "exactly one of several classes applies" in text
    assert "The class of highest probability was predicted." in text
    assert "minimising cross-entropy" in text
    assert "threshold" not in text.lower()


def test_folds_and_seeds_are_told(publishable):
    split = {"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}
    text = text_of(publishable("binary", {"split": split, "folds": 2, "seeds": [0, 5]}))
    assert "divided into 2 folds at random" in text
    assert "25% of the other patients were the validation part." in text
    assert "In the first fold, the training part held" in text
    assert "Training was repeated with the seeds 0 and 5 in each fold; results are means over the trainings." in text
    assert "Training was run once" not in text


def test_means_and_targets_have_their_own_intervals(publishable):
    text = text_of(publishable("multi_label"))
    assert "for AUROC: Newcombe, effective numbers over patients" in text
    assert "means over targets" in text.partition("The 95% intervals")[2]
    assert "ICBHI score (two classes)" in text
    assert "accuracy, balanced accuracy, MCC, Brier score, calibration error, F1 (mean of classes)" in text_of(
        publishable("multi_class")
    )


def test_a_probe_and_a_stored_model_were_not_trained(publishable):
    probe = {"probe": {"encoder": "results/t/e/1"}, "train": {"loss": {"class_weights": "none"}}}
    text = text_of(publishable("binary", probe))
    assert (
        "The encoder results/t/e/1 (mixednet) stayed frozen; a logistic regression was fitted on its embeddings" in text
    )
    assert "The penalty with the best AUROC on the validation part was chosen." in text
    assert "Class imbalance was left as it was: no weights and no resampling." in text
    stored = text_of(publishable("binary", {"evaluate_only": "results/t/e/1"}))
    assert "The model of results/t/e/1 (mixednet, 14,945 parameters) was evaluated as it was" in stored
    assert "on the model's own validation part" in stored
    for found, word in (
        (text, "It was trained for"),
        (stored, "It was trained for"),
        (stored, "augmented"),
        (stored, "epoch"),
    ):
        assert word not in found.replace("Calibration", "")


def test_an_ensemble_is_told(publishable):
    published = publishable("binary", {"split": {"kind": "patients"}, "seeds": [0, 5], "ensemble": True})
    text = text_of(published)
    assert "Training was repeated with the seeds 0 and 5; results are means over the trainings." in text
    assert "Their probabilities were also averaged to an ensemble with thresholds of its own." in text


def test_only_the_test_part_of_a_stored_model_is_told_and_no_path_of_its_owner(publishable):
    job = {"split": {"kind": "patients"}, "evaluate_only": "/mnt/of_somebody/results/t/e/1"}
    text = text_of(publishable("binary", job))
    assert (
        "The model had been trained before; nothing here took part in its training. The test part held 30 patients"
        in text
    )
    assert "training part" not in text
    assert "of_somebody" not in text


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"kind": "official"}, "The dataset's own list gave the test part; 15% of the other patients"),
        ({"kind": "leave_dataset_out", "dataset": "two"}, "comes from another dataset than training and validation"),
        ({"kind": "leave_site_out", "site": "Dhaka"}, "All patients of the site Dhaka were the test part;"),
        (
            {"kind": "leave_device_out", "device": "AKG"},
            "All patients recorded with the device AKG were the test part;",
        ),
        ({"kind": "column", "column": "index", "test": ["1"]}, "The parts thus differ in index;"),
    ],
)
def test_a_division_says_how_the_parts_differ(split, said):
    assert said in split_text(job_of(split))


def test_a_matrix_is_told():
    matrix = {"leave_out": "site", "values": ["north", "south", "west"]}
    job = job_of({"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}, matrix=matrix)
    text = split_text(job)
    assert "Each site was left out in turn (north, south, west): it was the test part of one training" in text
    assert "25% of the other patients, drawn at random (seed 0), were the validation part." in text
    assert "Where 3 or more sites had an interval" in text
    assert repeats_text(job).startswith("Training was run once for each left-out site, with the random seed 0;")
    repeated = repeats_text(job.model_copy(update={"seeds": (0, 1)}))
    assert repeated.endswith(
        "the seeds 0 and 1 for each left-out site; results of a site are means over its trainings."
    )


def test_parts_that_take_turns_as_validation_are_told():
    split = {"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 3}
    job = job_of(split, val_folds=4, ensemble=True)
    assert (
        "were the test part; the other patients were divided into 4 equal parts at random, stratified by dataset and "
        "target (seed 3), and each was the validation part of one training" in split_text(job)
    )
    assert repeats_text(job) == (
        "Training was run once for each validation part, with the random seed 0; results are means over these "
        "trainings. Their probabilities were also averaged to an ensemble with thresholds of its own, chosen out of "
        "fold: each patient was judged by the trainings that had not learned from them."
    )
    one = job_of({"kind": "official", "val_fold": {"n_folds": 4, "fold": 2}})
    assert "into 4 equal parts at random, stratified by dataset and target (seed 0), and part 2 was the" in split_text(
        one
    )


def test_simulated_sounds_are_called_so_and_unknown_devices_are_not_passed_over():
    found = {"recordings": 9, "patients": 3, "devices": {}, "notices": {}}
    summaries = {"a": found | {"notices": {"simulated": {}}}, "b": found | {"devices": {"Meditron": 9}}}
    job = job_of({"kind": "patients"}, "a", "b")
    text = data_text([job], summaries)
    assert "The sounds of a are simulated: no patient was recorded for them." in text
    assert "The recording devices were Meditron in b; those of a are not stated." in text
    assert "device" not in data_text([job], {"a": found})


def test_copies_of_clips_and_cycles_are_told(publishable):
    published = publishable("binary", {"clips": {"unit": "cycle", "length_s": 5, "sample_rate_hz": 4000}})
    text = text_of(published, shifts_s=[-0.5, 0, 0.5])
    assert "the mean over copies of it, rolled along time by -0.5, 0 and 0.5 s." in text
    assert "Where cycles begin and end was taken from the annotations of the data." in text


def test_calibration_and_doubt_are_told_where_they_are(publishable):
    published = publishable("binary", {"evaluate": {"bootstrap_draws": 60, "conformal": {"alpha": 0.1}}})
    text = text_of(published, temperature=1.4)
    assert "Probabilities were calibrated by temperature scaling, fitted on the validation part." in text
    assert "Class-conditional conformal sets (alpha 0.1) were calibrated by patient" in text


@pytest.mark.parametrize(
    ("method", "maps", "sentence"),
    [
        ("platt", [{"target": "pneumonia", "slope": 0.8, "intercept": -0.2}], "calibrated by Platt scaling, fitted on"),
        (
            "isotonic",
            [{"target": name, "n_knots": 9} for name in "ab"],
            "calibrated by isotonic regression for each target, fitted on",
        ),
    ],
)
def test_the_method_of_the_calibration_is_told(publishable, method, maps, sentence):
    text = text_of(publishable("binary"), calibration={"method": method, "notes": [], "maps": maps})
    assert f"Probabilities were {sentence} the validation part." in text


@pytest.mark.parametrize("kind", ["binary", "multi_label", "multi_class"])
def test_no_text_has_a_gap_or_a_value_of_python(publishable, kind):
    text = methods_text(paragraphs(publishable(kind)))
    assert not re.search(r"None|[{}\[\]]|  |\.\.| \.|\(\)", text), text


def test_the_file_is_wrapped_for_reading(publishable):
    found = methods_text(paragraphs(publishable("binary", {})))
    assert max(map(len, found.splitlines())) <= 100
    assert found.count("\n\n") == 6
    assert len(found.split()) == len(text_of(publishable("binary", {})).split())
