"""Conformal sets on the test set, in words: for the report, `report.txt` and `auscult predict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auscult.formatting.operating_points import chosen_on_text

UNSURE = "unsure"
"""Said of a set that has not one class."""


@dataclass(frozen=True)
class SetRow:
    """The sets of one class.

    Attributes:
        view: The target; empty where there is one view.
        name: The class.
        covered: Patients whose sets hold their class, of how many.
        one: Rows with one class in the set, of how many.
        several: Rows with several.
        none: Rows with none.
        calibrated_on: Patients of validation.
    """

    view: str
    name: str
    covered: str
    one: str
    several: str
    none: str
    calibrated_on: str


def set_rows(found: Mapping[str, Any]) -> list[SetRow]:
    """Return a row a class.

    Args:
        found: `conformal` of `metrics.json`.
    """
    return [
        SetRow(
            view if len(found["views"]) > 1 else "",
            name,
            _share(counts["covered"], counts["patients"]),
            _share(counts["one"], counts["rows"]),
            _share(counts["several"], counts["rows"]),
            _share(counts["none"], counts["rows"]),
            f"{found['calibrated_on'][view][name]:,}",
        )
        for view, classes in found["views"].items()
        for name, counts in classes.items()
    ]


def promise(found: Mapping[str, Any]) -> str:
    """Return what the sets promise, and on what it rests."""
    chose_epoch = "which chose the epoch as well, so slightly too narrow sets are possible"
    if found.get("chosen_on") in {"calibration", "recalibration"}:
        chose_epoch = "which had no part in the choice of the epoch"
    rows = "" if found["level"] == "patient" else f", in the sets of all their {found['level']}s"
    return (
        f"Of the patients of a class at least {100 * (1 - found['alpha']):g}% should have it in their sets{rows}. "
        f"The sets were calibrated on {chosen_on_text(found)}, {chose_epoch}"
    )


def never_ruled_out(found: Mapping[str, Any]) -> list[str]:
    """Return the classes that are in every set, because validation has too few patients of them."""
    fewest = found["fewest_patients"]
    return [
        f"{name}{f' ({view})' if len(found['views']) > 1 else ''}"
        for view, classes in found["calibrated_on"].items()
        for name, n in classes.items()
        if n < fewest
    ]


def _share(part: int, whole: int) -> str:
    """Return how many of how many, and the share.

    >>> _share(9, 10), _share(0, 0)
    ('9 of 10 (90%)', '0 of 0')
    """
    return f"{part:,} of {whole:,}" + (f" ({100 * part / whole:.0f}%)" if whole else "")
