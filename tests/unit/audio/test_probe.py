import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.audio.decode import decode
from auscult.audio.probe import BLOCK_SAMPLES, probe
from auscult.config.dataset import RateBounds
from auscult.errors import DataError

RATE_HZ = 8000


def write(path: Path, waveform: np.ndarray, subtype: str | None = "PCM_16", rate_hz: int = RATE_HZ) -> Path:
    soundfile.write(path, waveform, rate_hz, subtype=subtype)
    return path


@pytest.fixture
def waveform() -> np.ndarray:
    return np.random.default_rng(7).uniform(-0.9, 0.9, 2 * RATE_HZ)


@pytest.mark.parametrize(
    ("name", "subtype", "encoding"),
    [
        ("a.wav", "PCM_16", "PCM_16"),
        ("a.wav", "PCM_24", "PCM_24"),
        ("a.wav", "PCM_32", "PCM_32"),
        ("a.wav", "FLOAT", "FLOAT"),
        ("a.flac", "PCM_16", "FLAC/PCM_16"),
        ("a.ogg", "VORBIS", "OGG/VORBIS"),
    ],
)
def test_the_facts_of_a_whole_file(
    tmp_path: Path, waveform: np.ndarray, name: str, subtype: str, encoding: str
) -> None:
    path = write(tmp_path / name, waveform, subtype)
    facts = probe(path)
    assert facts.n_samples == len(waveform)
    assert facts.sample_rate_hz == RATE_HZ
    assert facts.n_channels == 1
    assert facts.duration_s == 2.0
    assert facts.encoding == encoding
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_samples_are_counted_per_channel_and_over_blocks(tmp_path: Path) -> None:
    waveform = np.zeros((2 * BLOCK_SAMPLES + 3, 2))
    facts = probe(write(tmp_path / "stereo.wav", waveform))
    assert (facts.n_samples, facts.n_channels) == (2 * BLOCK_SAMPLES + 3, 2)


def test_an_mp3_is_decoded(tmp_path: Path, waveform: np.ndarray) -> None:
    facts = probe(write(tmp_path / "a.mp3", waveform, "MPEG_LAYER_III", 16_000))
    assert facts.encoding == "MP3/MPEG_LAYER_III"
    assert facts.n_samples >= len(waveform)


@pytest.mark.parametrize("kept", [45, 1000, -1])
def test_a_wav_cut_short_is_truncated(tmp_path: Path, waveform: np.ndarray, kept: int) -> None:
    path = write(tmp_path / "a.wav", waveform)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    assert soundfile.info(path).frames < len(waveform), "libsndfile itself does not mind"
    with pytest.raises(DataError, match=r"^truncated: the data chunk declares 32000 bytes, \d+ are there"):
        probe(path)


def test_a_wav_that_ends_in_its_header_is_truncated(tmp_path: Path, waveform: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", waveform)
    path.write_bytes(path.read_bytes()[:38])
    with pytest.raises(DataError, match=r"^truncated: the wav file ends before its data chunk"):
        probe(path)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_whose_recorder_never_filled_in_the_size_is_read_whole(
    tmp_path: Path, waveform: np.ndarray, size: int
) -> None:
    path = write(tmp_path / "a.wav", waveform)
    expected = soundfile.read(path, dtype="float32")[0]
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    facts = probe(path)
    assert facts.n_samples == len(waveform)
    decoded = np.concatenate(list(decode(path, 0, sample_rate_hz=RATE_HZ, n_samples=facts.n_samples)))
    np.testing.assert_array_equal(decoded, expected)


def test_a_wav_of_nothing_but_notes_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros(0))
    path.write_bytes(path.read_bytes()[:44] + b"LIST" + struct.pack("<I", 400) + bytes(400))
    with pytest.raises(DataError, match=r"^empty: the file holds no samples"):
        probe(path)


def test_a_wav_of_any_other_size_that_is_not_there_is_cut(tmp_path: Path, waveform: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", waveform)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0x7FFFFFF0)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^truncated: the data chunk declares 2147483632 bytes, 32000 are there"):
        probe(path)


@pytest.mark.parametrize("rate_hz", [1, 5, 8, 99, 1_000_001, 2_000_000_000])
def test_a_rate_that_no_recorder_has_is_a_fault(tmp_path: Path, waveform: np.ndarray, rate_hz: int) -> None:
    path = write(tmp_path / "a.wav", waveform)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate_hz)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^sample rate: {rate_hz} Hz is not believable, expected 100 to 1000000 Hz"):
        probe(path)


@pytest.mark.parametrize("rate_hz", [20, 99, 2_000_000_000])
def test_the_bounds_of_a_believable_rate_can_be_set(tmp_path: Path, waveform: np.ndarray, rate_hz: int) -> None:
    path = write(tmp_path / "a.wav", waveform)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate_hz)
    path.write_bytes(content)
    assert probe(path, RateBounds(min=20, max=2_000_000_000)).sample_rate_hz == rate_hz
    with pytest.raises(DataError, match=r"expected 30 to 31 Hz; .*say `rate_hz: \{min: \.\.\., max: \.\.\.\}`"):
        probe(path, RateBounds(min=30, max=31))


def test_chunks_beside_the_sound_do_not_matter(tmp_path: Path, waveform: np.ndarray) -> None:
    path = write(tmp_path / "a.wav", waveform)
    content = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    path.write_bytes(content[:36] + note + content[36:] + b"LIST" + struct.pack("<I", 400) + b"cut")
    assert probe(path).n_samples == len(waveform)


def test_a_64_bit_wav_is_checked_by_its_own_size(tmp_path: Path, waveform: np.ndarray) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, waveform, RATE_HZ, format="RF64", subtype="PCM_16")
    assert probe(path).n_samples == len(waveform)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"^truncated"):
        probe(path)


def test_a_flac_cut_short_is_refused(tmp_path: Path) -> None:
    waveform = np.random.default_rng(1).uniform(-0.9, 0.9, 10 * RATE_HZ)
    path = write(tmp_path / "a.flac", waveform)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"^(truncated|unreadable)"):
        probe(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_found_wherever_it_is(tmp_path: Path, value: float) -> None:
    waveform = np.zeros(BLOCK_SAMPLES + 100, dtype=np.float32)
    waveform[BLOCK_SAMPLES + 17] = value
    with pytest.raises(DataError, match=f"^not finite: sample {BLOCK_SAMPLES + 17} "):
        probe(write(tmp_path / "a.wav", waveform, "FLOAT"))


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "folder.wav"
    empty.touch()
    text.write_text("this is not a wav\n" * 20, encoding="ascii")
    folder.mkdir()
    write(tmp_path / "none.wav", np.zeros(0))
    for path, reason in {
        empty: "^empty: the file has 0 bytes",
        tmp_path / "none.wav": "^empty: the file holds no samples",
        text: "^no sound file: this is text, it begins with 'this is not a wav",
        folder: "^unreadable: Is a directory",
        tmp_path / "absent.wav": "^missing: no such file",
    }.items():
        with pytest.raises(DataError, match=reason):
            probe(path)


def test_real_recordings_of_every_bit_depth(real_data: Path) -> None:
    facts = {path.name: probe(path) for path in sorted((real_data / "icbhi_sample").glob("*.wav"))}
    assert {fact.encoding for fact in facts.values()} == {"PCM_16", "PCM_24", "PCM_32"}
    assert {fact.sample_rate_hz for fact in facts.values()} == {4000, 44_100}
    assert facts["104_1b1_Al_sc_Litt3200.wav"].duration_s == pytest.approx(15.856)
