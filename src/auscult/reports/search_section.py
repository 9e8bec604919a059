"""The report's section on a study: how the settings of its job were found on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auscult.config import Experiment
from auscult.config.trials import Chosen, TrialRecord
from auscult.config.tune import SearchSettings, TuneSettings
from auscult.formatting.numbers import duration_text, metric_text, plural
from auscult.plots.inline import PageFigure, read_figure
from auscult.plots.search import draw_search, value_text

FOLDER = "search"
MOST_TRIALS = 10
"""So many stand on the page; all are in the file."""
_PRUNERS = {
    "asha": "of each rung the best 1/{reduction} trained on (ASHA)",
    "median": "trials below the median of their rung were stopped",
    "none": "every trial was trained to the end",
}
_SAMPLERS = {"tpe": "tree-structured Parzen estimators", "random": "random search", "grid": "a grid"}


@dataclass(frozen=True)
class TrialRow:
    """A trial in the table.

    Attributes:
        number: Of it.
        is_chosen: Whether it is the chosen one.
        state: What became of it.
        epochs: Trained.
        value: Of its last rung; empty: it failed.
        settings: In the order of the search.
    """

    number: int
    is_chosen: bool
    state: str
    epochs: int
    value: str
    settings: list[str]


@dataclass(frozen=True)
class SearchView:
    """What the section shows.

    Attributes:
        chosen: What the study came to.
        search: (setting, its values, the chosen one).
        method: How it was searched, in a sentence.
        used: What it took, in a sentence.
        figures: In their order.
        rows: The best trials.
        n_left_out: Trials that are in the file alone.
    """

    chosen: Chosen
    search: list[tuple[str, str, str]]
    method: str
    used: str
    figures: list[PageFigure]
    rows: list[TrialRow]
    n_left_out: int


def search_view(experiment: Experiment, chosen: Chosen, folder: Path) -> SearchView:
    """Draw a study into `folder` and return what its section shows.

    Args:
        experiment: With its search.
        chosen: What the study came to.
        folder: Of the figures.
    """
    tune = experiment.tune
    if tune is None:
        raise ValueError(f"{experiment.group}/{experiment.name} has no search")
    figures = [
        read_figure(folder / f"{name}.svg", f"search-{name}", title, caption)
        for name, title, caption in draw_search(chosen, tune.search, folder)
    ]
    ordered = sorted(chosen.trials, key=lambda trial: _order(trial, chosen))
    return SearchView(
        chosen=chosen,
        search=[(key, _range_text(search), value_text(chosen.values[key])) for key, search in tune.search.items()],
        method=_method(tune, chosen),
        used=_used(chosen),
        figures=figures,
        rows=[_row(trial, chosen, list(tune.search)) for trial in ordered[:MOST_TRIALS]],
        n_left_out=max(len(ordered) - MOST_TRIALS, 0),
    )


def _order(trial: TrialRecord, chosen: Chosen) -> tuple[bool, bool, int, float, int]:
    """Those trained to the end first, then by epochs, within equally many by value."""
    epochs = trial.rungs[-1].epoch if trial.rungs else 0
    value = 0.0 if trial.value is None else trial.value
    signed = -value if chosen.mode == "max" else value
    return trial.state == "failed", trial.state != "complete", -epochs, signed, trial.number


def _row(trial: TrialRecord, chosen: Chosen, keys: Sequence[str]) -> TrialRow:
    return TrialRow(
        number=trial.number,
        is_chosen=trial.number == chosen.trial,
        state=trial.state,
        epochs=trial.rungs[-1].epoch if trial.rungs else 0,
        value="" if trial.value is None else metric_text(trial.value),
        settings=[value_text(trial.values[key]) for key in keys],
    )


def _range_text(search: SearchSettings) -> str:
    if search.choice is not None:
        return ", ".join(map(value_text, search.choice))
    low, high = search.ends
    scale = {"log_uniform": ", logarithmic", "int": ", whole numbers"}.get(search.kind, "")
    return f"{low:g} to {high:g}{scale}"


def _method(tune: TuneSettings, chosen: Chosen) -> str:
    pruner = _PRUNERS[tune.pruner].format(reduction=tune.reduction)
    seeds = f"; a value is the mean over the seeds {', '.join(map(str, tune.seeds))}" if len(tune.seeds) > 1 else ""
    return (
        f"{plural(len(chosen.trials), 'trial')} by {_SAMPLERS[tune.sampler]}, {tune.parallel} at a time, compared by "
        f"{chosen.metric}; {pruner}{seeds}."
    )


def _used(chosen: Chosen) -> str:
    budget = chosen.budget
    text = (
        f"{duration_text(3600 * budget.training_h)} of training, {plural(budget.epochs, 'epoch')}: "
        f"{budget.epochs / budget.epochs_without_pruning:.0%} of what all trials would have taken to the end."
    )
    return f"{text} The budget ended the search." if budget.ended_by_budget else text
