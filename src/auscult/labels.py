"""What is known of clips, recordings and patients: 1, 0, or NaN for unknown. An unknown never becomes a negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.task import ClassRule, ColumnRule, EventClassRule, EventRule, OverlapRule, fold_label
from auscult.errors import DataError
from auscult.storage.tables import ATTRIBUTE_PREFIX, LABEL_PREFIX, UNPLACED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    from collections.abc import Callable, Iterator

    from auscult.config.task import TaskSettings

    Targets = NDArray[np.float32]


@dataclass(frozen=True)
class Intervals:
    """Intervals [start, end) of recordings.

    Attributes:
        rows: The recording's row in its table, shape [interval].
        starts: In seconds, shape [interval].
        ends: In seconds, shape [interval].
    """

    rows: Integers
    starts: Floats
    ends: Floats

    def take(self, at: NDArray[np.integer] | NDArray[np.bool_]) -> Intervals:
        """Return some of the intervals."""
        return Intervals(self.rows[at], self.starts[at], self.ends[at])


def merge_intervals(intervals: Intervals) -> Intervals:
    """Return the union of each recording's intervals as disjoint intervals, sorted by recording and start.

    >>> merge_intervals(Intervals(np.array([0, 0]), np.array([0.0, 1.0]), np.array([2.0, 3.0]))).ends.tolist()
    [3.0]
    """
    if len(intervals.rows) == 0:
        return intervals
    ordered = intervals.take(np.lexsort((intervals.starts, intervals.rows)))
    rows, starts = ordered.rows, ordered.starts
    reach = _running_maximum(rows, ordered.ends)
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (starts[1:] > reach[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rows)) - 1
    return Intervals(rows[first], starts[first], reach[last])


def without_intervals(intervals: Intervals, removed: Intervals) -> Intervals:
    """Return what is left of each interval: one that `removed` interrupts becomes two.

    >>> def one(start, end):
    ...     return Intervals(np.array([0]), np.array([start]), np.array([end]))
    >>> parts = without_intervals(one(0.0, 3.0), one(1.0, 2.0))
    >>> parts.starts.tolist(), parts.ends.tolist()
    ([0.0, 2.0], [1.0, 3.0])
    """
    gaps = merge_intervals(removed)
    owner, gap, _ = overlaps(intervals, gaps)
    owners = np.concatenate([np.arange(len(intervals.rows)), owner])
    starts = np.concatenate([intervals.starts, np.minimum(gaps.ends[gap], intervals.ends[owner])])
    ends = np.concatenate([intervals.ends, np.maximum(gaps.starts[gap], intervals.starts[owner])])
    # Sorted within their interval, the n-th start and the n-th end are of one part.
    starts, ends = starts[np.lexsort((starts, owners))], ends[np.lexsort((ends, owners))]
    return Intervals(intervals.rows[np.sort(owners)], starts, ends).take(ends - starts > ROUNDING_S)


def _running_maximum(rows: Integers, values: Floats) -> Floats:
    """Return the running maximum of `values` within each run of equal, sorted `rows`."""
    order = np.lexsort((values, rows))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    # Ranks grow from row to row, so that one pass never carries a maximum over into the next row.
    return values[order][np.maximum.accumulate(ranks)]


def overlaps(clips: Intervals, events: Intervals) -> tuple[Integers, Integers, Floats]:
    """Return all pairs (clip, event) of one recording that share sound, and how many seconds they share."""
    order = np.lexsort((events.starts, events.rows))
    ordered = events.take(order)
    reach = _running_maximum(ordered.rows, ordered.ends)
    # Events that may overlap a clip are neighbours in this order: they start before its end, and the furthest end so
    # far lies behind its start.
    clip_starts, clip_ends = _lexicographic(clips.rows, clips.starts), _lexicographic(clips.rows, clips.ends)
    before = np.searchsorted(_lexicographic(ordered.rows, reach), clip_starts, side="right")
    until = np.searchsorted(_lexicographic(ordered.rows, ordered.starts), clip_ends, side="left")
    n_candidates = np.maximum(until - before, 0)
    clip = np.repeat(np.arange(len(clips.rows)), n_candidates)
    offset = np.arange(len(clip)) - np.repeat(np.cumsum(n_candidates) - n_candidates, n_candidates)
    event = order[np.repeat(before, n_candidates) + offset]
    shared_s = np.minimum(clips.ends[clip], events.ends[event]) - np.maximum(clips.starts[clip], events.starts[event])
    kept = shared_s > 0
    return clip[kept], event[kept], shared_s[kept]


def _lexicographic(rows: Integers, values: Floats) -> NDArray[np.complex128]:
    """Return (row, value) as numbers that numpy orders by row, then by value, without loss."""
    return rows + 1j * values


ROUNDING_S = 1e-6
"""Times are compared with this slack: the difference of two that are 0.1 s apart may be a little more in floats."""

WHOLE_RECORDING = "recording"
"""In `annotated_by`: the annotators listened to the recording from end to end."""

MARKED_RECORDING = "marked_recording"
"""In `annotated_by`: the annotators listened from end to end to each recording in which they marked anything."""

EDGE_TOLERANCE_S = 1e-3
"""Clips begin and end on whole samples, annotations do not: an overlap may fall short by this much."""


def clip_targets(
    clips: pd.DataFrame, recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings
) -> NDArray[np.float32]:
    """Return what is known of every clip, shape [clip, target]: 1, 0, or NaN for unknown.

    A column rule gives the clip its recording's value. An event rule gives 1 where an event of its kinds overlaps the
    clip's true sound [start_s, end_s) as `task.overlap` asks, else 0 where no event of `unknown` does and the intervals
    of `annotated_by` together cover at least `task.overlap.min_fraction` of the clip, else NaN. A multi-class task
    gives one-hot rows, or rows of NaN, from a column or from the kinds of events that overlap the clip so.

    Args:
        clips: Rows of `tables.CLIPS`, in any order.
        recordings: Rows of `tables.RECORDINGS`; every clip's recording must be among them.
        events: Rows of `tables.EVENTS`.
        task: Its targets give the columns' order.

    Raises:
        DataError: A clip's recording is not in the table, a dataset has no rule, or a rule's column does not exist.
    """
    cuts = _intervals(recordings, clips)
    _refuse_orphans(clips, cuts.rows)
    known = _Events(recordings, events)

    def from_events(rule: EventRule, chosen: NDArray[np.bool_]) -> Targets:
        at = np.flatnonzero(chosen[cuts.rows])
        values = np.full(len(cuts.rows), np.nan, dtype=np.float32)
        values[at] = _interval_targets(cuts.take(at), known, rule, task.overlap)
        return values

    def classes(rule: EventClassRule, chosen: NDArray[np.bool_]) -> Targets:
        at = np.flatnonzero(chosen[cuts.rows])
        values = np.full((len(cuts.rows), len(task.targets)), np.nan, dtype=np.float32)
        values[at] = _one_hot(_interval_classes(cuts.take(at), known, rule, task), len(task.targets))
        return values

    return _targets(recordings, task, cuts.rows, _FromEvents(from_events, classes))


def recording_targets(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> NDArray[np.float32]:
    """Return what is known of every recording, shape [recording, target]: 1, 0, or NaN for unknown.

    For an event rule a recording is positive when it holds an event of the rule's kinds, negative when it was annotated
    (it holds an interval of `annotated_by`, or the rule says `recording`) and holds none of `unknown` either, else
    unknown. For classes from events a recording is, at the level of clips, positive for every class that one of its
    annotated intervals is of, at other levels of the one class that all its events make.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        task: Its targets give the columns' order.

    Raises:
        DataError: A dataset has no rule, or a rule's column does not exist.
    """
    known = _Events(recordings, events)

    def from_events(rule: EventRule, chosen: NDArray[np.bool_]) -> Targets:
        annotated = np.ones(len(recordings), dtype=bool)
        if WHOLE_RECORDING not in rule.annotated_by:
            annotated = known.holds(rule.annotated_by)
        values = np.where(annotated & ~known.holds((*rule.unknown, UNPLACED)), np.float32(0), np.float32(np.nan))
        values[known.holds(rule.events)] = 1
        values[~chosen] = np.nan
        return values

    def classes(rule: EventClassRule, chosen: NDArray[np.bool_]) -> Targets:
        rows = np.flatnonzero(chosen)
        whole = Intervals(rows, np.zeros(len(rows)), recordings["duration_s"].to_numpy(dtype=np.float64)[rows])
        stretches = whole
        if task.level == "clip" and WHOLE_RECORDING not in rule.annotated_by:
            stretches = known.of_kinds(rule.annotated_by)
            stretches = stretches.take(chosen[stretches.rows])
        one_hot = _one_hot(_interval_classes(stretches, known, rule, task), len(task.targets))
        values = np.full((len(recordings), len(task.targets)), np.nan, dtype=np.float32)
        # Sorted so that 1 is written last: a recording is of every class that a stretch of it is of.
        for answer in (0, 1):
            at, column = np.nonzero(one_hot == answer)
            values[stretches.rows[at], column] = answer
        return values

    return _targets(recordings, task, np.arange(len(recordings)), _FromEvents(from_events, classes))


def event_stretches(
    recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings, *, cut: bool = True
) -> tuple[Intervals, Intervals]:
    """Return where the task's events are, and where it is unknown whether there is one.

    Events of one target that overlap are one. Unknown is what no interval of `annotated_by` covers, and what an event
    of `unknown` covers; where there is an event of the target, it is known.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        events: Rows of `tables.EVENTS`.
        task: Of type `events`.
        cut: Where there is an event of the target, nothing is unknown; without, it may be so in other frequencies.

    Returns:
        Events and unknown stretches; their rows are `recording x number of targets + target`, and they end with their
        recording.

    Raises:
        DataError: A dataset has no rule.
    """
    known = _Events(recordings, events)
    datasets = recordings["dataset"].to_numpy(dtype=object)
    names = _supported(datasets, task)
    durations = recordings["duration_s"].to_numpy(dtype=np.float64)
    true: list[Intervals] = []
    unknown: list[Intervals] = []
    for column, target in enumerate(task.targets):
        for rule, chosen, where in _rules(task, target, datasets, names):
            if not isinstance(rule, EventRule):
                raise DataError(f"{where}: {target!r} is read from a column; a task of type `events` reads events")
            rows = np.flatnonzero(chosen)
            of_kind = _merge_overlapping(_within(known.of_kinds(rule.events), chosen, durations))
            open_parts = [_within(known.of_kinds((*rule.unknown, UNPLACED)), chosen, durations)]
            if WHOLE_RECORDING not in rule.annotated_by:
                whole = Intervals(rows, np.zeros(len(rows)), durations[rows])
                open_parts.append(without_intervals(whole, known.of_kinds(rule.annotated_by)))
            left = merge_intervals(_joined(open_parts))
            left = without_intervals(left, of_kind) if cut else left
            for found, intervals in ((true, of_kind), (unknown, left)):
                cells = intervals.rows * len(task.targets) + column
                found.append(Intervals(cells, intervals.starts, intervals.ends))
    return _joined(true), _joined(unknown)


def _within(intervals: Intervals, chosen: NDArray[np.bool_], durations_s: Floats) -> Intervals:
    """Return the intervals of chosen recordings, ended with these."""
    kept = intervals.take(chosen[intervals.rows])
    ended = Intervals(kept.rows, kept.starts, np.minimum(kept.ends, durations_s[kept.rows]))
    return ended.take(ended.ends > ended.starts)


def _merge_overlapping(intervals: Intervals) -> Intervals:
    """Merge intervals that share sound; those that only touch stay two."""
    merged = merge_intervals(Intervals(intervals.rows, intervals.starts + ROUNDING_S, intervals.ends))
    return Intervals(merged.rows, merged.starts - ROUNDING_S, merged.ends)


def _joined(parts: list[Intervals]) -> Intervals:
    return Intervals(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
    )


def patient_targets(recordings: pd.DataFrame, events: pd.DataFrame, task: TaskSettings) -> pd.DataFrame:
    """Return what is known of every patient: the maximum over what is known of the patient's recordings.

    Returns:
        float32 columns named by the targets, indexed by `patient_id` in sorted order; NaN for unknown.
    """
    values = pd.DataFrame(recording_targets(recordings, events, task), columns=list(task.targets))
    highest = pd.DataFrame(values.groupby(recordings["patient_id"].to_numpy(dtype=object), sort=True).max())
    highest.index = pd.Index(highest.index, dtype="str", name="patient_id")
    return highest.astype(np.float32)


@dataclass(frozen=True)
class _FromEvents:
    """What event rules say of chosen recordings.

    Attributes:
        targets: Shape [row] of one target.
        classes: Shape [row, class]: one-hot, several-hot or NaN.
    """

    targets: Callable[[EventRule, NDArray[np.bool_]], Targets]
    classes: Callable[[EventClassRule, NDArray[np.bool_]], Targets]


def _targets(
    recordings: pd.DataFrame,
    task: TaskSettings,
    rows: Integers,
    answers: _FromEvents,
) -> Targets:
    """Fill [row, target]; `rows` points into `recordings`, `answers` are those of event rules."""
    datasets = recordings["dataset"].to_numpy(dtype=object)
    names = _supported(datasets, task)
    targets = np.full((len(rows), len(task.targets)), np.nan, dtype=np.float32)
    if task.type == "multi_class":
        for name in names:
            chosen, rule = datasets == name, task.classes_from[name]
            here = chosen[rows]
            if isinstance(rule, EventClassRule):
                targets[here] = answers.classes(rule, chosen)[here]
            else:
                targets[here] = _class_rows(recordings, rule, task.targets, chosen, name)[rows[here]]
        return targets
    for column, target in enumerate(task.targets):
        for rule, chosen, where in _rules(task, target, datasets, names):
            here = chosen[rows]
            if isinstance(rule, EventRule):
                targets[here, column] = answers.targets(rule, chosen)[here]
            else:
                values = label_values(recordings, rule.column, where)
                targets[here, column] = _by_value(values, chosen, lambda value, rule=rule: part_target(value, rule))[
                    rows[here]
                ]
    return targets


def _supported(datasets: NDArray[np.object_], task: TaskSettings) -> list[str]:
    """Return the names of the datasets.

    Raises:
        DataError: The task has no rule for one.
    """
    names = sorted(set(datasets))
    missing = [name for name in names if name not in task.supported_datasets]
    if missing:
        raise DataError(
            f"datasets {missing} have no labels for this task (targets {', '.join(task.targets)}); "
            f"supported: {', '.join(sorted(task.supported_datasets))}"
        )
    return names


def _rules(
    task: TaskSettings, target: str, datasets: NDArray[np.object_], names: list[str]
) -> Iterator[tuple[ColumnRule | EventRule, NDArray[np.bool_], str]]:
    """Yield the target's rules, each once with all recordings of the datasets that share it."""
    merged: dict[str, tuple[ColumnRule | EventRule, list[str]]] = {}
    for name in names:
        rule = task.datasets[name][target]
        merged.setdefault(rule.model_dump_json(), (rule, []))[1].append(name)
    for rule, sharing in merged.values():
        yield rule, np.isin(datasets.astype(str), sharing), ", ".join(sharing)


def part_target(value: str, rule: ColumnRule) -> float:
    """Return the target of one value of a label column: 1, 0 or NaN.

    >>> rule = ColumnRule(column="diagnosis", positive=("pneumonia",), negative="others", unknown=("unclear",))
    >>> part_target("COPD+Pneumonia", rule), part_target("copd", rule), part_target("copd+unclear", rule)
    (1.0, 0.0, nan)
    """
    parts = {part for part in (fold_label(part) for part in value.split("+")) if part}
    if not parts:
        return float("nan")
    if parts & _folded(rule.positive):
        return 1.0
    if rule.negative == "others":
        return float("nan") if parts & _folded(rule.unknown) else 0.0
    return 0.0 if parts <= _folded(rule.negative) else float("nan")


def _folded(values: tuple[str, ...]) -> set[str]:
    return {fold_label(value) for value in values}


def _class_rows(
    recordings: pd.DataFrame, rule: ClassRule, classes: tuple[str, ...], chosen: NDArray[np.bool_], where: str
) -> Targets:
    """Return one-hot rows [recording, class]; NaN rows where the class is unknown."""
    named = rule.classes if rule.classes is not None else {name: name for name in classes}
    position = {fold_label(value): classes.index(name) for value, name in named.items()}
    values = label_values(recordings, rule.column, where)
    codes = _by_value(values, chosen, lambda value: position.get(fold_label(value), float("nan")))
    return _one_hot(np.nan_to_num(codes, nan=-1).astype(np.int64), len(classes))


def _one_hot(codes: Integers, n_classes: int) -> Targets:
    """Return one-hot rows [row, class]; NaN rows where the code is negative."""
    rows = np.full((len(codes), n_classes), np.nan, dtype=np.float32)
    known = np.flatnonzero(codes >= 0)
    rows[known] = 0
    rows[known, codes[known]] = 1
    return rows


def label_values(recordings: pd.DataFrame, column: str, where: str) -> pd.Series:
    """Return the column that a rule reads: a label, or else an attribute of that name (`folder`, `filter`).

    Raises:
        DataError: There is neither.
    """
    for prefix in (LABEL_PREFIX, ATTRIBUTE_PREFIX):
        if prefix + column in recordings.columns:
            return pd.Series(recordings[prefix + column])
    labels, attributes = (
        sorted(name.removeprefix(prefix) for name in recordings.columns if name.startswith(prefix))
        for prefix in (LABEL_PREFIX, ATTRIBUTE_PREFIX)
    )
    raise DataError(
        f"{where}: the task reads label column {column!r}, which the recordings do not have; they have {labels}, and "
        f"the attributes {attributes}. Name another column in config/tasks, or map it in the dataset's YAML"
    )


def _by_value(values: pd.Series, chosen: NDArray[np.bool_], target_of: Callable[[str], float]) -> Targets:
    """Apply `target_of` once to each distinct text; missing texts and rows not chosen are NaN."""
    codes, distinct = pd.factorize(values.where(chosen), use_na_sentinel=True)
    # One entry more than there are texts: code -1 (missing) picks the last, which is NaN.
    known = np.array([*(target_of(str(text)) for text in distinct), np.nan], dtype=np.float32)
    return known[codes]


def _intervals(recordings: pd.DataFrame, table: pd.DataFrame) -> Intervals:
    """Return the intervals of clips or events; row -1 where the recording is not in the table."""
    rows = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(table["recording_id"]))
    return Intervals(
        rows.astype(np.int64),
        table["start_s"].to_numpy(dtype=np.float64),
        table["end_s"].to_numpy(dtype=np.float64),
    )


class _Events:
    """Events by kind; those of recordings that are not in the table are not looked at."""

    def __init__(self, recordings: pd.DataFrame, events: pd.DataFrame) -> None:
        every = _intervals(recordings, events)
        kept = every.rows >= 0
        self.n_recordings = len(recordings)
        self._recordings = recordings
        self._all = every.take(kept)
        self._kind_codes, self._kinds = pd.factorize(events["kind"].to_numpy(dtype=object)[kept])

    def of_kinds(self, kinds: tuple[str, ...]) -> Intervals:
        """Return the events of `kinds`."""
        wanted = [code for code, kind in enumerate(self._kinds) if kind in kinds]
        found = self._all.take(np.isin(self._kind_codes, wanted))
        return _joined([found, self._marked_recordings()]) if MARKED_RECORDING in kinds else found

    def _marked_recordings(self) -> Intervals:
        """Return, as intervals, the whole of each recording that holds any event."""
        rows = np.unique(self._all.rows)
        return Intervals(rows, np.zeros(len(rows)), self._recordings["duration_s"].to_numpy(dtype=np.float64)[rows])

    def holds(self, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return, per recording, whether it holds an event of `kinds`."""
        found = np.zeros(self.n_recordings, dtype=bool)
        found[self.of_kinds(kinds).rows] = True
        return found


def _interval_targets(clips: Intervals, known: _Events, rule: EventRule, overlap: OverlapRule) -> Targets:
    """Return the targets of clips under one event rule."""
    is_open = _overlaps_any(clips, known, (*rule.unknown, UNPLACED))
    annotated = _is_annotated(clips, known, rule.annotated_by, overlap) & ~is_open
    values = np.where(annotated, np.float32(0), np.float32(np.nan))
    clip, _ = _counted_events(clips, known.of_kinds(rule.events), overlap)
    values[clip] = 1
    return values


def _interval_classes(clips: Intervals, known: _Events, rule: EventClassRule, task: TaskSettings) -> Integers:
    """Return the class of clips (index into the task's targets) under one rule; -1 for unknown."""
    seconds = np.zeros((len(clips.rows), len(rule.kinds)))
    for column, kind in enumerate(rule.kinds):
        clip, shared_s = _counted_events(clips, known.of_kinds((kind,)), task.overlap)
        np.add.at(seconds[:, column], clip, shared_s)
    patterns, which = np.unique(seconds > 0, axis=0, return_inverse=True)
    codes = np.full(len(patterns), -1)
    is_several = np.zeros(len(patterns), dtype=bool)
    for row, pattern in enumerate(patterns):
        kinds = {kind for kind, is_there in zip(rule.kinds, pattern, strict=True) if is_there}
        found = {rule.singles.get(kind) for kind in kinds}
        name = rule.combinations.get(frozenset(kinds), found.pop() if len(found) == 1 else None)
        codes[row] = task.targets.index(name) if name is not None else -1
        is_several[row] = name is None and len(kinds) > 1
    which = which.ravel()
    classes = codes[which]
    if rule.several == "longest":
        at = np.flatnonzero(is_several[which])
        classes[at] = _longest(seconds[at], rule, task.targets)
    empty = ~(seconds > 0).any(axis=1)
    annotated = _is_annotated(clips, known, rule.annotated_by, task.overlap)
    classes[empty & annotated] = -1 if rule.none is None else task.targets.index(rule.none)
    classes[_overlaps_any(clips, known, (*rule.unknown, UNPLACED))] = -1
    return classes.astype(np.int64)


def _longest(seconds: Floats, rule: EventClassRule, targets: tuple[str, ...]) -> Integers:
    """Return the class of which each row holds most sound; kinds that make no class by themselves do not count."""
    by_class = np.zeros((len(seconds), len(targets)))
    for column, kind in enumerate(rule.kinds):
        if kind in rule.singles:
            by_class[:, targets.index(rule.singles[kind])] += seconds[:, column]
    return np.where(by_class.any(axis=1), by_class.argmax(axis=1), -1)


def _is_annotated(
    clips: Intervals, known: _Events, annotated_by: tuple[str, ...], overlap: OverlapRule
) -> NDArray[np.bool_]:
    """Return which clips were listened to: as a whole, or in `overlap.min_fraction` of their length."""
    lengths = clips.ends - clips.starts
    if WHOLE_RECORDING in annotated_by:
        return np.ones(len(lengths), dtype=bool)
    clip, _, shared_s = overlaps(clips, merge_intervals(known.of_kinds(annotated_by)))
    covered_s = np.bincount(clip, weights=shared_s, minlength=len(lengths))
    return (covered_s > 0) & (covered_s + EDGE_TOLERANCE_S >= overlap.min_fraction * lengths)


def _counted_events(clips: Intervals, events: Intervals, overlap: OverlapRule) -> tuple[Integers, Floats]:
    """Return the clips that events count for, once for each such event, and how many seconds they share."""
    clip, event, shared_s = overlaps(clips, events)
    of_event_s = overlap.min_fraction * (events.ends - events.starts)[event]
    of_clip_s = overlap.min_fraction * (clips.ends - clips.starts)[clip]
    needed_s = {"event": of_event_s, "clip": of_clip_s, "either": np.minimum(of_event_s, of_clip_s)}[overlap.of]
    counts = shared_s + EDGE_TOLERANCE_S >= needed_s
    return clip[counts], shared_s[counts]


def _overlaps_any(clips: Intervals, known: _Events, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which clips share sound with an event of `kinds`."""
    clip, _, shared_s = overlaps(clips, known.of_kinds(kinds))
    found = np.zeros(len(clips.rows), dtype=bool)
    found[clip[shared_s > EDGE_TOLERANCE_S]] = True
    return found


def _refuse_orphans(clips: pd.DataFrame, rows: Integers) -> None:
    orphans = clips["recording_id"].to_numpy(dtype=object)[rows < 0]
    if len(orphans):
        raise DataError(
            f"{len(orphans)} clips belong to recordings that are not in the recordings table, such as "
            f"{sorted(set(orphans))[:3]}; build the clips again from the present tables"
        )
