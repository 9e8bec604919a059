"""A fingerprint depends on the sound alone, not on blocks, level or channels; where there is no sound there is none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.audio.fingerprint import MAX_LENGTH_S, WORD_BITS, WORD_S, Fingerprinter, words_of
from auscult.audio.probe import probe

RATE_HZ = 4000


def noise(duration_s: float, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """Noise that swells and falls as breath does, shape [sample]."""
    n = round(duration_s * rate_hz)
    swell = 1 + 0.9 * np.sin(2 * np.pi * np.arange(n) / rate_hz / 3)
    return (0.05 * swell * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def fingerprint(sound: np.ndarray, rate_hz: int = RATE_HZ, block: int | None = None) -> str | None:
    sound = sound.reshape(len(sound), -1).astype(np.float32)
    made = Fingerprinter(rate_hz, sound.shape[1])
    for start in range(0, len(sound), block or len(sound)):
        made.add(sound[start : start + (block or len(sound))])
    return made.text()


def wrong_share(one: str, other: str) -> float:
    first, second = words_of(one), words_of(other)
    assert len(first) == len(second)
    return float(np.bitwise_count(first ^ second).mean() / WORD_BITS)


@pytest.mark.parametrize("rate_hz", [2000, 4000, 8000, 11_025, 44_100])
@pytest.mark.parametrize("block", [13, 777, 50_000])
def test_blocks_do_not_matter(rate_hz: int, block: int) -> None:
    sound = noise(4, rate_hz)
    one, other = fingerprint(sound, rate_hz), fingerprint(sound, rate_hz, block)
    assert one is not None
    assert other is not None
    # Sums of floats depend on the length of what is summed, in their last digit.
    assert wrong_share(one, other) < 0.001


def test_one_word_stands_for_each_step() -> None:
    text = fingerprint(noise(20))
    assert text is not None
    assert len(words_of(text)) == pytest.approx(20 / WORD_S, abs=10)
    assert len(text) < 60 * 20


def test_level_and_equal_channels_do_not_matter() -> None:
    sound = noise(8)
    text = fingerprint(sound)
    assert text is not None
    assert wrong_share(text, fingerprint(sound * 0.01)) < 0.01
    assert wrong_share(text, fingerprint(np.stack([sound, sound], axis=1))) < 0.01
    other = fingerprint(noise(8, seed=1))
    assert other is not None
    assert wrong_share(text, other) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_silence_hum_and_steady_tones_have_none(rate_hz: int) -> None:
    time_s = np.arange(10 * rate_hz) / rate_hz
    assert fingerprint(np.zeros(10 * rate_hz), rate_hz) is None
    for pitch_hz in (50, 60, 150, 440):
        assert fingerprint(0.3 * np.sin(2 * np.pi * pitch_hz * time_s), rate_hz) is None
    hum = sum(0.1 / k * np.sin(2 * np.pi * 50 * k * time_s + k) for k in range(1, 12))
    assert fingerprint(np.asarray(hum), rate_hz) is None


def test_the_edges_of_silence_say_nothing() -> None:
    """At such an edge the change of level is the spectrum itself, which all recordings of a device share."""
    sound = np.concatenate([np.zeros(5 * RATE_HZ), noise(5), np.zeros(5 * RATE_HZ)])
    text = fingerprint(sound)
    assert text is not None
    words = words_of(text)
    times_s = np.arange(len(words)) * WORD_S
    assert (words[(times_s < 4.9) | (times_s > 10)] == 0).all()
    assert (words[(times_s > 5.1) & (times_s < 9)] != 0).all()


def test_too_short_or_too_coarse_a_sound_has_none() -> None:
    assert fingerprint(noise(1.5)) is None
    assert fingerprint(noise(2.2)) is not None
    assert fingerprint(noise(10, 1500), 1500) is None


def test_a_long_sound_is_looked_at_up_to_its_limit() -> None:
    made = Fingerprinter(RATE_HZ, 1)
    minute = noise(60)[:, None]
    for _ in range(12):
        made.add(minute)
    text = made.text()
    assert text is not None
    assert len(words_of(text)) == pytest.approx(MAX_LENGTH_S / WORD_S, abs=10)


def test_floats_of_any_size_are_taken() -> None:
    loud = noise(4).astype(np.float64)
    loud[1000] = 3e38
    assert fingerprint(loud) is not None
    assert fingerprint(loud * 0 + 1e38) is None


def test_the_probe_gives_it_for_every_format(tmp_path: Path) -> None:
    sound = noise(6, 8000)
    found = {}
    for name, subtype in (("a.wav", "PCM_16"), ("b.wav", "PCM_24"), ("c.flac", "PCM_16"), ("d.wav", "FLOAT")):
        soundfile.write(tmp_path / name, sound, 8000, subtype=subtype)
        found[name] = probe(tmp_path / name).fingerprint
    assert all(found.values())
    assert all(wrong_share(found["a.wav"], text) < 0.01 for text in found.values())
    soundfile.write(tmp_path / "short.wav", sound[:8000], 8000)
    assert probe(tmp_path / "short.wav").fingerprint is None


def test_real_recordings_have_one_and_spoken_digits_are_too_short(real_data: Path) -> None:
    assert all(probe(path).fingerprint for path in (real_data / "icbhi_sample").glob("*.wav"))
    digits = sorted((real_data / "fsdd" / "recordings").glob("*.wav"))[::100]
    assert digits
    assert not any(probe(path).fingerprint for path in digits)
