"""Decode a whole audio file once and state its facts, so that damage is found before anything is built on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from auscult.audio.endings import check_mp3_length, check_ogg_end
from auscult.audio.fingerprint import Fingerprinter
from auscult.audio.sequential import SequentialFile
from auscult.errors import DataError
from auscult.io import sha256_file

BLOCK_SAMPLES = 1 << 17
"""Decoded at once, over all channels: a damaged header may claim a thousand of them."""
_UNKNOWN_SIZE = 0xFFFFFFFF  # what a writer to a pipe leaves: it could not go back to fill in the size
_FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE", "VORBIS", "OPUS"})
_STATED_LENGTH_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "CAF"})


@dataclass(frozen=True)
class AudioFacts:
    """What a file holds; `n_samples` counts per channel, `sha256` is of the file's bytes.

    `encoding` is libsndfile's name of the sample format (`PCM_16`), after the container where that is no wav
    (`FLAC/PCM_16`). `fingerprint` is equal or nearly so for copies of one sound (`audio.fingerprint`); None where there
    is too little to tell.
    """

    sample_rate_hz: int
    n_channels: int
    n_samples: int
    duration_s: float
    encoding: str
    sha256: str
    fingerprint: str | None


def probe(path: Path) -> AudioFacts:
    """Decode `path` in blocks and return its facts.

    Raises:
        DataError: The file is missing, empty, cut short (by the sizes that its header declares, or its last page), not
            readable by libsndfile, or holds samples that are not finite. The message opens with the class of the
            fault (`truncated: ...`) and does not name the file.
    """
    path = Path(path)
    try:
        n_bytes = path.stat().st_size
        if n_bytes == 0:
            raise DataError("empty: the file has 0 bytes")
        with open(path, "rb") as stream:
            _check_riff_sizes(stream, n_bytes)
            check_ogg_end(stream)
        return _decode(path)
    except FileNotFoundError:
        raise DataError("missing: no such file") from None
    except OSError as error:
        raise DataError(f"unreadable: {error.strerror or error}") from None
    except soundfile.LibsndfileError as error:
        raise DataError(f"unreadable: {error.error_string.strip()} libsndfile decodes wav, flac, ogg and mp3") from None


def _decode(path: Path) -> AudioFacts:
    with SequentialFile(path) as sound:
        holds_floats = sound.subtype in _FLOAT_SUBTYPES
        shape = (max(1, BLOCK_SAMPLES // sound.channels), sound.channels)
        block = np.empty(shape, dtype=np.float32)
        fingerprinter = Fingerprinter(sound.samplerate, sound.channels)
        n_samples = 0
        while True:
            filled = block[: len(sound.read(out=block))]
            if len(filled) == 0:
                break
            if holds_floats and not np.isfinite(filled).all():
                first = n_samples + int(np.flatnonzero(~np.isfinite(filled).all(axis=1))[0])
                raise DataError(f"not finite: sample {first} is NaN or infinite")
            fingerprinter.add(filled)
            n_samples += len(filled)
        if sound.format == "MP3":
            with open(path, "rb") as stream:
                check_mp3_length(stream, n_samples, sound.frames, sound.samplerate)
        if n_samples == 0:
            raise DataError("empty: the file holds no samples")
        if sound.format in _STATED_LENGTH_FORMATS and n_samples < sound.frames:
            raise DataError(f"truncated: the header declares {sound.frames} samples, {n_samples} can be decoded")
        container = "" if sound.format in {"WAV", "WAVEX"} else f"{sound.format}/"
        return AudioFacts(
            sample_rate_hz=sound.samplerate,
            n_channels=sound.channels,
            n_samples=n_samples,
            duration_s=n_samples / sound.samplerate,
            encoding=f"{container}{sound.subtype}",
            sha256=sha256_file(path),
            fingerprint=fingerprinter.text(),
        )


def _check_riff_sizes(stream: BinaryIO, n_bytes: int) -> None:
    """Compare the size that a wav's data chunk declares with the bytes there: libsndfile reads what is left in silence.

    Only the data chunk decides. A wrong size of the whole file, or a cut note after the sound, loses no sample.
    """
    head = stream.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
        return
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
    if size == _UNKNOWN_SIZE:
        if size_64_bit is None:
            return
        size = size_64_bit
    n_there = n_bytes - stream.tell()
    if n_there < size:
        raise DataError(f"truncated: the data chunk declares {size} bytes, {n_there} are there")
    if size == 0 and n_there > 0:
        raise DataError(f"truncated: the header was never finished (0 bytes declared, {n_there} are there)")
