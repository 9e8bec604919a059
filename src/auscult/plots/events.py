"""Events drawn: truth and answers along recordings, and the score over how far apart two events may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from auscult.config import TaskSettings
from auscult.formatting.numbers import plural
from auscult.plots.job import Drawing
from auscult.plots.style import FAINT, GRID, INK, MUTED, PANEL_INCHES, panel, series_colour, series_dashes, styled
from auscult.storage.study_ids import StudyIds

MAX_RECORDINGS = 3
_COLOURS = {"hit": "#009E73", "miss": "#D55E00", "false alarm": "#E69F00", "not judged": FAINT}
_ROW_INCHES = 0.36


def draw_events(
    section: Mapping[str, Any], events: pd.DataFrame, task: TaskSettings, ids: StudyIds
) -> Iterator[tuple[Drawing, Figure | None]]:
    """Yield the figures of a test set.

    Args:
        section: Of `metrics.json`, from `evaluation.events.judge_events`.
        events: `events.csv`.
        task: Of type `events`.
        ids: What recordings are called.
    """
    yield _tolerance(section, task)
    yield _timelines(events.loc[events["split"] == "test"], task, ids)


def _tolerance(section: Mapping[str, Any], task: TaskSettings) -> tuple[Drawing, Figure | None]:
    collars = task.event_settings.collars
    caption = (
        "Test set. F1 of events where onset and offset may be so far apart; of the offset also "
        f"{collars.offset_share:.0%} of the true event's length. Dotted: the collar of the scores."
    )
    drawing = Drawing("event_tolerance", "F1 of events over tolerance", caption)
    rows = section["over_tolerance"]
    known = [kind for kind in task.targets if any(row["f1"][kind] is not None for row in rows)]
    if not known:
        return Drawing(drawing.name, drawing.title, caption, "no event of any kind, true or found"), None
    with styled():
        figure, axes = panel(PANEL_INCHES)
        axes.grid(visible=True)
        at = [row["collar_s"] for row in rows]
        for number, kind in enumerate(known):
            values = [np.nan if row["f1"][kind] is None else row["f1"][kind] for row in rows]
            axes.plot(
                at, values, color=series_colour(number), linestyle=series_dashes(number), marker="o", ms=3.5, label=kind
            )
        axes.axvline(collars.onset_s, color=MUTED, linestyle=":", linewidth=1)
        axes.set(xscale="log", ylim=(0, 1), xlabel="Tolerance of onset and offset (s)", ylabel="F1")
        axes.set_xticks(at, [f"{one:g}" for one in at])
        axes.minorticks_off()
        axes.legend(loc="best")
    return drawing, figure


def _timelines(events: pd.DataFrame, task: TaskSettings, ids: StudyIds) -> tuple[Drawing, Figure | None]:
    """Draw the recordings with the most true events, truth above answer for each kind."""
    true = events.loc[events["true_start_s"].notna()]
    chosen = true["recording_id"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    names = chosen.index[:MAX_RECORDINGS].tolist()
    caption = (
        f"The {plural(len(names), 'recording')} of the test set with the most true events. Of each kind the upper bar "
        "is the truth, the lower what was found. Green: hits, vermilion: misses, orange: false alarms."
    )
    drawing = Drawing("event_timelines", "Events along recordings", caption)
    if not names:
        return Drawing(drawing.name, drawing.title, caption, "no true event"), None
    n_kinds = len(task.targets)
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 0.7 + _ROW_INCHES * len(names) * (n_kinds + 0.6)))
        ticks: list[tuple[float, str]] = []
        for number, name in enumerate(names):
            top = number * (n_kinds + 0.6)
            axes.text(0, top - 0.42, ids.recording(str(name)), fontsize=8, color=MUTED, va="bottom")
            of_recording = events.loc[events["recording_id"] == name]
            for row, kind in enumerate(task.targets):
                middle = top + row + 0.05
                ticks.append((middle, kind))
                axes.axhline(middle, color=GRID, linewidth=0.8, zorder=0)
                for outcome, found in of_recording.loc[of_recording["kind"] == kind].groupby("outcome"):
                    colour = _COLOURS[str(outcome)]
                    for begin, end, place in (("true_start_s", "true_end_s", -0.3), ("start_s", "end_s", 0.04)):
                        kept = found.loc[found[begin].notna()]
                        spans = list(zip(kept[begin], kept[end] - kept[begin], strict=True))
                        axes.broken_barh(spans, (middle + place, 0.26), facecolors=colour, edgecolor=INK, linewidth=0.3)
        axes.set_yticks([place for place, _ in ticks], [kind for _, kind in ticks])
        axes.set_ylim(len(names) * (n_kinds + 0.6) - 0.2, -0.75)
        axes.set_xlim(left=0)
        axes.set_xlabel("Time in the recording (s)")
    return drawing, figure
