"""Pictures of spectrograms: time in s, frequency in Hz on the mel scale, level in dB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from auscult.figures.style import WIDE_INCHES, panel, styled

COLOURS = "magma"
"""Perceptually even, and even in grey."""
_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
_MIN_TICK_BANDS = 0.06


def level_range_db(spectrograms: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return one colour range for pictures side by side: 2nd to 99.9th percentile, rounded to 5 dB.

    Args:
        spectrograms: Decibels, any shape.
    """
    low, high = np.percentile(np.asarray(spectrograms, dtype=np.float32), [2, 99.9])
    return float(5 * np.floor(low / 5)), float(max(5 * np.ceil(high / 5), 5 * np.floor(low / 5) + 10))


def spectrogram(
    levels_db: npt.NDArray[np.floating],
    mel_centres_hz: npt.NDArray[np.floating],
    duration_s: float,
    valid_s: float,
    range_db: tuple[float, float],
) -> Figure:
    """Draw one clip; what was padded is hatched, since no sound stands behind it.

    Args:
        levels_db: Shape [mel, frame].
        mel_centres_hz: Centre of each band, rising, shape [mel].
        duration_s: Length of the whole clip.
        valid_s: Length of the true sound within.
        range_db: Lowest and highest level of the colour bar.
    """
    with styled():
        figure, axes = panel(WIDE_INCHES)
        n_mels = levels_db.shape[0]
        image = axes.imshow(
            np.asarray(levels_db, dtype=np.float32),
            origin="lower",
            aspect="auto",
            cmap=COLOURS,
            vmin=range_db[0],
            vmax=range_db[1],
            extent=(0.0, duration_s, -0.5, n_mels - 0.5),
        )
        if valid_s < duration_s - 1e-6:
            box = Rectangle(
                (valid_s, -0.5),
                duration_s - valid_s,
                n_mels,
                facecolor="#ffffff22",
                edgecolor="#ffffff88",
                hatch="///",
                linewidth=0,
            )
            axes.add_patch(box)
            axes.axvline(valid_s, color="white", linewidth=1)
        ticks = _mel_ticks(np.asarray(mel_centres_hz, dtype=np.float64))
        axes.set_yticks([position for position, _ in ticks])
        axes.set_yticklabels([label for _, label in ticks])
        axes.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, duration_s), ylim=(-0.5, n_mels - 0.5))
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.05)
        bar.set_label("level (dB)")
        bar.outline.set_visible(False)
        return figure


def _mel_ticks(centres_hz: npt.NDArray[np.float64]) -> list[tuple[float, str]]:
    """Positions (in bands) and labels of round frequencies, leaving out those that would overlap."""
    ticks: list[tuple[float, str]] = []
    for frequency in _TICKS_HZ:
        if not centres_hz[0] <= frequency <= centres_hz[-1] * 1.02:
            continue
        position = float(np.interp(frequency, centres_hz, np.arange(len(centres_hz))))
        if not ticks or position - ticks[-1][0] >= _MIN_TICK_BANDS * len(centres_hz):
            ticks.append((position, f"{frequency:d}"))
    return ticks
