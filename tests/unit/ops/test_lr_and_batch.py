"""`tune lr` and `tune batch` on a planted objective: what they recommend, and that nothing is trained twice."""

import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.unit.ops.planted import NAME, rows_of, write_experiment, write_rung

from auscult.config import load_experiment, load_task
from auscult.config.trials import read_trial, rung_key, trial_job
from auscult.errors import InfeasibleError
from auscult.ops.batch_search import batch_yaml, tune_batch
from auscult.ops.lr_search import LR, LrTuner, lr_yaml, read_range
from auscult.plots.style import save
from auscult.plots.tuning import draw_batch, draw_lr
from auscult.storage.files import write_json
from auscult.training.range_test import smoothed

BEST_LR = 3e-3
STAGES = {"n_steps": 120, "low": 1e-6, "high": 1.0, "n_trials": 6, "coarse_epochs": 3, "fine_epochs": 9, "seed": 0}


class Planted:
    """Makes rungs whose value is best at `BEST_LR`, and range tests that diverge above 0.1."""

    def __init__(self, config_dir: Path, fails_above: float = math.inf) -> None:
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
        distance = math.log10(values[LR] / BEST_LR)
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
    assert replace(found, best=found.coarse[-1]).caution.startswith("it is the highest rate that was trained")
    assert len(make.made) == 13 and found.table()["recommended"].sum() == 1

    again = Planted(config_dir)
    assert tuner(again).run(**STAGES).best == found.best and again.made == []
    save(draw_lr(found), tmp_path / "lr.svg")
    assert f"recommended {found.best.lr:.3g}" in (tmp_path / "lr.svg").read_text()


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
    assert len(make.made) == 13


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
