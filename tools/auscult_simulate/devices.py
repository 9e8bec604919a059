"""What the chest wall, stethoscopes and microphones do to sound: frequency responses given as points of a curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auscult_simulate.signals import Signal

_FLOOR_DB = -120.0


@dataclass(frozen=True)
class Response:
    """Gain over frequency: straight lines between `points` on a logarithmic frequency axis, level outside of them.

    Attributes:
        points: (frequency in Hz, gain in dB), frequencies ascending and above zero.
    """

    points: tuple[tuple[float, float], ...]

    def scaled(self, factor: float) -> Response:
        """Return the curve moved along the frequency axis: a smaller chest (factor above 1) cuts off higher."""
        return Response(tuple((frequency_hz * factor, gain_db) for frequency_hz, gain_db in self.points))

    def gain(self, frequencies_hz: Signal) -> Signal:
        """Return the linear gain at `frequencies_hz`, shape [n].

        >>> [round(float(g), 3) for g in Response(((100.0, 0.0), (200.0, -20.0))).gain(np.array([50.0, 100.0, 400.0]))]
        [1.0, 1.0, 0.1]
        """
        known = np.log(np.array([point[0] for point in self.points]))
        gains_db = np.array([point[1] for point in self.points])
        lowest_hz = self.points[0][0]
        asked = np.log(np.maximum(frequencies_hz, lowest_hz))
        return 10 ** (np.maximum(np.interp(asked, known, gains_db), _FLOOR_DB) / 20)

    def noise_gain(self, sample_rate_hz: float) -> float:
        """Return the root mean square that white noise of unit deviation has behind the response."""
        frequencies_hz = np.linspace(0.0, sample_rate_hz / 2, 4096)
        return float(np.sqrt(np.mean(self.gain(frequencies_hz) ** 2)))

    def apply(self, signal: Signal, sample_rate_hz: float) -> Signal:
        """Filter `signal` with the minimum-phase system of this magnitude response.

        Minimum phase, as chest and stethoscope are causal: an explosive onset stays one. The phase comes from the
        folded real cepstrum (Oppenheim and Schafer, Discrete-Time Signal Processing, ch. on the Hilbert transform).

        Args:
            signal: Shape [sample].
            sample_rate_hz: Of the signal.

        Returns:
            A new signal of the same shape.
        """
        # A quarter of a second more than the signal keeps the end's ringing from wrapping round to the start.
        n = 1 << int(np.ceil(np.log2(len(signal) + sample_rate_hz / 4)))
        frequencies_hz = np.arange(n // 2 + 1, dtype=np.float64) * np.float64(sample_rate_hz / n)
        log_gain = np.log(self.gain(np.asarray(frequencies_hz, dtype=np.float64)))
        cepstrum = np.fft.irfft(log_gain, n)
        cepstrum[1 : n // 2] *= 2
        cepstrum[n // 2 + 1 :] = 0
        system = np.exp(np.fft.rfft(cepstrum, n))
        return np.fft.irfft(np.fft.rfft(signal, n) * system, n)[: len(signal)]


@dataclass(frozen=True)
class Device:
    """A recording device.

    Attributes:
        response: From the skin to the file.
        noise_db: Its own noise below the breath noise at peak flow, in dB.
    """

    response: Response
    noise_db: float


LITTMANN_BELL = Response(((20, 4), (60, 8), (200, 0), (400, -7), (700, -16), (1000, -28), (2000, -62)))
LITTMANN_DIAPHRAGM = Response(((20, -16), (60, -8), (100, 0), (250, 4), (500, 2), (800, -10), (1200, -26), (2000, -60)))
LITTMANN_EXTENDED = Response(((20, -6), (50, 0), (150, 3), (500, 2), (800, -10), (1200, -26), (2000, -60)))
"""The 3M Littmann 3200 emphasises 20 to 200 Hz as a bell, 100 to 500 Hz as a diaphragm and 50 to 500 Hz in its
extended range (its manual; Fraiwan et al. 2021, Data in Brief 35:106913, whose KAUH recordings are stored through all
three)."""

FILTERS = {"B": LITTMANN_BELL, "D": LITTMANN_DIAPHRAGM, "E": LITTMANN_EXTENDED}

DEVICES: dict[str, Device] = {
    # A small condenser microphone, coupled by air: nearly flat.
    "AKGC417L": Device(Response(((20, -6), (60, 0), (800, 0), (2000, 2), (10000, 0))), 38.0),
    # An acoustic stethoscope, whose bell and tubes resonate (Ertel et al. 1966, Circulation 34:889); where is a choice.
    "LittC2SE": Device(Response(((20, 0), (100, 8), (200, 0), (400, 4), (800, -9), (1500, -14), (4000, -30))), 42.0),
    "Litt3200": Device(LITTMANN_EXTENDED, 48.0),
    "Meditron": Device(Response(((20, 2), (60, 6), (150, 0), (600, -3), (1200, 0), (2000, -6), (8000, -30))), 40.0),
    # An amplified stethoscope with an electrical diaphragm, as used in PERCH and its sister studies.
    "ds32a": Device(Response(((20, -4), (60, 2), (200, 3), (700, 0), (1000, -4), (2000, -14))), 40.0),
}
"""Devices by their names in ICBHI's file names, and the one of PERCH and BD. Curves are typical, not measured."""
