"""Learning-rate schedules, and early stopping.

Each schedule is a factor of the base rate as a function of the steps or epochs that are done.
So none has a state to save, but the one that follows a metric.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from auscult.config.optimizer import (
    CosineSchedule,
    ExponentialSchedule,
    LinearWarmup,
    MultiStepSchedule,
    OneCycleSchedule,
    ReduceOnPlateau,
    ScheduleSettings,
    StepSchedule,
)
from auscult.config.train import EarlyStoppingSettings


def factor(settings: ScheduleSettings, done: int, length: int) -> float:
    """Return what a schedule multiplies the base rate by.

    Args:
        settings: Any but `reduce_on_plateau`.
        done: Steps or epochs since it began; past its end it stays as it ended.
        length: How many it lasts.

    >>> factor(StepSchedule(name="step", every=2, gamma=0.5), 5, 10)
    0.25
    """
    done = min(done, length)
    match settings:
        case StepSchedule():
            return settings.gamma ** (done // settings.every)
        case MultiStepSchedule():
            return settings.gamma ** bisect_right(sorted(settings.milestones), done)
        case ExponentialSchedule():
            return settings.gamma**done
        case CosineSchedule():
            return settings.min_factor + (1 - settings.min_factor) * (1 + math.cos(math.pi * done / length)) / 2
        case LinearWarmup():
            return settings.start_factor + (1 - settings.start_factor) * done / length
        case OneCycleSchedule():
            return _one_cycle(settings, done, length)
        case ReduceOnPlateau():
            raise ValueError("reduce_on_plateau depends on a metric, not on the time alone")


def _one_cycle(settings: OneCycleSchedule, done: int, length: int) -> float:
    """As torch's OneCycleLR with cosine annealing: its last step, the `length`-th, is done at `length` - 1."""
    lowest, final = 1 / settings.div_factor, 1 / (settings.div_factor * settings.final_div_factor)
    top = settings.rising_share * length - 1
    end = max(length - 1, 1)
    done = min(done, end)
    if done <= top:
        return _along_cosine(lowest, 1.0, done / top if top > 0 else 1.0)
    return _along_cosine(1.0, final, (done - top) / (end - top))


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass
class _Plateau:
    """The state of `reduce_on_plateau`."""

    factor: float = 1.0
    best: float | None = None
    n_bad: int = 0

    def take(self, value: float | None, settings: ReduceOnPlateau, mode: Literal["max", "min"]) -> None:
        if value is not None and (self.best is None or gain(value, self.best, mode) > settings.min_delta):
            self.best, self.n_bad = value, 0
            return
        self.n_bad += 1
        if self.n_bad > settings.patience:
            self.factor, self.n_bad = max(self.factor * settings.factor, settings.min_factor), 0


def gain(value: float, best: float, mode: Literal["max", "min"]) -> float:
    """Return by how much a value is better than the best one.

    >>> gain(0.2, 0.5, "min"), gain(0.25, 0.5, "max")
    (0.3, -0.25)
    """
    return value - best if mode == "max" else best - value


class Schedules:
    """All schedules of a training, over one optimizer.

    Args:
        settings: In the experiment's order.
        apply: `together` multiplies their factors; `in_turn` takes one after the other, each for its length.
        optimizer: The learning rates of its groups when it is passed are the base rates.
        steps_per_epoch: Optimizer steps.
        epochs: Of the training.
        mode: Of the monitored metric.

    Attributes:
        steps_per_epoch: As given.
    """

    def __init__(
        self,
        settings: Sequence[ScheduleSettings],
        apply: Literal["together", "in_turn"],
        optimizer: torch.optim.Optimizer,
        *,
        steps_per_epoch: int,
        epochs: int,
        mode: Literal["max", "min"],
    ) -> None:
        self._settings = tuple(settings)
        self._apply = apply
        self._optimizer = optimizer
        self._base = [float(group["lr"]) for group in optimizer.param_groups]
        self.steps_per_epoch = steps_per_epoch
        self._epochs = epochs
        self._mode: Literal["max", "min"] = mode
        self._plateaus = [_Plateau() for _ in self._settings]
        self._spans = self._lay_out()

    @property
    def names(self) -> list[str]:
        """What the schedules are called, in their order."""
        return [settings.name for settings in self._settings]

    @property
    def has_one_lr(self) -> bool:
        """Whether all groups learn at one rate."""
        return len(set(self._base)) == 1

    def set_lrs(self, n_steps: int) -> None:
        """Set the learning rates for the step that comes after `n_steps` steps."""
        if not self._settings:
            return
        by_time = self.factor_at(n_steps)
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * by_time

    def factor_at(self, n_steps: int) -> float:
        """Return what the base rates are multiplied by after `n_steps` steps."""
        if self._apply == "in_turn":
            return self._factor(self._active(n_steps), n_steps)
        return math.prod(self._factor(index, n_steps) for index in range(len(self._settings)))

    def take_metric(self, value: float | None, n_steps: int) -> None:
        """Take the monitored metric of a validation; an undefined one is no gain."""
        for index, settings in enumerate(self._settings):
            is_active = self._apply == "together" or index == self._active(n_steps - 1)
            if isinstance(settings, ReduceOnPlateau) and is_active:
                self._plateaus[index].take(value, settings, self._mode)

    def state_dict(self) -> dict[str, Any]:
        """Return what depends on the metric."""
        return {"plateaus": [vars(plateau).copy() for plateau in self._plateaus]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self._plateaus = [_Plateau(**values) for values in state["plateaus"]]

    def _factor(self, index: int, n_steps: int) -> float:
        settings, (start, length) = self._settings[index], self._spans[index]
        if isinstance(settings, ReduceOnPlateau):
            return self._plateaus[index].factor
        unit = self._unit(settings)
        return factor(settings, max(0, n_steps // unit - start // unit), length)

    def _active(self, n_steps: int) -> int:
        started = [index for index, (start, _) in enumerate(self._spans) if start <= n_steps]
        return started[-1] if started else 0

    def _unit(self, settings: ScheduleSettings) -> int:
        return 1 if settings.by == "step" else self.steps_per_epoch

    def _lay_out(self) -> list[tuple[int, int]]:
        """Return each schedule's first step, and how many of its own units it lasts."""
        spans: list[tuple[int, int]] = []
        start = 0
        for settings in self._settings:
            unit = self._unit(settings)
            if settings.length is not None:
                length = settings.length
            elif isinstance(settings, LinearWarmup):
                length = max(1, self.steps_per_epoch // unit)
            else:
                length = max(1, (self.steps_per_epoch * self._epochs - start) // unit)
            spans.append((start, length))
            if self._apply == "in_turn":
                start += length * unit
        return spans


class EarlyStopping:
    """Counts validations without a gain.

    Args:
        settings: None: never stop.
        mode: Of the monitored metric.
    """

    def __init__(self, settings: EarlyStoppingSettings | None, mode: Literal["max", "min"]) -> None:
        self._settings = settings
        self._mode: Literal["max", "min"] = mode
        self._best: float | None = None
        self._n_bad = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether more than `patience` validations in a row brought no gain."""
        return self._settings is not None and self._n_bad > self._settings.patience

    def take(self, value: float | None) -> None:
        """Take the monitored metric of a validation; an undefined one is no gain."""
        min_delta = 0.0 if self._settings is None else self._settings.min_delta
        if value is not None and (self._best is None or gain(value, self._best, self._mode) > min_delta):
            self._best, self._n_bad = value, 0
        else:
            self._n_bad += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the count."""
        return {"best": self._best, "n_bad": self._n_bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self._best, self._n_bad = state["best"], int(state["n_bad"])
