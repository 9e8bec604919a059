"""What recalibration on a new site changed, as rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auscult.formatting.numbers import number_of


@dataclass(frozen=True)
class RecalibrationRow:
    """Calibration of one target on the test set.

    Attributes:
        target: Its name.
        what: `intercept` or `slope`.
        before: With the model's own calibration.
        after: With the refitted one.
    """

    target: str
    what: str
    before: str
    after: str


def recalibration_rows(metrics: Mapping[str, Any]) -> list[RecalibrationRow]:
    """Return the rows of a recalibrated model, two a target; none of another.

    Args:
        metrics: `metrics.json`.
    """
    found = metrics.get("recalibration") or {"lines": {}}
    return [
        RecalibrationRow(target, what, *(_text(line[when][what]) for when in ("before", "after")))
        for target, line in found["lines"].items()
        for what in ("intercept", "slope")
    ]


def _text(estimate: Mapping[str, Any]) -> str:
    number = number_of(estimate, estimate["reason"])
    return f"undefined: {number.reason}" if number.value is None else number.span_text
