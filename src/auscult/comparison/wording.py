"""How differences read."""

from __future__ import annotations

from auscult.comparison.differences import Line
from auscult.metrics.delong import AreaDifference
from auscult.presentation import Number


def signed(number: Number) -> str:
    """Return a difference with its sign, `undefined` where it is.

    >>> signed(Number(0.0312)), signed(Number(-1.25, is_percent=True)), signed(Number(None))
    ('+0.031', '−1.2', 'undefined')
    """
    is_positive = number.value is not None and number.value >= 0
    return f"+{number.value_text}" if is_positive else number.value_text


def interval(number: Number) -> str:
    """Return the interval of a difference, empty without one.

    >>> interval(Number(0.1, -0.02, 0.22))
    '−0.020 to +0.220'
    """
    if number.low is None or number.high is None:
        return ""
    ends = (signed(Number(end, is_percent=number.is_percent)) for end in (number.low, number.high))
    return " to ".join(ends)


def verdict(line: Line, number: Number) -> str:
    """Say whether an interval leaves zero out: `better`, `worse`, or nothing."""
    if number.low is None or number.high is None or number.low <= 0 <= number.high:
        return ""
    return "better" if (number.low > 0) != line.is_lower_better else "worse"


def p_text(p: float) -> str:
    """Return a p-value.

    >>> p_text(0.0432), p_text(2e-5)
    ('0.043', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def delong_text(found: AreaDifference | None) -> str:
    """Return DeLong's answer in one line."""
    if found is None:
        return "undefined (too few patients of a class)"
    number = Number(found.value, found.low, found.high)
    return f"{signed(number)} ({interval(number)}), p {p_text(found.p)}"
