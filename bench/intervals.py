"""Intervals: all scores under many draws of patients at once, beside a loop that scores one draw after the other."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config.task import FourClass, TaskSettings
from auscult.metrics.aggregation import LevelRows, at_level
from auscult.metrics.evidence import Owners, all_values, view_evidence
from auscult.metrics.intervals import resample_weights
from bench.measure import Comparison, Options

Values = dict[str, dict[str, NDArray[np.float64]]]

CLIPS_PER_PATIENT = 20
TASK = TaskSettings(
    description="crackles and wheezes",
    type="multi_label",
    targets=("crackle", "wheeze"),
    level="clip",
    four_class=FourClass(crackle="crackle", wheeze="wheeze"),
)


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield the one comparison."""
    n_clips, n_draws = (400, 5) if options.is_tiny else (10_000, 200)
    rng = np.random.default_rng(0)
    owners = np.arange(n_clips) // CLIPS_PER_PATIENT
    rows = _rows(owners, rng)
    weights = resample_weights(int(owners[-1]) + 1, n_draws, rng)

    def of(columns: NDArray[np.float32]) -> Values:
        found = view_evidence(rows, TASK, (0.5, 0.5), Owners(owners, np.arange(n_clips), columns))
        return all_values(found, TASK)

    def at_once() -> Values:
        return of(weights)

    def one_by_one() -> list[Values]:
        return [of(column[:, None]) for column in weights.T]

    def check() -> None:
        alone = one_by_one()
        for view, values in at_once().items():
            for metric, together in values.items():
                separate = np.concatenate([draw[view][metric] for draw in alone])
                np.testing.assert_allclose(together, separate, rtol=1e-6, err_msg=f"{view} {metric}")

    yield [Comparison("intervals/all scores", "draw by draw", at_once, one_by_one, check, least=1.0)]


def _rows(owners: np.ndarray, rng: np.random.Generator) -> LevelRows:
    names = [f"{owner:05d}" for owner in owners]
    ids = pd.DataFrame({"clip_id": [f"{clip:06d}" for clip in range(len(owners))], "patient_id": names})
    truth = (rng.random((len(owners), 2)) < [0.4, 0.2]).astype(float)
    probabilities = np.clip(0.3 * truth + 0.7 * rng.random((len(owners), 2)), 0, 1)
    return at_level(probabilities, truth, ids.assign(recording_id=names), TASK, "clip")
