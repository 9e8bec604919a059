"""Facts in words, for the terminal and the page alike."""

from __future__ import annotations

import numpy as np

from auscult.describe.facts import Column, Facts, Values
from auscult.presentation import plural

MAX_VALUES_SHOWN = 12
OLDEST_YEARS = 90
"""Ages above stand with it: so few people are older that an exact age would single them out."""


def counts_text(column: Column, *, show_ids: bool, unit: str = "recordings") -> str:
    """Return `value (count), ...` of a column, the most frequent first.

    Args:
        column: Its values.
        show_ids: Whether values that single patients out are shown.
        unit: Count `recordings` or `patients`.
    """
    if column.identifies and not show_ids:
        return f"{len(column.values):,} different values (not shown: they may single patients out)"
    parts = [f"{value.value} ({getattr(value, unit):,})" for value in column.values[:MAX_VALUES_SHOWN]]
    if len(column.values) > MAX_VALUES_SHOWN:
        parts.append(f"{len(column.values) - MAX_VALUES_SHOWN:,} more")
    if column.missing and parts and unit == "recordings":
        parts.append(f"not stated ({column.missing:,})")
    return ", ".join(parts) or "not stated"


def duration_text(hours: float) -> str:
    """Return a length of sound.

    >>> duration_text(0.0579), duration_text(5.51)
    ('3.5 min', '5.5 h')
    """
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def span_text(values: Values) -> str:
    """Return the range of values and their median.

    >>> span_text(np.array([0.5, 4.0, 12.25])), span_text(np.array([15.0, 15.0]))
    ('0.5 to 12.2, median 4', 'each 15')
    """
    low, middle, high = float(values.min()), float(np.median(values)), float(values.max())
    return f"each {low:.3g}" if low == high else f"{low:.3g} to {high:.3g}, median {middle:.3g}"


def ages_text(facts: Facts) -> str:
    """Return the range of ages in years; ages above 90 are not told apart."""
    text = f"{span_text(facts.ages_years.clip(max=OLDEST_YEARS))} years"
    return f"{text} (90 stands for 90 and older)" if facts.ages_years.max() > OLDEST_YEARS else text


def kinds_text(counts: dict[str, int]) -> str:
    """Return `kind (count), ...`, the most frequent first.

    >>> kinds_text({"official_list_absent": 2, "few_recordings": 3})
    'few recordings (3), official list absent (2)'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind.replace('_', ' ')} ({count:,})" for kind, count in ordered) or "none"


def size_text(facts: Facts) -> str:
    """Return recordings, patients and hours in one line."""
    of = f"{plural(facts.n_recordings, 'recording')} of {plural(facts.n_patients, 'patient')}"
    return f"{of}, {duration_text(facts.duration_h)} of sound"
