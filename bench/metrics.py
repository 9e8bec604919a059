"""What intervals cost: all scores of 10,000 clips under 2,000 draws of patients, against the scores without a draw.

A loop over the draws would cost 2,000 times the latter. Run it by itself: `python bench/metrics.py`.
"""

import sys
import time

import numpy as np
import pandas as pd

from auscult.config.task import FourClass, TaskSettings
from auscult.metrics.aggregation import at_level
from auscult.metrics.intervals import draw_weights, estimate, view_values

N_CLIPS, CLIPS_PER_PATIENT, DRAWS = 10_000, 20, 2_000
TASK = TaskSettings(
    description="crackles and wheezes",
    type="multi_label",
    targets=("crackle", "wheeze"),
    level="clip",
    four_class=FourClass(crackle="crackle", wheeze="wheeze"),
)


def main() -> None:
    """Print seconds, and the ratio of 2,000 draws to none."""
    rng = np.random.default_rng(0)
    owners = np.arange(N_CLIPS) // CLIPS_PER_PATIENT
    names = [f"{owner:05d}" for owner in owners]
    ids = pd.DataFrame({"clip_id": [f"{clip:06d}" for clip in range(N_CLIPS)], "patient_id": names})
    truth = (rng.random((N_CLIPS, 2)) < [0.4, 0.2]).astype(float)
    probabilities = np.clip(0.3 * truth + 0.7 * rng.random((N_CLIPS, 2)), 0, 1)
    rows = at_level(probabilities, truth, ids.assign(recording_id=names), TASK, "clip")
    seconds: dict[int, float] = {}
    n_scores = 0
    for draws in (0, DRAWS):
        begin = time.perf_counter()
        weights = draw_weights(int(owners[-1]) + 1, draws, rng)
        views = view_values(rows, TASK, (0.5, 0.5), owners, weights)
        found = [estimate(values, len(weights)) for view in views.values() for values in view.values()]
        seconds[draws] = time.perf_counter() - begin
        n_scores = len(found)
    sys.stdout.write(
        f"{N_CLIPS:,} clips, {n_scores} scores: {seconds[0]:.3f} s without intervals, {seconds[DRAWS]:.2f} s with"
        + "\n"
    )
    sys.stdout.write(
        f"{DRAWS:,} draws cost {seconds[DRAWS] / seconds[0]:.0f} times one; a loop over them would cost {DRAWS:,}"
        + "\n"
    )


if __name__ == "__main__":
    main()
