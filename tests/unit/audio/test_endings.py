"""Ogg and MP3 files that are cut short are found out, whole ones are not."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.audio.endings import check_mp3_length, check_ogg_end, count_mp3_frames, states_mp3_length
from auscult.audio.probe import probe
from auscult.errors import DataError

FORMATS = {".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", "MPEG_LAYER_III")}


def _write(path: Path, rate_hz: int = 8000, n_channels: int = 1) -> int:
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, (5 * rate_hz + 17, n_channels))
    container, subtype = FORMATS[path.suffix]
    soundfile.write(path, waveform, rate_hz, format=container, subtype=subtype)
    return len(waveform)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("rate_hz", "n_channels"), [(8000, 1), (22_050, 2), (44_100, 1)])
def test_a_whole_file_is_whole(suffix: str, rate_hz: int, n_channels: int, tmp_path: Path) -> None:
    n_samples = _write(tmp_path / f"a{suffix}", rate_hz, n_channels)
    assert probe(tmp_path / f"a{suffix}").n_samples == n_samples


@pytest.mark.parametrize(
    ("suffix", "share"), [(".ogg", 0.05), *((suffix, share) for suffix in FORMATS for share in (0.4, 0.7, 0.9))]
)
def test_a_cut_file_is_truncated(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    _write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"^truncated: "):
        probe(path)


def test_an_ogg_cut_between_two_pages_or_by_its_last_byte_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    _write(path, 44_100)
    content = path.read_bytes()
    with pytest.raises(DataError, match="does not end the stream"):
        check_ogg_end(io.BytesIO(content[: content.rfind(b"OggS")]))
    with pytest.raises(DataError, match="page is cut"):
        check_ogg_end(io.BytesIO(content[:-1]))
    with pytest.raises(DataError, match="page is cut"):
        check_ogg_end(io.BytesIO(content[: content.rfind(b"OggS") + 20]))
    check_ogg_end(io.BytesIO(content))


def test_a_tag_of_an_mp3_is_found_behind_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    _write(path)
    content = path.read_bytes()
    assert states_mp3_length(io.BytesIO(content))
    picture = b"ID3\x04\0\0" + bytes([0, 0, 0x4E, 0x10]) + bytes(0x4E * 128 + 0x10)
    assert states_mp3_length(io.BytesIO(picture + content))
    assert not states_mp3_length(io.BytesIO(content.replace(b"Info", b"\0\0\0\0").replace(b"Xing", b"\0\0\0\0")))
    assert not states_mp3_length(io.BytesIO(b""))


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(8000, 1), (22_050, 2), (44_100, 1)])
def test_frames_are_counted_as_many_as_the_tag_says(rate_hz: int, n_channels: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    _write(path, rate_hz, n_channels)
    content = path.read_bytes()
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    stated = int.from_bytes(content[tag + 8 : tag + 12], "big")
    # The frame of the tag itself is not counted in it.
    assert count_mp3_frames(io.BytesIO(content)) == stated + 1
    assert count_mp3_frames(io.BytesIO(b"noise" + content + b"TAG" + bytes(125))) == stated + 1
    assert count_mp3_frames(io.BytesIO(b"noise, and nothing else")) == 0


def test_an_mp3_that_is_not_read_to_its_end_says_why(tmp_path: Path) -> None:
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 44_100)
    soundfile.write(tmp_path / "a.mp3", waveform, 44_100, format="MP3", subtype="MPEG_LAYER_III")
    content = (tmp_path / "a.mp3").read_bytes()
    assert probe(tmp_path / "a.mp3").n_samples == len(waveform)
    untold = content.replace(b"Info", b"\0\0\0\0").replace(b"Xing", b"\0\0\0\0")
    with pytest.raises(DataError, match=r"^length not stated: some \d+ samples are there, 1000 can be decoded"):
        check_mp3_length(io.BytesIO(untold), 1000, 1000, 44_100)
    check_mp3_length(io.BytesIO(untold), len(waveform) + 1152, len(waveform) + 1152, 44_100)
