"""Short clips filled up to their length."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def pad(waveform: NDArray[Any], n_samples: int, how: Literal["zero", "reflect", "repeat"]) -> NDArray[Any]:
    """Return the waveform, shape [sample], followed by padding up to `n_samples`; the true part is unchanged.

    A waveform that is long enough comes back itself, not as a copy.

    Args:
        waveform: At least one sample, at most `n_samples`.
        n_samples: Samples of the result.
        how: `zero` adds silence; `reflect` runs back and forth without doubling the turning sample, as often as it
            takes; `repeat` starts over from the first sample.

    Raises:
        ValueError: If the waveform is empty or too long.

    >>> pad(np.array([1, 2, 3]), 8, "reflect").tolist()
    [1, 2, 3, 2, 1, 2, 3, 2]
    >>> pad(np.array([1, 2, 3]), 5, "repeat").tolist()
    [1, 2, 3, 1, 2]
    """
    n_valid = len(waveform)
    if not 1 <= n_valid <= n_samples:
        raise ValueError(f"cannot pad {n_valid} samples to {n_samples}")
    if n_valid == n_samples:
        return waveform
    if how == "zero":
        padded = np.zeros(n_samples, waveform.dtype)
        padded[:n_valid] = waveform
        return padded
    positions = np.arange(n_samples)
    if how == "repeat" or n_valid == 1:
        return waveform[positions % n_valid]
    period = 2 * (n_valid - 1)
    positions %= period
    return waveform[np.minimum(positions, period - positions)]
