"""The metrics of one side as blocks: a target, the mean, four or all classes; and why a metric is undefined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from auscult.config import TaskSettings
from auscult.presentation.numbers import METRIC_NAMES, Number, plural

Section = dict[str, Any]

_CLASS_METRICS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "auprc")
_MULTI_CLASS_HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
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
        confusion: Truth by answer.
        by_class: Multi-class: class -> metric -> number; `n` apart in `class_counts`.
    """

    key: str
    name: str
    counts: str
    numbers: dict[str, Number]
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    by_class: dict[str, dict[str, Number]] = field(default_factory=dict)
    class_counts: dict[str, int] = field(default_factory=dict)


def blocks(side: Section, task: TaskSettings, level: str) -> list[Block]:
    """Return the views of one side (`metrics.json`: `test` or `val`) at one level, the main one first.

    Args:
        side: From `metrics.summary.summarise`.
        task: What was predicted.
        level: `clip`, `recording` or `patient`.
    """
    section = side[level]
    if task.type == "multi_class":
        return [_multi_class(section["multi_class"], level)]
    found: list[Block] = []
    if "four_class" in section:
        found.append(_four_class(section["four_class"], level))
    if len(task.targets) > 1:
        found.append(_macro(section, task))
    return found + [_target(section[target], target, level) for target in task.targets]


def headline(side: Section, task: TaskSettings) -> dict[str, Number]:
    """Return the few metrics that stand for a job, at the task's level, by their printed names.

    Binary: AUROC, AUPRC, sensitivity, specificity, F1. Multi-label: the ICBHI score and its parts where the task has
    the four-class view, and the means over the targets. Multi-class: `_MULTI_CLASS_HEADLINE`.
    """
    views = {block.key: block for block in blocks(side, task, task.level)}
    if task.type == "multi_class":
        return {METRIC_NAMES[name]: views["multi_class"].numbers[name] for name in _MULTI_CLASS_HEADLINE}
    chosen: dict[str, Number] = {}
    if "four_class" in views:
        numbers = views["four_class"].numbers
        names = {"score": "ICBHI score", "sensitivity": "Sensitivity (ICBHI)", "specificity": "Specificity (ICBHI)"}
        chosen |= {names[name]: numbers[name] for name in _PERCENT_METRICS_FIRST}
    block, suffix = (views["macro"], ", mean") if "macro" in views else (views["target"], "")
    kept = ("auroc", "auprc", "f1") if chosen else ("auroc", "auprc", "sensitivity", "specificity", "f1")
    return chosen | {METRIC_NAMES[name] + suffix: block.numbers[name] for name in kept}


def flat(side: Section, task: TaskSettings) -> dict[str, float]:
    """Return every defined metric at the task's level by a plain name, such as `auroc` or `crackle_auroc`.

    Means over targets carry the target's metric name alone; the four-class view is prefixed with `icbhi_`.
    """
    values: dict[str, float] = {}
    for block in blocks(side, task, task.level):
        prefix = f"{block.name}_" if block.key == "target" and len(task.targets) > 1 else ""
        for name, number in block.numbers.items():
            plain = f"icbhi_{name}" if block.key == "four_class" else prefix + name
            if number.value is not None:
                values[plain] = number.value
    return values


def _number(section: Section, name: str, reason: str, *, is_percent: bool = False) -> Number:
    found = section[name]
    undefined = found["value"] is None
    return Number(found["value"], found["low"], found["high"], reason if undefined else "", is_percent)


def _ordered(section: Section) -> list[str]:
    return [name for name in METRIC_NAMES if name in section]


def _target(section: Section, target: str, level: str) -> Block:
    n, cells = section["n"], section["confusion"]
    numbers = {name: _number(section, name, _why(name, n, cells, level)) for name in _ordered(section)}
    known = f"{n['positive']:,} positive, {n['negative']:,} negative"
    return Block(
        key="target",
        name=target,
        counts=f"{known}{_unknown(n)}; {plural(n['patients'], 'patient')}",
        numbers=numbers,
        classes=(f"no {target}", target),
        confusion=((cells["tn"], cells["fp"]), (cells["fn"], cells["tp"])),
    )


def _unknown(n: Section) -> str:
    return f", {n['unknown']:,} unknown (left out)" if n["unknown"] else ""


def _why(name: str, n: Section, cells: Section, level: str) -> str:
    """Say why a target's metric has no value."""
    reasons = [
        (not n["positive"] and not n["negative"], f"no {level} with a known answer"),
        (name == "ppv", f"no {level} was answered positive"),
        (name == "npv", f"no {level} was answered negative"),
        (name == "f1", "nothing positive, neither in truth nor in answers"),
        (name != "specificity" and not n["positive"], f"no positive {level}"),
        (name != "sensitivity" and not n["negative"], f"no negative {level}"),
        (not (cells["tp"] + cells["fp"]) * (cells["tn"] + cells["fn"]), f"every {level} got the same answer"),
    ]
    return next((reason for applies, reason in reasons if applies), "not defined here")


def _macro(section: Section, task: TaskSettings) -> Block:
    numbers: dict[str, Number] = {}
    for name in _ordered(section["macro"]):
        if name == "exact_match":
            numbers[name] = _number(section["macro"], name, "nothing is known of all targets at once")
            continue
        missing = [target for target in task.targets if section[target][name]["value"] is None]
        numbers[name] = _number(section["macro"], name, f"undefined for {', '.join(missing)}")
    return Block("macro", f"mean of {len(task.targets)} targets", "", numbers)


def _four_class(section: Section, level: str) -> Block:
    table = section["confusion"]
    n_normal, n_abnormal = sum(table[0]), sum(sum(row) for row in table[1:])
    missing = [word for word, count in (("normal", n_normal), ("abnormal", n_abnormal)) if not count]
    reason = " and ".join(f"no {word} {level}" for word in missing)
    numbers = {name: _number(section, name, reason, is_percent=True) for name in _ordered(section)}
    front = {name: numbers[name] for name in _PERCENT_METRICS_FIRST if name in numbers}
    return Block(
        key="four_class",
        name="four classes (ICBHI), per cent",
        counts=f"{plural(section['n']['known'], level)}{_unknown(section['n'])}; "
        f"{plural(section['n']['patients'], 'patient')}",
        numbers=front | numbers,
        classes=tuple(section["classes"]),
        confusion=tuple(tuple(row) for row in table),
    )


def _multi_class(section: Section, level: str) -> Block:
    by_class, counts, n = section["by_class"], {}, section["n"]
    absent = [name for name, values in by_class.items() if not values["n"]]
    reason = (
        f"no {level} of class {', '.join(absent)}" if absent else f"a class was never answered, or was every {level}"
    )
    if not n["known"]:
        reason = f"every {level} holds several classes" if n["several_classes"] else f"no {level} with a known answer"
    numbers = {name: _number(section, name, reason) for name in _ordered(section)}
    rows: dict[str, dict[str, Number]] = {}
    for name, values in by_class.items():
        counts[name] = values["n"]
        missing = f"no {level} of this class" if not values["n"] else f"no {level} of another class"
        reasons = {"ppv": f"no {level} was answered so", "npv": f"no {level} was answered otherwise"}
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
    )
