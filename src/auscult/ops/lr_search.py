"""`auscult tune lr`: a range test, then a random search on a logarithmic scale, coarse and then fine.

The range test (Smith 2017) says between which rates a training learns and does not diverge. Between them a few short
trainings say where it learns best; the best of these and its neighbours go on to the end, with a few new ones between
them (the scheme of Stanford's cs231n notes). Where the best rate is at an end of those tried, the search goes on beyond
it until worse ones stand on both sides. Each training is a trial of the workflow: it survives a kill, and is not done
twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from auscult.config.documents import read_bounded_json
from auscult.config.experiment import Experiment, JobSettings
from auscult.config.trials import trial_dir
from auscult.errors import InfeasibleError
from auscult.formatting.numbers import plural
from auscult.ops.trial_files import MOST_RUNG_BYTES, Rung, TrialFiles
from auscult.storage.files import settings_key

LR = "train.optimizer.lr"
LOWEST, HIGHEST = 1e-7, 1.0
"""Rates of the range test, where none are asked for."""
MOST_DECADES = 3.0
"""Of the range test, the decades below its steepest point and above that are searched, together."""
LEAST_CURVE = 20
_SETTLED = 10


@dataclass(frozen=True)
class RangeTest:
    """What a range test says.

    Attributes:
        lrs: Of each step.
        losses: Of its batch.
        smoothed: Their running mean.
        steepest: The rate at which the loss falls fastest.
        lowest: The rate at the lowest loss; above it the training begins to diverge.
    """

    lrs: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float
    lowest: float

    @property
    def search_range(self) -> tuple[float, float]:
        """The rates worth a training: from a decade below the steepest point to the lowest loss."""
        high = self.lowest
        low = min(self.steepest / 10, high / 10)
        return max(low, high / 10**MOST_DECADES), high


@dataclass(frozen=True)
class LrTrial:
    """A training with one rate.

    Attributes:
        lr: The rate.
        epochs: Asked for.
        rung: What it reached.
    """

    lr: float
    epochs: int
    rung: Rung

    @property
    def has_value(self) -> bool:
        """Whether it did not fail."""
        return self.rung.value is not None


@dataclass(frozen=True)
class LrSearch:
    """What was found.

    Attributes:
        metric: What trainings are compared by.
        mode: `max` or `min`.
        range_test: Its curve.
        coarse: Short trainings.
        fine: Whole ones, near the best of the short ones.
        best: The recommended one.
    """

    metric: str
    mode: str
    range_test: RangeTest
    coarse: list[LrTrial]
    fine: list[LrTrial]
    best: LrTrial

    @property
    def caution(self) -> str:
        """What to know where the best rate is at the end of all that were asked for; else empty."""
        end = end_of(self.fine, self.best)
        if end is None:
            return ""
        return f"it is the {end} rate that was trained to the end: a better one may lie beyond what was asked for"

    def table(self) -> pd.DataFrame:
        """Return one row a training."""
        return pd.DataFrame(
            [
                {
                    "stage": stage,
                    "lr": trial.lr,
                    "epochs": trial.epochs,
                    self.metric: trial.rung.value,
                    "val/loss": trial.rung.loss,
                    "recommended": trial is self.best,
                    "reason": "" if trial.has_value else trial.rung.reason,
                }
                for stage, trials in (("coarse", self.coarse), ("fine", self.fine))
                for trial in trials
            ]
        )


def read_range(lrs: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]) -> RangeTest:
    """Read the curve of a range test.

    Raises:
        InfeasibleError: It diverged within its first steps.

    >>> rates = [10 ** (-6 + step / 10) for step in range(50)]
    >>> curve = [1.0] * 20 + [1.0 - 0.05 * step for step in range(15)] + [0.3 + 0.2 * step for step in range(15)]
    >>> found = read_range(rates, curve, curve)
    >>> f"{found.lowest:.0e}", 1e-4 < found.steepest < found.lowest
    ('3e-03', True)
    """
    if len(lrs) < LEAST_CURVE:
        raise InfeasibleError(
            f"the range test diverged after {plural(len(lrs), 'step')}: begin with a lower rate (--lowest), or take "
            "more steps (--steps)"
        )
    # The running mean of few batches is theirs, not the curve's.
    lowest = _SETTLED + int(np.argmin(smoothed[_SETTLED:]))
    # The slope over a tenth of the curve: between neighbours it is noise.
    reach = max(len(lrs) // 20, 2)
    at, curve = np.log(np.array(lrs)), np.array(smoothed)
    middles = range(_SETTLED + reach, min(lowest, len(curve) - reach))
    slopes = [(curve[step + reach] - curve[step - reach]) / (at[step + reach] - at[step - reach]) for step in middles]
    steepest = middles[int(np.argmin(slopes))] if slopes else lowest
    return RangeTest(list(lrs), list(losses), list(smoothed), float(lrs[steepest]), float(lrs[lowest]))


def draw_lrs(low: float, high: float, n: int, seed: int) -> list[float]:
    """Draw rates at random on a logarithmic scale, one in each of `n` equal parts, to three digits.

    >>> [1 <= number <= 10 for number in draw_lrs(1, 10, 3, seed=0)], draw_lrs(1, 10, 3, 0) == draw_lrs(1, 10, 3, 0)
    ([True, True, True], True)
    """
    shares = (np.arange(n) + np.random.default_rng(seed).uniform(size=n)) / n
    return [float(f"{math.exp(math.log(low) + share * math.log(high / low)):.3g}") for share in shares]


def best_of(trials: Sequence[LrTrial], mode: str) -> LrTrial:
    """Return the best training by its value, of equal ones that in the middle of their rates.

    Few validation patients make many values equal. The lowest loss would then lead to ever higher rates, up to where
    trainings begin to diverge; the middle is far from both ends. Of two in the middle it is the one of the lower loss.

    Raises:
        InfeasibleError: All failed.
    """
    values = [trial.rung.value for trial in trials if trial.rung.value is not None]
    if not values:
        raise InfeasibleError(
            f"every training failed: {'; '.join(dict.fromkeys(trial.rung.reason for trial in trials))}"
        )
    best = max(values) if mode == "max" else min(values)
    equal = sorted((trial for trial in trials if trial.rung.value == best), key=lambda trial: trial.lr)
    middle = equal[(len(equal) - 1) // 2 : len(equal) // 2 + 1]
    return min(middle, key=lambda trial: math.inf if trial.rung.loss is None else trial.rung.loss)


def end_of(trials: Sequence[LrTrial], best: LrTrial) -> Literal["lowest", "highest"] | None:
    """Return at which end of the rates that were tried, failed ones too, the best one is; None: within."""
    lrs = [trial.lr for trial in trials]
    if best.lr == max(lrs):
        return "highest"
    return "lowest" if best.lr == min(lrs) else None


def around(trials: Sequence[LrTrial], best: LrTrial) -> list[float]:
    """Return the rate of the best training and those next to it, in order."""
    lrs = sorted(trial.lr for trial in trials)
    at = lrs.index(best.lr)
    return lrs[max(at - 1, 0) : at + 2]


class LrTuner:
    """Runs the three stages.

    Args:
        config_dir: The folder `config`.
        experiment: As its file says it.
        job: The number of the job.
        make: Makes files of the workflow.
        tell: Called with what has happened, for people.
    """

    def __init__(
        self,
        config_dir: Path,
        experiment: Experiment,
        job: int,
        *,
        make: Callable[[Sequence[Path]], None],
        tell: Callable[[str], None],
    ) -> None:
        self._settings: JobSettings = experiment.job(job)
        self._metric = self._settings.train.monitor
        self._mode = self._settings.train.mode
        self._files = TrialFiles(config_dir, experiment, self._metric, job)
        self._name = (experiment.group, experiment.name)
        self._key = settings_key(self._settings.model_dump(mode="json", exclude={"evaluate", "note"}))[:8]
        self._make = make
        self._tell = tell

    def run(
        self, *, n_steps: int, low: float, high: float, n_trials: int, coarse_epochs: int, fine_epochs: int, seed: int
    ) -> LrSearch:
        """Find a rate.

        Args:
            n_steps: Of the range test.
            low: Its first rate.
            high: Its last rate.
            n_trials: Trainings of each of the two other stages.
            coarse_epochs: Of the short trainings.
            fine_epochs: Of the others.
            seed: Of the draws.

        Raises:
            DataError: A training could not be run.
            InfeasibleError: Every training failed.
        """
        found = self._range_test(n_steps, low, high)
        self._tell(f"range test: the loss falls fastest at {found.steepest:.2g} and is lowest at {found.lowest:.2g}")
        self._tell(f"coarse: {_plan(n_trials, coarse_epochs, found.search_range)}")
        coarse = self._train(draw_lrs(*found.search_range, n_trials, seed), coarse_epochs)
        go_on = partial(self._go_beyond, seed=seed, limits=(low, high))
        coarse = go_on(coarse, found.search_range, epochs=coarse_epochs, n=max(n_trials // 2, 2))
        # These have begun already: to end them costs less than new ones.
        near = around(coarse, best_of(coarse, self._mode))
        span, n_new = (near[0], near[-1]), max(n_trials - 2, 1)
        self._tell(f"fine: the best and its neighbours go on; {_plan(n_new, fine_epochs, span)}")
        fine = self._train([*near, *draw_lrs(*span, n_new, seed)], fine_epochs)
        fine = go_on(fine, span, epochs=fine_epochs, n=max(n_new // 2, 2))
        return LrSearch(self._metric, self._mode, found, coarse, fine, best_of(fine, self._mode))

    def _go_beyond(
        self,
        trials: list[LrTrial],
        tried: tuple[float, float],
        *,
        epochs: int,
        n: int,
        seed: int,
        limits: tuple[float, float],
    ) -> list[LrTrial]:
        """Train `n` more rates beyond those tried as long as the best is at an end of them, each time twice as far."""
        (low, high), width = tried, tried[1] / tried[0]
        while (end := end_of(trials, best_of(trials, self._mode))) is not None:
            beyond = (high, min(high * width, limits[1])) if end == "highest" else (max(low / width, limits[0]), low)
            if beyond[0] >= beyond[1]:
                break
            self._tell(f"the best rate is the {end} that was tried: {_plan(n, epochs, beyond)}")
            more = self._train(draw_lrs(*beyond, n, seed), epochs)
            trials = sorted([*trials, *more], key=lambda each: each.lr)
            low, high, width = min(low, beyond[0]), max(high, beyond[1]), width**2
        return trials

    def _range_test(self, n_steps: int, low: float, high: float) -> RangeTest:
        gamma = (high / low) ** (1 / max(n_steps - 1, 1))
        values: dict[str, Any] = {
            LR: low,
            # A schedule ends with its training: there is at least a step in each of so many epochs.
            "train.epochs": n_steps,
            "train.schedules": [{"name": "exponential", "by": "step", "gamma": gamma}],
            "train.accumulate_batches": 1,
            "train.devices": 1,
        }
        trial = f"range-{self._key}-{settings_key(values)[:8]}"
        seed = self._settings.train.seed
        self._files.write_settings(trial, values)
        path = trial_dir(*self._name, trial) / f"seed{seed}" / f"range{n_steps}.json"
        self._tell(f"range test: {plural(n_steps, 'step')}, {low:.2g} to {high:.2g}")
        if not path.is_file():
            self._make([path])
        curve = read_bounded_json(path, MOST_RUNG_BYTES)
        return read_range(curve["lr"], curve["loss"], curve["smoothed"])

    def _train(self, lrs: Sequence[float], epochs: int) -> list[LrTrial]:
        seed = self._settings.train.seed
        trials = {lr: f"lr-{self._key}-{f'{lr:.2e}'.replace('.', 'p').replace('+', '')}" for lr in lrs}
        paths = [self._files.rung(trial, {LR: lr}, seed, epochs) for lr, trial in trials.items()]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            self._make(missing)
        return [
            LrTrial(lr, epochs, self._files.read(trial, {LR: lr}, seed, epochs)) for lr, trial in sorted(trials.items())
        ]


def _plan(n: int, epochs: int, span: tuple[float, float]) -> str:
    return f"{plural(n, 'training')} of {plural(epochs, 'epoch')}, {span[0]:.2g} to {span[1]:.2g}"


def lr_yaml(lr: float) -> str:
    """Return the line for an experiment's file.

    >>> lr_yaml(0.00314)
    'train: {optimizer: {lr: 0.00314}}'
    >>> lr_yaml(2.5e-05)
    'train: {optimizer: {lr: 2.5e-05}}'
    """
    return f"train: {{optimizer: {{lr: {json.dumps(lr)}}}}}"
