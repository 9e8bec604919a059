import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.encoded import CODECS, encode, tone

from auscult.audio.decode import decode
from auscult.audio.probe import open_by_libsndfile, probe
from auscult.errors import DataError

ENCODINGS = {
    ".m4a": "MP4/AAC",
    ".mp4": "MP4/AAC",
    ".aac": "ADTS/AAC",
    ".mka": "MATROSKA/AAC",
    ".opus": "OGG/OPUS",
    ".webm": "MATROSKA/OPUS",
    ".wma": "ASF/WMAV2",
    ".amr": "AMR/AMRNB",
    ".3gp": "MP4/AMRNB",
    ".ac3": "AC3/AC3",
    ".rm": "RM/REAL_144",
}


def decoded(path: Path) -> np.ndarray:
    facts = probe(path)
    return np.concatenate(list(decode(path, 0, sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)))


@pytest.mark.parametrize("suffix", CODECS)
def test_what_phones_and_dictating_machines_write_is_read_and_says_what_it_is(tmp_path: Path, suffix: str) -> None:
    codec, rate_hz = CODECS[suffix]
    sound = tone(rate_hz)
    facts = probe(encode(tmp_path / f"a{suffix}", sound, codec, rate_hz))
    assert (facts.encoding, facts.sample_rate_hz, facts.n_channels) == (ENCODINGS[suffix], rate_hz, 1)
    # Coders fill up their last frames, and some give their own delay too; FFmpeg's WMA coder keeps back the last half.
    n_kept_back = 512 if suffix == ".wma" else 0
    assert len(sound) - n_kept_back <= facts.n_samples <= len(sound) + 4096


@pytest.mark.parametrize("suffix", CODECS)
def test_what_was_probed_is_what_is_cut(tmp_path: Path, suffix: str) -> None:
    codec, rate_hz = CODECS[suffix]
    waveform = decoded(encode(tmp_path / f"a{suffix}", tone(rate_hz), codec, rate_hz))
    middle = waveform[rate_hz // 4 : rate_hz * 3 // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.15)
    loudest_hz = np.abs(np.fft.rfft(middle)).argmax() * rate_hz / len(middle)
    assert loudest_hz == pytest.approx(300, abs=4)


def test_samples_before_the_sound_are_not_given(tmp_path: Path) -> None:
    """An AAC coder's priming samples are skipped by the edit list: sound begins where it began."""
    sound = np.zeros(16_000, np.float32)
    sound[4000:] = tone(16_000, 0.75)
    waveform = decoded(encode(tmp_path / "a.m4a", sound, "aac", 16_000))
    onset = int(np.flatnonzero(np.abs(waveform) > 0.1)[0])
    assert abs(onset - 4000) < 150


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(16_000), "aac", 16_000).rename(tmp_path / "a.wav")
    assert probe(path).encoding == "MP4/AAC"
    assert open_by_libsndfile(path) is None


def test_an_m4a_that_is_cut_is_no_whole_recording(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(16_000, 5.0), "aac", 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"^(unreadable|truncated)"):
        probe(path)


def test_ffmpeg_is_not_loaded_for_what_libsndfile_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # importing it now fails
    soundfile.write(tmp_path / "a.flac", tone(8000), 8000)
    assert probe(tmp_path / "a.flac").n_samples == 8000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>Log in</body></html>", "a web page.*download it again"),
        (b"see the notes\n", "text, it begins with 'see the notes"),
        (b"%PDF-1.7\n\xff\x00", "a PDF document"),
        (b"PK\x03\x04\x14\x00", "a zip archive; unpack it"),
    ],
)
def test_what_is_no_sound_is_named_for_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^no sound file: this is {reason}"):
        probe(path)


@pytest.mark.parametrize(("before", "after"), [(b"", b"TAG" + bytes(125)), (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10), b"")])
def test_a_flac_with_tags_of_an_mp3_is_read(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(8000), 8000)
    path.write_bytes(before + path.read_bytes() + after)
    assert probe(path).n_samples == 8000
    assert len(decoded(path)) == 8000
