"""A search: checked against the job when planned; its trials, and the job that it chose, as the plan sees them."""

import shutil
import time
from pathlib import Path

import pytest
import yaml

from auscult.config import load_experiment, load_project
from auscult.config.plan import Plan
from auscult.config.resolve import with_values
from auscult.config.trials import (
    CHOSEN_FILE,
    SETTINGS_FILE,
    Chosen,
    load_tuned_experiment,
    read_trial,
    study_dir,
    study_key,
    trial_dir,
)
from auscult.config.tune import SearchSettings, TuneSettings
from auscult.errors import ConfigError
from auscult.storage.files import write_json, write_text

NAME = ("pneumonia", "tuned")
SEARCH = {"train.optimizer.lr": {"log_uniform": [1e-5, 1e-2]}, "train.batch_size": {"choice": [16, 32]}}


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(project_dir / "config", tmp_path / "config"))


def write(config_dir: Path, search: dict | None = None, *, jobs: list | None = None, **tune) -> None:
    raw = yaml.safe_load((config_dir / "experiments/pneumonia/train2356.yaml").read_text())
    raw |= {"jobs": jobs or [{}], "tune": {"search": search or SEARCH, **tune}}
    (config_dir / "experiments/pneumonia/tuned.yaml").write_text(yaml.safe_dump(raw))


def plan_of(config_dir: Path) -> Plan:
    return Plan(config_dir, load_project({}, config_dir))


def write_trial(values: dict, trial: str = "0") -> None:
    write_json(trial_dir(*NAME, trial) / SETTINGS_FILE, {"job": 1, "values": values})


def write_chosen(config_dir: Path, values: dict) -> None:
    chosen = Chosen(
        experiment="pneumonia/tuned",
        key=study_key(load_experiment(config_dir, *NAME)),
        metric="val/auroc",
        mode="max",
        trial=0,
        value=0.9,
        values=values,
        reason="the best",
        budget={"training_h": 1, "epochs": 3, "epochs_without_pruning": 4},
        trials=(),
    )
    write_json(study_dir(*NAME) / CHOSEN_FILE, chosen.model_dump(mode="json"))


def test_an_experiment_with_a_search_loads_and_one_without_is_published_as_before(config_dir: Path) -> None:
    write(config_dir, seeds=[0, 1])
    tune = load_experiment(config_dir, *NAME).tune
    assert tune is not None and tune.n_trials == 40 and tune.seeds == (0, 1)
    assert "tune" not in load_experiment(config_dir, "pneumonia", "train2356").model_dump(mode="json")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"train.lr": {"uniform": [0, 1]}}, r"tune.search.train.lr: 0.0: train: unknown key 'lr'"),
        ({"train.batch_size": {"choice": [16, 0]}}, r"tune.search.train.batch_size: 0: train.batch_size: found 0"),
        ({"model.dropout": {"uniform": [0, 1]}}, r"tune.search.model.dropout: 1.0: model.dropout: found 1.0"),
        ({"augment.waveform.9.quantity": {"uniform": [0, 1]}}, r"9: the list has the entries 1 to"),
        ({"model": {"choice": [{"name": "mixnet"}]}}, r"unknown model 'mixnet', did you mean 'mixednet'"),
        (
            {"train.loss.name": {"choice": ["bce", "cross_entropy"]}},
            r"'cross_entropy' does not fit a task of type binary",
        ),
        ({"split.seed": {"int": [1, 3]}}, r"search.split.seed: split cannot be searched: results on other validation"),
        ({"train.epochs": {"int": [1, 3]}}, r"train.epochs cannot be searched: the rungs of all trials"),
        ({"train.optimizer.lr": {"log_uniform": [0, 1]}}, r"expected numbers above 0"),
        ({"train.optimizer.lr": {"uniform": [1, 0.1]}}, r"expected a smaller and a larger number"),
        ({"train.optimizer.lr": {"uniform": [0.1, 1], "int": [1, 2]}}, r"found \['uniform', 'int'\], expected one of"),
    ],
)
def test_what_cannot_be_searched_is_named_when_planned(config_dir: Path, search: dict, message: str) -> None:
    write(config_dir, search)
    with pytest.raises(ConfigError, match=message):
        load_experiment(config_dir, *NAME)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"jobs": [{}, {}]}, r"tune: found 2 jobs, expected one"),
        ({"jobs": [{"folds": 3}]}, r"tune: folds: what is tuned on validation patients is judged there"),
        ({"metric": "val/auc"}, r"tune.metric: unknown metric 'val/auc'"),
        ({"rungs": [1, 300]}, r"tune.rungs: found \[300\], expected epochs before the last"),
        ({"rungs": [3, 1]}, r"rungs: found \[3, 1\], expected growing numbers"),
        ({"jobs": [{"train": {"eval_every": 2}}]}, r"the first rung is after epoch 1, and train.eval_every: 2"),
    ],
)
def test_a_search_that_does_not_fit_its_job_is_refused(config_dir: Path, tune: dict, message: str) -> None:
    write(config_dir, **tune)
    with pytest.raises(ConfigError, match=message):
        load_experiment(config_dir, *NAME)


def test_rungs_grow_by_the_reduction_to_the_end_of_the_training() -> None:
    search = {"train.batch_size": SearchSettings(choice=(16, 32))}
    assert TuneSettings(search=search, min_epochs=2, reduction=2).rung_epochs(9) == [2, 4, 8, 9]
    assert TuneSettings(search=search, rungs=(4, 6)).rung_epochs(9) == [4, 6, 9]
    assert TuneSettings(search=search, pruner="none").rung_epochs(9) == [9]
    assert TuneSettings(search=search, min_epochs=20).rung_epochs(9) == [9]


def test_a_whole_section_comes_before_what_is_said_of_its_parts() -> None:
    values = {"model.dropout": 0.5, "model": {"name": "b"}}
    assert with_values({"model": {"name": "a", "width": 3}}, values) == {"model": {"name": "b", "dropout": 0.5}}


def test_a_trial_is_the_job_with_its_values_and_shares_files_of_equal_content(config_dir: Path) -> None:
    write(config_dir, jobs=[{"seeds": [0, 1]}])
    write_trial({"train.optimizer.lr": 0.003})
    write_trial({"spectrogram.n_mels": 64}, "1")
    plan = plan_of(config_dir)
    job = plan.trial_job(*NAME, "0", 7)
    assert (job.train.optimizer.lr, job.train.seed, job.seeds) == (0.003, 7, ())
    base = plan.files("pneumonia", "train2356", "1")
    assert plan.trial_files(*NAME, "0") == base
    other = plan.trial_files(*NAME, "1")
    assert other.clips == base.clips and other.split == base.split
    (store,) = set(other.spectrograms["bd"]) - set(base.spectrograms["bd"])
    # A job on a cluster asks a plan of its own.
    assert plan_of(config_dir).made_with(store)["settings"]["n_mels"] == 64


def test_a_trial_whose_file_is_damaged_or_missing_is_named(config_dir: Path) -> None:
    write(config_dir)
    with pytest.raises(ConfigError, match=r"trials/3/settings.json: no such trial; `auscult tune run pneumonia/tuned`"):
        plan_of(config_dir).trial_job(*NAME, "3", 0)
    for text in (
        '{"job": 1, "values": {"a": 1, "a": 2}}',
        '{"job": 1, "values": {"a": NaN}}',
        "{",
        "[1]",
        " " * 70_000,
    ):
        write_text(trial_dir(*NAME, "0") / SETTINGS_FILE, text)
        with pytest.raises(ConfigError, match=r"trials/0/settings.json"):
            read_trial(*NAME, "0")


def test_the_result_asks_for_the_study_first_and_is_then_made_with_what_it_chose(config_dir: Path) -> None:
    write(config_dir, jobs=[{"seeds": [4, 5]}])
    with pytest.raises(ConfigError, match=r"its study is not finished; run it first: auscult tune run pneumonia/tuned"):
        plan_of(config_dir).check_targets(["results/pneumonia/tuned"])
    assert "results/pneumonia/tuned" not in plan_of(config_dir).results_of_tracked_data()

    write_chosen(config_dir, {"train.optimizer.lr": 0.004, "train.batch_size": 16})
    plan = plan_of(config_dir)
    plan.check_targets(["results/pneumonia/tuned"])
    assert "results/pneumonia/tuned" in plan.results_of_tracked_data()
    jobs = plan.runs(*NAME)
    assert {job.train.optimizer.lr for job in jobs.values()} == {0.004}
    assert [job.train.seed for job in jobs.values()] == [4, 5]
    assert plan.search(*NAME) == ["work/tune/pneumonia/tuned/chosen.json"]
    assert plan.search("pneumonia", "train2356") == []

    write(config_dir, {"train.batch_size": {"choice": [16, 64]}})
    with pytest.raises(ConfigError, match=r"its study was of other settings"):
        load_tuned_experiment(config_dir, *NAME)


def test_a_study_may_go_on_longer_and_stay_the_same_study(config_dir: Path) -> None:
    keys = []
    for changes in ({}, {"trials": 99, "budget_h": 3}, {"seed": 1}):
        write(config_dir, **changes)
        keys.append(study_key(load_experiment(config_dir, *NAME)))
    assert keys[0] == keys[1] != keys[2]


def test_five_hundred_trials_are_planned_within_seconds(config_dir: Path) -> None:
    write(config_dir)
    for number in range(500):
        write_trial({"train.optimizer.lr": 1e-3 + number * 1e-6, "train.batch_size": 16 + number % 3}, str(number))
    plan = plan_of(config_dir)
    start_s = time.process_time()
    for number in range(500):
        plan.trial_job(*NAME, str(number), 0)
        plan.trial_files(*NAME, str(number))
    assert time.process_time() - start_s < 15
