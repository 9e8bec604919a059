"""Some recordings of a dataset as spectrograms, with their events marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from auscult.audio.cut import pad
from auscult.audio.cut_clips import load_waveform
from auscult.audio.levels import holds_float_samples
from auscult.config import ClipSettings, DatasetSettings, SpectrogramSettings
from auscult.errors import DataError
from auscult.plots.inline import png_data
from auscult.plots.spectrograms import Mark, level_range_db, mel_axis, spectrogram
from auscult.spectrograms.log_mel import LogMel
from auscult.storage.tables import LABEL_PREFIX

MAX_EXCERPT_S = 10.0
MAX_RATE_HZ = 8000
N_MELS = 64
_WINDOW_S = 0.064
_N_FRAMES = 320
_GAP_SHARE = 0.004
"""Of the excerpt, left white after each mark: consecutive cycles touch and would look like one."""
_BACKGROUND = ("cycle", "inhalation", "exhalation")
"""Kinds that nearly every recording has: they are drawn, but no excerpt is chosen for them."""


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a recording.

    Attributes:
        recording: Its row of the recordings table.
        start_s: Where the stretch begins.
        seconds: Its length; the recording may end before.
        marks: Events within it, from its start.
    """

    recording: dict[str, Any]
    start_s: float
    seconds: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Picture:
    """An excerpt as a picture.

    Attributes:
        source: A PNG as data URI.
        text: The kinds of events, or that none is annotated; without any events, the first fact.
        facts: Device, site, labels, sample rate.
        where: The recording and the seconds; left out of a page without ids.
    """

    source: str
    text: str
    facts: str
    where: str


def choose_excerpts(
    recordings: pd.DataFrame, events: pd.DataFrame, n_excerpts: int, generator: np.random.Generator
) -> list[Excerpt]:
    """Draw excerpts of different recordings: one around an event of each kind, the rest anywhere.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        n_excerpts: At most so many; fewer where there are fewer recordings.
        generator: The only source of randomness.
    """
    by_id = {row["recording_id"]: row for row in recordings.to_dict("records")}
    anchors: dict[str, float] = {}
    sought = events.loc[~events["kind"].isin(_BACKGROUND)]
    for _, part in sorted(sought.groupby("kind"), key=lambda item: (-len(item[1]), str(item[0]))):
        free = part.loc[~part["recording_id"].isin(list(anchors))]
        if len(anchors) < n_excerpts and len(free):
            event = free.iloc[int(generator.integers(len(free)))]
            anchors[str(event["recording_id"])] = float(event["start_s"] + event["end_s"]) / 2
    others = sorted(set(by_id) - set(anchors))
    drawn = [others[int(index)] for index in generator.permutation(len(others))]
    for recording_id in _new_patients_first(drawn, by_id, anchors)[: n_excerpts - len(anchors)]:
        anchors[recording_id] = float(generator.uniform(0, by_id[recording_id]["duration_s"]))
    longest_s = max((float(by_id[recording_id]["duration_s"]) for recording_id in anchors), default=0.0)
    seconds = min(MAX_EXCERPT_S, longest_s)
    return [_excerpt(by_id[name], events, middle_s, seconds) for name, middle_s in anchors.items()]


def _new_patients_first(drawn: list[str], by_id: dict[Any, dict[Any, Any]], taken: Iterable[str]) -> list[str]:
    seen = {by_id[recording_id]["patient_id"] for recording_id in taken}
    first: list[str] = []
    for recording_id in drawn:
        if by_id[recording_id]["patient_id"] not in seen:
            seen.add(by_id[recording_id]["patient_id"])
            first.append(recording_id)
    front = set(first)
    return first + [recording_id for recording_id in drawn if recording_id not in front]


def _excerpt(recording: dict[Any, Any], events: pd.DataFrame, middle_s: float, seconds: float) -> Excerpt:
    latest_s = max(0.0, float(recording["duration_s"]) - seconds)
    start_s = min(max(0.0, middle_s - seconds / 2), latest_s)
    own = events.loc[events["recording_id"] == recording["recording_id"]].sort_values("start_s")
    marks: list[Mark] = []
    for event in own.to_dict("records"):
        begin_s, end_s = max(event["start_s"] - start_s, 0.0), min(event["end_s"] - start_s, seconds)
        if end_s > begin_s:
            marks.append(Mark(begin_s, max(end_s - _GAP_SHARE * seconds, (begin_s + end_s) / 2), event["kind"]))
    return Excerpt({str(key): value for key, value in recording.items()}, start_s, seconds, tuple(marks))


def draw_excerpts(
    excerpts: Sequence[Excerpt], root: Path, settings: DatasetSettings, hidden_labels: Sequence[str] = ()
) -> tuple[list[Picture], list[str]]:
    """Draw excerpts on one colour scale, so that levels can be compared.

    Args:
        excerpts: All of one length.
        root: The dataset's folder.
        settings: Says which channel.
        hidden_labels: Labels to leave out of the captions.

    Returns:
        The pictures, and why some could not be drawn.
    """
    if not excerpts:
        return [], []
    rates_hz = sorted(int(excerpt.recording["sample_rate_hz"]) for excerpt in excerpts)
    rate_hz = min(MAX_RATE_HZ, rates_hz[len(rates_hz) // 2])
    kinds = sorted({mark.kind for excerpt in excerpts for mark in excerpt.marks})
    n_samples = round(excerpts[0].seconds * rate_hz)
    shape = _spectrogram_settings(n_samples, rate_hz)
    drawn: list[tuple[Excerpt, npt.NDArray[np.int16]]] = []
    faults: list[str] = []
    for excerpt in excerpts:
        try:
            drawn.append((excerpt, _load(excerpt, root, settings, rate_hz, n_samples)))
        except DataError as error:
            faults.append(str(error))
    if not drawn:
        return [], faults
    n_valid = [len(waveform) for _, waveform in drawn]
    padded = np.stack([pad(waveform, max(n_samples, shape.n_fft), "zero") for _, waveform in drawn])
    levels_db = LogMel(shape, rate_hz)(padded)
    axis = mel_axis(shape, rate_hz)
    sound = [
        picture[:, : max(1, int((n / rate_hz - axis.first_s) / axis.hop_s))]
        for picture, n in zip(levels_db, n_valid, strict=True)
    ]
    range_db = level_range_db(np.concatenate(sound, axis=1))
    pictures: list[Picture] = []
    for (excerpt, waveform), picture in zip(drawn, levels_db, strict=True):
        figure = spectrogram(picture, axis, len(waveform) / rate_hz, range_db, excerpt.marks, kinds=kinds)
        pictures.append(_caption(excerpt, png_data(figure), hidden_labels))
    return pictures, faults


def _spectrogram_settings(n_samples: int, rate_hz: int) -> SpectrogramSettings:
    n_fft = max(64, 2 ** round(np.log2(_WINDOW_S * rate_hz)))
    return SpectrogramSettings(
        n_fft=n_fft, hop_samples=max(1, n_samples // _N_FRAMES), n_mels=min(N_MELS, n_fft // 4), floor_db=-120.0
    )


def _load(
    excerpt: Excerpt, root: Path, settings: DatasetSettings, rate_hz: int, n_samples: int
) -> npt.NDArray[np.int16]:
    recording = excerpt.recording
    clips = ClipSettings(length_s=max(excerpt.seconds, 0.001), sample_rate_hz=rate_hz)
    waveform = load_waveform(
        root / recording["path"],
        settings.channel,
        clips,
        source_hz=int(recording["sample_rate_hz"]),
        n_source_samples=int(recording["n_samples"]),
        full_scale=settings.full_scale if holds_float_samples(str(recording["encoding"])) else 1.0,
    )
    first = min(round(excerpt.start_s * rate_hz), max(0, len(waveform) - 1))
    return waveform[first : first + n_samples]


def _caption(excerpt: Excerpt, source: str, hidden_labels: Sequence[str]) -> Picture:
    recording = excerpt.recording
    kinds = dict.fromkeys(mark.kind for mark in excerpt.marks if mark.kind not in _BACKGROUND)
    values = {
        name.removeprefix(LABEL_PREFIX): value for name, value in recording.items() if name.startswith(LABEL_PREFIX)
    }
    labels = [
        f"{name} {value}" for name, value in values.items() if isinstance(value, str) and name not in hidden_labels
    ]
    heard = list(kinds) or (["no finding annotated"] if excerpt.marks else [])
    rate = f"{recording['sample_rate_hz'] / 1000:g} kHz"
    shown = [text for text in (recording["device"], recording["site"], *labels, rate) if isinstance(text, str)]
    if not heard:
        heard, shown = shown[:1], shown[1:]
    end_s = min(excerpt.start_s + excerpt.seconds, float(recording["duration_s"]))
    return Picture(
        source=source,
        text=", ".join(heard),
        facts=", ".join(shown),
        where=f"{recording['recording_id']}, {excerpt.start_s:.1f}–{end_s:.1f} s",
    )
