"""Bytes that follow the sound which a decoder gives: a second stream behind the first, or what belongs to no sound."""

from __future__ import annotations

import os
from bisect import bisect_left
from typing import BinaryIO

import soundfile

from auscult.audio.chained import open_part
from auscult.audio.endings import ogg_end, stated_mp3_frames, walk_mp3_frames

_ID3V1_BYTES = 128
_APE_FOOTER_BYTES = 32


def count_trailing_bytes(stream: BinaryIO, container: str) -> int | None:
    """Return how many bytes follow the sound of a file; None where its container does not say where the sound ends.

    Args:
        stream: The file.
        container: libsndfile's name: `OGG`, `MP3`, `FLAC`, `WAV`, `WAVEX`.
    """
    n_bytes = stream.seek(0, os.SEEK_END)
    end = {"OGG": ogg_end, "MP3": _mp3_end, "FLAC": _flac_end, "WAV": _riff_end, "WAVEX": _riff_end}.get(container)
    found = None if end is None else end(stream, n_bytes)
    return None if found is None else max(0, n_bytes - found)


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


def _flac_end(stream: BinaryIO, n_bytes: int) -> int:
    """Return where the shortest part from the start ends that holds the last sample: no frame says how long it is."""
    n_tags = _tags_bytes(stream, n_bytes)
    last = n_bytes - n_tags - 1
    if not _holds_last_sample(stream, last):
        return n_bytes
    return n_tags + bisect_left(range(last), True, key=lambda end: _holds_last_sample(stream, end))


def _holds_last_sample(stream: BinaryIO, end: int) -> bool:
    try:
        with soundfile.SoundFile(open_part(stream, 0, end)) as sound:
            return sound.frames > 0 and sound.seek(sound.frames - 1) >= 0 and len(sound.read(1)) == 1
    except soundfile.LibsndfileError:
        return False


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
