"""The metrics of one subset of a split as blocks and tables: targets, mean, four or all classes, slices, protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auscult.config import TaskSettings
from auscult.formatting.numbers import METRIC_NAMES, Number, number_of, people_text, plural

Section = Mapping[str, Any]

_CLASS_METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "auprc")
MULTI_CLASS_HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
NORMAL_CLASS_METRICS = ("challenge_score", "average_score", "harmonic_score", "sensitivity", "specificity")
_PERCENT_METRICS_FIRST = ("score", "sensitivity", "specificity")


@dataclass(frozen=True)
class Block:
    """The metrics of one view at one level: a target, the mean of targets, the four classes, or all classes.

    Attributes:
        key: `target`, `macro`, `four_class` or `multi_class`.
        name: Whose metrics these are.
        counts: What was counted, in words; empty for a mean over targets.
        numbers: Metric -> number, in the order of `METRIC_NAMES`.
        classes: Names of rows and columns of `confusion`, empty without one.
        confusion: Confusion matrix, actual by predicted.
        by_class: Multi-class: class -> metric -> number; `n` apart in `class_counts`.
        patients_of_classes: How many patients have a row of each class; empty for a mean, or where nobody counted.
        patients: How many there are; None for a mean.
    """

    key: str
    name: str
    counts: str
    numbers: dict[str, Number]
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    by_class: dict[str, dict[str, Number]] = field(default_factory=dict)
    class_counts: dict[str, int] = field(default_factory=dict)
    patients_of_classes: tuple[int, ...] = ()
    patients: int | None = None


def blocks(subset: Section, task: TaskSettings, level: str) -> list[Block]:
    """Return the views of one subset (`metrics.json`: `test` or `val`) at one level, the main one first.

    Args:
        subset: From `metrics.summary.summarise`.
        task: What was predicted.
        level: `clip`, `recording` or `patient`.
    """
    section = subset[level]
    if task.type == "multi_class":
        return [_multi_class(section["multi_class"], level)]
    found: list[Block] = []
    if "four_class" in section:
        found.append(_four_class(section["four_class"], level))
    if len(task.targets) > 1:
        found.append(_macro(section, task))
    return found + [_target(section[target], target, level) for target in task.targets]


def headline(subset: Section, task: TaskSettings) -> dict[str, Number]:
    """Return the main metrics of a job, at the task's level, by their printed names.

    Binary: AUROC, AUPRC, sensitivity, specificity, F1. Multi-label: the ICBHI score and its parts where the task has
    the four-class view, and the means over the targets. Multi-class: `MULTI_CLASS_HEADLINE`, or with a
    normal class `NORMAL_CLASS_METRICS`.
    """
    views = {block.key: block for block in blocks(subset, task, task.level)}
    if task.type == "multi_class":
        names = MULTI_CLASS_HEADLINE if task.normal_class is None else NORMAL_CLASS_METRICS
        return {METRIC_NAMES[name]: views["multi_class"].numbers[name] for name in names}
    chosen: dict[str, Number] = {}
    if "four_class" in views:
        numbers = views["four_class"].numbers
        names = {"score": "ICBHI score", "sensitivity": "Sensitivity (ICBHI)", "specificity": "Specificity (ICBHI)"}
        chosen |= {names[name]: numbers[name] for name in _PERCENT_METRICS_FIRST}
    block, suffix = (views["macro"], ", mean") if "macro" in views else (views["target"], "")
    kept = ("auroc", "auprc", "f1") if chosen else ("auroc", "auprc", "sensitivity", "specificity", "f1")
    return chosen | {METRIC_NAMES[name] + suffix: block.numbers[name] for name in kept}


def flat(subset: Section, task: TaskSettings) -> dict[str, float]:
    """Return every defined metric at the task's level by a plain name, such as `auroc` or `crackle_auroc`.

    Means over targets carry the target's metric name alone; the four-class view is prefixed with `icbhi_`.
    """
    values: dict[str, float] = {}
    for block in blocks(subset, task, task.level):
        prefix = f"{block.name}_" if block.key == "target" and len(task.targets) > 1 else ""
        for name, number in block.numbers.items():
            plain = f"icbhi_{name}" if block.key == "four_class" else prefix + name
            if number.value is not None:
                values[plain] = number.value
    return values


def interval_notes(levels: Sequence[Mapping[str, Number]]) -> list[str]:
    """Return how the intervals of a table were made, and why some are missing, in sentences.

    Args:
        levels: Metric -> number, at each level.
    """
    methods: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for numbers in levels:
        for metric, number in numbers.items():
            if number.value is not None and (number.method or number.no_interval):
                found = (
                    methods.setdefault(number.method, [])
                    if number.method
                    else missing.setdefault(number.no_interval, [])
                )
                if METRIC_NAMES[metric] not in found:
                    found.append(METRIC_NAMES[metric])
    return [
        *(f"Interval by {method}: {', '.join(names)}" for method, names in methods.items()),
        *(f"No interval, {reason}: {', '.join(names)}" for reason, names in missing.items()),
    ]


def people_of(n: Mapping[str, Any]) -> str:
    """Return how many patients a view rests on: of `n` of `metrics.json`."""
    names = ("positive_patients", "negative_patients") if "positive" in n else ("abnormal_patients", "normal_patients")
    return people_text(n["patients"], n.get(names[0]), n.get(names[1]))


def _number(section: Section, name: str, reason: str, *, is_percent: bool = False, people: str = "") -> Number:
    return number_of(section[name], reason, is_percent=is_percent, people=people)


def _ordered(section: Section) -> list[str]:
    return [name for name in METRIC_NAMES if name in section]


def _target(section: Section, target: str, level: str) -> Block:
    n, cells = section["n"], section["confusion"]
    people = people_of(n)
    numbers = {name: _number(section, name, _why(name, n, cells, level), people=people) for name in _ordered(section)}
    known = f"{n['positive']:,} positive, {n['negative']:,} negative"
    return Block(
        key="target",
        name=target,
        counts=f"{known}{_unknown(n)}; {people}",
        numbers=numbers,
        classes=(f"no {target}", target),
        confusion=((cells["tn"], cells["fp"]), (cells["fn"], cells["tp"])),
        patients_of_classes=_counted(n, "negative_patients", "positive_patients"),
        patients=n["patients"],
    )


def _counted(n: Section, *names: str) -> tuple[int, ...]:
    return tuple(n[name] for name in names if name in n)


def _unknown(n: Section) -> str:
    return f", {n['unknown']:,} unknown (left out)" if n["unknown"] else ""


def _why(name: str, n: Section, cells: Section, level: str) -> str:
    """Say why a target's metric has no value."""
    reasons = [
        (not n["positive"] and not n["negative"], f"no {level} with a known label"),
        (name == "ppv", f"no {level} was predicted positive"),
        (name == "npv", f"no {level} was predicted negative"),
        (name == "f1", "no positives, neither actual nor predicted"),
        (name != "specificity" and not n["positive"], f"no positive {level}"),
        (name != "sensitivity" and not n["negative"], f"no negative {level}"),
        (not (cells["tp"] + cells["fp"]) * (cells["tn"] + cells["fn"]), f"every {level} got the same prediction"),
    ]
    return next((reason for applies, reason in reasons if applies), "not defined here")


def _macro(section: Section, task: TaskSettings) -> Block:
    numbers: dict[str, Number] = {}
    people = "; ".join(f"{target}: {people_of(section[target]['n'])}" for target in task.targets)
    for name in _ordered(section["macro"]):
        if name == "exact_match":
            numbers[name] = _number(section["macro"], name, "no case has a label for every target", people=people)
            continue
        missing = [target for target in task.targets if section[target][name]["value"] is None]
        numbers[name] = _number(section["macro"], name, f"undefined for {', '.join(missing)}", people=people)
    return Block("macro", f"mean of {len(task.targets)} targets", "", numbers)


def _four_class(section: Section, level: str) -> Block:
    table = section["confusion"]
    n_normal, n_abnormal = sum(table[0]), sum(sum(row) for row in table[1:])
    missing = [word for word, count in (("normal", n_normal), ("abnormal", n_abnormal)) if not count]
    reason = " and ".join(f"no {word} {level}" for word in missing)
    people = people_of(section["n"])
    numbers = {name: _number(section, name, reason, is_percent=True, people=people) for name in _ordered(section)}
    front = {name: numbers[name] for name in _PERCENT_METRICS_FIRST if name in numbers}
    return Block(
        key="four_class",
        name="four classes (ICBHI), per cent",
        counts=f"{plural(section['n']['known'], level)}{_unknown(section['n'])}; {people}",
        numbers=front | numbers,
        classes=tuple(section["classes"]),
        confusion=tuple(tuple(row) for row in table),
        patients_of_classes=_counted(section["n"], "normal_patients", "abnormal_patients"),
        patients=section["n"]["patients"],
    )


def _multi_class(section: Section, level: str) -> Block:
    by_class, counts, n = section["by_class"], {}, section["n"]
    absent = [name for name, values in by_class.items() if not values["n"]]
    reason = f"no {level} of class {', '.join(absent)}" if absent else "some class was predicted always or never"
    if not n["known"]:
        reason = f"every {level} holds several classes" if n["several_classes"] else f"no {level} with a known label"
    numbers = {
        name: _number(section, name, reason, people=people_text(n["patients"], None, None))
        for name in _ordered(section)
    }
    rows: dict[str, dict[str, Number]] = {}
    for name, values in by_class.items():
        counts[name] = values["n"]
        missing = f"no {level} of this class" if not values["n"] else f"no {level} of another class"
        reasons = {
            "ppv": f"no {level} was predicted as this class",
            "npv": f"every {level} was predicted as this class",
        }
        rows[name] = {metric: _number(values, metric, reasons.get(metric, missing)) for metric in _CLASS_METRICS}
    mixed = n["several_classes"]
    return Block(
        key="multi_class",
        name=plural(len(section["classes"]), "class"),
        counts=f"{plural(n['known'], level)}{_unknown(n)}"
        + (f", {mixed:,} of several classes (left out)" if mixed else "")
        + f"; {plural(n['patients'], 'patient')}",
        numbers=numbers,
        classes=tuple(section["classes"]),
        confusion=tuple(tuple(row) for row in section["confusion"]),
        by_class=rows,
        class_counts=counts,
        patients_of_classes=tuple(values["patients"] for values in by_class.values() if "patients" in values),
        patients=n["patients"],
    )


@dataclass(frozen=True)
class SliceRow:
    """One slice.

    Attributes:
        by: What was sliced by.
        value: Which slice.
        patients: How many.
        counts: Positive / negative of each target at the task's level; for a multi-class task the labelled ones.
        numbers: One a column of the table.
    """

    by: str
    value: str
    patients: str
    counts: list[str]
    numbers: list[Number]


@dataclass(frozen=True)
class SliceTable:
    """Slices for print.

    Attributes:
        counts: Headings.
        metrics: Headings.
        rows: The slices with metrics.
        too_small: The slices with too few patients, in words; empty where there are none.
    """

    counts: list[str]
    metrics: list[str]
    rows: list[SliceRow]
    too_small: str


def slice_table(slices: Sequence[Mapping[str, Any]], task: TaskSettings) -> SliceTable:
    """Return the table of `metrics.json`'s `slices`.

    Args:
        slices: From `evaluation.slices.slice_metrics`.
        task: What was predicted.
    """
    names = list(dict.fromkeys(name for entry in slices if entry["metrics"] is not None for name in entry["metrics"]))
    multi_class = task.type == "multi_class"
    counts = [f"{task.level.capitalize()}s"] if multi_class else [f"{target} +/−" for target in task.targets]
    rows: list[SliceRow] = []
    too_small: dict[str, list[str]] = {}
    for entry in slices:
        n, metrics = entry["n"], entry["metrics"]
        if metrics is None:
            too_small.setdefault(entry["by"], []).append(entry["value"])
            continue
        cells = [f"{n['known']:,}"] if multi_class else [_balance(n[target]) for target in task.targets]
        numbers = [_slice_number(name, metrics[name]) for name in names]
        rows.append(SliceRow(entry["by"], entry["value"], f"{n['patients']:,}", cells, numbers))
    words = "; ".join(f"{by} {', '.join(values)}" for by, values in too_small.items())
    return SliceTable(counts, [_heading(name, task) for name in names], rows, words)


def _balance(counts: Mapping[str, int]) -> str:
    return f"{counts['positive']:,} / {counts['negative']:,}"


def _slice_number(name: str, found: Mapping[str, float | None]) -> Number:
    return number_of(found, "one class only", is_percent=name == "icbhi_score")


def _heading(name: str, task: TaskSettings) -> str:
    for target in task.targets:
        if len(task.targets) > 1 and name.startswith(f"{target}_"):
            return f"{METRIC_NAMES[name.removeprefix(f'{target}_')]}, {target}"
    return "ICBHI score" if name == "icbhi_score" else METRIC_NAMES[name]


_OF_DECISIONS = {"icbhi_score", "balanced_accuracy"}
"""Epochs are compared before there are thresholds: decisions are then taken at 0.5."""
OPTIMISTIC = "best on test (optimistic)"


@dataclass(frozen=True)
class ProtocolTable:
    """Two ways of choosing the epoch, for print.

    Attributes:
        metric: By which the second chose its epoch.
        chosen_epoch: Of validation.
        best_epoch: Of the test set; None where the metric is undefined there.
        rows: Metric, validation-chosen, best on test, gap; the last two are undefined without a best epoch.
        gap_text: The gap in one sentence.
    """

    metric: str
    chosen_epoch: int
    best_epoch: int | None
    rows: list[tuple[str, Number, Number, Number]]
    gap_text: str


def protocol_table(metrics: Mapping[str, Any], task: TaskSettings) -> ProtocolTable | None:
    """Return the table of `metrics.json`'s `protocols`; None where they were not asked for.

    Args:
        metrics: The content of `metrics.json`.
        task: What was predicted.
    """
    found = metrics.get("protocols")
    if found is None:
        return None
    level = metrics["test"][task.level]
    chosen, best = found["validation_chosen"], found["best_on_test"]
    sections = [chosen["views"], None if best is None else best["views"], found["gap"]]
    columns = [None if section is None else _headline(section, level, task) for section in sections]
    absent = Number(None, reason=f"{found['metric']} is undefined on the test set in every epoch")
    rows = [
        (name, number, *(absent if column is None else column[name] for column in columns[1:]))
        for name, number in (columns[0] or {}).items()
    ]
    return ProtocolTable(
        metric=found["metric"],
        chosen_epoch=chosen["epoch"],
        best_epoch=None if best is None else best["epoch"],
        rows=[(name, one, two, gap) for name, one, two, gap in rows],
        gap_text=_gap_text(found),
    )


def _headline(section: Mapping[str, Any], level: Mapping[str, Any], task: TaskSettings) -> dict[str, Number]:
    merged = {view: {**of_view, **section.get(view, {})} for view, of_view in level.items()}
    return headline({task.level: merged}, task)


def _gap_text(found: Mapping[str, Any]) -> str:
    chosen, best = found["validation_chosen"]["epoch"], found["best_on_test"]
    if best is None:
        return "The metric is undefined on the test set in every epoch."
    if best["epoch"] == chosen:
        return f"Both are epoch {chosen} here, so nothing differs."
    of_epoch = {entry["epoch"]: entry["test"] for entry in found["epochs"]}
    is_percent = found["metric"] == "icbhi_score"
    one, two = (Number(of_epoch[epoch], is_percent=is_percent) for epoch in (chosen, best["epoch"]))
    if one.value is None or two.value is None:
        return f"The metric of epoch {chosen} is undefined on the test set."
    gap = Number(two.value - one.value, is_percent=is_percent)
    at = " at a threshold of 0.5" if found["metric"] in _OF_DECISIONS else ""
    return (
        f"By {found['metric']}{at}, epoch {best['epoch']} has {two.value_text} on the test set and epoch {chosen} "
        f"{one.value_text}: choosing on the test set would add {gap.value_text}."
    )
