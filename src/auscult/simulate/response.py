"""Frequency responses of the chest wall, of stethoscopes and of microphones, given as points of a curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auscult.simulate.signals import Signal

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
