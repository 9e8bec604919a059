"""How many patients and recordings each side holds, by target and dataset; and whether that suffices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auscult.errors import InfeasibleError
from auscult.tables import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from auscult.config.split import SplitSettings
    from auscult.config.task import TaskSettings
    from auscult.splits.evidence import RecordingFacts

Counts = dict[str, Any]


def count_sides(
    facts: RecordingFacts, hours: NDArray[np.float64], sides: NDArray[np.object_], targets: Sequence[str]
) -> dict[str, Counts]:
    """Count every side.

    Args:
        facts: What is known of the recordings that take part.
        hours: Their durations.
        sides: The side of each recording.
        targets: The targets' names.

    Returns:
        side -> {"patients", "recordings", "hours", "targets": target -> counts}, where counts are of "patients" and
        "recordings", each {"positive", "negative", "unknown"}, and at the task's level of patients that hold a positive
        ("patients_with_positive") and a negative ("patients_with_negative").
    """
    counts: dict[str, Counts] = {}
    for side in SIDES:
        here = facts.take(sides == side)
        of_patients = here.patient_values()
        evidence = here.by_patient()
        counts[side] = {
            "patients": len(of_patients),
            "recordings": len(here.targets),
            "hours": round(float(hours[sides == side].sum()), 4),
            "targets": {
                target: {
                    "patients": _values(of_patients[:, column]),
                    "recordings": _values(here.targets[:, column]),
                    "patients_with_positive": int(evidence.positive[:, column].sum()),
                    "patients_with_negative": int(evidence.negative[:, column].sum()),
                }
                for column, target in enumerate(targets)
            },
        }
    return counts


def _values(column: NDArray[np.float32]) -> dict[str, int]:
    return {
        "positive": int((column == 1).sum()),
        "negative": int((column == 0).sum()),
        "unknown": int(np.isnan(column).sum()),
    }


def refuse_infeasible(
    counts: dict[str, Counts], by_dataset: dict[str, dict[str, Counts]], settings: SplitSettings, task: TaskSettings
) -> None:
    """Stop when a side cannot train, choose or judge some target.

    Every side needs a patient with a positive and one with a negative of every target, at the task's level; for a
    multi-class task, a patient of every class.

    Args:
        counts: Of each side, all datasets together.
        by_dataset: The same of each dataset.
        settings: How the split was made, for the proposal.
        task: Its targets.

    Raises:
        InfeasibleError: With what is missing, the counts by side and dataset, and a proposal.
    """
    missing: list[str] = []
    short: set[str] = set()
    kinds = ("positive",) if task.type == "multi_class" else ("positive", "negative")
    for target in task.targets:
        for side in SIDES:
            for kind in kinds:
                if counts[side]["targets"][target][f"patients_with_{kind}"] == 0:
                    missing.append(f"{side} holds no patient with a {kind} of {target!r}")
                    short.add(target)
    if missing:
        shown = "; ".join(missing[:6]) + (f"; and {len(missing) - 6} more" if len(missing) > 6 else "")
        table = _counts_text(counts, by_dataset, sorted(short))
        raise InfeasibleError(
            f"this split cannot support the task (targets {', '.join(task.targets)}): {shown}.\n{table}\n"
            f"{_proposal(counts, settings, sorted(short), kinds)}"
        )


def _counts_text(counts: dict[str, Counts], by_dataset: dict[str, dict[str, Counts]], targets: Sequence[str]) -> str:
    """Return the counts of some targets as lines of text, of each dataset and, where there are several, of all."""
    parts = {**by_dataset, "all": counts} if len(by_dataset) > 1 else by_dataset
    rows = [
        {
            "target": target,
            "dataset": name,
            "side": side,
            "patients": of_part[side]["patients"],
            "recordings": of_part[side]["recordings"],
            **{f"patients {kind}": n for kind, n in of_part[side]["targets"][target]["patients"].items()},
        }
        for target in targets
        for name, of_part in parts.items()
        for side in SIDES
    ]
    return pd.DataFrame(rows).to_string(index=False)


def _proposal(
    counts: dict[str, Counts], settings: SplitSettings, targets: Sequence[str], kinds: tuple[str, ...]
) -> str:
    fewest, target, kind = min(
        (sum(counts[side]["targets"][target][f"patients_with_{kind}"] for side in SIDES), target, kind)
        for target in targets
        for kind in kinds
    )
    if fewest < len(SIDES):
        return (
            f"Proposal: {fewest} patients in all hold a {kind} of {target!r}, and each of the three sides needs one: "
            f"add a dataset whose labels hold it, or choose another task"
        )
    if settings.kind == "patients":
        return "Proposal: raise the fractions of val and test, or take another seed"
    return (
        f"Proposal: `split: {{kind: patients}}` can divide them, for at least {fewest} patients hold what is missing; "
        f"or judge a task that the present sides support"
    )
