"""Spectrograms of clips that explain the model, and `spectrograms/index.json`, which says what each shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult.config import JobSettings, TaskSettings
from auscult.evaluation.drawings import file_name
from auscult.evaluation.outcomes import choose_examples
from auscult.examples import Examples
from auscult.figures.spectrograms import Mark, level_range_db, mel_axis, spectrogram
from auscult.figures.style import save
from auscult.io import write_json
from auscult.predictions import probability_column, target_column
from auscult.tables import read_events

MAX_MARK_SHARE = 0.9
"""An event that spans this share of a clip says no more than the label does, and is not marked."""
OUTCOME_WORDS = {"tp": "true positive", "tn": "true negative", "fp": "false positive", "fn": "missed"}


def draw_examples(
    examples: Examples,
    predictions: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    tables: Mapping[str, Path],
    job: JobSettings,
    task: TaskSettings,
    folder: Path,
) -> None:
    """Draw the chosen clips with one colour range, so that levels can be compared.

    Args:
        examples: All examples; its rows are those of `predictions`.
        predictions: Rows of `predictions.parquet`, index as in `examples.clips`.
        outcomes: Of the test part, from `outcomes.judge`.
        tables: Dataset -> folder with `events.parquet`, for the marks.
        job: Clip and spectrogram settings, and how many to draw.
        task: What was predicted.
        folder: Where to write; made when absent.
    """
    chosen = choose_examples(outcomes, job.evaluate.n_examples, multi_class=task.type == "multi_class")
    place = pd.Index(predictions["clip_id"])
    indices = place.get_indexer(pd.Index(chosen, dtype="str"))
    entries: list[dict[str, Any]] = []
    if len(indices):
        levels_db = examples.spectrograms(indices)
        clips = examples.clips.iloc[indices]
        rate_hz = job.clips.sample_rate_hz
        valid_s = clips["n_valid"].to_numpy() / rate_hz
        axis = mel_axis(job.spectrogram, rate_hz)
        n_valid_frames = [max(1, int((seconds - axis.first_s) / axis.hop_s)) for seconds in valid_s]
        sound = [picture[:, :n] for picture, n in zip(levels_db, n_valid_frames, strict=True)]
        range_db = level_range_db(np.concatenate(sound, axis=1))
        marks = _marks(clips, tables)
        for number, clip_id in enumerate(chosen):
            name = f"{number + 1:02d}_{file_name(clip_id)}.png"
            figure = spectrogram(levels_db[number], axis, float(valid_s[number]), range_db, marks[clip_id])
            save(figure, folder / name)
            row: dict[Any, Any] = predictions.iloc[int(indices[number])].to_dict()
            of_clip = outcomes.loc[outcomes["clip_id"] == clip_id].to_dict("records")
            entries.append(_entry(name, row, of_clip, task))
    write_json(folder / "index.json", entries)


def _marks(clips: pd.DataFrame, tables: Mapping[str, Path]) -> dict[str, list[Mark]]:
    """Events within each clip that are shorter than it, in seconds from its start; cycles are no finding."""
    marks: dict[str, list[Mark]] = {clip_id: [] for clip_id in clips["clip_id"]}
    for dataset, part in clips.groupby("dataset"):
        events = read_events(tables[str(dataset)] / "events.parquet")
        events = events.loc[(events["kind"] != "cycle") & events["recording_id"].isin(part["recording_id"])]
        for pair in part.merge(events, on="recording_id", suffixes=("", "_event")).to_dict("records"):
            length_s = pair["end_s"] - pair["start_s"]
            start_s = max(pair["start_s_event"] - pair["start_s"], 0.0)
            end_s = min(pair["end_s_event"] - pair["start_s"], length_s)
            if 0 < end_s - start_s < MAX_MARK_SHARE * length_s:
                marks[pair["clip_id"]].append(Mark(start_s, end_s, pair["kind"]))
    return marks


def _entry(name: str, row: dict[Any, Any], outcomes: list[dict[Any, Any]], task: TaskSettings) -> dict[str, Any]:
    probabilities = {target: float(row[probability_column(target)]) for target in task.targets}
    if task.type == "multi_class":
        truth = next((target for target in task.targets if row[target_column(target)] == 1), None)
        answer = max(probabilities, key=lambda target: probabilities[target])
        is_error = truth != answer
        said = f"answered {answer} ({probabilities[answer]:.2f})"
        text = f"{truth}: {said}" + (f", gave {truth} {probabilities[truth]:.2f}" if is_error and truth else "")
    else:
        is_error = any(outcome["outcome"] in {"fp", "fn"} for outcome in outcomes)
        words = [
            f"{outcome['target']}: {OUTCOME_WORDS[outcome['outcome']]} ({outcome['probability']:.2f})"
            for outcome in outcomes
        ]
        text = ", ".join(words)
    return {
        "file": name,
        "clip_id": str(row["clip_id"]),
        "dataset": str(row["dataset"]),
        "start_s": float(row["start_s"]),
        "end_s": float(row["end_s"]),
        "is_error": is_error,
        "text": text,
    }
