"""Set results beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auscult.comparison.differences import View, compare_rows
from auscult.comparison.results import Result, differing_settings, read_results, require_same_test
from auscult.errors import ConfigError
from auscult.metrics.aggregate import LEVELS, LevelRows
from auscult.presentation import plural

MAX_RESULTS = 12
LETTERS = "ABCDEFGHIJKL"


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        results: As they were named; the first is what all others are compared with.
        rows: Of each result: its answers to the test part at `level`.
        level: Where they were compared.
        views: The metrics, the main view first.
        settings: (dotted key, value of each result) of what differs.
        draws: Of the bootstrap.
    """

    results: list[Result]
    rows: list[LevelRows]
    level: str
    views: list[View]
    settings: list[tuple[str, list[Any]]]
    draws: int

    @property
    def labels(self) -> list[str]:
        """Letter, place and model of each result."""
        return [f"{letter}  {one.name}" for letter, one in zip(LETTERS, self.results, strict=False)]

    @property
    def counts(self) -> str:
        """What was compared on, in words."""
        patients = plural(len(np.unique(self.rows[0].patient_ids.astype(str))), "patient")
        rows = "" if self.level == "patient" else f"{plural(len(self.rows[0].ids), self.level)} of "
        return f"{rows}{patients} in the test part"


def compare(folders: Sequence[Path], *, level: str | None = None, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare trained jobs on their common test part.

    Args:
        folders: Jobs, or experiments, which stand for all their jobs. The first job is the base.
        level: `clip`, `recording` or `patient`; default: the task's.
        draws: Draws of the bootstrap over patients.
        seed: Of these draws.

    Raises:
        ConfigError: Fewer than two jobs, too many, or no such level.
        DataError: They were not tested on the same patients with the same labels, with what differs.
    """
    if level is not None and level not in LEVELS:
        raise ConfigError(f"level: found {level!r}, expected one of {', '.join(LEVELS)}")
    results = read_results(folders)
    if len(results) > MAX_RESULTS:
        raise ConfigError(
            f"found {len(results)} jobs, at most {MAX_RESULTS} are legible side by side; name some of them"
        )
    task = results[0].task
    chosen = level or task.level
    rows = require_same_test(results, chosen)
    generator = np.random.default_rng(seed)
    views = compare_rows(rows, [one.thresholds for one in results], task, generator, draws)
    return Comparison(results, rows, chosen, views, differing_settings(results), draws)
