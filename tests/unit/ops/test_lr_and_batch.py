"""`tune lr` and `tune batch` on a planted objective: what they recommend, and that nothing is trained twice."""

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from tests.unit.ops.planted import NAME, rows_of, write_experiment, write_rung

from auscult.config import load_experiment, load_task
from auscult.config.trials import read_trial, rung_key, trial_job
from auscult.errors import InfeasibleError
from auscult.ops.batch_search import batch_yaml, tune_batch
from auscult.ops.lr_search import LR, LrTrial, LrTuner, best_of, end_of, lr_yaml, read_range
from auscult.ops.trial_files import Rung
from auscult.plots.style import save
from auscult.plots.tuning import draw_batch, draw_lr
from auscult.storage.files import write_json
from auscult.training.range_test import smoothed

BEST_LR = 3e-3
STAGES = {"n_steps": 120, "low": 1e-6, "high": 1.0, "n_trials": 6, "coarse_epochs": 3, "fine_epochs": 9, "seed": 0}


class Planted:
    """Makes rungs whose value is best at one rate, and range tests that diverge above 0.1."""

    def __init__(self, config_dir: Path, fails_above: float = math.inf, best_lr: float = BEST_LR) -> None:
        self.best_lr = best_lr
        self.config_dir = config_dir
        self.experiment = load_experiment(config_dir, *NAME)
        self.fails_above = fails_above
        self.made: list[Path] = []

    def __call__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self.made.append(path)
            values = read_trial(*NAME, path.parts[-3]).values
            if path.stem.startswith("range"):
                self.write_range(path, values)
            else:
                self.write_rung(path, values)

    def write_range(self, path: Path, values: dict) -> None:
        gamma, n_steps = values["train.schedules"][0]["gamma"], int(path.stem[5:])
        lrs = [values[LR] * gamma**step for step in range(n_steps)]
        assert values["train.epochs"] >= n_steps  # else the schedule, and with it the rate, would stand still
        losses = [0.7 - 0.5 / (1 + (2e-3 / lr) ** 2) + (3 * lr if lr > 0.05 else 0) for lr in lrs]
        losses[0] = 0.01  # a lucky first batch
        write_json(path, {"lr": lrs, "loss": losses, "smoothed": smoothed(losses)})

    def write_rung(self, path: Path, values: dict) -> None:
        job = trial_job(
            self.config_dir,
            self.experiment,
            read_trial(*NAME, path.parts[-3]),
            load_task(self.config_dir, "pneumonia"),
            seed=self.experiment.job(1).train.seed,
            where="planted",
        )
        distance = math.log10(values[LR] / self.best_lr)
        size = values.get("train.batch_size", 32)
        value = 0.9 * math.exp(-(distance**2)) if size < 128 else 0.5
        rows = [row | {"samples_per_s": 10.0 * min(size, 32)} for row in rows_of(lambda _: value, int(path.stem[5:]))]
        failed = values[LR] > self.fails_above
        write_rung(path, rung_key(job), rows, failed=failed, peak_memory_mb=100.0 + size)


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", tmp_path / "config")
    write_experiment(Path("config"))
    return Path("config")


def tuner(make: Planted) -> LrTuner:
    return LrTuner(make.config_dir, make.experiment, 1, make=make, tell=lambda _: None)


def test_the_recommended_rate_is_near_the_best(config_dir: Path, tmp_path: Path) -> None:
    make = Planted(config_dir)
    found = tuner(make).run(**STAGES)
    assert abs(math.log10(found.best.lr / BEST_LR)) < 0.15
    assert found.best.rung.value > 0.99 * 0.9
    low, high = found.range_test.search_range
    assert low < BEST_LR < high and found.range_test.steepest < found.range_test.lowest < 0.1
    assert [trial.epochs for trial in (found.coarse[0], found.fine[0])] == [3, 9]
    assert yaml.safe_load(lr_yaml(found.best.lr))["train"]["optimizer"]["lr"] == pytest.approx(found.best.lr)
    assert found.caution == ""
    # A range test, 6 coarse trainings, 3 of which go on, and 4 between them.
    assert len(make.made) == 14 and found.table()["recommended"].sum() == 1
    coarse, fine = ({trial.lr for trial in trials} for trials in (found.coarse, found.fine))
    assert (len(coarse), len(fine), len(coarse & fine)) == (6, 7, 3)

    again = Planted(config_dir)
    assert tuner(again).run(**STAGES).best == found.best and again.made == []
    save(draw_lr(found), tmp_path / "lr.svg")
    assert f"recommended {found.best.lr:.3g}" in (tmp_path / "lr.svg").read_text()


@pytest.mark.parametrize("best_lr", [1e-5, 0.5])
def test_a_best_rate_beyond_what_the_range_test_says_is_found(config_dir: Path, best_lr: float) -> None:
    make = Planted(config_dir, best_lr=best_lr)
    found = tuner(make).run(**STAGES)
    low, high = found.range_test.search_range
    assert not low < best_lr < high
    assert abs(math.log10(found.best.lr / best_lr)) < 0.15 and found.caution == ""
    lrs = [trial.lr for trial in found.fine]
    assert lrs == sorted(lrs) and lrs[0] < found.best.lr < lrs[-1]
    again = Planted(config_dir, best_lr=best_lr)
    assert tuner(again).run(**STAGES).best == found.best and again.made == []


def test_a_search_ends_at_the_rates_that_were_asked_for_and_says_so(config_dir: Path) -> None:
    for best_lr, end in ((1e-9, "lowest"), (30.0, "highest")):
        found = tuner(Planted(config_dir, best_lr=best_lr)).run(**STAGES)
        lrs = [trial.lr for trial in [*found.coarse, *found.fine]]
        assert STAGES["low"] <= min(lrs) and max(lrs) <= STAGES["high"]
        assert found.caution.startswith(f"it is the {end} rate that was trained to the end")
        shutil.rmtree("work")


def test_of_equal_values_the_middle_rate_is_taken_whatever_their_losses() -> None:
    def trial(lr: float, value: float, loss: float) -> LrTrial:
        return LrTrial(lr, 9, Rung(value, loss, 1.0, 9, None, None, ""))

    trials = [trial(10.0**-n, 1.0 if 1 <= n <= 3 else 0.8, loss=0.1 / 10 ** (5 - n)) for n in range(5)]
    assert best_of(trials, "max").lr == 1e-2 and end_of(trials, best_of(trials, "max")) is None
    assert best_of(trials, "min").lr == 1.0  # of two it is that of the lower loss
    assert end_of(trials, best_of(trials[:2], "max")) is None
    assert end_of(trials[:2], best_of(trials[:2], "max")) == "lowest"


def test_rates_that_diverge_are_left_out_and_all_of_them_are_an_error(config_dir: Path, tmp_path: Path) -> None:
    found = tuner(Planted(config_dir, fails_above=6e-3)).run(**STAGES)
    assert found.best.lr < 6e-3
    assert "failed" in draw_text(found, tmp_path)
    shutil.rmtree("work")
    with pytest.raises(InfeasibleError, match=r"every training failed: DivergedError: planted"):
        tuner(Planted(config_dir, fails_above=0)).run(**STAGES)


def draw_text(found, folder: Path) -> str:
    save(draw_lr(found), folder / "failed.svg")
    return (folder / "failed.svg").read_text()


def test_a_range_test_that_diverges_at_once_says_what_to_change() -> None:
    with pytest.raises(InfeasibleError, match=r"diverged after 3 steps: begin with a lower rate \(--lowest\)"):
        read_range([1, 2, 3], [1, 2, 3], [1, 2, 3])


def test_other_settings_are_trained_anew(config_dir: Path) -> None:
    tuner(Planted(config_dir)).run(**STAGES)
    write_experiment(config_dir, epochs=18)
    make = Planted(config_dir)
    tuner(make).run(**STAGES)
    assert len(make.made) == 14


def test_the_fastest_batch_within_reach_of_the_best_is_recommended(config_dir: Path, tmp_path: Path) -> None:
    make = Planted(config_dir)
    found = tune_batch(
        config_dir,
        make.experiment,
        1,
        sizes=[128, 16, 32, 64],
        epochs=3,
        scale="none",
        tolerance=0.01,
        make=make,
        tell=lambda _: None,
    )
    # 128 is as fast and worse, 64 as fast and takes more memory, 16 is slower.
    assert found.best.size == 32 and [trial.size for trial in found.trials] == [16, 32, 64, 128]
    assert yaml.safe_load(batch_yaml(found.best)) == {"train": {"batch_size": 32, "optimizer": {"lr": found.best.lr}}}
    assert list(found.table()["peak_memory_mb"]) == [116.0, 132.0, 164.0, 228.0]
    save(draw_batch(found), tmp_path / "batch.svg")
    assert re.search(r"peak memory \(MB\)", (tmp_path / "batch.svg").read_text())


def test_the_rate_follows_the_batch_by_the_optimizer(config_dir: Path) -> None:
    rates = {}
    for name in ("adam", "sgd"):
        path = config_dir / "experiments/pneumonia/tuned.yaml"
        raw = yaml.safe_load(path.read_text())
        raw["train"] |= {"optimizer": {"name": name, "lr": 0.001}, "batch_size": 16}
        path.write_text(yaml.safe_dump(raw))
        make = Planted(config_dir)
        found = tune_batch(
            config_dir,
            make.experiment,
            1,
            sizes=[16, 64],
            epochs=1,
            scale="auto",
            tolerance=1,
            make=make,
            tell=lambda _: None,
        )
        rates[name] = [trial.lr for trial in found.trials]
    assert rates == {"adam": [0.001, 0.002], "sgd": [0.001, 0.004]}
