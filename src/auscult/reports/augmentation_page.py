"""The page of an augmentation preview: pictures and sound before and after each step."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from auscult.config import JobSettings
from auscult.config.augment import Augmentation, Mixing
from auscult.plots.inline import png_data
from auscult.plots.spectrograms import level_range_db, mel_axis, spectrogram
from auscult.reports.html import page_templates
from auscult.storage.files import write_output

if TYPE_CHECKING:
    from auscult.training.augmentation_preview import Change, Look, Preview


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
        doc = "All steps in order, each with its own probability, as in the first epoch."
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
    picture = png_data(spectrogram(look.levels_db, axis, look.valid_s, range_db))
    sound = None if look.waveform is None else _wav_data(look.waveform, job.clips.sample_rate_hz)
    return _Shown(picture, sound, look.text)


def _wav_data(waveform: NDArray[np.float32], sample_rate_hz: int) -> str:
    """Return sound as a data URI, clipped to full scale."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(waveform, -1, 1), sample_rate_hz, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def parameters(step: Augmentation) -> list[tuple[str, str]]:
    """Return the settings of a step as text, its name left out."""
    shared = {"probability", "quantity", "unpadded_only"}
    values = step.model_dump(mode="json", exclude={"name"})
    if isinstance(step, Mixing):
        if step.classes is not None:
            values["classes"] = f"{step.classes[0]} with {step.classes[1]}"
        if step.weight is not None:
            del values["alpha"]  # not used then
    rows = [(name, _text(value)) for name, value in values.items() if name not in shared and value is not None]
    rows.append(
        ("quantity", f"{step.quantity:g} new clips for each clip")
        if step.quantity
        else ("probability", f"{step.probability:g}")
    )
    if step.unpadded_only:
        rows.append(("unpadded_only", "yes"))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return (
            str(value["name"]) if "name" in value else ", ".join(f"{key} {_text(part)}" for key, part in value.items())
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        joiner = " to " if len(value) == 2 and all(isinstance(part, int | float) for part in value) else ", "
        return joiner.join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
