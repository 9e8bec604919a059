import importlib.abc
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.audio import decode as decode_module
from auscult.audio.decode import decode
from auscult.audio.probe import probe
from auscult.config import ClipSettings
from auscult.errors import ConfigError, DataError

FORMATS = [
    ("wav", "PCM_U8", 0.0),
    ("wav", "PCM_16", 0.0),
    ("wav", "PCM_24", 0.0),
    ("wav", "PCM_32", 0.0),
    ("wav", "FLOAT", 0.0),
    ("wav", "DOUBLE", 0.0),
    ("flac", "PCM_S8", 0.0),
    ("flac", "PCM_16", 0.0),
    ("flac", "PCM_24", 0.0),
    ("ogg", "VORBIS", 1e-5),
    ("mp3", "MPEG_LAYER_III", 1e-5),
]


def whole(path: Path, channel: int | str, decoder: str) -> np.ndarray:
    facts = soundfile.info(path)
    return np.concatenate(
        list(decode(path, channel, sample_rate_hz=facts.samplerate, n_samples=facts.frames, decoder=decoder))
    )


@pytest.mark.parametrize("n_samples", [1000, 44_099])
@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("encoding", FORMATS)
def test_ffmpeg_gives_the_samples_that_soundfile_gives(
    tmp_path: Path, encoding: tuple[str, str, float], rate: int, n_samples: int
) -> None:
    suffix, subtype, tolerance = encoding
    path = tmp_path / f"stereo.{suffix}"
    sound = np.random.default_rng(5).normal(0, 0.3, (n_samples, 2)).astype(np.float32)
    sound[0] = 1.0
    soundfile.write(path, sound, rate, subtype=subtype)
    expected = soundfile.read(path, dtype="float32")[0]
    assert np.abs(expected).max() > 0.5
    for channel, wanted in ((0, expected[:, 0]), (1, expected[:, 1]), ("mean", expected.mean(axis=1))):
        found = whole(path, channel, "ffmpeg")
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= tolerance


def test_ffmpeg_refuses_what_it_would_give_otherwise_than_soundfile(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (8000, 6))
    for name, sound, subtype in (("a.ogg", noise[:, 0], "OPUS"), ("b.ogg", noise, "VORBIS")):
        soundfile.write(tmp_path / name, sound, 8000, format="OGG", subtype=subtype)
        with pytest.raises(ConfigError, match="set `decoder: soundfile`"):
            whole(tmp_path / name, 0, "ffmpeg")


@pytest.mark.parametrize("decoder", ["soundfile", "ffmpeg"])
def test_blocks_follow_each_other_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    path = tmp_path / "long.flac"
    sound = np.random.default_rng(2).normal(0, 0.1, 50_000)
    soundfile.write(path, sound, 8000)
    monkeypatch.setattr(decode_module, "BLOCK_FRAMES", 10_000)
    blocks = list(decode(path, 0, sample_rate_hz=8000, n_samples=50_000, decoder=decoder))
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("decoder", ["soundfile", "ffmpeg"])
def test_every_decoder_notices_a_changed_or_damaged_file(tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(500), 8000)
    with pytest.raises(DataError, match=r"500 samples, expected 600; the file has changed"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=600, decoder=decoder))
    with pytest.raises(DataError, match=r"8000 Hz, expected 4000 Hz"):
        list(decode(path, 0, sample_rate_hz=4000, n_samples=500, decoder=decoder))
    path.write_bytes(b"no sound at all")
    with pytest.raises(DataError, match="cannot be decoded"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=500, decoder=decoder))
    path.unlink()
    with pytest.raises(DataError, match="cannot be decoded"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=500, decoder=decoder))


def test_a_cut_or_silent_file_is_a_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 20_000), 8000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.flac: .*changed since it was ingested"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=20_000, decoder="ffmpeg"))
    subtitles = tmp_path / "silent.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nno sound\n")
    with pytest.raises(DataError, match="there is no sound in it"):
        list(decode(subtitles, 0, sample_rate_hz=8000, n_samples=1, decoder="ffmpeg"))


@pytest.mark.parametrize("fault", [ImportError("libavcodec.so: no such file"), OSError("libavcodec.so: wrong ELF")])
def test_a_library_that_does_not_load_is_not_taken_for_a_changed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, path: object, target: object = None) -> None:
            if fullname == "av":
                raise fault

    path = tmp_path / "whole.wav"
    soundfile.write(path, np.zeros(500), 8000)
    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ConfigError, match=r"PyAV, which did not load \(libavcodec\.so: .*requirements\.lock"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=500, decoder="ffmpeg"))


def test_the_decoder_is_a_setting_of_the_clips() -> None:
    assert ClipSettings().decoder == "soundfile"
    assert ClipSettings.model_validate({"decoder": "ffmpeg"}).decoder == "ffmpeg"
    with pytest.raises(ValueError, match="'soundfile' or 'ffmpeg'"):
        ClipSettings.model_validate({"decoder": "sox"})


@pytest.mark.parametrize(("old", "new"), [("torchaudio", "ffmpeg"), ("librosa", "soundfile")])
def test_a_former_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=f"no decoder '{old}' any more; say '{new}'"):
        ClipSettings.model_validate({"decoder": old})


def test_a_long_mp3_is_read_in_blocks_without_a_complaint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bursts.mp3"
    rng = np.random.default_rng(1)
    time_s = np.arange(400_000) / 8000
    tones = 0.3 * np.sin(2 * np.pi * (300 + 200 * np.sin(time_s)) * time_s) * (rng.random(len(time_s)) > 0.5)
    bursts = rng.normal(0, 0.2, len(time_s)) * np.clip(np.sin(3 * time_s), 0, 1) ** 8
    soundfile.write(path, tones + bursts, 8000)
    expected, _ = soundfile.read(path, dtype="float32")
    monkeypatch.setattr(decode_module, "BLOCK_FRAMES", 1 << 17)
    facts = probe(path)
    blocks = list(decode(path, 0, sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples))
    assert len(blocks) == 4
    assert np.abs(np.concatenate(blocks) - expected).max() < 1e-6
    assert capfd.readouterr() == ("", "")
