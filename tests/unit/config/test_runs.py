from typing import Any

import pytest

from auscult.config import Experiment, JobSettings
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
        ({"ensemble": True, "folds": 2}, "no test set that none of its members has seen; use `seeds`"),
    ],
)
def test_what_cannot_be_expanded_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment(changes)
