"""A cheap objective in the training's place: the rungs of a study are written from a formula.

python tests/unit/ops/planted.py FOLDER [SECONDS]      # runs the study of `pneumonia/tuned` in FOLDER to its end
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from auscult.config import load_experiment, load_task
from auscult.config.trials import read_trial, rung_key, trial_job
from auscult.ops.study import Study
from auscult.storage.files import write_json

NAME = ("pneumonia", "tuned")
BEST = {"train.optimizer.lr": 1e-3, "model.dropout": 0.2}
SEARCH = {"train.optimizer.lr": {"log_uniform": [1e-5, 1e-1]}, "model.dropout": {"uniform": [0.0, 0.5]}}


def write_experiment(config_dir: Path, epochs: int = 9, search: dict | None = None, **tune) -> None:
    raw = yaml.safe_load((config_dir / "experiments/pneumonia/train2356.yaml").read_text())
    raw["train"] |= {"epochs": epochs}
    raw |= {"jobs": [{}], "tune": {"search": search or SEARCH, "trials": 30, "parallel": 3, **tune}}
    (config_dir / "experiments/pneumonia/tuned.yaml").write_text(yaml.safe_dump(raw))


def distances(values: dict) -> tuple[float, float]:
    """How far the two settings are from the planted optimum, in shares of their ranges."""
    lr = abs(math.log10(values["train.optimizer.lr"] / BEST["train.optimizer.lr"])) / 4
    return lr, abs(values["model.dropout"] - BEST["model.dropout"]) / 0.5


def objective(values: dict, seed: int, epoch: int, epochs: int) -> float:
    """1 at the planted optimum, after the last epoch; a seed of a training moves it a little."""
    lr, dropout = distances(values)
    return math.exp(-3 * (lr**2 + dropout**2)) * (1 - 0.3 * (1 - epoch / epochs)) + 1e-4 * seed


def rows_of(value: Callable[[int], float], epoch: int) -> list[dict]:
    return [{"epoch": n, "val/loss": 1 - value(n), "val/auroc": value(n), "epoch_s": 60.0} for n in range(1, epoch + 1)]


def planted(config_dir: Path, pause_s: float = 0.0, fails: Callable[[dict], bool] = lambda _: False):
    """Return what makes rungs from the formula."""
    experiment = load_experiment(config_dir, *NAME)
    task, epochs = load_task(config_dir, experiment.task), experiment.job(1).train.epochs

    def make(paths: Sequence[Path]) -> None:
        for path in paths:
            time.sleep(pause_s)
            trial, seed, epoch = path.parts[-3], int(path.parts[-2][4:]), int(path.stem[5:])
            settings = read_trial(*NAME, trial)
            job = trial_job(config_dir, experiment, settings, task, seed=seed, where="planted")
            rows = rows_of(lambda n, settings=settings, seed=seed: objective(settings.values, seed, n, epochs), epoch)
            write_rung(path, rung_key(job), rows, failed=fails(settings.values))

    return make


def write_rung(path: Path, key: str, rows: list[dict], *, failed: bool, peak_memory_mb: float = 100.0) -> None:
    write_json(
        path,
        {
            "epoch": int(path.stem[5:]),
            "key": key,
            "status": "failed" if failed else "reached",
            "reason": "DivergedError: planted" if failed else "",
            "kept_epoch": rows[-1]["epoch"],
            "rows": rows,
            "peak_memory_mb": peak_memory_mb,
        },
    )


def study_of(config_dir: Path, **more) -> Study:
    return Study(config_dir, load_experiment(config_dir, *NAME), planted(config_dir, **more))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    study_of(Path("config"), pause_s=float(sys.argv[2])).run()
