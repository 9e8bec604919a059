"""Ogg files that are the same bytes whenever they are written: libsndfile draws a stream's number by the clock."""

from __future__ import annotations

import struct

from auscult.errors import DataError

_HEADER = struct.Struct("<4sBBqIIIB")  # mark, version, type, position, stream, page, checksum, segments
_STREAM = 1


def _crc_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def page_checksum(page: bytes) -> int:
    """Return an Ogg page's checksum (RFC 3533): a CRC-32 of polynomial 0x04C11DB7, neither reflected nor inverted.

    Args:
        page: The whole page, its checksum field set to 0.
    """
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _CRC[(value >> 24) ^ byte]
    return value


def with_fixed_stream(content: bytes) -> bytes:
    """Return an Ogg file of one stream with that stream's number fixed and the checksums made to fit.

    Raises:
        DataError: It does not consist of whole Ogg pages.
    """
    pages: list[bytes] = []
    start = 0
    while start < len(content):
        if len(content) - start < _HEADER.size or content[start : start + 4] != b"OggS":
            raise DataError(f"found no Ogg page at byte {start}, expected `OggS` and a whole header")
        mark, version, kind, position, _, number, _, n_segments = _HEADER.unpack_from(content, start)
        body = start + _HEADER.size
        end = body + n_segments + sum(content[body : body + n_segments])
        fields = (mark, version, kind, position, _STREAM, number)
        checksum = page_checksum(_HEADER.pack(*fields, 0, n_segments) + content[body:end])
        pages.append(_HEADER.pack(*fields, checksum, n_segments) + content[body:end])
        start = end
    return b"".join(pages)
