"""True and false positives and negatives: the outcome of each clip, their lists, and which clips are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from auscult.config import TaskSettings
from auscult.metrics.aggregation import weigh_class
from auscult.storage.files import write_text
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import probabilities_of, truth_of

OUTCOMES = ("tp", "tn", "fp", "fn")
COLUMNS = ("clip_id", "recording_id", "patient_id", "dataset", "target", "truth", "probability", "outcome")


def find_outcomes(
    predictions: pd.DataFrame, task: TaskSettings, thresholds: Sequence[float], normal_shift: float = 0.0
) -> pd.DataFrame:
    """Return the outcome of every clip and target whose label is known.

    A target is predicted positive where its probability reaches its threshold. In a multi-class task the class of
    highest probability is predicted positive and all others negative, so each clip has one outcome a class.

    Args:
        predictions: Rows of `predictions.parquet`.
        task: Its targets.
        thresholds: Of clips, one a target; not used for a multi-class task.
        normal_shift: Added to the logit of the task's normal class.

    Returns:
        Columns `COLUMNS`; `truth` is 0 or 1. Rows by target, then in the order of `predictions`.
    """
    prob, truth = probabilities_of(predictions, task), truth_of(predictions, task)
    if normal_shift:
        prob = weigh_class(prob, task.normal_column, normal_shift)
    if task.type == "multi_class":
        predicted = np.arange(len(task.targets))[None, :] == prob.argmax(axis=1)[:, None]
    else:
        predicted = prob >= np.asarray(thresholds, dtype=np.float64)[None, :]
    parts: list[pd.DataFrame] = []
    for column, target in enumerate(task.targets):
        part = predictions[["clip_id", "recording_id", "patient_id", "dataset"]].assign(target=target)
        part["truth"] = truth[:, column]
        part["probability"] = prob[:, column]
        is_right = (truth[:, column] > 0.5) == predicted[:, column]
        part["outcome"] = np.where(is_right, "t", "f") + np.where(predicted[:, column], "p", "n").astype(object)
        part = part.loc[~np.isnan(truth[:, column])]
        parts.append(part.astype({"truth": np.int64, "target": "str", "outcome": "str"}))
    return pd.concat(parts, ignore_index=True).loc[:, list(COLUMNS)]


def write_lists(outcomes: pd.DataFrame, folder: Path, ids: StudyIds) -> None:
    """Write `tps.txt`, `tns.txt`, `fps.txt` and `fns.txt`: clip, target and probability, tab separated.

    The most confident predictions come first, right or wrong.

    Args:
        outcomes: From `find_outcomes`.
        folder: Where to write.
        ids: What the lists call clips.
    """
    for outcome in OUTCOMES:
        part = outcomes.loc[outcomes["outcome"] == outcome]
        part = part.sort_values(by=["probability", "clip_id"], ascending=[outcome in {"tn", "fn"}, True])
        rows = zip(part["clip_id"], part["target"], part["probability"], strict=True)
        lines = [f"{ids.clip(clip_id)}\t{target}\t{probability:.6f}" for clip_id, target, probability in rows]
        write_text(folder / f"{outcome}s.txt", "\n".join(["clip\ttarget\tprobability", *lines]) + "\n")


def sample_outcomes(
    outcomes: pd.DataFrame,
    outcome: str,
    n_wanted: int,
    sample: Literal["extreme", "random"],
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Return at most `n_wanted` rows of one outcome.

    Args:
        outcomes: From `find_outcomes`.
        outcome: One of `OUTCOMES`.
        n_wanted: At most so many.
        sample: `extreme`: the most confident predictions, right or wrong, alternating between targets and new patients
            first; `random`: without replacement, in the order of `outcomes`.
        generator: The only source of randomness.
    """
    part = outcomes.loc[outcomes["outcome"] == outcome]
    if sample == "random":
        drawn = np.sort(generator.permutation(len(part))[:n_wanted])
        return part.iloc[drawn]
    ordered = _alternating(part)
    is_new = ~ordered["patient_id"].duplicated()
    return pd.concat([ordered.loc[is_new], ordered.loc[~is_new]]).iloc[:n_wanted]


def choose_examples(outcomes: pd.DataFrame, n_examples: int, *, multi_class: bool) -> list[str]:
    """Choose example clips: the worst errors (up to half), then the most confident correct predictions.

    Targets and kinds of outcome alternate, and a patient recurs only when no other is left. In a multi-class task an
    error is a clip whose own class was missed; its many easy negatives are not shown.

    Returns:
        Clip ids, errors first; fewer than `n_examples` where there are fewer clips.
    """
    wrong, right = (("fn",), ("tp",)) if multi_class else (("fn", "fp"), ("tp", "tn"))
    errors, correct = (_alternating_ids(outcomes.loc[outcomes["outcome"].isin(kinds)]) for kinds in (wrong, right))
    chosen = _prefer_new_patients(errors, n_examples // 2, [])
    chosen = _prefer_new_patients(correct, n_examples, chosen)
    chosen = _prefer_new_patients(errors, n_examples, chosen)
    is_error = {clip_id for clip_id, _ in errors}
    return sorted((clip_id for clip_id, _ in chosen), key=lambda clip_id: clip_id not in is_error)


def _alternating(part: pd.DataFrame) -> pd.DataFrame:
    """Sort rows so that groups of (outcome, target) alternate, each from its most confident member on."""
    margin = (part["probability"] - part["truth"]).abs()
    is_error = part["outcome"].isin(["fp", "fn"])
    ordered = part.assign(confidence=np.where(is_error, -margin, margin)).sort_values(
        by=["outcome", "target", "confidence", "clip_id"]
    )
    turn = ordered.groupby(["outcome", "target"], sort=False).cumcount()
    return ordered.assign(turn=turn).sort_values(by="turn", kind="stable").drop(columns=["turn", "confidence"])


def _alternating_ids(part: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (clip_id, patient_id) in that order."""
    ordered = _alternating(part)
    return list(zip(ordered["clip_id"], ordered["patient_id"], strict=True))


def _prefer_new_patients(
    candidates: list[tuple[str, str]], n_wanted: int, chosen: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    chosen = list(chosen)
    for repeat_patients in (False, True):
        for clip_id, patient_id in candidates:
            if len(chosen) >= n_wanted:
                return chosen
            if any(clip_id == taken for taken, _ in chosen):
                continue
            if repeat_patients or all(patient_id != taken for _, taken in chosen):
                chosen.append((clip_id, patient_id))
    return chosen
