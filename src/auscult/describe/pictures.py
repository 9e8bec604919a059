"""The charts of a dataset's page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from auscult.describe.facts import Facts
from auscult.describe.tasks import TaskBalance
from auscult.describe.wording import MAX_VALUES_SHOWN, OLDEST_YEARS, ages_text, duration_text, span_text
from auscult.figures.counts import Shares, bars, histogram, shares, spreads
from auscult.figures.style import save
from auscult.presentation import plural
from auscult.reporting.page import PageFigure, read_figure

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
