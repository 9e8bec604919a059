"""The probabilities of a model for many clips, in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auscult.examples import Examples
from auscult.models import SavedModel

CLIPS_AT_ONCE = 1024
"""So many clips are in memory at a time: 80 MB of spectrograms at [128, 311] in float16."""


def predict(model: SavedModel, examples: Examples, batch_size: int) -> npt.NDArray[np.float64]:
    """Return the probability of each target for all examples, shape [clip, target]; each is read once, in order."""
    answers = [np.empty((0, len(model.targets)))]
    for start in range(0, len(examples), CLIPS_AT_ONCE):
        indices = np.arange(start, min(start + CLIPS_AT_ONCE, len(examples)))
        answers.append(model.predict_proba(examples.stored(model.takes, indices), batch_size=batch_size))
    return np.concatenate(answers)
