"""How the settings of an experiment's job are searched: `tune` in its file."""

from __future__ import annotations

import builtins
import itertools
import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Settings

KINDS = ("log_uniform", "uniform", "int", "choice")

_FIXED = {
    "task": "the task is what is asked",
    "datasets": "results on other data cannot be compared",
    "allow_doubtful": "results on other data cannot be compared",
    "split": "results on other validation patients cannot be compared",
    "folds": "a trial is one training for each of tune.seeds",
    "val_folds": "a trial is one training for each of tune.seeds",
    "matrix": "a trial is one training for each of tune.seeds",
    "seeds": "a trial is one training for each of tune.seeds",
    "ensemble": "a trial is one training for each of tune.seeds",
    "evaluate_only": "nothing is trained there",
    "evaluate": "it changes nothing that validation sees while a model is trained",
    "probe": "a probe has no epochs; its penalty is chosen on validation anyway",
    "note": "it is wording",
    "train.seed": "say tune.seeds",
    "train.epochs": "the rungs of all trials are the same epochs",
    "train.monitor": "say tune.metric",
    "train.mode": "say tune.metric",
    "train.pretrained": "its weights come from an earlier training; compare such jobs in an experiment of their own",
    "train.debug": "it is for finding a fault",
}
"""What cannot be searched, and why."""


class SearchSettings(Settings):
    """The values that one setting may take."""

    log_uniform: tuple[float, float] | None = Field(default=None, description="from, to: even on a logarithmic scale")
    uniform: tuple[float, float] | None = Field(default=None, description="from, to")
    int: tuple[builtins.int, builtins.int] | None = Field(default=None, description="whole numbers from, to")
    choice: tuple[Any, ...] | None = Field(
        default=None, min_length=1, description="these values; one may be a whole section, such as {name: cnn6}"
    )
    points: builtins.int = Field(
        default=5, ge=2, le=100, description="sampler: grid only: values of uniform and log_uniform, ends included"
    )

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value; not of a choice."""
        return getattr(self, self.kind)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"found {given or 'none'}, expected one of {', '.join(KINDS)}")
        if self.choice is None and not self.ends[0] < self.ends[1]:
            raise ValueError(f"{self.kind}: found {list(self.ends)}, expected a smaller and a larger number")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise ValueError(f"log_uniform: found {list(self.ends)}, expected numbers above 0")
        return self

    def tried(self) -> list[Any]:
        """Return both ends, or every choice: what is tried on the job's schema before anything runs."""
        return list(self.ends if self.choice is None else self.choice)

    def grid(self) -> list[Any]:
        """Return the values of a grid.

        >>> SearchSettings(log_uniform=(0.001, 0.1), points=3).grid()
        [0.001, 0.01, 0.1]
        >>> SearchSettings(int=(1, 3)).grid()
        [1, 2, 3]
        """
        if self.choice is not None:
            return list(self.choice)
        low, high = self.ends
        if self.kind == "int":
            return list(range(builtins.int(low), builtins.int(high) + 1))
        shares = [number / (self.points - 1) for number in range(self.points)]
        if self.kind == "uniform":
            return [low + share * (high - low) for share in shares]
        # Rounded: 0.01, not 0.010000000000000002. The ends stay what they are.
        inner = [float(f"{math.exp(math.log(low) + share * math.log(high / low)):.12g}") for share in shares[1:-1]]
        return [low, *inner, high]


class TuneSettings(Settings):
    """A search over settings of the experiment's job, on validation alone; see docs/tuning.md."""

    search: dict[str, SearchSettings] = Field(min_length=1, description="dotted setting, such as train.batch_size")
    trials: int = Field(default=40, ge=1, le=10_000, description="of tpe and random; a grid has as many as it has")
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["asha", "median", "none"] = Field(
        default="asha", description="who trains on after a rung: the best 1/reduction; the better half; all"
    )
    min_epochs: int = Field(default=1, ge=1, description="epochs to the first rung")
    reduction: int = Field(default=3, ge=2, description="each rung is so many times as long as the one before")
    rungs: tuple[int, ...] = Field(default=(), description="epochs of the rungs, in place of the two before")
    parallel: int = Field(default=4, ge=1, le=1000, description="trials that run at a time; it shapes the study")
    budget_h: float | None = Field(
        default=None, gt=0, description="no new trial begins after so many hours of training, of all trials together"
    )
    metric: str | None = Field(
        default=None,
        pattern=r"^val/[a-z0-9_]+$",
        description="in the epoch that a training would keep; default: train.monitor",
    )
    seeds: tuple[int, ...] = Field(default=(), description="a trial's value is the mean over them; default: train.seed")
    seed: int = Field(default=0, ge=0, description="of the search")

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        for key in self.search:
            fixed = next((name for name in _FIXED if key == name or key.startswith(f"{name}.")), None)
            if fixed is not None:
                raise ValueError(f"search.{key}: {fixed} cannot be searched: {_FIXED[fixed]}")
        if self.sampler == "grid" and self.grid_size > 10_000:
            raise ValueError(f"sampler: grid: {self.grid_size} points are too many; 10000 are allowed")
        return self

    @model_validator(mode="after")
    def _check_rungs(self) -> Self:
        if any(later <= earlier for earlier, later in itertools.pairwise((0, *self.rungs))):
            raise ValueError(f"rungs: found {list(self.rungs)}, expected growing numbers of epochs, from 1 on")
        if len(set(self.seeds)) < len(self.seeds) or any(seed < 0 for seed in self.seeds):
            raise ValueError(f"seeds: found {list(self.seeds)}, expected different numbers from 0 on")
        return self

    @property
    def grid_size(self) -> int:
        """How many points the grid has."""
        return math.prod(len(search.grid()) for search in self.search.values())

    @property
    def n_trials(self) -> int:
        """How many trials there are at most."""
        return self.grid_size if self.sampler == "grid" else self.trials

    def rung_epochs(self, epochs: int) -> list[int]:
        """Return the epochs after which trials are compared, the last of the training included.

        >>> TuneSettings(search={"train.batch_size": {"choice": [16, 32]}}).rung_epochs(30)
        [1, 3, 9, 27, 30]
        """
        if self.pruner == "none":
            return [epochs]
        if self.rungs:
            return [*(rung for rung in self.rungs if rung < epochs), epochs]
        rungs: list[int] = []
        epoch = self.min_epochs
        while epoch < epochs:
            rungs.append(epoch)
            epoch *= self.reduction
        return [*rungs, epochs]
