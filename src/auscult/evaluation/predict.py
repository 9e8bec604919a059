"""The probabilities of a model for many clips, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from auscult.models import SavedModel
from auscult.training.dataset import ClipDataset


def predict(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float64]:
    """Return the probability of each target for all examples, shape [clip, target]; each is read once, in order."""
    found = [np.empty((0, len(model.targets)))]
    found += [model.predict_proba(block, batch_size=batch_size) for block in _blocks(model, examples)]
    return np.concatenate(found)


def predict_logits(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float32]:
    """Return the logits, before calibration and sigmoid or softmax, shape [clip, target]."""
    found = [np.empty((0, len(model.targets)), dtype=np.float32)]
    found += [model.logits(block, batch_size=batch_size) for block in _blocks(model, examples)]
    return np.concatenate(found)


def predict_maps(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float32]:
    """Return the probabilities of objects and boundaries, shape [clip, channel, frame]; see `SavedModel.maps`."""
    return np.concatenate([model.maps(block, batch_size=batch_size) for block in _blocks(model, examples)])


def _blocks(model: SavedModel, examples: ClipDataset) -> Iterator[npt.NDArray[np.float16] | npt.NDArray[np.int16]]:
    return examples.blocks(model.takes, np.arange(len(examples)))
