"""Whether a sound file is whole: what its header states, or its last page, against the bytes that are there."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

from auscult.errors import DataError

_UNKNOWN_SIZE = 0xFFFFFFFF
PLACEHOLDER_SIZES = frozenset({0, _UNKNOWN_SIZE, 0x7FFFFFFF, 0x80000000, 0x7FFFF000})
"""Sizes of a data chunk that writers to a pipe, and recorders before they stop, leave: they never filled in the true
one. No wav of just such a size, 2 GiB and more, is cut short to what is there: the sound lasts until the file's end."""
_CHUNKS_BESIDE_SOUND = frozenset(
    {b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"fact", b"iXML", b"JUNK", b"PAD ", b"smpl"}
)
_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_TAG_WITHIN_BYTES = 4096
"""An MP3's first frame, in which the tag stands, is shorter than this."""

_RESERVED_VERSION = 1
_LAYER_III = 1
_RATES_HZ = (44_100, 48_000, 32_000)
_MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


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


def ogg_end(stream: BinaryIO, n_bytes: int) -> int | None:
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


def check_mp3_length(stream: BinaryIO, n_samples: int, n_expected: int, sample_rate_hz: int) -> None:
    """Check that an MP3 gave all its samples, to two frames: encoders count their own delay or not.

    Args:
        stream: At the file's start.
        n_samples: Decoded, per channel.
        n_expected: What the decoder takes the file's length for: what the first frame states, else an estimate, at
            which it stops whatever is left.
        sample_rate_hz: Of the file; a frame has 1152 samples from 32 kHz on, 576 below.

    Raises:
        DataError: It states more than it holds, or states nothing and holds more than was decoded.
    """
    frame_samples = 1152 if sample_rate_hz >= 32_000 else 576
    if states_mp3_length(stream):
        if n_samples + 2 * frame_samples < n_expected:
            raise DataError(f"truncated: the first frame states {n_expected} samples, {n_samples} can be decoded")
        return
    stream.seek(0)
    n_there = count_mp3_frames(stream) * frame_samples
    if n_samples + 2 * frame_samples < n_there:
        raise DataError(
            f"length not stated: some {n_there} samples are there, {n_samples} can be decoded, because the first frame "
            "does not state how many follow; `ffmpeg -i old.mp3 -c copy new.mp3` writes it anew with that number"
        )


class Mp3Frames(NamedTuple):
    """Frames that follow each other: how many, and where the last one ends in the file."""

    n_frames: int
    end: int


def count_mp3_frames(stream: BinaryIO) -> int:
    """Return how many frames of layer III follow each other from the first one on (ISO 11172-3, 2.4.1 and 2.4.2)."""
    return walk_mp3_frames(stream).n_frames


def walk_mp3_frames(stream: BinaryIO, at_most: int | None = None) -> Mp3Frames:
    """Return the frames of layer III that follow each other from the first one on; at most so many, if it is said."""
    start = after_id3(stream)
    stream.seek(start)
    head = stream.read(_TAG_WITHIN_BYTES)
    # The first two frames in a row: a lone pattern of a header's bits stands in any noise.
    for offset in range(len(head) - 4):
        n_bytes = mp3_frame_bytes(head[offset : offset + 4])
        if n_bytes and mp3_frame_bytes(head[offset + n_bytes : offset + n_bytes + 4]):
            start += offset
            break
    n_frames = 0
    while at_most is None or n_frames < at_most:
        stream.seek(start)
        n_bytes = mp3_frame_bytes(stream.read(4))
        if not n_bytes:
            break
        n_frames += 1
        start += n_bytes
    return Mp3Frames(n_frames, start)


def stated_mp3_frames(stream: BinaryIO) -> int | None:
    """Return how many frames an MP3 states, the one with the tag included; None where it states none."""
    if not states_mp3_length(stream):
        return None
    stream.seek(after_id3(stream))
    frame = stream.read(_TAG_WITHIN_BYTES)
    tag = min(place for place in (frame.find(b"Xing"), frame.find(b"Info")) if place >= 0)
    return 1 + int.from_bytes(frame[tag + 8 : tag + 12], "big")


def mp3_frame_bytes(header: bytes) -> int:
    """Return the length of the frame that four bytes open, 0 where they open none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == _RESERVED_VERSION or layer != _LAYER_III or rate_index == 3 or not 0 < bitrate_index < 15:
        return 0
    is_mpeg1 = version == 3
    rate_hz = _RATES_HZ[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    bitrate_per_s = 1000 * (_MPEG1_KBITS if is_mpeg1 else _MPEG2_KBITS)[bitrate_index]
    return (144 if is_mpeg1 else 72) * bitrate_per_s // rate_hz + (header[2] >> 1 & 1)


def states_mp3_length(stream: BinaryIO) -> bool:
    """Tell whether an MP3 states how many frames it has: a tag `Xing` or `Info` with that number in its first frame.

    Without one, a decoder can only estimate the length.
    """
    stream.seek(after_id3(stream))
    frame = stream.read(_TAG_WITHIN_BYTES)
    found = [place for place in (frame.find(b"Xing"), frame.find(b"Info")) if place >= 0]
    return bool(found) and len(frame) >= min(found) + 8 and bool(frame[min(found) + 7] & 1)


def after_id3(stream: BinaryIO) -> int:
    """Return where the sound may start: behind the tag with title and pictures, if there is one."""
    stream.seek(0)
    head = stream.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    # Four bytes of seven bits each; the header itself is not counted.
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def check_riff_sizes(stream: BinaryIO, n_bytes: int) -> int | None:
    """Compare the size that a wav's data chunk declares with the bytes there: libsndfile reads what is left in silence.

    Only the data chunk decides. A wrong size of the whole file, or a cut note after the sound, loses no sample.

    Returns:
        The placeholder that stands for the size where the writer never filled it in; None where it did.

    Raises:
        DataError: Fewer bytes are there than it declares.
    """
    head = stream.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
        return None
    byte_order = "big" if head[:4] == b"RIFX" else "little"
    size_64_bit: int | None = None
    while True:
        chunk = stream.read(8)
        if len(chunk) < 8:
            raise DataError("truncated: the wav file ends before its data chunk")
        size = int.from_bytes(chunk[4:], byte_order)  # pyright: ignore[reportArgumentType]
        if chunk[:4] == b"ds64":
            body = stream.read(size)
            size_64_bit = int.from_bytes(body[8:16], "little")
            continue
        if chunk[:4] == b"data":
            break
        stream.seek(size + size % 2, 1)
    n_there = n_bytes - stream.tell()
    if size == _UNKNOWN_SIZE and size_64_bit is not None:
        size = size_64_bit
    elif size == 0 and stream.read(4) in _CHUNKS_BESIDE_SOUND:
        raise DataError("empty: the file holds no samples, only notes follow its header")
    elif size in PLACEHOLDER_SIZES and n_there > 0:
        return size if n_there != size else None
    if n_there < size:
        raise DataError(f"truncated: the data chunk declares {size} bytes, {n_there} are there")
    return None
