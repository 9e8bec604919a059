"""The report's account of a matrix: each dataset, site or device left out in turn, and how its patients differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import Experiment, TaskSettings
from auscult.formatting.numbers import METRIC_NAMES, Number, number_of, people_text, plural_of
from auscult.metrics.evidence import count_patients, estimates
from auscult.metrics.heterogeneity import pooled_or_why
from auscult.metrics.repeated import repeated_evidence
from auscult.plots.clinical import forest
from auscult.plots.inline import PageFigure, read_figure
from auscult.plots.job import MAX_TARGETS_DRAWN_APART
from auscult.plots.style import save_both
from auscult.reports.jobs import JobResult, test_predictions
from auscult.reports.subgroup_section import heterogeneity_text
from auscult.splits.table_one import NOT_STATED

LEFT_OUT_FILE = "left_out.csv"
SCORES = ("auroc", "sensitivity", "specificity")
LARGE_SHIFT = 0.5
"""From this standardised difference on, a shift of the population is marked."""
_MOST_DEVICES = 3
_MOST_TARGETS = 4
"""So many targets have a column in the table of shifts; all are in the file."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Shift:
    """One characteristic of the patients of a left-out value, beside those of its training part.

    Attributes:
        tested: Share or mean among the left-out; None where it is not known.
        trained: Of the training part.
        difference: Standardised: tested less trained, by the pooled standard deviation; None where undefined.
        is_share: A share in [0, 1], else a number in years.
    """

    tested: float | None
    trained: float | None
    difference: float | None
    is_share: bool = True

    @property
    def text(self) -> str:
        """Both, as the page prints them.

        >>> Shift(0.5, 0.25, 0.53).text, Shift(44.2, None, None, is_share=False).text
        ('50% against 25%', '44.2 against –')
        """
        return f"{self._text(self.tested)} against {self._text(self.trained)}"

    @property
    def difference_text(self) -> str:
        """The difference with its sign.

        >>> [Shift(0.5, 0.5, found).difference_text for found in (-0.53, -0.001, None)]
        ['−0.53', '+0.00', '']
        """
        # Without the sum, what rounds to nothing would keep its minus.
        return "" if self.difference is None else f"{round(self.difference, 2) + 0.0:+.2f}".replace("-", "−")

    @property
    def is_large(self) -> bool:
        """It is marked."""
        return self.difference is not None and abs(self.difference) >= LARGE_SHIFT

    def _text(self, value: float | None) -> str:
        return "–" if value is None else f"{value:.0%}" if self.is_share else f"{value:.1f}"


@dataclass(frozen=True)
class Population:
    """How the patients of one left-out value differ from those that its model learned from.

    Attributes:
        value: What is left out.
        prevalence: Target -> share of patients who have it, of those of whom it is known.
        age: Mean age in years.
        female: Share of those whose sex is stated.
        devices: The most frequent devices of the left-out patients.
        devices_trained: Of the training part.
    """

    value: str
    prevalence: dict[str, Shift]
    age: Shift
    female: Shift
    devices: str
    devices_trained: str


@dataclass(frozen=True)
class LeftOutRow:
    """One left-out value and target.

    Attributes:
        value: What is left out.
        anchor: Of its first training's section.
        run: Its name.
        people: Patients of its test set, in words.
        numbers: One a score of `SCORES`.
    """

    value: str
    anchor: str
    run: str
    people: str
    numbers: list[Number]


@dataclass(frozen=True)
class LeftOutTarget:
    """One target of a job with a matrix.

    Attributes:
        target: Its name.
        rows: One a value.
        pooled: Its AUROC over the values; None where it is not pooled.
        expected: Ends of the prediction interval, in words; empty without one.
        said: How far the values differ, or why they are not pooled.
        figure: Forest plot.
    """

    target: str
    rows: list[LeftOutRow]
    pooled: Number | None
    expected: str
    said: str
    figure: PageFigure | None


@dataclass(frozen=True)
class LeftOut:
    """A job with a matrix.

    Attributes:
        job: Its number.
        by: `dataset`, `site` or `device`.
        model: Its name.
        n_trainings: Of each value.
        anchor: Of its first training's section.
        targets: One a target.
        populations: One a value.
        table: Its rows of `left_out.csv`.
    """

    job: int
    by: str
    model: str
    n_trainings: int
    anchor: str
    targets: list[LeftOutTarget]
    populations: list[Population]
    table: list[dict[str, Any]]

    @property
    def score_names(self) -> list[str]:
        """The scores in print."""
        return [METRIC_NAMES[name] for name in SCORES]

    @property
    def targets_shown(self) -> list[str]:
        """The targets that have a column in the table of shifts."""
        return list(self.populations[0].prevalence)[:_MOST_TARGETS]


def find_left_out(
    experiment: Experiment,
    task: TaskSettings,
    jobs: Sequence[JobResult],
    audits: Sequence[Mapping[str, Any]],
    folder: Path,
) -> list[LeftOut]:
    """Return the jobs with a matrix, and draw their forest plots.

    Args:
        experiment: Its jobs.
        task: What was predicted; each class of a multi-class task stands against the rest.
        jobs: The results of all runs, in order.
        audits: The audit of each run's split, in the same order.
        folder: Where `left_out_<job>.svg` and `.png` go.
    """
    table_one_of = {run.id: audit["table_one"] for run, audit in zip(experiment.runs, audits, strict=True)}
    found: list[LeftOut] = []
    for number, members in groupby((job for job in jobs if job.left_out), key=lambda job: job.number):
        matrix = experiment.job(number).matrix
        if matrix is None:
            continue
        of_values = {value: list(runs) for value, runs in groupby(members, key=lambda job: job.left_out)}
        firsts = {value: runs[0] for value, runs in of_values.items()}
        studies = _studies(of_values, task)
        populations = [_population(value, table_one_of[run.id], task) for value, run in firsts.items()]
        between = [
            {
                "by": matrix.leave_out,
                "target": target,
                "studies": of_target,
                **pooled_or_why([study["auroc"] for study in of_target], matrix.leave_out),
            }
            for target, of_target in studies.items()
        ]
        first = next(iter(firsts.values()))
        found.append(
            LeftOut(
                job=number,
                by=matrix.leave_out,
                model=first.settings.model.name,
                n_trainings=len(of_values[first.left_out]),
                anchor=first.anchor,
                targets=[
                    _target(one, firsts, task, _draw(one, number, place, task, folder))
                    for place, one in enumerate(between)
                ],
                populations=populations,
                table=[row for one in between for row in _csv_rows(number, one, populations)],
            )
        )
    return found


def _studies(of_values: Mapping[str, Sequence[JobResult]], task: TaskSettings) -> dict[str, list[dict[str, Any]]]:
    """Return of each target an entry a value: `value`, `n` and the estimate of each score, over the value's seeds."""
    found: dict[str, list[dict[str, Any]]] = {target: [] for target in task.targets}
    for value, runs in of_values.items():
        # No resamples: these scores have intervals that need none.
        evidence = repeated_evidence([test_predictions(run, task) for run in runs], task, np.random.default_rng(0), 0)
        for target in task.targets:
            scores = estimates([of_run[target] for of_run in evidence])
            of_scores = {name: scores[name] for name in SCORES}
            found[target].append({"value": value, "n": count_patients(evidence[0][target]), **of_scores})
    return found


def _target(
    one: Mapping[str, Any], firsts: Mapping[str, JobResult], task: TaskSettings, figure: PageFigure | None
) -> LeftOutTarget:
    rows: list[LeftOutRow] = []
    for study in one["studies"]:
        n, run = study["n"], firsts[study["value"]]
        classes = {"positive": n["positive_patients"], "negative": n["negative_patients"]}
        missing = " and ".join(f"no {name} {task.level}" for name, count in classes.items() if not count)
        needed = {
            "auroc": missing,
            "sensitivity": f"no positive {task.level}",
            "specificity": f"no negative {task.level}",
        }
        numbers = [number_of(study[name], needed[name]) for name in SCORES]
        people = people_text(*(n[name] for name in ("patients", "positive_patients", "negative_patients")))
        rows.append(LeftOutRow(study["value"], run.anchor, run.id, people, numbers))
    pooled = one["pooled"]
    return LeftOutTarget(
        target=one["target"],
        rows=rows,
        pooled=None if pooled is None else Number(pooled["value"], pooled["low"], pooled["high"]),
        expected="" if pooled is None else f"{pooled['prediction_low']:.3f}–{pooled['prediction_high']:.3f}",
        said=heterogeneity_text(one, names_target=len(task.targets) > 1),
        figure=figure,
    )


def _draw(one: Mapping[str, Any], number: int, place: int, task: TaskSettings, folder: Path) -> PageFigure | None:
    """Draw the forest plot of one target; None beyond the first targets."""
    if place >= MAX_TARGETS_DRAWN_APART:
        return None
    by, pooled = one["by"], one["pooled"]
    of = f": {one['target']}" if len(task.targets) > 1 else ""
    title = f"AUROC of each {by} that was left out{of}"
    shown = [study for study in one["studies"] if study["auroc"]["value"] is not None]
    if len(shown) < 2:
        return PageFigure(title, "", None, f"fewer than two {plural_of(by)} have patients of both classes")
    caption = f"Job {number}, {task.level} level, with 95% intervals over patients."
    if pooled is not None:
        caption += f" Diamond: the mean over {plural_of(by)}. Below: where the AUROC of another {by} is expected."
    name = f"left_out_{number}" if len(task.targets) == 1 else f"left_out_{number}_{place + 1}"
    save_both(forest(shown, pooled), folder / name)
    return read_figure(folder / f"{name}.svg", f"all-{name}", title, caption)


def _population(value: str, table: Sequence[Row], task: TaskSettings) -> Population:
    """Return how the test part of a Table 1 differs from its training part."""
    rows = {(row["characteristic"], row["category"]): row for row in table}
    kind = "" if task.type == "multi_class" else "positive, "
    prevalence: dict[str, Shift] = {}
    for target in task.targets:
        row = rows[target, f"{kind}patients"]
        negative = rows.get((target, "negative, patients"))
        counts = {
            part: (row[part]["n"], row[part]["of"] if negative is None else row[part]["n"] + negative[part]["n"])
            for part in ("test", "train")
        }
        prevalence[target] = share_shift(*counts["test"], *counts["train"])
    age = rows["age (years)", ""]
    stated = [row for (name, category), row in rows.items() if name == "sex" and category != NOT_STATED]
    sexes = {part: sum(row[part]["n"] for row in stated) for part in ("test", "train")}
    female = {part: sum(row[part]["n"] for row in stated if row["category"] == "female") for part in sexes}
    return Population(
        value,
        prevalence,
        age=mean_shift(age["test"], age["train"]),
        female=share_shift(female["test"], sexes["test"], female["train"], sexes["train"]),
        devices=_devices(rows, "test"),
        devices_trained=_devices(rows, "train"),
    )


def share_shift(n: int, of: int, n_trained: int, of_trained: int) -> Shift:
    """Return how a share differs, standardised as in Austin 2009, Stat Med 28:3083.

    >>> found = share_shift(6, 10, 2, 10)
    >>> round(found.difference, 3), share_shift(3, 3, 0, 4).difference, share_shift(0, 0, 1, 4).tested
    (0.894, None, None)
    """
    one, other = (count / total if total else None for count, total in ((n, of), (n_trained, of_trained)))
    if one is None or other is None:
        return Shift(one, other, None)
    return Shift(one, other, _standardised(one - other, one * (1 - one), other * (1 - other)))


def mean_shift(tested: Row, trained: Row) -> Shift:
    """Return how a mean differs, of cells of Table 1; one of an earlier version holds no mean."""
    one, other = tested.get("mean"), trained.get("mean")
    spreads = tested.get("deviation"), trained.get("deviation")
    if one is None or other is None or spreads[0] is None or spreads[1] is None:
        return Shift(one, other, None, is_share=False)
    return Shift(one, other, _standardised(one - other, spreads[0] ** 2, spreads[1] ** 2), is_share=False)


def _standardised(difference: float, variance: float, other_variance: float) -> float | None:
    """Return a difference over the pooled standard deviation; None where nothing spreads and they differ."""
    spread = math.sqrt((variance + other_variance) / 2)
    if not spread:
        return None if difference else 0.0
    return difference / spread


def _devices(rows: Mapping[tuple[str, str], Row], part: str) -> str:
    """Return the most frequent devices of a subset with the share of its patients, in words."""
    found = sorted(
        ((row[part]["n"], row[part]["of"], category) for (name, category), row in rows.items() if name == "device"),
        key=lambda one: -one[0],
    )
    texts = [f"{category} {n / of:.0%}" for n, of, category in found if n]
    return ", ".join([*texts[:_MOST_DEVICES], *(["…"] if len(texts) > _MOST_DEVICES else [])]) or "–"


def _csv_rows(number: int, one: Mapping[str, Any], populations: Sequence[Population]) -> list[dict[str, Any]]:
    head = {"job": number, "leave_out": one["by"], "target": one["target"]}
    rows: list[dict[str, Any]] = []
    for study, population in zip(one["studies"], populations, strict=True):
        row = {**head, "row": "left out", "value": study["value"], **study["n"]}
        for name in SCORES:
            row |= {name if key == "value" else f"{name}_{key}": found for key, found in study[name].items()}
        shifts = {
            "prevalence": population.prevalence[one["target"]],
            "age_years": population.age,
            "female": population.female,
        }
        for name, shift in shifts.items():
            row |= {
                name: shift.tested,
                f"{name}_trained": shift.trained,
                f"{name}_standardised_difference": shift.difference,
            }
        rows.append({**row, "devices": population.devices, "devices_trained": population.devices_trained})
    pooled = one["pooled"] or {}
    of_pooled = {"auroc": "value", "auroc_low": "low", "auroc_high": "high"}
    rows.append(
        {
            **head,
            "row": "pooled",
            **{name: pooled.get(key) for name, key in of_pooled.items()},
            "auroc_method": one["method"],
            "auroc_reason": one["reason"],
            **{name: pooled.get(name) for name in _OF_POOLED},
        }
    )
    return rows


_OF_POOLED = ("prediction_low", "prediction_high", "tau", "i_squared", "q_p", "n_studies")


def left_out_csv(found: Sequence[LeftOut]) -> pd.DataFrame:
    """Return a row a job, target and left-out value, and one for the pooled AUROC of each job and target."""
    return pd.DataFrame([row for one in found for row in one.table])
