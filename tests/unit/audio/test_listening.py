"""Sounds to listen to: as long as the clip, as high, raised to one peak."""

import numpy as np
import pytest
import soundfile

from auscult.audio.listening import PEAK, write_listening_copy


@pytest.mark.parametrize(
    ("rate_hz", "expected_hz"), [(4_000, 8_000), (10_000, 11_025), (44_100, 44_100), (96_000, 48_000)]
)
def test_a_quiet_tone_is_heard_at_its_pitch(tmp_path, rate_hz, expected_hz):
    tone = 0.01 * np.sin(2 * np.pi * 400 * np.arange(2 * rate_hz) / rate_hz).astype(np.float32)
    write_listening_copy(tone, rate_hz, tmp_path / "tone.mp3")
    heard, heard_hz = soundfile.read(tmp_path / "tone.mp3")
    assert heard_hz == expected_hz
    assert len(heard) / heard_hz == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.fft.rfftfreq(len(heard), 1 / heard_hz)[spectrum.argmax()] == pytest.approx(400, abs=2)
    assert np.abs(heard).max() == pytest.approx(PEAK, rel=0.15)


def test_silence_stays_silent(tmp_path):
    write_listening_copy(np.zeros(8_000, np.float32), 8_000, tmp_path / "silence.mp3")
    assert np.abs(soundfile.read(tmp_path / "silence.mp3")[0]).max() < 1e-3
