"""When the state of a training is saved."""

from __future__ import annotations

import time
from collections.abc import Callable

from auscult.config.train import SaveSettings


class SaveTimes:
    """Knows when the last save was.

    Args:
        settings: How often.
        clock: Seconds that only grow.
    """

    def __init__(self, settings: SaveSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._last_s = clock()
        self._last_step = 0

    def is_due(self, n_steps: int, *, epoch_done: int | None = None) -> bool:
        """Return whether to save now.

        Args:
            n_steps: Optimizer steps in all.
            epoch_done: The epoch that has just ended, if one has.
        """
        every = self._settings
        if epoch_done is not None and epoch_done % every.every_epochs == 0:
            return True
        if every.every_steps is not None and n_steps > self._last_step and n_steps % every.every_steps == 0:
            return True
        return self._clock() - self._last_s >= every.every_s

    def saved(self, n_steps: int) -> None:
        """Note a save."""
        self._last_s = self._clock()
        self._last_step = n_steps
