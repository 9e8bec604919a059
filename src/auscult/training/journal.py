"""Who is told, while a training runs, of the epochs that are done and saved; a training knows of no tracking server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from auscult.training.history import EpochRow


class Journal(Protocol):
    """Takes the history as far as it is saved: no later attempt goes back behind what was told."""

    def start(self, rows: Sequence[EpochRow]) -> None:
        """Begin an attempt that goes on after `rows`; the run's lock is held."""
        ...

    def saved(self, rows: Sequence[EpochRow]) -> None:
        """Take note that `rows`, the whole history, stand in a checkpoint; returns at once."""
        ...


class NoJournal:
    """Nobody is told."""

    def start(self, rows: Sequence[EpochRow]) -> None:
        """Do nothing."""

    def saved(self, rows: Sequence[EpochRow]) -> None:
        """Do nothing."""
