"""The charts of a dataset's page, and some of its recordings as pictures with the events marked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from auscult.audio.cut import pad
from auscult.audio.cut_clips import load_waveform
from auscult.config import ClipSettings, DatasetSettings, SpectrogramSettings
from auscult.datasets.facts import MAX_VALUES_SHOWN, OLDEST_YEARS, Facts, ages_text, duration_text, span_text
from auscult.datasets.tasks import TaskBalance
from auscult.errors import DataError
from auscult.formatting.numbers import plural
from auscult.plots.counts import Shares, bars, histogram, shares, spreads
from auscult.plots.inline import PageFigure, png_data, read_figure
from auscult.plots.spectrograms import Mark, level_range_db, mel_axis, spectrogram
from auscult.plots.style import save
from auscult.spectrograms.log_mel import LogMel
from auscult.storage.tables import LABEL_PREFIX

CHILD_YEARS = 19.0
"""Where all patients are younger, each year of age has a bar of its own."""


def draw_recordings(facts: Facts) -> list[PageFigure]:
    """Return how long the recordings are and how many each patient has."""
    n, patients = plural(facts.n_recordings, "recording"), plural(facts.n_patients, "patient")
    found = [
        (
            "durations",
            "How long the recordings are",
            f"{n}, {span_text(facts.durations_s)} s; {duration_text(facts.duration_h)} in all.",
            histogram(facts.durations_s, "duration (s)", "recordings"),
        ),
        (
            "per-patient",
            "Recordings of each patient",
            f"{patients}, {span_text(facts.per_patient)} recordings.",
            histogram(facts.per_patient, "recordings of a patient", "patients", whole=True),
        ),
    ]
    return _figures(found)


def draw_patients(facts: Facts) -> list[PageFigure]:
    """Return ages and sexes, where they are stated."""
    found: list[tuple[str, str, str, Figure]] = []
    if len(facts.ages_years):
        unknown = f"; of {facts.n_ages_unknown:,} the age is not stated" if facts.n_ages_unknown else ""
        caption = f"{plural(len(facts.ages_years), 'patient')}, {ages_text(facts)}, at the first recording{unknown}."
        ages_years = facts.ages_years.clip(max=OLDEST_YEARS)
        width_years = 1.0 if ages_years[-1] < CHILD_YEARS else 5.0
        figure = histogram(ages_years, "age (years)", "patients", bin_width=width_years)
        found.append(("ages", "Age", caption, figure))
    if facts.sex.values:
        rows = [(value.value, value.patients) for value in facts.sex.values]
        stated = sum(count for _, count in rows)
        if stated < facts.n_patients:
            rows.append(("not stated", facts.n_patients - stated))
        found.append(("sex", "Sex", f"{plural(facts.n_patients, 'patient')}.", bars(rows, "patients")))
    return _figures(found)


def draw_labels(facts: Facts, *, show_ids: bool) -> list[PageFigure]:
    """Return the values of every label, by recordings and patients."""
    found: list[tuple[str, str, str, Figure]] = []
    for number, column in enumerate(facts.labels):
        if not column.values or (column.identifies and not show_ids):
            continue
        values = column.values[:MAX_VALUES_SHOWN]
        rows = [(f"{value.value} ({value.patients})", value.recordings) for value in values]
        n_more = len(column.values) - len(values)
        if n_more:
            rows.append((f"{n_more} more values", sum(value.recordings for value in column.values[MAX_VALUES_SHOWN:])))
        if column.missing:
            rows.append(("not stated", column.missing))
        caption = "Recordings by value; patients in brackets."
        found.append((f"label-{number}", column.name.replace("_", " "), caption, bars(rows, "recordings")))
    return _figures(found)


def draw_events(facts: Facts) -> list[PageFigure]:
    """Return how many events of each kind there are and how long they last."""
    if not facts.events:
        return []
    kinds = facts.events[:MAX_VALUES_SHOWN]
    counts = [(found.kind, len(found.durations_s)) for found in kinds]
    spans = [(found.kind, found.durations_s) for found in kinds]
    caption = "Dot: the median. Thick line: the middle half. Thin line: nine tenths."
    return _figures(
        [
            ("events", "Events by kind", "How many were marked.", bars(counts, "events")),
            ("event-spans", "How long they last", caption, spreads(spans, "duration (s)")),
        ]
    )


def draw_tasks(tasks: list[TaskBalance]) -> dict[str, list[PageFigure]]:
    """Return, for each task, what is known of its targets."""
    return {found.name: _figures(list(_task(found))) for found in tasks if found.targets}


def _task(found: TaskBalance) -> Iterator[tuple[str, str, str, Figure]]:
    for level in ("recordings", "patients"):
        parts = [(target.target, getattr(target, level)) for target in found.targets]
        rows = [Shares(name, part.positive, part.negative, part.unknown) for name, part in parts]
        caption = f"By {level}. The unknown are neither learnt from nor counted."
        yield f"task-{found.name}-{level}", level.capitalize(), caption, shares(rows)


def _figures(found: list[tuple[str, str, str, Figure]]) -> list[PageFigure]:
    figures: list[PageFigure] = []
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        for name, title, caption, figure in found:
            path = Path(folder) / "one.svg"
            save(figure, path)
            figures.append(PageFigure(title, caption, read_figure(path, name, f"{title}. {caption}")))
    return figures


MAX_EXCERPT_S = 10.0
MAX_RATE_HZ = 8000
N_MELS = 64
_WINDOW_S = 0.064
_N_FRAMES = 320
_GAP_SHARE = 0.004
"""Of the excerpt, left white after each mark: cycles follow one another without a gap, and are to be told apart."""
_BACKGROUND = ("cycle", "inhalation", "exhalation")
"""Kinds that nearly every recording holds: they are marked, and not sought."""


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
        text: What is heard: the kinds of events, or that none is marked; without any events, the first fact.
        facts: Device, site, labels, sample rate.
        where: The recording and the seconds; not for a page that names no patient.
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
        generator: The only source of chance.
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
    """Draw excerpts with one colour range, so that levels can be compared.

    Args:
        excerpts: All of one length.
        root: The dataset's folder.
        settings: Says which channel.
        hidden_labels: Labels that are not to stand beside a picture.

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
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        for (excerpt, waveform), picture in zip(drawn, levels_db, strict=True):
            path = Path(folder) / "one.png"
            save(spectrogram(picture, axis, len(waveform) / rate_hz, range_db, excerpt.marks, kinds=kinds), path)
            pictures.append(_caption(excerpt, png_data(path), hidden_labels))
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
    heard = list(kinds) or (["no finding marked"] if excerpt.marks else [])
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
