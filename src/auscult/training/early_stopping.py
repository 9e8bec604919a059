"""When to stop because nothing gets better."""

from __future__ import annotations

from typing import Any, Literal

from auscult.config.train import EarlyStoppingSettings
from auscult.training.schedules import gain


class EarlyStopping:
    """Counts evaluations without a gain.

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
    def is_over(self) -> bool:
        """Whether more than `patience` evaluations in a row brought no gain."""
        return self._settings is not None and self._n_bad > self._settings.patience

    def take(self, value: float | None) -> None:
        """Tell the monitored metric of an evaluation; an undefined one is no gain."""
        min_delta = 0.0 if self._settings is None else self._settings.min_delta
        if value is not None and (self._best is None or gain(value, self._best, self._mode) > min_delta):
            self._best, self._n_bad = value, 0
        else:
            self._n_bad += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        return {"best": self._best, "n_bad": self._n_bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put `state_dict` back."""
        self._best, self._n_bad = state["best"], int(state["n_bad"])
