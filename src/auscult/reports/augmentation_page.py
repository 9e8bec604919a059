"""The page of a preview: pictures and sound before and after each step, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.config import JobSettings
from auscult.config.augment import Augmentation
from auscult.plots.inline import png_data
from auscult.plots.spectrograms import level_range_db, mel_axis, spectrogram
from auscult.plots.style import save
from auscult.reports.html import page_templates
from auscult.storage.files import write_output
from auscult.training.augmentation_preview import Change, Look, Preview, parameters


@dataclass(frozen=True)
class _Shown:
    """A clip on the page."""

    picture: str
    sound: str | None
    text: str


@dataclass(frozen=True)
class _Section:
    """A step on the page."""

    title: str
    doc: str
    parameters: list[tuple[str, str]]
    pairs: list[tuple[_Shown, _Shown]]


def write_page(found: Preview, path: Path, *, title: str) -> None:
    """Write the page.

    Raises:
        ConfigError: The path is a folder, or cannot be written.
    """
    write_output(path, render(found, title=title))


def render(found: Preview, *, title: str) -> str:
    """Return the page."""
    levels_db = np.stack([pair[0].levels_db for change in found.changes for pair in change.pairs])
    sections = [
        _section(number, change, found.job, level_range_db(levels_db))
        for number, change in enumerate(found.changes, start=1)
    ]
    return page_templates().get_template("augmentation.html.j2").render(title=title, sections=sections)


def _section(number: int, change: Change, job: JobSettings, range_db: tuple[float, float]) -> _Section:
    pairs = [(_shown(before, job, range_db), _shown(after, job, range_db)) for before, after in change.pairs]
    if change.step is None:
        doc = "All steps in their order, each by its own probability, as the first epoch has them."
        return _Section("All together", doc, [], pairs)
    return _Section(
        f"{number}. {_place(change.step, job)} · {change.step.name}", _doc(change.step), parameters(change.step), pairs
    )


def _place(step: Augmentation, job: JobSettings) -> str:
    return "waveform" if step in job.augment.waveform else "spectrogram"


def _doc(step: Augmentation) -> str:
    return (type(step).__doc__ or "").strip().splitlines()[0]


def _shown(look: Look, job: JobSettings, range_db: tuple[float, float]) -> _Shown:
    axis = mel_axis(job.spectrogram, job.clips.sample_rate_hz)
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        path = Path(folder) / "one.png"
        save(spectrogram(look.levels_db, axis, look.valid_s, range_db), path)
        picture = png_data(path)
    sound = None if look.waveform is None else _wav_data(look.waveform, job.clips.sample_rate_hz)
    return _Shown(picture, sound, look.text)


def _wav_data(waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
    """Return sound as a data URI; what exceeds full scale is clipped, as a loudspeaker would."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate_hz, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
