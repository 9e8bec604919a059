"""What an annotation file says, whatever its format: events, faults and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from auscult.config.annotations import RESERVED_KINDS, AnnotationSettings
from auscult.config.task import fold_label
from auscult.datasets.readers.annotation_formats import read_marks
from auscult.datasets.readers.annotation_marks import Mark
from auscult.datasets.readers.annotations import check_interval
from auscult.datasets.readers.cells import known_text
from auscult.datasets.readers.delimited import is_text
from auscult.datasets.readers.reading import Fault, MalformedError

_SHOWN = 8


@dataclass(frozen=True)
class MarkedEvent:
    """One event of an annotation file, in seconds from the recording's start; None: no frequency is said."""

    start_s: float
    end_s: float
    kind: str
    line: int | None = None
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class Annotation:
    """What a file holds.

    Attributes:
        events: Sorted by start; 0 <= start < end, both finite.
        faults: Lines that could not be placed.
        notes: Kind of notice -> its text.
        is_blank: Whether the file holds no line at all.
    """

    events: list[MarkedEvent]
    faults: list[Fault]
    notes: dict[str, str] = field(default_factory=dict)
    is_blank: bool = False


def parse_annotation(
    data: bytes, settings: AnnotationSettings, sample_rate_hz: int | None, duration_s: float
) -> Annotation:
    r"""Read an annotation file.

    Args:
        data: The file's bytes.
        settings: What its rows say.
        sample_rate_hz: Of the recording; None where `unit` does not need it.
        duration_s: Of the recording; infinite where nobody knows it. It bounds what `points` widens.

    Raises:
        MalformedError: The file as a whole cannot be read.

    >>> parse_annotation(b"0.5\t1.25\tWheeze\n", AnnotationSettings(files="{stem}.txt"), None, 2.0).events
    [MarkedEvent(start_s=0.5, end_s=1.25, kind='Wheeze', line=1, low_hz=None, high_hz=None)]
    """
    found = read_marks(data, settings, sample_rate_hz)
    if found is None:
        return Annotation([], [], is_blank=True)
    labels = _Labels(settings)
    events: list[MarkedEvent] = []
    faults = list(found.faults)
    n_points = 0
    for mark in found.marks:
        try:
            if mark.start_s == mark.end_s and settings.points == "drop":
                n_points += 1
                continue
            start_s, end_s = _place(mark, settings, duration_s)
            events += [
                MarkedEvent(start_s, end_s, kind, mark.line, mark.low_hz, mark.high_hz)
                for kind in labels.kinds_of(mark)
            ]
        except MalformedError as error:
            faults.append(Fault(mark.line, _say_where(str(error), mark)))
    notes = dict(found.notes)
    if n_points:
        notes["point_dropped"] = f"{n_points} labels without a length are left out, as `points` says"
    if labels.dropped:
        shown = ", ".join(f"{label!r} ({n})" for label, n in labels.dropped.most_common(_SHOWN))
        notes["label_dropped"] = f"{labels.dropped.total()} labels are left out, as `kinds` says: {shown}"
    events.sort(key=lambda event: (event.start_s, event.end_s))
    return Annotation(events, sorted(faults, key=lambda fault: fault.line or 0), notes)


def _say_where(reason: str, mark: Mark) -> str:
    kind, colon, rest = reason.partition(": ")
    return f"{kind}{colon}{mark.where}{rest}"


def _place(mark: Mark, settings: AnnotationSettings, duration_s: float) -> tuple[float, float]:
    """Return where a mark starts and ends; a point becomes as long as `points` says, within the recording.

    Raises:
        MalformedError: It lies nowhere.
    """
    start_s, end_s = mark.start_s, mark.end_s
    if start_s == end_s and start_s >= 0:
        if isinstance(settings.points, str):
            raise MalformedError(f"zero length: the event starts and ends at {start_s:g} s; see the key `points`")
        if start_s > duration_s:
            raise MalformedError(f"beyond the end: the label stands at {start_s:g} s, the sound ends at {duration_s:g}")
        start_s, end_s = max(0.0, start_s - settings.points / 2), min(duration_s, end_s + settings.points / 2)
    check_interval(start_s, end_s)
    return start_s, end_s


class _Labels:
    """What labels stand for; it counts those that stand for nothing."""

    def __init__(self, settings: AnnotationSettings) -> None:
        self._settings = settings
        self._kinds = {fold_label(label): kinds for label, kinds in settings.kinds.items()}
        self.dropped: Counter[str] = Counter()

    def kinds_of(self, mark: Mark) -> list[str]:
        """Return the kinds of event that a mark is, each once.

        Raises:
            MalformedError: The label is empty or unknown, or the tables use it themselves.
        """
        every = [] if self._settings.every is None else [self._settings.every]
        named = [kind for label in mark.labels or () for kind in self._split(label)]
        if mark.labels == ():
            raise MalformedError("label: it is an empty list; expected one at least")
        return list(dict.fromkeys([*every, *mark.flagged, *named]))

    def _split(self, label: str) -> Iterator[str]:
        separator = self._settings.separator
        is_whole = separator is None or fold_label(label) in self._kinds
        for part in [label] if is_whole else label.split(separator):
            yield from self._map(part)

    def _map(self, label: str) -> tuple[str, ...]:
        folded = fold_label(label)
        if folded in self._kinds:
            kinds = self._kinds[folded]
            if kinds is None:
                self.dropped[label.strip()] += 1
                return ()
            return (kinds,) if isinstance(kinds, str) else kinds
        text = known_text(label)
        if text is None:
            raise MalformedError(f"label: it is {label.strip()!r}; say with `kinds` what that stands for, or null")
        if not is_text(text):
            raise MalformedError(f"label: {text!r} is no text that can be written")
        if folded in RESERVED_KINDS:
            raise MalformedError(f"label: the tables use {text!r} themselves; give it another name with `kinds`")
        return (text,)
