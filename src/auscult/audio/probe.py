"""Sound files that are read from their beginning to their end."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.audio.chained import chained_ranges, open_part
from auscult.audio.content import HEAD_BYTES, refuse_other_content
from auscult.audio.endings import check_mp3_length, check_ogg_end, check_riff_sizes
from auscult.audio.fingerprint import Fingerprinter
from auscult.audio.levels import LevelMeter
from auscult.audio.pyav import join_frames, open_pyav
from auscult.audio.trailing import count_trailing_bytes
from auscult.config.dataset import RateBounds
from auscult.errors import DataError
from auscult.storage.files import sha256_file


class SequentialFile(soundfile.SoundFile):
    """A sound file that is never sought in.

    After each block soundfile seeks to where it already is. In an MP3 that decodes frames a second time, and libmpg123
    then complains on the terminal of files that are whole.
    """

    def seekable(self) -> bool:
        """Return False, so that no block is followed by a seek."""
        return False

    def n_next(self, n_read: int, n_wanted: int) -> int:
        """Return how many samples to ask for next: in a FLAC not one beyond its end, where a tag of an MP3 may follow.

        Args:
            n_read: Samples per channel read so far.
            n_wanted: At most so many.
        """
        return min(n_wanted, self.frames - n_read) if self.format == "FLAC" else n_wanted


BELIEVABLE_RATES = RateBounds()
BLOCK_SAMPLES = 1 << 17
"""Decoded at once, over all channels: a damaged header may claim a thousand of them."""
_FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE", "VORBIS", "OPUS"})
_STATED_LENGTH_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "CAF"})


@dataclass(frozen=True)
class AudioFacts:
    """What a file holds; `n_samples` counts per channel, `sha256` is of the file's bytes.

    `encoding` is libsndfile's name of the sample format (`PCM_16`), after the container where that is no wav
    (`FLAC/PCM_16`), or FFmpeg's names of container and codec (`MP4/AAC`). `fingerprint` is equal or nearly so for
    copies of one sound (`audio.fingerprint`); None where there is too little to tell. `trailing_bytes` follow
    what was decoded; `placeholder_size` stands in a wav where its recorder never filled in the true size. The others
    are those of `audio.levels.SoundLevels`; None where nobody measured.
    """

    sample_rate_hz: int
    n_channels: int
    n_samples: int
    duration_s: float
    encoding: str
    sha256: str
    fingerprint: str | None
    peak: float | None = None
    rms_db: float | None = None
    clipped_share: float | None = None
    dc: float | None = None
    silent_share: float | None = None
    dead_channels: int | None = None
    dead_which: str | None = None
    channel_correlation: float | None = None
    mean_loss_db: float | None = None
    band_limit_hz: float | None = None
    trailing_bytes: int | None = None
    placeholder_size: int | None = None


def probe(path: Path, rates: RateBounds = BELIEVABLE_RATES) -> AudioFacts:
    """Decode `path` in blocks and return its facts.

    libsndfile reads it, or else FFmpeg; its content decides, not its name. Ogg and MP3 files that were joined byte by
    byte are read to the end of the last one.

    Args:
        path: The file.
        rates: What its sample rate is believed to be.

    Raises:
        DataError: The file is missing, empty, no sound, cut short (by the sizes that its header declares, or its last
            page), not readable, or holds samples that are not finite. The message opens with the class of the fault
            (`truncated: ...`) and does not name the file.
        ConfigError: The file needs FFmpeg, and PyAV does not load.
    """
    path = Path(path)
    try:
        n_bytes = path.stat().st_size
        if n_bytes == 0:
            raise DataError("empty: the file has 0 bytes")
        with open(path, "rb") as stream:
            refuse_other_content(stream.read(HEAD_BYTES))
            stream.seek(0)
            placeholder = check_riff_sizes(stream, n_bytes)
            check_ogg_end(stream)
        facts = _by_libsndfile(path, rates) or _by_pyav(path, rates)
        return facts if placeholder is None else replace(facts, placeholder_size=placeholder, trailing_bytes=None)
    except FileNotFoundError:
        raise DataError("missing: no such file") from None
    except OSError as error:
        raise DataError(f"unreadable: {error.strerror or error}") from None
    except soundfile.LibsndfileError as error:
        raise DataError(f"unreadable: {error.error_string.strip()}") from None


def open_by_libsndfile(path: Path) -> SequentialFile | None:
    """Open a file that libsndfile knows; None where it does not, which is FFmpeg's to read.

    Of a wav whose header was never finished, 0 bytes declared, libsndfile gives nothing, and FFmpeg all that is there.

    Raises:
        OSError: The file cannot be opened.
    """
    with open(path, "rb"):
        pass  # libsndfile does not tell a file that is not there from one that it does not know
    try:
        sound = SequentialFile(path)
    except soundfile.LibsndfileError:
        return None  # FFmpeg may know it, and says what is wrong where it does not
    if sound.frames > 0:
        return sound
    sound.close()
    return None


def alike_ranges(path: Path, first: SequentialFile) -> list[tuple[int, int]]:
    """Return the sounds that stand one behind the other in a file, as far as they are of one kind, rate and width.

    Args:
        path: The file.
        first: Its first sound, open.

    Returns:
        For each, where it begins and ends in bytes; what follows the last of them is not read.
    """
    with open(path, "rb") as stream:
        ranges = chained_ranges(stream, first.format)
        return [ranges[0], *takewhile(lambda place: _is_alike(stream, place, first), ranges[1:])]


def _is_alike(stream: BinaryIO, place: tuple[int, int], first: SequentialFile) -> bool:
    try:
        with SequentialFile(open_part(stream, *place)) as sound:
            kinds = [(one.samplerate, one.channels, one.format, one.subtype) for one in (sound, first)]
            return sound.frames > 0 and kinds[0] == kinds[1]
    except soundfile.LibsndfileError:
        return False


def open_sounds(path: Path, first: SequentialFile) -> Generator[tuple[SequentialFile, BinaryIO]]:
    """Yield the sounds that stand one behind the other in a file, mostly one, each with the bytes that it is read from.

    Args:
        path: The file.
        first: Its first sound, open and not read from; left open.
    """
    ranges = alike_ranges(path, first)
    with open(path, "rb") as stream:
        if len(ranges) == 1:
            yield first, stream
            return
        for place in ranges:
            part = open_part(stream, *place)
            with SequentialFile(part) as sound:
                yield sound, part


def _by_libsndfile(path: Path, rates: RateBounds) -> AudioFacts | None:
    """Return the facts of a file that libsndfile knows; None for others."""
    opened = open_by_libsndfile(path)
    if opened is None:
        return None
    with opened as first:
        counted = _Counted(first.samplerate, first.channels, rates, may_be_infinite=first.subtype in _FLOAT_SUBTYPES)
        for sound, stream in open_sounds(path, first):
            _take_whole(counted, sound, stream)
        container = "" if first.format in {"WAV", "WAVEX"} else f"{first.format}/"
        return counted.facts(path, f"{container}{first.subtype}", _count_unread(path, first))


def _take_whole(counted: _Counted, sound: SequentialFile, stream: BinaryIO) -> None:
    n_before = counted.n_samples
    counted.take(_blocks(sound))
    n_samples = counted.n_samples - n_before
    if sound.format == "MP3":
        check_mp3_length(stream, n_samples, sound.frames, sound.samplerate)
    if sound.format in _STATED_LENGTH_FORMATS and 0 < n_samples < sound.frames:
        raise DataError(f"truncated: the header declares {sound.frames} samples, {n_samples} can be decoded")


def _count_unread(path: Path, first: SequentialFile) -> int | None:
    ranges = alike_ranges(path, first)
    with open(path, "rb") as stream:
        if len(ranges) == 1:
            return count_trailing_bytes(stream, first.format)
        counts = [count_trailing_bytes(open_part(stream, *place), first.format) for place in ranges]
        return stream.seek(0, os.SEEK_END) - ranges[-1][1] + sum(count or 0 for count in counts)


def _blocks(sound: SequentialFile) -> Iterator[NDArray[np.float32]]:
    """Yield blocks that are overwritten by the next."""
    block = np.empty((max(1, BLOCK_SAMPLES // sound.channels), sound.channels), dtype=np.float32)
    n_read = 0
    while n_next := sound.n_next(n_read, len(block)):
        filled = block[: len(sound.read(out=block[:n_next]))]
        if not len(filled):
            return
        n_read += len(filled)
        yield filled


def _by_pyav(path: Path, rates: RateBounds) -> AudioFacts:
    with open_pyav(path) as sound:
        counted = _Counted(sound.sample_rate_hz, sound.n_channels, rates, may_be_infinite=True)
        counted.take(join_frames(sound.frames, max(1, BLOCK_SAMPLES // sound.n_channels)))
        if sound.n_stated is not None and counted.n_samples + 2 * sound.frame_samples < sound.n_stated:
            found = f"{counted.n_samples} can be decoded"
            raise DataError(f"truncated: the file states {sound.n_stated} samples, {found}")
        with open(path, "rb") as stream:
            n_unread = count_trailing_bytes(stream, sound.encoding.split("/")[0])
        return counted.facts(path, sound.encoding, n_unread)


class _Counted:
    """What a file's blocks hold, block by block."""

    def __init__(self, sample_rate_hz: int, n_channels: int, rates: RateBounds, *, may_be_infinite: bool) -> None:
        if not rates.min <= sample_rate_hz <= rates.max:
            raise DataError(
                f"sample rate: {sample_rate_hz} Hz is not believable, expected {rates.min} to {rates.max} Hz; write "
                "the header anew with the recorder's rate, or, if it is right, say `rate_hz: {min: ..., max: ...}` in "
                "the dataset's YAML"
            )
        self._rate = sample_rate_hz
        self._n_channels = n_channels
        self._may_be_infinite = may_be_infinite
        self._fingerprinter = Fingerprinter(sample_rate_hz, n_channels)
        self._meter = LevelMeter(sample_rate_hz, n_channels, holds_floats=may_be_infinite)
        self.n_samples = 0

    def take(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        """Take all blocks of a file, shape [sample, channel]."""
        for block in blocks:
            if self._may_be_infinite and not np.isfinite(block).all():
                first = self.n_samples + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise DataError(f"not finite: sample {first} is NaN or infinite")
            self._fingerprinter.add(block)
            self._meter.add(block)
            self.n_samples += len(block)

    def facts(self, path: Path, encoding: str, n_unread: int | None) -> AudioFacts:
        if self.n_samples == 0:
            raise DataError("empty: the file holds no samples")
        return AudioFacts(
            sample_rate_hz=self._rate,
            n_channels=self._n_channels,
            n_samples=self.n_samples,
            duration_s=self.n_samples / self._rate,
            encoding=encoding,
            sha256=sha256_file(path),
            fingerprint=self._fingerprinter.text(),
            trailing_bytes=n_unread,
            **vars(self._meter.levels()),
        )
