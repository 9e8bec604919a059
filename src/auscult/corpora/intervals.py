"""Intervals within a recording, as readers of events check them."""

from __future__ import annotations

from auscult.corpora.reading import MalformedError


def check_interval(start_s: float, end_s: float) -> None:
    """Check that an interval can lie in a recording.

    Raises:
        MalformedError: It starts before 0, or does not end after its start.
    """
    if start_s < 0:
        raise MalformedError(f"negative time: the event starts at {start_s:g} s")
    if end_s < start_s:
        raise MalformedError(f"reversed: the event ends at {end_s:g} s, before its start at {start_s:g} s")
    if end_s == start_s:
        raise MalformedError(f"zero length: the event starts and ends at {start_s:g} s")
