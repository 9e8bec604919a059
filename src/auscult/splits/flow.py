"""The flow of recordings through a split: found, lost, read, left out, used, and then its subsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from auscult.formatting.numbers import recordings_text
from auscult.storage.flow import READ, count_lost, count_rows
from auscult.storage.tables import SUBSETS

STEPS = ("found", "lost", "read", "left_out", "used", *SUBSETS)
FLOW_COLUMNS = ("dataset", "step", "reason", "recordings", "patients", "patients_unknown")
"""`reason` is empty but for what is lost or left out; `patients` counts the known ones, `patients_unknown` recordings
of nobody knows whom."""


def split_flow(
    flows: Mapping[str, pd.DataFrame], split: pd.DataFrame, left_out: Mapping[str, list[str]]
) -> pd.DataFrame:
    """Count what becomes of the recordings of each dataset, in the order of `STEPS`; empty subsets have no row.

    Args:
        flows: Dataset -> its flow (`storage.flow`).
        split: Rows of `tables.SPLIT`.
        left_out: Reason -> ids of recordings that are read and take no part.

    Returns:
        Columns `FLOW_COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    sides = {str(name): str(side) for name, side in zip(split["recording_id"], split["split"], strict=True)}
    subsets = [name for name in SUBSETS if name in sides.values()]
    for dataset, flow in flows.items():
        read = pd.DataFrame(flow[flow["status"] == READ])
        side = pd.Series([sides.get(str(name)) for name in read["recording_id"]], index=read.index, dtype=object)
        rows.append(_row(dataset, "found", "", count_rows(flow)))
        rows += [_row(dataset, "lost", lost["reason"], lost) for lost in count_lost(flow)]
        rows.append(_row(dataset, "read", "", count_rows(read)))
        for reason, names in left_out.items():
            left = pd.DataFrame(read[read["recording_id"].isin(names)])
            rows += [_row(dataset, "left_out", reason, count_rows(left))] if len(left) else []
        rows.append(_row(dataset, "used", "", count_rows(pd.DataFrame(read[side.notna()]))))
        rows += [_row(dataset, name, "", count_rows(pd.DataFrame(read[side == name]))) for name in subsets]
    return pd.DataFrame(rows, columns=pd.Index(FLOW_COLUMNS))


def _row(dataset: str, step: str, reason: str, counts: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: counts[name] for name in ("recordings", "patients", "patients_unknown")}
    return {"dataset": dataset, "step": step, "reason": reason, **numbers}


def flow_lines(flow: pd.DataFrame) -> list[str]:
    """Return the flow as lines for the terminal, a paragraph a dataset."""
    lines: list[str] = []
    for row in flow.to_dict("records"):
        counts = recordings_text(row)
        if row["step"] == "found":
            lines.append(f"{row['dataset']}: {counts} found")
        elif row["reason"]:
            lines.append(f"  {str(row['step']).replace('_', ' ')}: {row['reason']}: {counts}")
        elif row["step"] != "read":
            lines.append(f"  {row['step']}: {counts}")
    return lines
