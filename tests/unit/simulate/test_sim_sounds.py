"""Spectra, widths and envelopes of the single sounds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import hilbert, periodogram, welch

from auscult_simulate.devices import DEVICES, FILTERS, Response
from auscult_simulate.signals import add_at, smooth_curve
from auscult_simulate.sounds import (
    BRONCHIAL,
    CRACKLE_SHAPES,
    VESICULAR,
    Breath,
    BreathingPattern,
    breath_noise,
    breathe,
    crackle,
    draw_crackle,
    flow_at,
    handling_noise,
    heart_sounds,
    mains_hum,
    rhonchus,
    room_noise,
    systole_s,
    wheeze,
)

FINE_RATE_HZ = 200_000
RATE_HZ = 8000


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _crossings_s(waveform: np.ndarray, rate_hz: float) -> np.ndarray:
    signs = np.sign(waveform)
    return (np.flatnonzero(signs[1:] * signs[:-1] < 0) + 1) / rate_hz


@pytest.mark.parametrize(("deflection_ms", "two_cycle_ms"), [(0.7, 5.0), (1.5, 10.0), (0.5, 6.5), (2.0, 14.0)])
def test_crackle_has_the_asked_widths(deflection_ms: float, two_cycle_ms: float) -> None:
    waveform = crackle(deflection_ms / 1000, two_cycle_ms / 1000, FINE_RATE_HZ)
    crossings_ms = 1000 * _crossings_s(waveform, FINE_RATE_HZ)
    # Two cycles: three crossings between the onset and the end, each half cycle longer than the one before.
    assert len(crossings_ms) == 3
    assert crossings_ms[0] == pytest.approx(deflection_ms, abs=0.01)
    halves_ms = np.diff([0.0, *crossings_ms, two_cycle_ms])
    assert np.all(np.diff(halves_ms) > 0)
    assert len(waveform) / FINE_RATE_HZ * 1000 == pytest.approx(two_cycle_ms, abs=0.02)
    assert np.max(np.abs(waveform)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["fine_crackle", "coarse_crackle"])
def test_drawn_crackles_stay_in_the_published_ranges(kind) -> None:
    rng = _rng(3)
    low_ms, high_ms = CRACKLE_SHAPES[kind].two_cycle_ms
    durations_ms = []
    for _ in range(200):
        waveform, two_cycle_s = draw_crackle(kind, FINE_RATE_HZ, rng)
        assert low_ms <= two_cycle_s * 1000 <= high_ms
        audible = np.flatnonzero(np.abs(waveform) > 1e-9)
        assert (audible[-1] - audible[0]) / FINE_RATE_HZ == pytest.approx(two_cycle_s, abs=4e-4)
        durations_ms.append(two_cycle_s * 1000)
    # CORSA's line between fine and coarse.
    assert (np.mean(durations_ms) < 10) == (kind == "fine_crackle")


def test_fine_crackles_are_higher_than_coarse_ones() -> None:
    centroids = {}
    for kind in ("fine_crackle", "coarse_crackle"):
        rng = _rng(1)
        powers = sum(np.abs(np.fft.rfft(draw_crackle(kind, FINE_RATE_HZ, rng)[0], 1 << 15)) ** 2 for _ in range(50))
        frequencies_hz = np.fft.rfftfreq(1 << 15, 1 / FINE_RATE_HZ)
        centroids[kind] = float((frequencies_hz * powers).sum() / powers.sum())
    assert 350 < centroids["fine_crackle"] < 900
    assert 150 < centroids["coarse_crackle"] < 400


def test_wheeze_peaks_at_its_pitch_and_has_harmonics() -> None:
    tone = wheeze(330.0, 1.0, RATE_HZ, _rng(2), drift_octaves=0.05)
    frequencies_hz, power = periodogram(tone, RATE_HZ)
    assert frequencies_hz[np.argmax(power)] == pytest.approx(330.0, rel=0.06)

    def band(centre_hz: float) -> float:
        return power[(frequencies_hz > 0.93 * centre_hz) & (frequencies_hz < 1.07 * centre_hz)].sum()

    assert 10 * np.log10(band(660) / band(330)) == pytest.approx(-14, abs=2)
    assert 10 * np.log10(band(990) / band(330)) == pytest.approx(-22, abs=2)
    assert band(500) < 0.001 * band(330)


def test_wheeze_drifts_and_swells() -> None:
    tone = wheeze(300.0, 1.0, RATE_HZ, _rng(5), harmonics_db=(0.0,), drift_octaves=0.3)
    analytic = hilbert(tone)
    pitch_hz = np.diff(np.unwrap(np.angle(analytic))) * RATE_HZ / (2 * np.pi)
    first, last = np.median(pitch_hz[800:1600]), np.median(pitch_hz[-1600:-800])
    assert 0.15 < abs(np.log2(last / first)) < 0.35
    assert abs(tone[0]) < 0.05
    assert abs(tone[-1]) < 0.05


def test_wheeze_drops_harmonics_that_would_fold_back() -> None:
    tone = wheeze(1500.0, 0.5, 8000, _rng(0), drift_octaves=0.0)
    frequencies_hz, power = periodogram(tone, 8000)
    folded = (frequencies_hz > 3300) & (frequencies_hz < 3700)
    assert power[folded].sum() < 1e-4 * power.sum()


def test_rhonchus_is_low_and_rich() -> None:
    tone = rhonchus(130.0, 0.8, RATE_HZ, _rng(4))
    frequencies_hz, power = welch(tone, RATE_HZ, nperseg=2048)
    share = power[(frequencies_hz > 220) & (frequencies_hz < 700)].sum() / power.sum()
    assert frequencies_hz[np.argmax(power)] < 300
    assert 0.2 < share < 0.8


def test_breath_noise_follows_the_flow() -> None:
    breath = Breath(0.0, 1.2, 1.8, 0.6, 1.0)
    times_s = np.arange(int(3.6 * RATE_HZ)) / RATE_HZ
    flow = flow_at([breath], times_s)
    power = np.mean([breath_noise(flow, RATE_HZ, _rng(seed), bronchial=0.0) ** 2 for seed in range(60)], axis=0)
    envelope = np.sqrt(np.convolve(power, np.ones(400) / 400, mode="same"))
    inspiration = (times_s > 0.1) & (times_s < 1.1)
    assert np.corrcoef(envelope[inspiration], flow[inspiration] ** 1.6)[0, 1] > 0.98
    pause = times_s > 3.1
    assert envelope[pause].max() < 0.02 * envelope.max()
    expiration = (times_s > 1.3) & (times_s < 2.9)
    assert envelope[expiration].max() < 0.5 * envelope[inspiration].max()


def test_bronchial_breathing_is_loud_and_bright_in_expiration() -> None:
    times_s = np.arange(int(3.0 * RATE_HZ)) / RATE_HZ
    flow = flow_at([Breath(0.0, 1.4, 1.5, 0.1, 1.0)], times_s)
    expiration = (times_s > 1.5) & (times_s < 2.5)

    def bright(bronchial: float) -> tuple[float, float]:
        sound = breath_noise(flow, RATE_HZ, _rng(7), bronchial=bronchial)
        frequencies_hz, power = welch(sound[expiration], RATE_HZ, nperseg=1024)
        return float(power[frequencies_hz > 300].sum() / power.sum()), float(np.sqrt(np.mean(sound[expiration] ** 2)))

    (vesicular_share, vesicular_rms), (bronchial_share, bronchial_rms) = bright(0.0), bright(1.0)
    assert bronchial_share > 4 * vesicular_share
    assert bronchial_rms > 2 * vesicular_rms


@pytest.mark.parametrize("ratio", [1.2, 2.0, 3.0])
def test_breathing_keeps_its_rate_and_ratio(ratio: float) -> None:
    breaths = breathe(BreathingPattern(20.0, ratio), 600.0, _rng(9))
    periods_s = [breath.end_s - breath.start_s for breath in breaths]
    assert 60 / np.mean(periods_s) == pytest.approx(20.0, rel=0.05)
    assert np.mean([b.expiration_s / b.inspiration_s for b in breaths]) == pytest.approx(ratio, rel=0.05)
    assert breaths[0].start_s <= 0 < breaths[0].end_s
    assert breaths[-1].start_s < 600.0 <= breaths[-1].end_s
    assert all(a.end_s == b.start_s for a, b in pairwise(breaths))


def test_flow_breathes_out_about_what_was_breathed_in() -> None:
    times_s = np.arange(0, 5, 0.001)
    flow = flow_at([Breath(0.0, 1.5, 2.5, 0.5, 1.0)], times_s)
    volume_in, volume_out = flow[flow > 0].sum(), -flow[flow < 0].sum()
    assert volume_out == pytest.approx(volume_in, rel=0.4)


@pytest.mark.parametrize("response", [VESICULAR, BRONCHIAL, *FILTERS.values(), DEVICES["ds32a"].response])
def test_response_has_its_curve_and_is_causal(response: Response) -> None:
    impulse = np.zeros(8192)
    impulse[2000] = 1.0
    heard = response.apply(impulse, RATE_HZ)
    frequencies_hz = np.fft.rfftfreq(8192, 1 / RATE_HZ)
    inside = (frequencies_hz > 60) & (frequencies_hz < 1800)
    found_db = 20 * np.log10(np.abs(np.fft.rfft(heard))[inside])
    asked_db = 20 * np.log10(response.gain(frequencies_hz[inside]))
    assert np.max(np.abs(found_db - asked_db)) < 1.0
    before, after = np.sum(heard[:1990] ** 2), np.sum(heard[2000:] ** 2)
    assert before < 1e-3 * after


def test_response_levels_white_noise_as_it_says() -> None:
    noise = _rng(0).standard_normal(80_000)
    assert np.std(VESICULAR.apply(noise, RATE_HZ)) == pytest.approx(VESICULAR.noise_gain(RATE_HZ), rel=0.05)


def test_heart_beats_at_its_rate_below_200_hz() -> None:
    signal = heart_sounds(60.0, RATE_HZ, 75.0, _rng(1))
    frequencies_hz, power = welch(signal, RATE_HZ, nperseg=4096)
    assert power[frequencies_hz < 200].sum() > 0.97 * power.sum()
    # The lag of the highest autocorrelation within plausible beats is the mean beat.
    envelope = np.convolve(np.abs(signal), np.ones(400) / 400, mode="same")[::80]
    envelope = envelope - envelope.mean()
    correlation = np.correlate(envelope, envelope, mode="full")[len(envelope) :]
    lags_s = (np.arange(len(correlation)) + 1) * 80 / RATE_HZ
    plausible = (lags_s > 0.6) & (lags_s < 1.1)
    assert lags_s[plausible][np.argmax(correlation[plausible])] == pytest.approx(0.8, abs=0.06)
    assert systole_s(160) <= 0.45 * 60 / 160


def test_noises_have_their_character() -> None:
    hum = mains_hum(2.0, RATE_HZ, _rng(0))
    frequencies_hz, power = periodogram(hum, RATE_HZ)
    assert frequencies_hz[np.argmax(power)] == pytest.approx(50.0, abs=0.5)
    room = room_noise(4.0, RATE_HZ, _rng(0))
    assert np.std(room) == pytest.approx(1.0, rel=0.1)
    frequencies_hz, power = welch(room, RATE_HZ)
    assert power[frequencies_hz > 2000].mean() < 0.05 * power[(frequencies_hz > 100) & (frequencies_hz < 400)].mean()
    assert not handling_noise(5.0, RATE_HZ, 0.0, _rng(0)).any()
    assert np.abs(handling_noise(60.0, RATE_HZ, 30.0, _rng(0))).max() > 0.2


def test_add_at_cuts_what_lies_outside() -> None:
    signal = np.zeros(10)
    add_at(signal, -0.2, 10, np.ones(4))
    add_at(signal, 0.8, 10, np.ones(4))
    add_at(signal, 5.0, 10, np.ones(4))
    assert signal.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]


def test_smooth_curve_is_slow() -> None:
    curve = smooth_curve(1000, 5, _rng(0))
    assert np.abs(np.diff(curve)).max() < 0.05
    assert np.ptp(curve) > 0.3
