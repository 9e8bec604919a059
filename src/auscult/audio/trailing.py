"""Bytes that follow the sound which a decoder gives: a second stream behind the first, or what belongs to no sound."""

from __future__ import annotations

import os
from typing import BinaryIO

from auscult.audio.endings import stated_mp3_frames, walk_mp3_frames

_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_ID3V1_BYTES = 128
_APE_FOOTER_BYTES = 32
_FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The mark of a FLAC file and the head of its first block, which describes the stream (RFC 9639, 8.2)."""
_BLOCK_BYTES = 1 << 20


def count_trailing_bytes(stream: BinaryIO, container: str) -> int | None:
    """Return how many bytes follow the sound of a file; None where its container does not say where the sound ends.

    Args:
        stream: The file.
        container: libsndfile's name: `OGG`, `MP3`, `FLAC`, `WAV`, `WAVEX`.
    """
    n_bytes = stream.seek(0, os.SEEK_END)
    end = {"OGG": _ogg_end, "MP3": _mp3_end, "FLAC": _flac_end, "WAV": _riff_end, "WAVEX": _riff_end}.get(container)
    found = None if end is None else end(stream, n_bytes)
    return None if found is None else max(0, n_bytes - found)


def _ogg_end(stream: BinaryIO, n_bytes: int) -> int | None:
    """Return where the last page of the first group of streams ends (RFC 3533, 4); other streams may be chained on."""
    start, open_streams = 0, set[bytes]()
    while start < n_bytes:
        stream.seek(start)
        header = stream.read(27)
        if len(header) < 27 or header[:4] != b"OggS":
            return None
        sizes = stream.read(header[26])
        start += 27 + len(sizes) + sum(sizes)
        serial = header[14:18]
        if header[5] & _FIRST_PAGE:
            open_streams.add(serial)
        if header[5] & _LAST_PAGE:
            open_streams.discard(serial)
            if not open_streams:
                return start
    return None


def _mp3_end(stream: BinaryIO, n_bytes: int) -> int:
    """Return where the frames end that the first one states, or else those that follow each other."""
    tail = _tags_bytes(stream, n_bytes)
    n_frames, end = walk_mp3_frames(stream, stated_mp3_frames(stream))
    # Encoders count their first frame or not, and fill up their last.
    slack = 2 * end / max(1, n_frames)
    return n_bytes if n_bytes - tail - end <= slack else end + tail


def _tags_bytes(stream: BinaryIO, n_bytes: int) -> int:
    """Return how long the tags with title and artist at a file's end are."""
    n_tags = 0
    stream.seek(max(0, n_bytes - _ID3V1_BYTES))
    if stream.read(3) == b"TAG":
        n_tags = _ID3V1_BYTES
    stream.seek(max(0, n_bytes - n_tags - _APE_FOOTER_BYTES))
    footer = stream.read(_APE_FOOTER_BYTES)
    if footer[:8] == b"APETAGEX":
        n_tags += int.from_bytes(footer[12:16], "little") + _APE_FOOTER_BYTES * (footer[23] >> 7 & 1)
    return n_tags


def _flac_end(stream: BinaryIO, n_bytes: int) -> int | None:
    """Return where a second FLAC file begins behind the first; frames do not say how long they are."""
    stream.seek(0)
    start, held, has_first = 0, b"", False
    while block := stream.read(_BLOCK_BYTES):
        # What is held of the block before is shorter than the mark: no mark is met twice.
        searched, place = held + block, -1
        while (place := searched.find(_FLAC_START, place + 1)) >= 0:
            if has_first:
                return start - len(held) + place
            has_first = True
        start += len(block)
        held = searched[1 - len(_FLAC_START) :]
    return None


def _riff_end(stream: BinaryIO, n_bytes: int) -> int | None:
    """Return where the chunks of a wav end; a cut note at the end counts as one."""
    stream.seek(0)
    head = stream.read(12)
    byte_order = "big" if head[:4] == b"RIFX" else "little"
    start, is_behind_sound = 12, False
    while start + 8 <= n_bytes:
        stream.seek(start)
        chunk = stream.read(8)
        size = int.from_bytes(chunk[4:], byte_order)  # pyright: ignore[reportArgumentType]
        if chunk[:4] == b"RIFF" or not all(0x20 <= byte < 0x7F for byte in chunk[:4]):
            return start if is_behind_sound and any(chunk[:4]) else None
        is_behind_sound = is_behind_sound or chunk[:4] == b"data"
        start += 8 + size + size % 2
    return n_bytes
