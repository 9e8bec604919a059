"""Predictions of audio files as CSV, as JSON, or as tables for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table

from auscult.config.task import LEVELS
from auscult.formatting.conformal import UNSURE
from auscult.formatting.numbers import enough_digits
from auscult.storage.spreadsheets import to_csv
from auscult.storage.tables import positive_column, probability_column, unsure_column

if TYPE_CHECKING:
    from auscult.inference.loaded_model import LoadedModel
    from auscult.inference.predictions import Predictions


_OF_FILES = ("duration_s", "n_clips", "sound")
_OF_CLASSES = unsure_column("classes")


def parity_lines(parity: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `onnx_export.measure_parity` found, line by line."""
    yield f"compared on {parity['n_clips']} clips {parity['clips']}"
    yield f"largest difference of a probability: {parity['largest_difference']:.1e}"
    if parity["float32_effect"]:
        yield (
            "  the graph makes spectrograms in float64; against `auscult predict`, which makes them in float32: "
            f"{parity['float32_effect']:.1e}"
        )
    if parity["auroc"] is None:
        yield "AUROC: not known, the clips have no labels"
        return
    for target, areas in parity["auroc"].items():
        ours, theirs = ("undefined" if area is None else f"{area:.6f}" for area in (areas["auscult"], areas["onnx"]))
        yield f"AUROC of the clips, {target}: auscult {ours}, onnx {theirs}"


def picture_table(found: pd.DataFrame, target: str) -> Table:
    """Return what was found in pictures (`inference.pictures.predict_pictures`) as a table for the terminal."""
    made = Table("picture", target, "positive", "objects")
    for row in found.to_dict("records"):
        positive = "yes" if row["is_positive"] else "no"
        made.add_row(str(row["file"]), f"{row['probability']:.3f}", positive, f"{row['n_objects']:,}")
    return made


def class_table(found: pd.DataFrame, model: LoadedModel) -> Table:
    """Return what pictures show (`inference.pictures.classify_pictures`) as a table for the terminal."""
    made = Table("picture", box=None, pad_edge=False)
    digits = _add_targets(made, model, "recording", found)
    for row in found.to_dict("records"):
        made.add_row(row["file"], *_cells(row, model, digits))
    return made


def pictures_text(found: pd.DataFrame, *, is_json: bool) -> str:
    """Return what was found in pictures as CSV, or as JSON: a list with an entry for each."""
    if is_json:
        return json.dumps(found.to_dict("records"), indent=2, ensure_ascii=False) + "\n"
    return to_csv(found, "%.9g")


def csv_text(found: Predictions) -> str:
    """Return one table: each file's row of level `recording`, then its rows of level `clip`.

    What is odd about a file's sound stands in `sound`, and a fault in `error`.
    """
    whole = found.recordings.rename(columns={"duration_s": "end_s"}).drop(columns="n_clips")
    whole = whole.assign(level="recording", start_s=0.0, clip=-1, error="")
    of_clips = found.clips.assign(level="clip", sound="", error="")
    faults = pd.DataFrame(
        [(file, "recording", -1, text) for file, text in found.errors.items()],
        columns=["file", "level", "clip", "error"],
    )
    tables = [table for table in (whole, of_clips, faults) if len(table)]
    # Doubt stands at one level alone; at the other its cells are empty.
    every = dict.fromkeys([*found.clips.columns, *found.recordings.columns])
    predicted = [name for name in every if name not in {"file", "clip", "start_s", "end_s", *_OF_FILES}]
    columns = ["file", "level", "start_s", "end_s", *predicted, "sound", "error"]
    together = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*columns, "clip"])
    together = together.sort_values(["file", "clip"], kind="stable")
    return to_csv(together.reindex(columns=columns), "%.9g")


def json_text(found: Predictions, model: LoadedModel) -> str:
    """Return `{"model", "notes", "recordings": [{..., "clips": [...]}], "errors"}`."""
    clips = {str(file): rows for file, rows in found.clips.groupby("file", sort=False)}
    recordings = [
        {
            "file": row["file"],
            "duration_s": row["duration_s"],
            "sound": row["sound"].split("; ") if row["sound"] else [],
            **_prediction(row, model),
            "clips": [
                {"start_s": clip["start_s"], "end_s": clip["end_s"], **_prediction(clip, model)}
                for clip in clips[row["file"]].to_dict("records")
            ],
        }
        for row in found.recordings.to_dict("records")
    ]
    described = {
        "task": model.saved.meta.get("task_name", ""),
        "targets": list(model.targets),
        "level": model.task.level,
        "thresholds": model.thresholds,
        "thresholds_by_level": {level: model.thresholds_at(level) for level in LEVELS},
        "aggregate": model.task.aggregate.method,
        "weights_sha256": model.saved.meta["weights_sha256"],
    }
    errors = [{"file": file, "error": text} for file, text in found.errors.items()]
    value = {"model": described, "notes": list(found.notes), "recordings": recordings, "errors": errors}
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _prediction(row: dict[Any, Any], model: LoadedModel) -> dict[str, Any]:
    probabilities = {target: float(row[probability_column(target)]) for target in model.targets}
    if model.task.type == "multi_class":
        unsure = {"unsure": bool(row[_OF_CLASSES])} if _OF_CLASSES in row else {}
        return {"probabilities": probabilities, "answer": row["answer"], **unsure}
    positive = {target: bool(row[positive_column(target)]) for target in model.targets}
    unsure = {target: bool(row[unsure_column(target)]) for target in model.targets if unsure_column(target) in row}
    return {"probabilities": probabilities, "positive": positive, **({"unsure": unsure} if unsure else {})}


def tables(found: Predictions, model: LoadedModel, *, with_clips: bool) -> list[Table]:
    """Return the predictions by recording, and with `with_clips` by clip too, as tables for a terminal."""
    if not len(found.recordings):
        return []
    made = Table("recording", box=None, pad_edge=False)
    made.add_column("duration (s)", justify="right")
    made.add_column("clips", justify="right")
    digits = _add_targets(made, model, "recording", found.recordings)
    is_odd = bool((found.recordings["sound"] != "").any())
    if is_odd:
        made.add_column("sound")
    for row in found.recordings.to_dict("records"):
        marks = [row["sound"]] if is_odd else []
        made.add_row(row["file"], f"{row['duration_s']:.1f}", str(row["n_clips"]), *_cells(row, model, digits), *marks)
    if not with_clips:
        return [made]
    of_clips = Table("clip of", box=None, pad_edge=False)
    of_clips.add_column("from (s)", justify="right")
    of_clips.add_column("to (s)", justify="right")
    digits = _add_targets(of_clips, model, "clip", found.clips)
    for row in found.clips.to_dict("records"):
        of_clips.add_row(row["file"], f"{row['start_s']:.1f}", f"{row['end_s']:.1f}", *_cells(row, model, digits))
    return [made, of_clips]


def _add_targets(table: Table, model: LoadedModel, level: str, rows: pd.DataFrame) -> dict[str, int]:
    """Add a column a target, and return how many decimals tell its probabilities from the threshold."""
    thresholds = model.thresholds_at(level)
    digits = dict.fromkeys(model.targets, 3)
    for target in model.targets:
        at = ""
        if target in thresholds:
            digits[target] = enough_digits(rows[probability_column(target)].tolist(), thresholds[target])
            at = f" (≥ {thresholds[target]:.{digits[target]}f})"
        table.add_column(f"{target}{at}", justify="right")
    if model.task.type == "multi_class":
        table.add_column("class")
    return digits


def _cells(row: dict[Any, Any], model: LoadedModel, digits: Mapping[str, int]) -> list[str]:
    """Return the probabilities; `+` marks those that reach the threshold, `unsure` a set that has not one class."""
    cells = [f"{row[probability_column(target)]:.{digits[target]}f}" for target in model.targets]
    if model.task.type == "multi_class":
        return [*cells, f"{row['answer']}{f', {UNSURE}' if row.get(_OF_CLASSES) else ''}"]
    return [
        f"{cell} {'+' if row[positive_column(target)] else '-'}{f' {UNSURE}' if row.get(unsure_column(target)) else ''}"
        for cell, target in zip(cells, model.targets, strict=True)
    ]
