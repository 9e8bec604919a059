"""Whether an Ogg or MP3 file ends where its sound ends: a decoder reads what is left of a cut one in silence."""

from __future__ import annotations

import os
from typing import BinaryIO

from auscult.errors import DataError

_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_LAST_PAGE = 0x04
_TAG_WITHIN_BYTES = 4096
"""An MP3's first frame, in which the tag stands, is shorter than this."""


def check_ogg_end(stream: BinaryIO) -> None:
    """Check that the last page of a file, if it is an Ogg file, is whole and says that it is the last (RFC 3533).

    Raises:
        DataError: It is cut, or a stream that was never closed.
    """
    stream.seek(0)
    if stream.read(4) != b"OggS":
        return
    n_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, n_bytes - _MAX_PAGE_BYTES))
    tail = stream.read()
    start = tail.rfind(b"OggS")
    header = tail[start : start + 27] if start >= 0 else b""
    n_segments = header[26] if len(header) == 27 else 0
    sizes = tail[start + 27 : start + 27 + n_segments]
    is_whole = len(header) == 27 and len(sizes) == n_segments and start + 27 + n_segments + sum(sizes) <= len(tail)
    if not is_whole:
        raise DataError("truncated: the last Ogg page is cut")
    if not header[5] & _LAST_PAGE:
        raise DataError("truncated: the last Ogg page does not end the stream; the file is cut, or was never closed")


def check_mp3_length(stream: BinaryIO, n_samples: int, n_expected: int, sample_rate_hz: int) -> None:
    """Check that an MP3 holds as many samples as it states, to two frames: encoders count their own delay or not.

    Args:
        stream: At the file's start.
        n_samples: Decoded, per channel.
        n_expected: What the decoder takes the file's length for: what the tag states, else an estimate.
        sample_rate_hz: Of the file; a frame has 1152 samples from 32 kHz on, 576 below.

    Raises:
        DataError: It states more than it holds.
    """
    tolerance_samples = 2 * (1152 if sample_rate_hz >= 32_000 else 576)
    if n_samples + tolerance_samples < n_expected and states_mp3_length(stream):
        raise DataError(f"truncated: the first frame states {n_expected} samples, {n_samples} can be decoded")


def states_mp3_length(stream: BinaryIO) -> bool:
    """Tell whether an MP3 states how many frames it has: a tag `Xing` or `Info` with that number in its first frame.

    Without one, a decoder can only estimate the length.
    """
    head = stream.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # Four bytes of seven bits each; the header itself is not counted.
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    stream.seek(start)
    frame = stream.read(_TAG_WITHIN_BYTES)
    found = [place for place in (frame.find(b"Xing"), frame.find(b"Info")) if place >= 0]
    return bool(found) and len(frame) >= min(found) + 8 and bool(frame[min(found) + 7] & 1)
