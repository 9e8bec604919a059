"""The mean spectrogram of the clips of each outcome, target by target: what hits, misses and false alarms share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import JobSettings, TaskSettings
from auscult.evaluation.drawings import file_name
from auscult.evaluation.outcomes import OUTCOMES
from auscult.examples import Examples
from auscult.figures.averages import Average, averages
from auscult.figures.spectrograms import mel_axis
from auscult.figures.style import save
from auscult.io import write_json

CLIPS_AT_ONCE = 512
_WORDS = {"tp": "true positive", "tn": "true negative", "fp": "false positive", "fn": "missed"}


@dataclass
class _Sums:
    """Sum of levels and number of clips with true sound, of each cell."""

    levels_db: NDArray[np.float64]
    n_sounding: NDArray[np.int64]
    n_clips: int = 0

    def mean(self) -> NDArray[np.float64]:
        return np.divide(
            self.levels_db,
            self.n_sounding[None, :],
            out=np.full(self.levels_db.shape, np.nan),
            where=self.n_sounding[None, :] > 0,
        )


def draw_averages(
    examples: Examples, outcomes: pd.DataFrame, *, job: JobSettings, task: TaskSettings, folder: Path
) -> None:
    """Draw `average_<target>.png` for each target and list them in `averages.json`.

    The mean is over levels in dB, frame by frame, and over true sound alone; padding counts for nothing.

    Args:
        examples: All examples.
        outcomes: Of the test part, from `outcomes.judge`.
        job: Clip and spectrogram settings.
        task: What was predicted.
        folder: Where to write.
    """
    axis = mel_axis(job.spectrogram, job.clips.sample_rate_hz)
    sums = _sum_up(examples, outcomes, first_s=axis.first_s, hop_s=axis.hop_s, rate_hz=job.clips.sample_rate_hz)
    names = [file_name(target) for target in task.targets]
    entries: list[dict[str, object]] = []
    for column, target in enumerate(task.targets):
        found = {outcome: sums.get((target, outcome)) for outcome in OUTCOMES}
        panels = [
            Average(_WORDS[outcome], part.n_clips if part else 0, part.mean() if part else None)
            for outcome, part in found.items()
        ]
        counts = {outcome: part.n_clips if part else 0 for outcome, part in found.items()}
        if not any(counts.values()):
            continue
        name = names[column] if names.count(names[column]) == 1 else f"{names[column]}_{column + 1}"
        file = f"average_{name}.png"
        save(averages(panels, axis), folder / file)
        entries.append({"file": file, "target": target, "n": counts})
    write_json(folder / "averages.json", entries)


def _sum_up(
    examples: Examples, outcomes: pd.DataFrame, *, first_s: float, hop_s: float, rate_hz: int
) -> dict[tuple[str, str], _Sums]:
    """Add up the levels of every (target, outcome); each spectrogram is read once."""
    n_mels, n_frames = examples.shape
    place = pd.Series(np.arange(len(examples)), index=examples.clips["clip_id"])
    rows = outcomes.assign(index=place.loc[outcomes["clip_id"]].to_numpy())
    frames = np.arange(n_frames)
    n_valid_frames = np.ceil((examples.clips["n_valid"].to_numpy() / rate_hz - first_s) / hop_s)
    sums: dict[tuple[str, str], _Sums] = {}
    wanted = np.unique(rows["index"].to_numpy())
    for start in range(0, len(wanted), CLIPS_AT_ONCE):
        block = wanted[start : start + CLIPS_AT_ONCE]
        is_sound = frames[None, :] < np.maximum(n_valid_frames[block], 1)[:, None]
        levels_db = examples.spectrograms(block).astype(np.float32) * is_sound[:, None, :]
        part = rows.loc[rows["index"].isin(block.tolist())]
        for key, members in part.groupby(["target", "outcome"]):
            target, outcome = (str(name) for name in key)
            chosen = np.searchsorted(block, members["index"].to_numpy())
            found = sums.setdefault(
                (target, outcome), _Sums(np.zeros((n_mels, n_frames)), np.zeros(n_frames, dtype=np.int64))
            )
            found.levels_db += levels_db[chosen].sum(axis=0, dtype=np.float64)
            found.n_sounding += is_sound[chosen].sum(axis=0)
            found.n_clips += len(chosen)
    return sums
