"""Sounds that were joined byte by byte, as `cat a.ogg b.ogg` does, are read to the end of the last one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.encoded import tone

from auscult.audio.decode import decode
from auscult.audio.probe import probe
from auscult.errors import ConfigError, DataError

KINDS = {
    "vorbis": (".ogg", {"format": "OGG", "subtype": "VORBIS"}, 8000),
    "opus": (".opus", {"format": "OGG", "subtype": "OPUS"}, 8000),
    "mp3": (".mp3", {"format": "MP3"}, 16_000),
    "mp3 of 44.1 kHz": (".mp3", {"format": "MP3"}, 44_100),
}
TITLE = b"TAG" + bytes(125)
PICTURE = b"ID3\x04\0\0" + bytes([0, 0, 0x4E, 0x10]) + bytes(0x4E * 128 + 0x10)


def write(folder: Path, kind: str, duration_s: float, *, n_channels: int = 1, rate_hz: int | None = None) -> bytes:
    suffix, options, usual_hz = KINDS[kind]
    rate_hz = rate_hz or usual_hz
    path = folder / f"one{suffix}"
    sound = np.stack(n_channels * [tone(rate_hz, duration_s, 200 * duration_s)], 1)
    soundfile.write(path, sound, rate_hz, **options)
    return path.read_bytes()


def decoded(path: Path) -> np.ndarray:
    facts = probe(path)
    return np.concatenate(list(decode(path, 0, sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)))


def read_alone(folder: Path, kind: str, content: bytes) -> np.ndarray:
    path = folder / f"alone{KINDS[kind][0]}"
    path.write_bytes(content)
    return decoded(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_each_of_the_sounds_is_read_as_if_it_stood_alone(tmp_path: Path, kind: str, n_channels: int) -> None:
    parts = [write(tmp_path, kind, duration_s, n_channels=n_channels) for duration_s in (1.0, 2.0, 0.7)]
    path = tmp_path / f"joined{KINDS[kind][0]}"
    path.write_bytes(b"".join(parts))
    assert probe(path).duration_s == pytest.approx(3.7)
    assert probe(path).trailing_bytes == 0
    np.testing.assert_array_equal(decoded(path), np.concatenate([read_alone(tmp_path, kind, part) for part in parts]))


@pytest.mark.parametrize("between", [TITLE, PICTURE, TITLE + PICTURE], ids=["title", "picture", "both"])
def test_tags_between_joined_mp3_are_no_end(tmp_path: Path, between: bytes) -> None:
    one, two = write(tmp_path, "mp3", 1.0), write(tmp_path, "mp3", 2.0)
    path = tmp_path / "joined.mp3"
    path.write_bytes(one + between + two + TITLE)
    assert (probe(path).n_samples, probe(path).trailing_bytes) == (3 * 16_000, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_sound_of_the_same_kind_behind_joined_sounds_is_counted(tmp_path: Path, kind: str) -> None:
    one, two = write(tmp_path, kind, 1.0), write(tmp_path, kind, 2.0)
    other = write(tmp_path, kind, 1.0, n_channels=2)
    path = tmp_path / f"joined{KINDS[kind][0]}"
    path.write_bytes(one + two + other)
    facts = probe(path)
    assert (facts.duration_s, facts.n_channels, facts.trailing_bytes) == (3.0, 1, len(other))
    assert len(decoded(path)) == facts.n_samples


def test_a_joined_sound_that_is_cut_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "joined.ogg"
    path.write_bytes((write(tmp_path, "vorbis", 1.0) + write(tmp_path, "vorbis", 2.0))[:-500])
    with pytest.raises(DataError, match=r"^truncated"):
        probe(path)


def test_the_decoder_that_joins_otherwise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "joined.ogg"
    path.write_bytes(2 * write(tmp_path, "vorbis", 1.0))
    with pytest.raises(ConfigError, match=r"2 sounds stand one behind the other.*set `decoder: soundfile`"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=16_000, decoder="ffmpeg"))
