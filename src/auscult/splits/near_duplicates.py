"""Recordings that are copies of one sound: encoded anew, resampled, louder, or cut shorter.

Fingerprints (`audio.fingerprint`) of copies agree in most bits of most words once one is shifted against the other. The
shift comes from words whose leading bits are equal in both, as in Haitsma and Kalker (2002, ISMIR): all words are
sorted, neighbours in that order are candidates, and the bits of the whole overlap decide.

A stretch of another sound in between, or another tempo, breaks the agreement: such copies are not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auscult.audio.fingerprint import MIN_WORDS, WORD_BITS, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Words = NDArray[np.uint32]

MAX_WRONG_SHARE = 0.3
MAX_WRONG_SHARE_SHORT = 0.24
"""Share of bits that may differ; unlike sounds differ in 0.50, and in no less than 0.40 at the best of all shifts (0.34
where they share a second), copies in 0.01 to 0.15 (0.24 where they share a second, half a word beside each other)."""
SHORT_WORDS = 24
N_TURNS = 4
"""Words are sorted by other bits each time, since any of the leading ones may differ in copies."""
MIN_LEADING_BITS = 10
MAX_PAIRS = 500_000
"""Neighbours that are looked at in each order: more leading bits must be equal where there are more words."""
MAX_NEIGHBOURS = 32
"""In the sorted words; more have equal leading bits only where many recordings are alike, and these chain."""
BATCH = 1 << 20
PARTITION = 1 << 22
_FAR = np.array([-20, -9, 9, 20])
_NEAR = np.array([-28, -14, -6, -3, 3, 6, 14, 28])
_MIN_SPOTS = 3


def groups_of_copies(fingerprints: Sequence[str | None]) -> NDArray[np.int64]:
    """Return a number for each recording, shape [recording]; copies of one sound, and copies of these, have the same.

    Memory goes by the sum of the fingerprints (some 20 bytes a word), time by that times its logarithm.

    Args:
        fingerprints: One a recording; None is like no other.
    """
    words = [words_of(text) if text else np.zeros(0, dtype=np.uint32) for text in fingerprints]
    # Equal ones are searched once: as neighbours of each other they would leave no room for copies that were changed.
    first_of: dict[bytes, int] = {}
    stands_for = [
        first_of.setdefault(of_one.tobytes(), number) if np.count_nonzero(of_one) >= MIN_WORDS else number
        for number, of_one in enumerate(words)
    ]
    library = _Library([of_one if stands_for[number] == number else of_one[:0] for number, of_one in enumerate(words)])
    alike = {(first, number) for number, first in enumerate(stands_for) if first != number}
    for first, second in _candidates(library.words):
        for start in range(0, len(first), BATCH):
            library.add_copies(first[start : start + BATCH], second[start : start + BATCH], alike)
    return _numbered(len(fingerprints), alike)


class _Library:
    """The words of all recordings one after another, and the comparison of two places in them."""

    def __init__(self, words: Sequence[Words]) -> None:
        lengths = np.array([len(of_one) for of_one in words], dtype=np.int64)
        self.words: Words = np.concatenate([np.zeros(0, dtype=np.uint32), *words])
        self._begins = np.concatenate([[0], np.cumsum(lengths)])
        self._owners = np.repeat(np.arange(len(words), dtype=np.int32), lengths)

    def add_copies(self, first: Positions, second: Positions, alike: set[tuple[int, int]]) -> None:
        """Add to `alike` the pairs of recordings that hold equal sound when these positions are laid together.

        Args:
            first: Positions in `words`, shape [candidate].
            second: Their partners.
            alike: Pairs (lower number first), those of before among them.
        """
        swapped = self._owners[first] > self._owners[second]
        first, second = np.where(swapped, second, first), np.where(swapped, first, second)
        kept = self._owners[first] != self._owners[second]
        # The words beside a hit are equal by their overlap: spots further off tell copies from chance.
        for spots, allowed in ((_FAR, 0.38), (_NEAR, 0.34)):
            first, second = first[kept], second[kept]
            kept = self._agrees(first, second, spots, allowed)
        first, second = first[kept], second[kept]
        pairs = np.stack([self._owners[first].astype(np.int64), self._owners[second], first - second], axis=1)
        for one, other, shift in np.unique(pairs, axis=0).tolist():
            if (one, other) not in alike and self._is_copy(one, other, shift):
                alike.add((one, other))

    def _agrees(
        self, first: Positions, second: Positions, spots: NDArray[np.int64], allowed: float
    ) -> NDArray[np.bool_]:
        wrong = np.zeros(len(first), dtype=np.int64)
        compared = np.zeros(len(first), dtype=np.int64)
        last = len(self.words) - 1
        owners_first, owners_second = self._owners[first], self._owners[second]
        for spot in spots.tolist():
            at_first, at_second = np.clip(first + spot, 0, last), np.clip(second + spot, 0, last)
            words_first, words_second = self.words[at_first], self.words[at_second]
            here = (self._owners[at_first] == owners_first) & (self._owners[at_second] == owners_second)
            here &= (words_first != 0) & (words_second != 0)
            wrong += np.where(here, np.bitwise_count(words_first ^ words_second), 0)
            compared += here
        return (compared < _MIN_SPOTS) | (wrong <= compared * WORD_BITS * allowed)

    def _is_copy(self, one: int, other: int, shift: int) -> bool:
        """Compare the whole overlap of two recordings; `shift` is from a place in `other` to that in `one`."""
        begin = max(self._begins[one], self._begins[other] + shift)
        end = min(self._begins[one + 1], self._begins[other + 1] + shift)
        words_one, words_other = self.words[begin:end], self.words[begin - shift : end - shift]
        both = (words_one != 0) & (words_other != 0)
        n_words = int(np.count_nonzero(both))
        if n_words < MIN_WORDS:
            return False
        wrong = int(np.bitwise_count(words_one[both] ^ words_other[both]).sum())
        allowed = MAX_WRONG_SHARE_SHORT if n_words < SHORT_WORDS else MAX_WRONG_SHARE
        return wrong <= allowed * WORD_BITS * n_words


def _candidates(words: Words) -> Iterator[tuple[Positions, Positions]]:
    """Yield pairs of positions whose words have equal leading bits, in one of the orders."""
    n_words = int(np.count_nonzero(words))
    part_bits = max(0, int(np.ceil(np.log2(max(n_words, 1) / PARTITION))))
    most = min(n_words // 2, MAX_PAIRS) >> part_bits
    for turn in range(N_TURNS):
        by = WORD_BITS // N_TURNS * turn
        turned = (words << np.uint32(by)) | (words >> np.uint32(WORD_BITS - by)) if by else words
        parts = turned >> np.uint32(WORD_BITS - part_bits) if part_bits else np.zeros_like(words)
        for part in range(1 << part_bits):
            at = np.flatnonzero((parts == part) & (words != 0))
            keys = (turned[at].astype(np.uint64) << np.uint64(WORD_BITS)) | at.astype(np.uint64)
            keys.sort()
            at = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
            keys >>= np.uint64(WORD_BITS)
            keys >>= np.uint64(WORD_BITS - _n_leading(keys, most))
            for distance in range(1, MAX_NEIGHBOURS + 1):
                found = np.flatnonzero(keys[distance:] == keys[:-distance])
                if not len(found):
                    break
                yield at[found], at[found + distance]


def _n_leading(ordered: NDArray[np.uint64], most: int) -> int:
    """Return how many leading bits must be equal so that no more than `most` neighbours in the order have them equal.

    >>> _n_leading(np.array([0x00000000, 0x00000001, 0x00008000, 0xFFFFFFFF], dtype=np.uint64), most=1)
    17
    """
    differing = np.bitwise_xor(ordered[1:], ordered[:-1])
    # A float's exponent is the place of the highest bit that differs.
    equal_bits = WORD_BITS - np.frexp(differing.astype(np.float64))[1]
    having = np.cumsum(np.bincount(equal_bits, minlength=WORD_BITS + 1)[::-1])[::-1]
    enough = np.flatnonzero(having <= most)
    return int(np.clip(enough[0] if len(enough) else WORD_BITS, MIN_LEADING_BITS, WORD_BITS))


def _numbered(n_recordings: int, alike: set[tuple[int, int]]) -> NDArray[np.int64]:
    """Number the groups that pairs chain together by the lowest recording in each."""
    lowest = list(range(n_recordings))

    def root(of: int) -> int:
        while lowest[of] != of:
            lowest[of] = lowest[lowest[of]]
            of = lowest[of]
        return of

    for one, other in alike:
        first, second = sorted((root(one), root(other)))
        lowest[second] = first
    return np.array([root(recording) for recording in range(n_recordings)], dtype=np.int64)
