"""What an annotation file says, whatever its format: events, faults and notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from auscult.config.annotations import AnnotationSettings
from auscult.datasets.readers.reading import Fault, MalformedError


@dataclass(frozen=True)
class MarkedEvent:
    """One event of an annotation file, in seconds from the recording's start."""

    start_s: float
    end_s: float
    kind: str
    line: int | None = None


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
    """Read an annotation file."""
    raise MalformedError("not read yet")
