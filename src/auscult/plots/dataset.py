"""The charts of a dataset's page: recordings, patients, labels, events, tasks."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from auscult.datasets.facts import MAX_VALUES_SHOWN, OLDEST_YEARS, Facts, ages_text, span_text
from auscult.datasets.tasks import Balance, TaskBalance
from auscult.formatting.numbers import duration_text, plural
from auscult.plots.counts import Shares, bars, histogram, shares, spreads
from auscult.plots.inline import PageFigure, page_figure

CHILD_YEARS = 19.0
"""Where all patients are younger, each year of age has a bar of its own."""


def draw_recordings(facts: Facts) -> list[PageFigure]:
    """Return the durations of recordings, and the recordings, or pictures, per patient."""
    n, patients = plural(facts.n_recordings, facts.noun), plural(facts.n_patients, "patient")
    found = [
        (
            "durations",
            "Duration of recordings",
            f"{n}, {span_text(facts.durations_s)} s; {duration_text(facts.duration_s)} in all.",
            histogram(facts.durations_s, "duration (s)", "recordings"),
        ),
        (
            "per-patient",
            f"{facts.noun.capitalize()}s per patient",
            f"{patients}, {span_text(facts.per_patient)} {facts.noun}s.",
            histogram(facts.per_patient, f"{facts.noun}s per patient", "patients", whole=True),
        ),
    ]
    return _figures(found[1:] if facts.are_pictures else found)


def draw_patients(facts: Facts) -> list[PageFigure]:
    """Return ages and sexes, where they are stated."""
    found: list[tuple[str, str, str, Figure]] = []
    if len(facts.ages_years):
        unknown = f"; not stated for {facts.n_ages_unknown:,}" if facts.n_ages_unknown else ""
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
    """Return the number and the durations of events of each kind."""
    if not facts.events:
        return []
    kinds = facts.events[:MAX_VALUES_SHOWN]
    counts = [(found.kind, len(found.durations_s)) for found in kinds]
    spans = [(found.kind, found.durations_s) for found in kinds]
    caption = "Dot: median. Thick line: 25th to 75th percentile. Thin line: 5th to 95th."
    return _figures(
        [
            ("events", "Events by kind", "Number of annotated events.", bars(counts, "events")),
            ("event-spans", "Duration of events", caption, spreads(spans, "duration (s)")),
        ]
    )


def draw_tasks(tasks: list[TaskBalance]) -> dict[str, list[PageFigure]]:
    """Return, for each task, the labels of its targets."""
    return {found.name: _figures(list(_task(found))) for found in tasks if found.targets}


def _task(found: TaskBalance) -> Iterator[tuple[str, str, str, Figure]]:
    for level in ("recordings", "patients"):
        counts: dict[str, Balance] = {target.target: getattr(target, level) for target in found.targets}
        rows = [Shares(name, count.positive, count.negative, count.unknown) for name, count in counts.items()]
        caption = f"Labels of {next(iter(counts.values())).total:,} {level}."
        yield f"task-{found.name}-{level}", level.capitalize(), caption, shares(rows)


def _figures(found: list[tuple[str, str, str, Figure]]) -> list[PageFigure]:
    return [page_figure(figure, name, title, caption) for name, title, caption, figure in found]
