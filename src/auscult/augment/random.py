"""Random numbers that belong to a clip: the same in whatever batch and order they are computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea & Flood 2014): its increment and the two multipliers of its finaliser, as signed integers.
_INCREMENT = -0x61C8864680B583EB
_FIRST = -0x40A7B892E31B1A47
_SECOND = -0x6B2FB644ECCEEE15
_UNIFORM_BITS = 24


def _shift_right(values: Tensor, n_bits: int) -> Tensor:
    """Shift without carrying the sign, which `>>` of a signed tensor does."""
    return (values >> n_bits) & ((1 << (64 - n_bits)) - 1)


def _mix(values: Tensor) -> Tensor:
    values = (values ^ _shift_right(values, 30)) * _FIRST
    values = (values ^ _shift_right(values, 27)) * _SECOND
    return values ^ _shift_right(values, 31)


class ClipRandom:
    """A counter-based generator: each number is a hash of (seed, epoch, clip, number of the call, place in the call).

    So a clip is changed in the same way whatever batch it stands in, and a resumed training draws what an uninterrupted
    one would have drawn, without any state to save.

    Args:
        seed: Of the training.
        epoch: Counted from 1.
        clips: Numbers of the batch's clips in the training set, int64, shape [batch], on the device of the numbers.
    """

    def __init__(self, seed: int, epoch: int, clips: Tensor) -> None:
        # Hashed one into the other: neighbouring seeds, epochs and clips share nothing.
        state = torch.full_like(clips, seed)
        for part in (torch.full_like(clips, epoch), clips):
            state = _mix(state + _INCREMENT) ^ part
        self._state = _mix(state + _INCREMENT)
        self._n_calls = 0

    def first(self, n_clips: int) -> ClipRandom:
        """Return the generator of the first clips, in the same state."""
        return self._of(self._state[:n_clips], self._n_calls)

    def apart(self, places: Tensor) -> ClipRandom:
        """Return a generator of some of the clips; it shares nothing with what this one gives afterwards."""
        return self.of_seeds(self.seeds()[places])

    def seeds(self) -> Tensor:
        """Return what generators begin with that share nothing with what this one gives afterwards, int64 [batch]."""
        self._n_calls += 1
        calls = torch.full_like(self._state, self._n_calls)
        return _mix(_mix(self._state + calls * _INCREMENT) ^ _INCREMENT)

    @classmethod
    def of_seeds(cls, seeds: Tensor) -> ClipRandom:
        """Return the generator that begins with these, shape [batch]."""
        return cls._of(seeds, 0)

    @staticmethod
    def _of(state: Tensor, n_calls: int) -> ClipRandom:
        rng = ClipRandom.__new__(ClipRandom)
        rng._state = state
        rng._n_calls = n_calls
        return rng

    def uniform(self, *shape: int) -> Tensor:
        """Return float32 from [0, 1), shape [batch, *shape].

        >>> a = ClipRandom(seed=1, epoch=1, clips=torch.tensor([5, 9])).uniform(3)
        >>> b = ClipRandom(seed=1, epoch=1, clips=torch.tensor([9, 5])).uniform(3)
        >>> bool((a == b.flip(0)).all())
        True
        """
        self._n_calls += 1
        call = _mix(self._state + torch.full_like(self._state, self._n_calls) * _INCREMENT)
        places = torch.arange(1, math.prod(shape) + 1, device=call.device)
        numbers = _mix(call[:, None] + places * _INCREMENT)
        # The upper bits; as many as float32 holds exactly, so that 1.0 never comes out.
        values = _shift_right(numbers, 64 - _UNIFORM_BITS).to(torch.float32) * 2.0**-_UNIFORM_BITS
        return values.view(len(values), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return float32 of the standard normal distribution, shape [batch, *shape] (Box & Muller 1958)."""
        radius = torch.sqrt(-2.0 * torch.log(1.0 - self.uniform(*shape)))
        return radius * torch.cos(2.0 * math.pi * self.uniform(*shape))

    def chance(self, probability: float) -> Tensor:
        """Return bool, shape [batch]: true with `probability`, for each clip alone."""
        return self.uniform() < probability
