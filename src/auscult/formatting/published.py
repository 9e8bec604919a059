"""Published figures beside our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config.claims import Claim
from auscult.config.task import TaskSettings
from auscult.formatting.metric_tables import blocks
from auscult.formatting.numbers import METRIC_NAMES, Number, number_of

TEST_PART = "part of the test set"
"""What `slices` of `metrics.json` call the parts that a split names."""
UNVERIFIED = "not read in its source"


@dataclass(frozen=True)
class PublishedRow:
    """One published figure and ours.

    Attributes:
        claim: The figure.
        metric: Its name in print.
        published: Its value.
        ours: Ours, with its interval; undefined where we have none, with the reason.
        remarks: What is known against the comparison, in sentences.
    """

    claim: Claim
    metric: str
    published: Number
    ours: Number
    remarks: tuple[str, ...]


def published_rows(metrics: Mapping[str, Any], task: TaskSettings, claims: Sequence[Claim]) -> list[PublishedRow]:
    """Return a row for each published figure.

    Args:
        metrics: The content of `metrics.json`.
        task: What was predicted.
        claims: What is published on it.
    """
    rows: list[PublishedRow] = []
    for claim in claims:
        ours = next(_found(metrics, task, claim), Number(None, reason=f"no {claim.metric} here"))
        name = METRIC_NAMES.get(claim.metric, claim.metric)
        remarks = tuple(text for text in (claim.flaw, "" if claim.verified else UNVERIFIED) if text)
        rows.append(PublishedRow(claim, name, Number(claim.value, is_percent=ours.is_percent), ours, remarks))
    return rows


def _found(metrics: Mapping[str, Any], task: TaskSettings, claim: Claim) -> Iterator[Number]:
    if claim.part is None:
        for block in blocks(metrics["test"], task, task.level):
            if claim.metric in block.numbers:
                yield block.numbers[claim.metric]
    for entry in metrics["slices"]:
        values = entry["metrics"] or {}
        if (entry["by"], entry["value"]) == (TEST_PART, claim.part) and claim.metric in values:
            value = values[claim.metric]
            yield number_of(value, is_percent=claim.metric == "icbhi_score")
