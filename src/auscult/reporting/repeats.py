"""Folds and seeds of one job taken together: the mean of their scores, its interval, and how far they scatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from auscult.config import TaskSettings
from auscult.metrics.repeated import RunAnswers, repeated_estimates
from auscult.predictions import probabilities_of, read_predictions, truth_of
from auscult.presentation import Number, headline, plural
from auscult.reporting.job import JobResult


@dataclass(frozen=True)
class Spread:
    """A score over the runs of a job.

    Attributes:
        mean: Over the runs in which the score is defined; None where it is in none.
        deviation: Sample standard deviation over them; None with fewer than two.
        n_runs: In how many it is defined.
        is_percent: As `presentation.Number`.
        low: Lower end of the 95% interval of the mean, over patients; None without one.
        high: Upper end.
    """

    mean: float | None
    deviation: float | None
    n_runs: int
    is_percent: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """Mean and deviation, as the report prints them.

        >>> spread([0.8, 0.9, None]).text, spread([None]).text, spread([0.5]).text
        ('0.850 ± 0.071', 'undefined', '0.500')
        """
        if self.mean is None:
            return Number(None).value_text
        around = "" if self.deviation is None else f" ± {self._text(self.deviation)}"
        return f"{self._text(self.mean)}{around}"

    @property
    def interval_text(self) -> str:
        """The interval alone, empty where there is none."""
        return Number(self.mean, self.low, self.high, is_percent=self.is_percent).interval_text

    @property
    def runs_text(self) -> str:
        """How many runs it is taken over."""
        return plural(self.n_runs, "run")

    def _text(self, value: float) -> str:
        return Number(value, is_percent=self.is_percent).value_text


@dataclass(frozen=True)
class Repeats:
    """A job that was trained more than once.

    Attributes:
        job: Its number.
        runs: Its runs, in order.
        headline: The few metrics that stand for it, over the runs.
    """

    job: int
    runs: tuple[JobResult, ...]
    headline: Mapping[str, Spread]


def spread(values: Sequence[float | None], *, is_percent: bool = False, around: Number | None = None) -> Spread:
    """Return mean and sample standard deviation of what is defined, with the ends of the interval of `around`."""
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return Spread(
        mean=float(defined.mean()) if len(defined) else None,
        deviation=float(defined.std(ddof=1)) if len(defined) > 1 else None,
        n_runs=len(defined),
        is_percent=is_percent,
        low=around.low if around else None,
        high=around.high if around else None,
    )


def find_repeats(jobs: Sequence[JobResult], task: TaskSettings) -> list[Repeats]:
    """Return the jobs of an experiment that have folds or seeds.

    Args:
        jobs: The results of all runs, job after job.
        task: What was predicted.
    """
    found: list[Repeats] = []
    for number, members in groupby(jobs, key=lambda job: job.number):
        runs = tuple(members)
        if runs[0].id == str(number):
            continue
        means = _means(runs, task)
        over_runs = {
            name: spread([run.headline[name].value for run in runs], is_percent=shown.is_percent, around=means[name])
            for name, shown in runs[0].headline.items()
        }
        found.append(Repeats(number, runs, over_runs))
    return found


def _means(runs: Sequence[JobResult], task: TaskSettings) -> dict[str, Number]:
    """Return the headline of the mean over runs, with its intervals."""
    settings = runs[0].settings.evaluate
    answers: list[RunAnswers] = []
    for run in runs:
        predictions = read_predictions(run.folder / "predictions.parquet", task)
        test = predictions.loc[predictions["split"] == "test"].reset_index(drop=True)
        thresholds = list(run.metrics["thresholds"].values())
        answers.append(RunAnswers(truth_of(test, task), probabilities_of(test, task), test, thresholds))
    views = repeated_estimates(answers, task, np.random.default_rng(settings.seed), settings.bootstrap_draws)
    level: dict[str, Any] = runs[0].metrics["test"][task.level]
    merged = {view: {**section, **views.get(view, {})} for view, section in level.items()}
    return headline({task.level: merged}, task)


def spread_numbers(numbers: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    """Return the means of flat numbers over runs, `<name>_deviation` beside each, and the number of runs.

    >>> spread_numbers([{"auroc": 0.5}, {"auroc": 0.5}])
    {'auroc': 0.5, 'auroc_deviation': 0.0, 'runs': 2}
    """
    means: dict[str, float | int] = {}
    for name in dict.fromkeys(name for found in numbers for name in found):
        over = spread([found.get(name) for found in numbers])
        if over.mean is not None:
            means[name] = over.mean
        if over.deviation is not None:
            means[f"{name}_deviation"] = over.deviation
    return {**means, "runs": len(numbers)}
