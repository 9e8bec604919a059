"""A study: what it finds, that it stays the same when killed, and what it refuses."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from tests.unit.ops import planted
from tests.unit.ops.planted import NAME, distances, study_of, write_experiment

from auscult.config import load_experiment
from auscult.config.trials import read_chosen
from auscult.errors import BusyError, ConfigError, DataError, InfeasibleError
from auscult.storage.files import read_json, write_json
from auscult.training.lock import RunLock

FOLDER = Path("work/tune/pneumonia/tuned")
CHOSEN = FOLDER / "chosen.json"


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", tmp_path / "config")
    return Path("config")


def trials(chosen: dict) -> list[tuple]:
    return [(trial["state"], trial["values"], trial["rungs"]) for trial in chosen["trials"]]


@pytest.mark.parametrize("pruner", ["asha", "median", "none"])
def test_a_study_ends_with_the_best_of_the_trials_trained_to_the_end(config_dir: Path, pruner: str) -> None:
    write_experiment(config_dir, pruner=pruner, trials=12, seeds=[0, 1], parallel=4)
    chosen = study_of(config_dir).run()
    states = [trial.state for trial in chosen.trials]
    complete = {trial.number: trial.value for trial in chosen.trials if trial.state == "complete"}
    assert len(states) == 12 and chosen.value == max(complete.values()) == complete[chosen.trial]
    assert (states.count("pruned") > 0) == (pruner != "none")
    (first, *_) = chosen.trials
    assert first.rungs[0].value == pytest.approx(sum(first.rungs[0].of_seeds) / 2)
    assert len(set(first.rungs[0].of_seeds)) == 2
    epochs = sum(2 * trial.rungs[-1].epoch for trial in chosen.trials)
    assert chosen.budget.epochs == epochs and chosen.budget.training_h == pytest.approx(epochs / 60)
    assert chosen.budget.epochs_without_pruning == 12 * 2 * 9
    assert read_chosen(load_experiment(config_dir, *NAME)) == chosen
    table = pd.read_csv(FOLDER / "trials.csv")
    assert list(table["trial"]) == list(range(12)) and table["chosen"].sum() == 1


def test_asha_lets_a_third_go_on_and_the_places_of_the_others_go_to_new_trials(config_dir: Path) -> None:
    write_experiment(config_dir, trials=27, parallel=3)
    chosen = study_of(config_dir).run()
    reached = [trial.rungs[-1].epoch for trial in chosen.trials]
    first = sorted(chosen.trials, key=lambda trial: -trial.rungs[0].value)
    # The best third of all goes on; so do some that were among the best third of those before them.
    assert all(trial.rungs[-1].epoch > 1 for trial in first[:9])
    assert reached.count(1) >= 12 and 3 <= reached.count(9) <= 6
    assert chosen.budget.epochs < 0.4 * chosen.budget.epochs_without_pruning


def run_to(config_dir: Path, sampler: str, seed: int) -> tuple[float, tuple[float, float]]:
    write_experiment(config_dir, sampler=sampler, seed=seed, pruner="none")
    shutil.rmtree("work", ignore_errors=True)
    chosen = study_of(config_dir).run()
    return chosen.value, distances(chosen.values)


@pytest.mark.slow
@pytest.mark.soak
def test_a_planted_optimum_is_found_in_thirty_trials_better_than_at_random(config_dir: Path) -> None:
    found = {sampler: [run_to(config_dir, sampler, seed) for seed in range(10)] for sampler in ("tpe", "random")}
    value = {sampler: sum(value for value, _ in of) / 10 for sampler, of in found.items()}
    print(value, found["tpe"])  # noqa: T201 (the figures that docs/tuning.md states)
    assert value["tpe"] > value["random"]
    assert max(max(distance) for _, distance in found["tpe"]) < 0.1


def test_a_grid_is_gone_through_once(config_dir: Path) -> None:
    grid = {"train.batch_size": {"choice": [8, 16]}, "train.optimizer.lr": {"log_uniform": [1e-4, 1e-2], "points": 3}}
    write_experiment(config_dir, search=grid | {"model.dropout": {"choice": [0.2]}}, sampler="grid", pruner="none")
    chosen = study_of(config_dir).run()
    points = {(trial.values["train.batch_size"], trial.values["train.optimizer.lr"]) for trial in chosen.trials}
    assert points == {(size, lr) for size in (8, 16) for lr in (1e-4, 1e-3, 1e-2)} and len(chosen.trials) == 6
    assert chosen.values["train.optimizer.lr"] == 1e-3


def test_another_seed_searches_elsewhere_and_the_same_one_the_same(config_dir: Path) -> None:
    outcomes = []
    for seed in (0, 0, 1):
        shutil.rmtree("work", ignore_errors=True)
        write_experiment(config_dir, trials=14, seed=seed)
        study_of(config_dir).run()
        outcomes.append(read_json(CHOSEN))
    assert outcomes[0] == outcomes[1] and trials(outcomes[1]) != trials(outcomes[2])


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["asha", pytest.param("median", marks=pytest.mark.soak)])
def test_killed_at_random_moments_it_is_the_undisturbed_study(config_dir: Path, pruner: str) -> None:
    write_experiment(config_dir, trials=20, pruner=pruner)
    study_of(config_dir).run()
    undisturbed = read_json(CHOSEN)
    shutil.rmtree("work")
    command = [sys.executable, planted.__file__, str(Path.cwd()), "0.05"]
    draw, n_kills = random.Random(pruner), 0
    while n_kills < 10:
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        goal = size() + draw.uniform(0, 900)
        while process.poll() is None and size() < goal:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        n_kills += 1
    assert n_kills == 10, "the study ended before it was killed ten times: pause longer"
    study_of(config_dir).run()
    assert read_json(CHOSEN) == undisturbed


def size() -> int:
    journal = FOLDER / "study.journal"
    return journal.stat().st_size if journal.is_file() else 0


def test_a_journal_cut_at_any_byte_goes_on_to_the_same_study(config_dir: Path) -> None:
    write_experiment(config_dir, trials=8)
    study_of(config_dir).run()
    undisturbed, journal = read_json(CHOSEN), (FOLDER / "study.journal").read_bytes()
    draw = random.Random(0)
    for cut in sorted(draw.sample(range(1, len(journal)), 25)):
        (FOLDER / "study.journal").write_bytes(journal[:cut])
        study_of(config_dir).run()
        assert read_json(CHOSEN) == undisturbed


def test_a_finished_study_trains_nothing_and_one_that_may_last_longer_goes_on(config_dir: Path) -> None:
    write_experiment(config_dir, trials=6)
    before = study_of(config_dir).run()

    def refuse(_):
        raise AssertionError("nothing is to be made")

    again = study_of(config_dir)
    again.make = refuse
    assert again.run() == before
    write_experiment(config_dir, trials=9)
    longer = study_of(config_dir).run()
    assert len(longer.trials) == 9 and [trial.values for trial in longer.trials[:6]] == [
        trial.values for trial in before.trials
    ]


def test_a_spent_budget_ends_with_what_has_begun(config_dir: Path) -> None:
    write_experiment(config_dir, trials=30, budget_h=0.1)  # six epochs
    chosen = study_of(config_dir).run()
    assert len(chosen.trials) < 10 and chosen.budget.ended_by_budget
    write_experiment(config_dir, trials=10, budget_h=100)
    assert len(study_of(config_dir).run().trials) == 10


def test_failed_trials_are_told_with_their_reason_and_take_no_place_for_long(config_dir: Path) -> None:
    write_experiment(config_dir, trials=12)
    chosen = study_of(config_dir, fails=lambda values: values["train.optimizer.lr"] > 1e-2).run()
    failed = [trial for trial in chosen.trials if trial.state == "failed"]
    assert failed and {trial.reason for trial in failed} == {"DivergedError: planted"}
    assert all((trial.values["train.optimizer.lr"] > 1e-2) == (trial.state == "failed") for trial in chosen.trials)
    shutil.rmtree("work")
    with pytest.raises(InfeasibleError, match=r"each of 12 trials failed: DivergedError: planted"):
        study_of(config_dir, fails=lambda _: True).run()


def test_values_that_do_not_go_together_fail_at_once(config_dir: Path) -> None:
    search = {
        "train.optimizer.lr": {"log_uniform": [1e-4, 1e-2]},
        "model.dropout": {"uniform": [0, 0.5]},
        "train.optimizer.nesterov": {"choice": [False, True]},
        "train.optimizer.name": {"choice": ["adam", "sgd"]},
    }
    write_experiment(config_dir, search=search | {"train.optimizer.nesterov": {"choice": [False]}}, trials=6)
    assert {trial.state for trial in study_of(config_dir).run().trials} <= {"complete", "pruned"}
    raw_momentum = {"train.optimizer.name": {"choice": ["adam", "sgd"]}, "train.freeze": {"choice": [None, "backbone"]}}
    shutil.rmtree("work")
    write_experiment(config_dir, search=planted.SEARCH | raw_momentum, trials=6)
    assert len(study_of(config_dir).run().trials) == 6


def test_a_study_of_other_settings_and_rungs_of_other_trials_are_refused(config_dir: Path) -> None:
    write_experiment(config_dir, trials=4)
    study_of(config_dir).run()
    write_experiment(config_dir, trials=4, epochs=27)
    with pytest.raises(ConfigError, match=r"holds a study of other settings: job.train.epochs: 9 -> 27"):
        study_of(config_dir).run()
    write_experiment(config_dir, trials=5)
    rung = FOLDER / "trials/4/seed0/epoch1.json"
    write_json(rung, {"epoch": 1, "key": "another", "rows": []})
    with pytest.raises(DataError, match=r"epoch1.json: of other settings than this trial's; remove it"):
        study_of(config_dir).run()


def test_two_coordinators_do_not_run_one_study(config_dir: Path) -> None:
    write_experiment(config_dir, trials=4)
    with RunLock(FOLDER / "state").held(), pytest.raises(BusyError, match=str(os.getpid())):
        study_of(config_dir).run()


def test_importances_name_the_setting_that_matters(config_dir: Path) -> None:
    write_experiment(config_dir, search=planted.SEARCH | {"train.batch_size": {"choice": [8, 16, 32]}}, trials=24)
    chosen = study_of(config_dir).run()
    assert set(chosen.importances) == {"train.optimizer.lr", "model.dropout", "train.batch_size"}
    assert list(chosen.importances)[-1] == "train.batch_size"
    assert chosen.importance_method == "fANOVA over 24 trials, of val/auroc after epoch 1"
    assert json.loads((FOLDER / "status.json").read_text())["status"] == "finished"
