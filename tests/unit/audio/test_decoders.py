import importlib.util
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
    ("wav", "PCM_16", 0.0),
    ("wav", "PCM_24", 0.0),
    ("wav", "PCM_32", 0.0),
    ("wav", "FLOAT", 0.0),
    ("flac", "PCM_16", 0.0),
    ("ogg", "VORBIS", 1e-5),
    ("mp3", "MPEG_LAYER_III", 1e-5),
]


def torchcodec_loads() -> bool:
    if importlib.util.find_spec("torchcodec") is None:
        return False
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


@pytest.fixture(params=["librosa", "torchaudio"])
def other_decoder(request: pytest.FixtureRequest) -> str:
    if request.param == "torchaudio" and not torchcodec_loads():
        pytest.skip("FFmpeg's shared libraries are not installed (apt-get install ffmpeg): torchaudio cannot decode")
    return request.param


def whole(path: Path, channel: int | str, decoder: str) -> np.ndarray:
    facts = soundfile.info(path)
    return np.concatenate(
        list(decode(path, channel, sample_rate_hz=facts.samplerate, n_samples=facts.frames, decoder=decoder))
    )


@pytest.mark.parametrize("channel", [0, 1, "mean"])
@pytest.mark.parametrize("encoding", FORMATS)
def test_all_decoders_give_equal_samples(
    tmp_path: Path, other_decoder: str, encoding: tuple[str, str, float], channel: int | str
) -> None:
    suffix, subtype, tolerance = encoding
    path = tmp_path / f"stereo.{suffix}"
    sound = np.random.default_rng(5).normal(0, 0.1, (22_050, 2)).astype(np.float32)
    soundfile.write(path, sound, 22_050, subtype=subtype)
    expected = whole(path, channel, "soundfile")
    assert np.abs(expected).max() > 0.1
    assert np.abs(whole(path, channel, other_decoder) - expected).max() <= tolerance


def test_every_decoder_notices_a_changed_or_damaged_file(tmp_path: Path, other_decoder: str) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(500), 8000)
    with pytest.raises(DataError, match=r"500 samples, expected 600; the file has changed"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=600, decoder=other_decoder))
    with pytest.raises(DataError, match=r"8000 Hz, expected 4000 Hz"):
        list(decode(path, 0, sample_rate_hz=4000, n_samples=500, decoder=other_decoder))
    path.write_bytes(b"no sound at all")
    with pytest.raises(DataError, match="cannot be decoded"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=500, decoder=other_decoder))
    path.unlink()
    with pytest.raises(DataError, match="cannot be decoded"):
        list(decode(path, 0, sample_rate_hz=8000, n_samples=500, decoder=other_decoder))


def test_torchaudio_without_ffmpeg_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(ConfigError, match="apt-get install ffmpeg"):
        list(decode(tmp_path / "any.wav", 0, sample_rate_hz=8000, n_samples=1, decoder="torchaudio"))


def test_the_decoder_is_a_setting_of_the_clips() -> None:
    assert ClipSettings().decoder == "soundfile"
    assert ClipSettings.model_validate({"decoder": "librosa"}).decoder == "librosa"
    with pytest.raises(ValueError, match="decoder"):
        ClipSettings.model_validate({"decoder": "ffmpeg"})


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
