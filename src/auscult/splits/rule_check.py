"""Do a task's rules and a dataset's data speak of the same values? A misspelt value would change sides in silence."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from auscult.config.task import ClassRule, ColumnRule, EventClassRule, EventRule, fold_label
from auscult.errors import ConfigError, nearest
from auscult.labels import MARKED_RECORDING, WHOLE_RECORDING, label_values, part_target
from auscult.splits.leaks import Finding
from auscult.storage.tables import ANNOTATED, UNPLACED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auscult.config.task import TaskSettings

MAX_VALUES_SHOWN = 30
NEGATIVE_BY_OTHERS, VALUES_UNKNOWN = "negative_by_others", "values_unknown"


_UNPLACED_HINT = (
    f"; {UNPLACED!r} makes a recording unknown: a line of its annotations cannot be placed (rejected.csv says why), or "
    "their file is empty (`annotations: {empty_file: listened}` if nothing was heard then)"
)


@dataclass(frozen=True)
class _Held:
    """What a dataset's data hold of one kind of value, and what else a rule may name.

    Attributes:
        where: Task and dataset, for messages.
        what: `label diagnosis`, `event`.
        counts: Value -> how many recordings or events have it.
        parts: What rules are compared with, folded.
        vocabulary: What a fixed layout can hold, folded; a part of a dataset need not.
    """

    where: str
    what: str
    counts: Counter[str]
    parts: set[str]
    vocabulary: set[str]


def check_rules(
    recordings: pd.DataFrame,
    events: pd.DataFrame,
    task: TaskSettings,
    summaries: Mapping[str, Mapping[str, Any]] | None = None,
    name: str = "",
) -> list[Finding]:
    """Compare the rules of a task with the values of the datasets at hand.

    Args:
        recordings: Rows of `tables.RECORDINGS`, of all datasets.
        events: Rows of `tables.EVENTS`, of all datasets.
        task: Its rules.
        summaries: Dataset -> its `summary.json`, whose `vocabulary` says what a fixed layout can hold.
        name: Of the task, for messages.

    Returns:
        Notes: values that are not there and need not be, values that count as negative because nobody named them,
        values that no rule gives a meaning, kinds that no rule names.

    Raises:
        ConfigError: A rule names a value that the data do not hold, and nothing says that it may be absent.
    """
    found: list[Finding] = []
    for dataset, of_dataset in recordings.groupby("dataset", sort=True):
        own = str(dataset)
        vocabulary: Mapping[str, Any] = (summaries or {}).get(own, {}).get("vocabulary", {})
        where = f"task {name}, dataset {own}" if name else f"dataset {own}"
        of_classes = task.classes_from.get(own)
        if isinstance(of_classes, ClassRule):
            rule = of_classes
            held = _labels(of_dataset, rule.column, vocabulary, where, is_whole=True)
            found += _class_notes(held, rule, task.targets, own)
        rules = task.datasets.get(own, {})
        for target, rule in rules.items():
            if isinstance(rule, ColumnRule):
                held = _labels(of_dataset, rule.column, vocabulary, f"{where}, target {target}")
                found += _column_notes(held, rule, f"{own}, {target}")
        here = events["recording_id"].isin(of_dataset["recording_id"])
        kinds = Counter(str(kind) for kind in events.loc[here, "kind"])
        of_events: dict[str, EventRule | EventClassRule] = {
            f", target {target}": rule for target, rule in rules.items() if isinstance(rule, EventRule)
        }
        if isinstance(of_classes, EventClassRule):
            of_events = {"": of_classes}
        found += _event_notes(own, where, kinds, of_events, {str(kind) for kind in vocabulary.get("events", ())})
    return found


def _labels(
    recordings: pd.DataFrame, column: str, vocabulary: Mapping[str, Any], where: str, *, is_whole: bool = False
) -> _Held:
    counts = Counter(str(value) for value in label_values(recordings, column, where).dropna())
    parts = {fold_label(part) for value in counts for part in ([value] if is_whole else value.split("+"))}
    known = {fold_label(str(value)) for value in vocabulary.get("labels", {}).get(column, ())}
    return _Held(where, f"label {column}", counts, parts, known)


def _column_notes(held: _Held, rule: ColumnRule, where: str) -> list[Finding]:
    negative = () if rule.negative == "others" else rule.negative
    notes = _absent(held, [*rule.positive, *negative, *rule.unknown], rule.may_be_absent, where)
    unknown = {fold_label(value) for value in rule.unknown}
    swept: list[str] = []
    unnamed: list[str] = []
    for value, count in sorted(held.counts.items()):
        answer = part_target(value, rule)
        if answer == 0 and rule.negative == "others":
            swept.append(f"{value} ({count})")
        elif math.isnan(answer) and not unknown & {fold_label(part) for part in value.split("+")}:
            unnamed.append(f"{value} ({count})")
    if swept:
        notes.append(Finding(NEGATIVE_BY_OTHERS, "note", f"{where}: negative because `others` says so", swept))
    if unnamed:
        notes.append(Finding(VALUES_UNKNOWN, "note", f"{where}: unknown, for the rule does not name them", unnamed))
    return notes


def _class_notes(held: _Held, rule: ClassRule, classes: tuple[str, ...], where: str) -> list[Finding]:
    named = list(rule.classes) if rule.classes is not None else list(classes)
    notes = _absent(held, named, rule.may_be_absent, where)
    known = {fold_label(value) for value in named}
    unnamed = [f"{value} ({count})" for value, count in sorted(held.counts.items()) if fold_label(value) not in known]
    if unnamed:
        notes.append(Finding(VALUES_UNKNOWN, "note", f"{where}: of no class, so they take no part", unnamed))
    return notes


def _event_notes(
    dataset: str,
    where: str,
    counts: Counter[str],
    of_events: Mapping[str, EventRule | EventClassRule],
    vocabulary: set[str],
) -> list[Finding]:
    named: set[str] = set()
    notes: list[Finding] = []
    for of, rule in of_events.items():
        asks = rule.kinds if isinstance(rule, EventClassRule) else rule.events
        kinds = dict.fromkeys((*asks, *rule.annotated_by, *rule.unknown))
        named |= set(kinds)
        # These are no words of the data: the whole recording, and what the ingest itself marks.
        asked = [kind for kind in kinds if kind not in {WHOLE_RECORDING, MARKED_RECORDING, ANNOTATED, UNPLACED}]
        held = _Held(f"{where}{of}", "event", counts, set(counts), vocabulary)
        notes += _absent(held, asked, rule.may_be_absent, dataset)
    unnamed = [f"{kind} ({n})" for kind, n in sorted(counts.items()) if kind not in {*named, ANNOTATED, UNPLACED}]
    if of_events and unnamed:
        notes.append(Finding("events_not_named", "note", f"{dataset}: events that no rule of the task names", unnamed))
    return list({(note.kind, note.text, *note.ids): note for note in notes}.values())


def _absent(held: _Held, named: Iterable[str], may_be_absent: Iterable[str], where: str) -> list[Finding]:
    """Return a note on the values that are not there and need not be.

    Raises:
        ConfigError: Others are not there either.
    """
    absent = sorted({value for value in named if fold_label(value) not in held.parts})
    excused = held.vocabulary | {fold_label(value) for value in may_be_absent}
    wrong = [value for value in absent if fold_label(value) not in excused]
    if wrong:
        raise ConfigError("\n".join(_say_wrong(held, value) for value in wrong))
    if not absent:
        return []
    text = f"{where}: no recording has this {held.what}, which the rule names"
    return [Finding("values_not_found", "note", text, absent)]


def _say_wrong(held: _Held, value: str) -> str:
    close = nearest(fold_label(value), sorted(held.parts | held.vocabulary))
    meant = f"; did you mean {close!r}?" if close else ";"
    return (
        f"{held.where}: the rule names the {held.what} {value!r}, which the data do not hold{meant} they hold "
        f"{present_values(held.counts)}. Write it as the data do, or add `may_be_absent: [{value}]` to the rule if the "
        "data may lack it"
    )


def present_values(counts: Counter[str]) -> str:
    """Return the values that are there with their counts, the most frequent first.

    >>> present_values(Counter({"copd": 2, "healthy": 1}))
    "'copd' (2), 'healthy' (1)"
    """
    shown = [f"{value!r} ({count:,})" for value, count in counts.most_common(MAX_VALUES_SHOWN)]
    rest = len(counts) - len(shown)
    return ", ".join(shown) + (f", and {rest} more" if rest else "") if shown else "none"


def rule_lines(notes: Iterable[Finding]) -> list[str]:
    """Return the notes that a user must see before training: values that were given a meaning by nobody's word."""
    return [
        f"{note.text}: {', '.join(note.ids[:MAX_VALUES_SHOWN])}"
        for note in notes
        if note.kind in {NEGATIVE_BY_OTHERS, VALUES_UNKNOWN}
    ]


def rule_values(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> dict[str, list[str]]:
    """Return, for each target, its rule in every dataset and the values that are there, as lines."""
    found: dict[str, list[str]] = {target: [] for target in task.targets}
    for dataset, of_dataset in recordings.groupby("dataset", sort=True):
        own = str(dataset)
        here = events["recording_id"].isin(of_dataset["recording_id"])
        kinds = Counter(str(kind) for kind in events.loc[here, "kind"])
        of_classes = task.classes_from.get(own)
        rules = task.datasets.get(own, {}) if of_classes is None else dict.fromkeys(task.targets, of_classes)
        for target, rule in rules.items():
            counts = kinds
            if not isinstance(rule, EventRule | EventClassRule):
                counts = Counter(str(value) for value in label_values(of_dataset, rule.column, own).dropna())
            said = rule.model_dump(mode="json", exclude_defaults=True)
            line = f"{own}: the rule {said} meets {present_values(counts)}"
            found[target].append(line + (_UNPLACED_HINT if isinstance(rule, EventRule) and counts[UNPLACED] else ""))
    return found
