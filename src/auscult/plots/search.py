"""Figures of a study: its history, the settings against each other, which matter, what was trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from auscult.config.trials import Chosen, TrialRecord
from auscult.config.tune import SearchSettings
from auscult.plots.style import (
    DOTTED,
    FAINT,
    GRID,
    INK,
    MUTED,
    PANEL_INCHES,
    SERIES,
    name_rows,
    panel,
    save_both,
    styled,
)

MOST_SLICES = 8
_COLUMN_INCHES = 1.25
_MOST_CHARACTERS = 16
_MOST_ABREAST = 26
"""Characters of all names below a panel; with more they stand aslant."""
_MARKERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "complete": ("trained to the end", "o", {"color": SERIES[0]}),
    "pruned": ("stopped earlier", "o", {"color": MUTED, "facecolor": "white"}),
    "failed": ("failed", "x", {"color": SERIES[1]}),
}
"""State -> name, marker and colours."""


@dataclass(frozen=True)
class _Scale:
    """One setting as an axis from 0 to 1.

    Attributes:
        name: Of the setting, short.
        at: JSON of a value -> where it stands; of a choice only.
        ends: Of a range.
        is_log: Whether the range is logarithmic.
    """

    name: str
    at: Mapping[str, float]
    ends: tuple[float, float]
    is_log: bool

    @classmethod
    def of(cls, name: str, search: SearchSettings) -> _Scale:
        if search.choice is None:
            return cls(name, {}, search.ends, search.log_uniform is not None)
        texts = [_json(value) for value in search.choice]
        places = {text: number / max(len(texts) - 1, 1) for number, text in enumerate(texts)}
        return cls(name, places, (0.0, 1.0), is_log=False)

    def place(self, value: Any) -> float:
        if self.at:
            return self.at[_json(value)]
        low, high = self.ends
        return math.log(value / low) / math.log(high / low) if self.is_log else (value - low) / (high - low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        if self.at:
            return [(place, _tick_text(json.loads(text))) for text, place in self.at.items()]
        low, high = self.ends
        middle = math.sqrt(low * high) if self.is_log else (low + high) / 2
        return [(share, f"{value:.3g}") for share, value in ((0, low), (0.5, middle), (1, high))]


def draw_search(chosen: Chosen, search: Mapping[str, SearchSettings], folder: Path) -> list[tuple[str, str, str]]:
    """Draw a study as SVG and PNG.

    Args:
        chosen: What it came to.
        search: What was searched.
        folder: Where to write; made when absent.

    Returns:
        (name of the file, title, caption) of each figure.
    """
    scales = [_Scale.of(name, search[key]) for key, name in short_names(list(search)).items()]
    keys = list(search)
    budget = chosen.budget
    share = budget.epochs / budget.epochs_without_pruning
    drawn = [
        (
            "history",
            _history(chosen),
            "History",
            f"{chosen.metric} of each trial at its last rung, failed ones at the edge; the line is the best of those "
            "trained to the end.",
        ),
        (
            "parallel_coordinates",
            _parallel(chosen, keys, scales),
            "Parallel coordinates",
            f"A line is a trial, darker where {chosen.metric} is better; in orange the chosen one.",
        ),
        (
            "budget",
            _budget(chosen),
            "Budget",
            f"Epochs that each trial was trained: {share:.0%} of what all would have taken to the end. The chosen one "
            "is orange, other whole ones are blue, failed ones hollow.",
        ),
        (
            "slices",
            _slices(chosen, keys, scales),
            "Slices",
            f"{chosen.metric} at the last rung against each setting"
            + (f", the first {MOST_SLICES}." if len(keys) > MOST_SLICES else "."),
        ),
    ]
    if chosen.importances:
        names = short_names(list(search))
        figure = _importances({names[key]: value for key, value in chosen.importances.items()})
        drawn.insert(2, ("importances", figure, "Importances", f"{chosen.importance_method}."))
    for name, figure, _, _ in drawn:
        save_both(figure, folder / name)
    return [(name, title, caption) for name, _, title, caption in drawn]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a name for each dotted setting: as few of its last parts as tell it from the others.

    >>> short_names(["train.optimizer.lr", "model.dropout", "model.head.dropout"])
    {'train.optimizer.lr': 'lr', 'model.dropout': 'model.dropout', 'model.head.dropout': 'head.dropout'}
    """
    names: dict[str, str] = {}
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        names[key] = next(
            (tail for tail in tails if not any(f".{other}".endswith(f".{tail}") for other in keys if other != key)), key
        )
    return names


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def value_text(value: Any) -> str:
    """Return a value of a setting for people; a section by its name, where it has one."""
    named: Any = value.get("name", value) if isinstance(value, dict) else value
    return f"{named:.4g}" if isinstance(named, float) else str(named)


def _tick_text(value: Any) -> str:
    """Shortened in its middle: names of models are told apart by their ends."""
    text = value_text(value)
    kept = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: kept - 1]}…{text[-kept:]}"


def _scatter(axes: Axes, trials: Sequence[TrialRecord], x: Sequence[float], chosen: Chosen) -> None:
    """Draw the value of each trial, by its state; a failed one at the edge where bad ones lie."""
    values = [trial.value for trial in trials if trial.value is not None]
    worst = min(values) if chosen.mode == "max" else max(values)
    for state, (_, marker, colours) in _MARKERS.items():
        places = [(at, trial.value) for at, trial in zip(x, trials, strict=True) if trial.state == state]
        if places:
            at = [place for place, _ in places]
            y = [worst if value is None else value for _, value in places]
            axes.scatter(at, y, marker=marker, s=22, linewidths=1.2, zorder=3, **_edges(marker, colours))
    best = next(trial for trial in trials if trial.number == chosen.trial)
    axes.scatter(
        [x[list(trials).index(best)]],
        [chosen.value],
        s=90,
        facecolors="none",
        edgecolors=SERIES[1],
        linewidths=1.8,
        zorder=4,
    )


def _edges(marker: str, colours: Mapping[str, Any]) -> dict[str, Any]:
    if marker == "x":
        return {"c": colours["color"]}
    return {"edgecolors": colours["color"], "facecolors": colours.get("facecolor", colours["color"])}


def _legend(figure: Figure, chosen: Chosen) -> None:
    there = {trial.state for trial in chosen.trials}
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            markersize=5,
            color=colours["color"],
            markerfacecolor=colours.get("facecolor", colours["color"]),
            label=name,
        )
        for state, (name, marker, colours) in _MARKERS.items()
        if state in there
    ]
    ring = Line2D([], [], linestyle="none", marker="o", markersize=9, color=SERIES[1], fillstyle="none", label="chosen")
    figure.legend(handles=[*handles, ring], loc="outside lower center", ncols=len(handles) + 1, handletextpad=0.2)


def _history(chosen: Chosen) -> Figure:
    better = max if chosen.mode == "max" else min
    complete = [trial for trial in chosen.trials if trial.state == "complete" and trial.value is not None]
    with styled():
        figure, axes = panel()
        best = list(accumulate((float(trial.value or 0.0) for trial in complete), better))
        x = [*(trial.number for trial in complete), len(chosen.trials) - 1]
        axes.step(x, [*best, best[-1]], where="post", color=SERIES[0], linewidth=1.4, zorder=2)
        _scatter(axes, chosen.trials, [trial.number for trial in chosen.trials], chosen)
        axes.set(xlabel="trial", ylabel=chosen.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y", color=GRID)
        _legend(figure, chosen)
        return figure


def _parallel(chosen: Chosen, keys: Sequence[str], scales: Sequence[_Scale]) -> Figure:
    trials = [trial for trial in chosen.trials if trial.value is not None]
    values = np.array([trial.value for trial in trials])
    low, high = float(values.min()), float(values.max())
    places = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    goodness = places if chosen.mode == "max" else 1 - places
    n = len(scales) + 1
    with styled():
        figure, axes = panel((max(PANEL_INCHES[0], _COLUMN_INCHES * n), PANEL_INCHES[1]))
        for index in np.argsort(goodness):
            trial = trials[index]
            y = [
                *(scale.place(trial.values[key]) for key, scale in zip(keys, scales, strict=True)),
                float(places[index]),
            ]
            is_chosen = trial.number == chosen.trial
            colour = SERIES[1] if is_chosen else colormaps["Blues"](0.2 + 0.75 * goodness[index])
            axes.plot(range(n), y, color=colour, linewidth=2.2 if is_chosen else 1.0, zorder=4 if is_chosen else 2)
        axes.set(xlim=(-0.15, n - 0.35), ylim=(-0.06, 1.06), xticks=range(n), yticks=[])
        axes.set_xticklabels([*(scale.name for scale in scales), chosen.metric])
        axes.tick_params(axis="x", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        ends = [(share, f"{low + share * (high - low):.3g}") for share in (0.0, 0.5, 1.0)]
        for column, ticks in enumerate([*(scale.ticks for scale in scales), ends]):
            axes.plot([column, column], [0, 1], color=FAINT, linewidth=1, zorder=1)
            for place, text in ticks:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
                axes.annotate(
                    text,
                    (column, place),
                    (4, 0),
                    textcoords="offset points",
                    color=INK,
                    fontsize=8,
                    va="center",
                    bbox=box,
                    zorder=5,
                )
        return figure


def _importances(importances: Mapping[str, float]) -> Figure:
    with styled():
        figure, axes = panel((PANEL_INCHES[0], 0.9 + 0.32 * len(importances)))
        axes.barh(range(len(importances)), list(importances.values()), height=0.6, color=SERIES[0])
        for row, share in enumerate(importances.values()):
            axes.annotate(f"{share:.0%}", (share, row), (4, 0), textcoords="offset points", va="center", color=MUTED)
        name_rows(axes, list(importances))
        axes.set(xlim=(0, 1.12 * max(importances.values())), xlabel="share of the variance")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(visible=True, axis="x", color=GRID)
        return figure


def _slices(chosen: Chosen, keys: Sequence[str], scales: Sequence[_Scale]) -> Figure:
    shown = list(zip(keys, scales, strict=True))[:MOST_SLICES]
    n_columns = min(2, len(shown))
    n_rows = -(-len(shown) // n_columns)
    trials = [trial for trial in chosen.trials if trial.value is not None]
    with styled():
        figure = Figure(figsize=(PANEL_INCHES[0], 0.5 + 2.0 * n_rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for number, (axes, (key, scale)) in enumerate(zip(grid.flat, shown, strict=False)):
            _scatter(axes, trials, [scale.place(trial.values[key]) for trial in trials], chosen)
            # Names are wider than numbers, and the first and last stand below the panel's ends.
            margin = 0.3 if scale.at else 0.08
            axes.set(xlim=(-margin, 1 + margin), xlabel=scale.name, xticks=[place for place, _ in scale.ticks])
            texts = [text for _, text in scale.ticks]
            if sum(map(len, texts)) > _MOST_ABREAST:
                axes.set_xticklabels(texts, rotation=25, ha="right", rotation_mode="anchor")
            else:
                axes.set_xticklabels(texts)
            axes.grid(visible=True, axis="y", color=GRID)
            if number % n_columns == 0:
                axes.set_ylabel(chosen.metric)
        return figure


def _budget(chosen: Chosen) -> Figure:
    with styled():
        figure, axes = panel()
        longest = 0
        for trial in chosen.trials:
            epochs = trial.rungs[-1].epoch if trial.rungs else 0
            longest = max(longest, epochs)
            _, _, colours = _MARKERS[trial.state]
            colour = SERIES[1] if trial.number == chosen.trial else colours["color"]
            face = "white" if trial.state == "failed" else colour
            axes.bar(trial.number, epochs, width=0.8, color=face, edgecolor=colour, linewidth=1)
        axes.axhline(longest, color=MUTED, linewidth=1, linestyle=DOTTED)
        axes.set(xlabel="trial", ylabel="epochs")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y", color=GRID)
        return figure
