import re
from typing import Any

import pytest

from auscult.config import Experiment, JobSettings
from auscult.config.plan import job_params
from auscult.config.split import FoldSplit

JOB: dict[str, Any] = {
    "task": "pneumonia",
    "datasets": ["icbhi"],
    "clips": {"length_s": 4, "sample_rate_hz": 4000},
    "spectrogram": {"n_fft": 256},
    "split": {"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 7},
    "model": {"name": "test_cnn"},
    "train": {"seed": 3},
}


def experiment(*jobs: dict[str, Any]) -> Experiment:
    settings = tuple(JobSettings.model_validate({**JOB, **job}) for job in jobs)
    return Experiment(name="e", group="pneumonia", task="pneumonia", description="d", jobs=settings)


def test_a_job_without_folds_and_seeds_is_one_run_of_its_own_settings() -> None:
    made = experiment({}, {"note": "second"})
    assert [(run.id, run.job) for run in made.runs] == [("1", 1), ("2", 2)]
    assert [run.settings for run in made.runs] == list(made.jobs)


def test_an_ensemble_comes_after_the_seeds_that_it_averages() -> None:
    made = experiment({}, {"seeds": [0, 5], "ensemble": True})
    assert [run.id for run in made.runs] == ["1", "2/seed0", "2/seed5", "2/ensemble"]
    assert [run.settings.ensemble for run in made.runs] == [False, False, False, ("2/seed0", "2/seed5")]
    # A rule hands its settings on as plain values.
    last = made.runs[-1].settings
    assert type(last).model_validate(last.model_dump(mode="json")) == last


def test_folds_and_seeds_expand_below_their_job() -> None:
    made = experiment({}, {"folds": 2, "seeds": [0, 5]}, {"seeds": [1]}, {"folds": 3})
    assert [run.id for run in made.runs] == [
        "1",
        "2/fold1_seed0", "2/fold1_seed5", "2/fold2_seed0", "2/fold2_seed5",
        "3/seed1",
        "4/fold1", "4/fold2", "4/fold3",
    ]  # fmt: skip
    assert [run.job for run in made.runs] == [1, 2, 2, 2, 2, 3, 4, 4, 4]
    assert [run.settings.train.seed for run in made.runs] == [3, 0, 5, 0, 5, 1, 3, 3, 3]
    assert all(run.settings.folds is None and run.settings.seeds == () for run in made.runs)


def test_a_fold_keeps_the_seed_and_the_share_of_validation() -> None:
    fold = experiment({"folds": 4}).runs[2].settings.split
    assert fold == FoldSplit(kind="folds", n_folds=4, fold=3, val_fraction=0.25, seed=7)


def test_a_fold_keeps_what_its_split_declares() -> None:
    declared = {"allow_leaks": {"similar_patient_ids": "told apart"}, "allow_absent": {"val": ["pneumonia"]}}
    split = {**JOB["split"], **declared, "calibration_fraction": 0.3}
    fold = experiment({"folds": 4, "split": split}).runs[0].settings.split
    assert fold.model_dump(include={*declared, "calibration_fraction"}, mode="json") == {
        **declared,
        "calibration_fraction": 0.3,
    }


def test_folds_of_validation_share_the_split_but_for_their_part() -> None:
    made = experiment({"val_folds": 2, "seeds": [0, 5], "ensemble": True}, {"val_folds": 2})
    assert [run.id for run in made.runs] == [
        "1/val1_seed0", "1/val1_seed5", "1/val2_seed0", "1/val2_seed5", "1/ensemble",
        "2/val1", "2/val2",
    ]  # fmt: skip
    parts = [run.settings.split.val_fold for run in made.runs]
    assert [part and part.fold for part in parts] == [1, 1, 2, 2, None, 1, 2]
    assert all(
        run.settings.val_folds is None and part and part.n_folds == 2
        for run, part in zip(made.runs, parts, strict=True)
    )
    assert len({run.settings.split.model_copy(update={"val_fold": None}).model_dump_json() for run in made.runs}) == 1
    last = made.runs[4].settings
    assert last.ensemble == tuple(run.id for run in made.runs[:4])
    assert type(last).model_validate(last.model_dump(mode="json")) == last


MATRIX_JOB: dict[str, Any] = {"datasets": ["icbhi", "bd"], "matrix": {"leave_out": "dataset"}}


def test_a_matrix_leaves_each_dataset_out_in_turn() -> None:
    made = experiment({}, {**MATRIX_JOB, "seeds": [0, 5]}, MATRIX_JOB)
    assert [run.id for run in made.runs] == [
        "1",
        "2/without_icbhi_seed0", "2/without_icbhi_seed5", "2/without_bd_seed0", "2/without_bd_seed5",
        "3/without_icbhi", "3/without_bd",
    ]  # fmt: skip
    assert [run.left_out for run in made.runs] == ["", "icbhi", "icbhi", "bd", "bd", "icbhi", "bd"]
    last = made.runs[-1].settings
    assert last.split.model_dump(mode="json", include={"kind", "dataset", "val_fraction", "seed"}) == {
        "kind": "leave_dataset_out", "dataset": "bd", "val_fraction": 0.25, "seed": 7
    }  # fmt: skip
    assert last.matrix is None and last.seeds == ()
    assert type(last).model_validate(last.model_dump(mode="json")) == last


@pytest.mark.parametrize("leave_out", ["site", "device"])
def test_named_values_keep_what_the_split_declares(leave_out: str) -> None:
    declared = {"allow_absent": {"test": ["pneumonia"]}, "calibration_fraction": 0.3}
    matrix = {"leave_out": leave_out, "values": ["Litt 3200/B", "AKG"]}
    runs = experiment({"matrix": matrix, "split": {**JOB["split"], **declared}}).runs
    assert [run.id for run in runs] == ["1/without_Litt-3200-B", "1/without_AKG"]
    split = runs[0].settings.split.model_dump(mode="json")
    assert split["kind"] == f"leave_{leave_out}_out" and split[leave_out] == "Litt 3200/B"
    assert split["allow_absent"] == {"test": ["pneumonia"]} and split["calibration_fraction"] == 0.3


def test_values_that_are_alike_in_folders_are_kept_apart() -> None:
    values = ["ward A", "ward/a", "../../up", "北", "x" * 300]
    ids = [run.id for run in experiment({"matrix": {"leave_out": "site", "values": values}}).runs]
    assert len({run_id.lower() for run_id in ids}) == len(values)
    assert all(re.fullmatch(r"1/without_[A-Za-z0-9_.-]{1,70}", run_id) and ".." not in run_id for run_id in ids)


def test_a_training_without_a_matrix_has_the_parameters_that_it_had() -> None:
    one, matrix = experiment({}).runs[0], experiment(MATRIX_JOB).runs[0]
    assert "matrix" not in job_params(one.settings)
    # One that is left out by hand is the same training.
    by_hand = {"kind": "leave_dataset_out", "dataset": "icbhi", "val_fraction": 0.25, "seed": 7}
    alone = experiment({"datasets": ["icbhi", "bd"], "split": by_hand}).runs[0]
    assert job_params(matrix.settings) == job_params(alone.settings)


def test_one_seed_more_leaves_the_settings_of_the_others() -> None:
    few, more = experiment({"seeds": [0, 1]}), experiment({"seeds": [0, 1, 2]})
    assert more.runs[:2] == few.runs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 3, "split": {"kind": "official"}}, "split.kind must be patients, found 'official'"),
        ({"seeds": [1, 2, 1]}, r"seeds \[1, 2, 1\] names one twice"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"ensemble": True}, "found 0, expected 2 or more"),
        ({"ensemble": True, "seeds": [1]}, "found 1, expected 2 or more"),
        ({"ensemble": True, "folds": 2}, "no test set that none of its members has seen; use `seeds` or `val_folds`"),
        ({"folds": 2, "val_folds": 2}, "whether the parts of the patients are tested or validated on"),
        ({"val_folds": 2, "split": {"kind": "folds", "fold": 1}}, "every fold has a test set of its own"),
        (
            {"val_folds": 2, "split": {"kind": "column", "column": "ward", "test": ["a"], "val": ["b"]}},
            "the values b of ward are validation",
        ),
        (
            {"val_folds": 2, "split": {"kind": "patients", "calibration_fraction": 0.3}},
            "calibration_fraction with folds of validation",
        ),
        ({"val_folds": 2, "evaluate_only": "results/a/b/1"}, "val_folds would evaluate one model several times"),
        ({"val_folds": 2, "split": {"kind": "patients", "val_fold": {"n_folds": 2}}}, "leave split.val_fold out"),
        ({"split": {"kind": "patients", "val_fold": {"n_folds": 2}}}, "leaves a training without a validation set"),
        ({"matrix": {"leave_out": "dataset"}}, "leaves one dataset out, and there is only icbhi"),
        ({"matrix": {"leave_out": "ward", "values": ["a", "b"]}}, "'dataset', 'site' or 'device'"),
        ({"matrix": {"leave_out": "device"}}, r"name the values to leave out: `matrix: \{leave_out: device, values:"),
        ({"matrix": {"leave_out": "site", "values": ["A"]}}, "'A' alone, expected two or more; for one use `split:"),
        ({"matrix": {"leave_out": "site", "values": ["A", "B", "A"]}}, r"\['A'\] stand there twice"),
        (
            {**MATRIX_JOB, "matrix": {"leave_out": "dataset", "values": ["bd", "jordan"]}},
            r"names \['jordan'\]; the job's",
        ),
        ({**MATRIX_JOB, "folds": 2}, "matrix does not go with folds"),
        ({**MATRIX_JOB, "val_folds": 2}, "matrix does not go with val_folds"),
        ({**MATRIX_JOB, "seeds": [0, 1], "ensemble": True}, "learned from each other's test sets"),
        ({**MATRIX_JOB, "evaluate_only": "results/a/b/1"}, r"matrix does not go with evaluate_only"),
        ({**MATRIX_JOB, "split": {"kind": "official"}}, "split.kind: official .it must be patients"),
    ],
)
def test_what_cannot_be_expanded_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(changes)
