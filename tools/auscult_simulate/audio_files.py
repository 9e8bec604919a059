"""Writing waveforms as WAV, FLAC, Ogg Vorbis and MP3; equal waveforms give equal bytes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

import soundfile

from auscult.errors import DataError
from auscult_simulate.signals import Signal

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


Subtype = Literal["PCM_16", "PCM_24", "PCM_32"]

AUDIO_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Suffix -> libsndfile's names of the container and of the sample format."""


def write_wav(path: Path, waveform: Signal, sample_rate_hz: int, subtype: Subtype = "PCM_16") -> None:
    """Write a mono WAV; equal waveforms give equal bytes.

    Args:
        path: Its folder is made when absent.
        waveform: In [-1, 1), shape [sample].
        sample_rate_hz: Written to the header.
        subtype: libsndfile's name of the sample format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, sample_rate_hz, subtype=subtype, format="WAV")


def write_audio(path: Path, waveform: Signal, sample_rate_hz: int) -> None:
    """Write a sound in the format that the path's suffix names; equal waveforms give equal bytes.

    Args:
        path: Its suffix is one of `AUDIO_FORMATS`; its folder is made when absent.
        waveform: In [-1, 1), shape [sample] or [sample, channel].
        sample_rate_hz: Written to the header; MP3 knows 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    container, subtype = AUDIO_FORMATS[path.suffix]
    soundfile.write(path, waveform, sample_rate_hz, subtype=subtype, format=container)
    if path.suffix == ".ogg":
        path.write_bytes(with_fixed_stream(path.read_bytes()))
