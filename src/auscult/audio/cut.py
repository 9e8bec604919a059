"""Where clips lie in a recording (pure functions of lengths), and short clips filled up to their length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auscult.config.clips import ClipSettings


class Cut(NamedTuple):
    """One clip's place in its resampled recording.

    Attributes:
        start_sample: First sample.
        n_valid: Samples of true sound, at least 1 and at most a clip's length.
        start_s: Begin; of a cycle as its event says it, not rounded to samples.
        end_s: End of the true sound; of a cycle that is not cut short as its event says it.
    """

    start_sample: int
    n_valid: int
    start_s: float
    end_s: float


def cut_windows(n_samples: int, settings: ClipSettings) -> list[Cut]:
    """Cut a recording of `n_samples` by windows that start at 0, hop, 2 hop, ...

    The first window that reaches the recording's end is the last: what begins after it would repeat its sound. When it
    is partly filled it is kept if it holds at least `min_valid_s`; the first window is always kept.

    >>> settings = ClipSettings(length_s=10, sample_rate_hz=100, min_valid_s=1)
    >>> [(cut.start_sample, cut.n_valid) for cut in cut_windows(2100, settings)]
    [(0, 1000), (1000, 1000), (2000, 100)]
    >>> [(cut.start_sample, cut.n_valid) for cut in cut_windows(2099, settings)]
    [(0, 1000), (1000, 1000)]
    """
    rate, length = settings.sample_rate_hz, settings.n_samples
    least = round(settings.min_valid_s * rate)
    cuts: list[Cut] = []
    for start in range(0, n_samples, settings.hop_samples):
        n_valid = min(length, n_samples - start)
        if start == 0 or n_valid == length or n_valid >= least:
            cuts.append(Cut(start, n_valid, start / rate, (start + n_valid) / rate))
        if start + length >= n_samples:
            break
    return cuts


def stream_windows(
    pieces: Iterable[NDArray[np.int16]], settings: ClipSettings
) -> Iterator[tuple[Cut, NDArray[np.int16]]]:
    """Yield the windows of `cut_windows` with their true sound, of a recording that comes in pieces.

    Only what the next window needs is held.

    >>> settings = ClipSettings(length_s=10, sample_rate_hz=100, min_valid_s=1)
    >>> pieces = np.split(np.arange(2100, dtype=np.int16), [700, 1900])
    >>> [(cut.start_sample, sound[0], len(sound)) for cut, sound in stream_windows(pieces, settings)]
    [(0, np.int16(0), 1000), (1000, np.int16(1000), 1000), (2000, np.int16(2000), 100)]
    """
    rate, length = settings.sample_rate_hz, settings.n_samples
    held, held_from, start, n_samples = np.zeros(0, np.int16), 0, 0, 0
    for piece in pieces:
        held = np.concatenate([held, piece])
        n_samples += len(piece)
        while start + length <= n_samples:
            yield Cut(start, length, start / rate, (start + length) / rate), held[start - held_from :][:length]
            start += settings.hop_samples
        n_done = min(start - held_from, len(held))
        held, held_from = held[n_done:], held_from + n_done
    for cut in cut_windows(n_samples, settings)[start // settings.hop_samples :]:
        yield cut, held[cut.start_sample - held_from :][: cut.n_valid]


def cut_cycles(n_samples: int, settings: ClipSettings, starts_s: ArrayLike, ends_s: ArrayLike) -> list[Cut]:
    """Cut a recording of `n_samples` into one clip per breathing cycle, in the order of their starts.

    A cycle longer than a clip is truncated; a cycle that runs beyond the recording's end holds what there is. The
    shortest keeps one sample.

    Raises:
        ValueError: If a cycle starts at or beyond the recording's end.

    >>> settings = ClipSettings(unit="cycle", length_s=2, sample_rate_hz=100)
    >>> cut_cycles(1000, settings, starts_s=[0.5], ends_s=[1.75])
    [Cut(start_sample=50, n_valid=125, start_s=0.5, end_s=1.75)]
    """
    rate, length = settings.sample_rate_hz, settings.n_samples
    starts, ends = np.asarray(starts_s, np.float64), np.asarray(ends_s, np.float64)
    cuts: list[Cut] = []
    for index in np.lexsort((ends, starts)):
        start_s, end_s = float(starts[index]), float(ends[index])
        if start_s * rate >= n_samples:
            raise ValueError(f"a cycle starts at {start_s} s, the recording ends at {n_samples / rate} s")
        start = min(round(start_s * rate), n_samples - 1)
        n_valid = min(max(1, round(end_s * rate) - start), length, n_samples - start)
        cuts.append(Cut(start, n_valid, start_s, min(end_s, start_s + settings.length_s, n_samples / rate)))
    return cuts


def cut_recording(n_samples: int, settings: ClipSettings) -> list[Cut]:
    """Cut one clip from a recording's start.

    >>> cut_recording(150, ClipSettings(unit="recording", length_s=2, sample_rate_hz=100))
    [Cut(start_sample=0, n_valid=150, start_s=0.0, end_s=1.5)]
    """
    n_valid = min(settings.n_samples, n_samples)
    return [Cut(0, n_valid, 0.0, n_valid / settings.sample_rate_hz)]


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
