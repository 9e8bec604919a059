from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from auscult.audio import decode as decode_module
from auscult.audio.cut_clips import load_waveform
from auscult.audio.decode import decode
from auscult.audio.resample import band_pass, resample
from auscult.config import ClipSettings
from auscult.config.clips import BandPass
from auscult.errors import DataError

AMPLITUDE = 0.25


def sine(rate: int, duration_s: float = 1.0, frequency_hz: float = 440.0) -> np.ndarray:
    return AMPLITUDE * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate * duration_s)) / rate)


def whole(path: Path, channel: int | str = "mean") -> np.ndarray:
    facts = soundfile.info(path)
    blocks = list(decode(path, channel, sample_rate_hz=facts.samplerate, n_samples=facts.frames))
    return np.concatenate(blocks)


@pytest.mark.parametrize("rate", [4000, 10_000, 44_100])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_encoding_and_rate_comes_out_at_one_scale(tmp_path: Path, subtype: str, rate: int) -> None:
    path = tmp_path / "sine.wav"
    soundfile.write(path, sine(rate), rate, subtype=subtype)
    settings = ClipSettings(sample_rate_hz=8000)
    waveform = load_waveform(path, "mean", settings, source_hz=rate, n_source_samples=rate)
    assert waveform.dtype == np.int16
    assert len(waveform) == 8000
    # Away from the ends, where the filter sees silence; two steps of int16 are rounding, here and in the file.
    middle = slice(1000, 7000)
    expected = 32768 * sine(8000)
    assert np.abs(waveform[middle] - expected[middle]).max() < 2.5


@pytest.mark.parametrize("channel", [0, 1, 2, "mean"])
def test_a_channel_is_chosen_or_all_are_averaged(tmp_path: Path, channel: int | str) -> None:
    path = tmp_path / "three.wav"
    sound = np.random.default_rng(3).uniform(-0.9, 0.9, (1000, 3)).astype(np.float32)
    soundfile.write(path, sound, 8000, subtype="FLOAT")
    expected = sound.mean(axis=1) if channel == "mean" else sound[:, channel]
    assert np.allclose(whole(path, channel), expected, atol=1e-7)


def test_a_channel_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mono.wav"
    soundfile.write(path, sine(8000), 8000)
    with pytest.raises(DataError, match=r"mono\.wav: there is no channel 1, it has 1"):
        whole(path, 1)


@pytest.mark.parametrize(("source_hz", "target_hz"), [(44_100, 8000), (4000, 8000), (8000, 8000)])
def test_long_recordings_in_blocks_equal_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source_hz: int, target_hz: int
) -> None:
    path = tmp_path / "noise.wav"
    sound = np.random.default_rng(3).uniform(-0.9, 0.9, 30_000).astype(np.float32)
    soundfile.write(path, sound, source_hz, subtype="FLOAT")
    expected = sound if source_hz == target_hz else soxr.resample(sound, source_hz, target_hz, quality="HQ")
    for block_frames in (1 << 21, 30_000, 15_000, 7001):
        monkeypatch.setattr(decode_module, "BLOCK_FRAMES", block_frames)
        blocks = decode(path, "mean", sample_rate_hz=source_hz, n_samples=30_000)
        assert np.array_equal(resample(blocks, source_hz, target_hz), expected)


def test_a_file_that_changed_since_ingest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, sine(8000), 8000)
    settings = ClipSettings(sample_rate_hz=8000)
    for facts, found in (((4000, 8000), "8000 Hz, expected 4000 Hz"), ((8000, 9000), "8000 samples, expected 9000")):
        with pytest.raises(DataError, match=rf"sound\.wav: {found}; the file has changed .* run ingest again"):
            load_waveform(path, "mean", settings, source_hz=facts[0], n_source_samples=facts[1])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="has changed"):
        load_waveform(path, "mean", settings, source_hz=8000, n_source_samples=8000)
    path.write_text("no sound")
    with pytest.raises(DataError, match=r"sound\.wav: it cannot be decoded"):
        load_waveform(path, "mean", settings, source_hz=8000, n_source_samples=8000)
    path.unlink()
    with pytest.raises(DataError, match=r"sound\.wav: it cannot be decoded"):
        load_waveform(path, "mean", settings, source_hz=8000, n_source_samples=8000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "sound.wav"
    sound = sine(8000)
    sound[4000] = bad
    soundfile.write(path, sound, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"sound\.wav: holds samples that are no finite numbers"):
        load_waveform(path, "mean", ClipSettings(sample_rate_hz=8000), source_hz=8000, n_source_samples=8000)


def test_loud_float_files_are_clipped_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 8 * sine(8000), 8000, subtype="FLOAT")
    waveform = load_waveform(path, "mean", ClipSettings(sample_rate_hz=8000), source_hz=8000, n_source_samples=8000)
    assert waveform.max() == 32767
    assert waveform.min() == -32768
    assert np.array_equal(np.sign(waveform[1:].astype(int)), np.sign(np.round(8 * sine(8000), 3))[1:])


def test_the_band_pass_keeps_its_band_in_phase_and_stops_the_rest() -> None:
    settings = BandPass(low_hz=100, high_hz=1000, order=4)
    middle = slice(2000, 6000)
    inside = sine(8000, frequency_hz=400).astype(np.float32)
    assert np.abs(band_pass(inside, settings, 8000) - inside)[middle].max() < 0.005 * AMPLITUDE
    for frequency_hz in (20, 2500):
        outside = sine(8000, frequency_hz=frequency_hz).astype(np.float32)
        assert np.abs(band_pass(outside, settings, 8000)[middle]).max() < 0.001 * AMPLITUDE
    edge = band_pass(sine(8000, frequency_hz=1000).astype(np.float32), settings, 8000)
    assert np.abs(edge[middle]).max() == pytest.approx(AMPLITUDE / 2, rel=0.02)


@pytest.mark.parametrize("n_samples", [1, 2, 10, 30])
def test_the_band_pass_takes_very_short_sounds(n_samples: int) -> None:
    filtered = band_pass(np.ones(n_samples, np.float32), BandPass(low_hz=100, high_hz=1000), 8000)
    assert filtered.shape == (n_samples,)
    assert np.isfinite(filtered).all()
