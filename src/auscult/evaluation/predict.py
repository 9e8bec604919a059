"""The probabilities of a model for many clips, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from auscult.errors import DataError
from auscult.models import SavedModel
from auscult.training.dataset import ClipDataset

_Number = TypeVar("_Number", bound=np.floating[Any])


def predict(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float64]:
    """Return the probability of each target for all examples, shape [clip, target]; each is read once, in order."""
    found = [np.empty((0, len(model.targets)))]
    found += [model.predict_proba(block, batch_size=batch_size) for block in _blocks(model, examples)]
    return _finite(np.concatenate(found))


def predict_logits(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float32]:
    """Return the logits, before calibration and sigmoid or softmax, shape [clip, target]."""
    found = [np.empty((0, len(model.targets)), dtype=np.float32)]
    found += [model.logits(block, batch_size=batch_size) for block in _blocks(model, examples)]
    return _finite(np.concatenate(found))


def predict_maps(model: SavedModel, examples: ClipDataset, batch_size: int) -> npt.NDArray[np.float32]:
    """Return the probabilities of objects and boundaries, shape [clip, channel, ...]; see `SavedModel.maps`."""
    return np.concatenate([maps for _, maps in map_blocks(model, examples, batch_size)])


def map_blocks(
    model: SavedModel, examples: ClipDataset, batch_size: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield what `predict_maps` returns in parts, each with the numbers of its clips."""
    first = 0
    for block in _blocks(model, examples):
        yield np.arange(first, first + len(block)), _finite(model.maps(block, batch_size=batch_size))
        first += len(block)


def _finite(answers: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Return the answers for clips; one that is no number would be counted as negative.

    Raises:
        DataError: There are such.
    """
    n_undefined = int((~np.isfinite(answers)).reshape(len(answers), -1).any(axis=1).sum())
    if n_undefined:
        raise DataError(
            f"the model gives no number (NaN or infinity) for {n_undefined} of {len(answers)} clips, which can be "
            "called neither positive nor negative; train it again, with a lower rate or in 32 bits"
        )
    return answers


def _blocks(model: SavedModel, examples: ClipDataset) -> Iterator[npt.NDArray[np.float16] | npt.NDArray[np.int16]]:
    return examples.blocks(model.takes, np.arange(len(examples)))
