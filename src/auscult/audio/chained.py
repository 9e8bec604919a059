"""Sounds that stand one behind the other in a file (`cat a.ogg b.ogg`), and a part of a file read as one of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from auscult.audio.endings import after_id3, mp3_frame_bytes, ogg_end, stated_mp3_frames, walk_mp3_frames

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST_PAGE = 0x02
_ID3V1_BYTES = 128
_TAG_WITHIN_BYTES = 48
"""The tag that states an MP3's length stands so near its first frame's start."""


def open_part(stream: BinaryIO, start: int, end: int) -> io.BufferedReader:
    """Open some bytes of an open file as a file of their own.

    Args:
        stream: The file; it is moved, and not closed.
        start: The part's first byte.
        end: The byte behind its last.
    """
    return io.BufferedReader(_FilePart(stream, start, end))


class _FilePart(io.RawIOBase):
    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        self._stream = stream
        self._start = start
        self._n_bytes = end - start
        self._place = 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte of the part and return its number."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._n_bytes}[whence]
        return self._place

    def tell(self) -> int:
        """Return the number of the byte that is read next."""
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` from here on, as far as the part goes, and return how many bytes that was."""
        view = memoryview(buffer).cast("B")
        n_wanted = max(0, min(len(view), self._n_bytes - self._place))
        self._stream.seek(self._start + self._place)
        data = self._stream.read(n_wanted)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def chained_ranges(stream: BinaryIO, container: str) -> list[tuple[int, int]]:
    """Return where each sound of a file begins and ends, in bytes; the last one ends with the file.

    Args:
        stream: The file.
        container: libsndfile's name; only `OGG` and `MP3` say where a sound ends and the next one begins.
    """
    n_bytes = stream.seek(0, os.SEEK_END)
    starts = [0, *_further_starts(stream, container, n_bytes)]
    return list(zip(starts, [*starts[1:], n_bytes], strict=True))


def _further_starts(stream: BinaryIO, container: str, n_bytes: int) -> Iterator[int]:
    find_next = {"OGG": _next_ogg, "MP3": _next_mp3}.get(container)
    start = None if find_next is None else find_next(stream, 0, n_bytes)
    while find_next is not None and start is not None:
        yield start
        start = find_next(stream, start, n_bytes)


def _next_ogg(stream: BinaryIO, start: int, n_bytes: int) -> int | None:
    """Return where the streams begin that are chained to those which begin at `start` (RFC 3533, 4)."""
    end = ogg_end(open_part(stream, start, n_bytes), n_bytes - start)
    if end is None:
        return None
    stream.seek(start + end)
    page = stream.read(6)
    return start + end if page[:4] == b"OggS" and len(page) == 6 and page[5] & _FIRST_PAGE else None


def _next_mp3(stream: BinaryIO, start: int, n_bytes: int) -> int | None:
    """Return where an MP3 that states its length begins behind one that does too, and begins at `start`."""
    part = open_part(stream, start, n_bytes)
    n_stated = stated_mp3_frames(part)
    if n_stated is None:
        return None
    # Encoders count their first frame or not, and fill up their last.
    end = start + walk_mp3_frames(part, max(1, n_stated - 1)).end
    head = _read_at(stream, end)
    for _ in range(2):
        if not _states_length(head):
            end += mp3_frame_bytes(head[:4])
            head = _read_at(stream, end)
    if head[:3] == b"TAG":
        end += _ID3V1_BYTES
    n_tag_bytes = after_id3(open_part(stream, end, n_bytes))  # the next sound's own
    return end if _states_length(_read_at(stream, end + n_tag_bytes)) else None


def _read_at(stream: BinaryIO, place: int) -> bytes:
    stream.seek(place)
    return stream.read(_TAG_WITHIN_BYTES)


def _states_length(head: bytes) -> bool:
    return mp3_frame_bytes(head[:4]) > 0 and (b"Xing" in head or b"Info" in head)
