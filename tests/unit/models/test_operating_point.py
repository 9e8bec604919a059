"""The weight of a normal class, chosen on validation, against every offset that changes a decision."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.config import TaskSettings
from auscult.config.evaluate import EvaluateSettings
from auscult.metrics.icbhi import confusion, normal_class_scores
from auscult.models.operating_point import choose_operating_point
from auscult.models.saved import shifted_probabilities

TARGETS = ("normal", "wheeze", "crackle", "poor")


def task_of(level: str = "clip") -> TaskSettings:
    return TaskSettings(
        description="t", type="multi_class", targets=TARGETS, level=level,
        normal_class="normal", left_out_classes=("poor",),
    )  # fmt: skip


def ids_of(n: int) -> pd.DataFrame:
    names = [f"d/{k}" for k in range(n)]
    return pd.DataFrame({"clip_id": names, "recording_id": names, "patient_id": names}, dtype="str")


def score_at(logits: np.ndarray, true: np.ndarray, offset: float, score: str) -> float:
    moved = logits.copy()
    moved[:, 0] += offset
    table = confusion(true, moved.argmax(axis=1), len(TARGETS))
    return float(normal_class_scores(table, 0, (3,))[score])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), score=st.sampled_from(["average_score", "challenge_score"]))
def test_no_offset_scores_higher_on_validation(seed, score):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(30, 4))
    true = np.concatenate([[0, 1], generator.integers(0, 4, 28)])
    point = choose_operating_point(
        logits, np.eye(4)[true], ids_of(30), task_of(), EvaluateSettings(threshold=score)
    )  # fmt: skip
    margins = np.sort(logits[:, 1:].max(axis=1) - logits[:, 0])
    every = [margins[0] - 1, *((margins[1:] + margins[:-1]) / 2), margins[-1] + 1]
    best = max(score_at(logits, true, offset, score) for offset in every)
    assert score_at(logits, true, point["normal_offset"], score) == pytest.approx(best)
    assert point["thresholds"] == {}


def test_recordings_are_weighed_by_the_mean_of_their_clips():
    # Two clips a recording, one of them sure: the offset that is right for clips is wrong for recordings.
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(80, 4))
    ids = ids_of(80).assign(recording_id=[f"d/{k // 2}" for k in range(80)])
    true = np.repeat(generator.integers(0, 3, 40), 2)
    rule = EvaluateSettings(threshold="challenge_score")
    point = choose_operating_point(logits, np.eye(4)[true], ids, task_of("recording"), rule)

    def score(offset: float) -> float:
        found = shifted_probabilities(torch.as_tensor(logits), 0, offset).reshape(40, 2, 4).mean(axis=1)
        table = confusion(true[::2], found.argmax(axis=1), 4)
        return float(normal_class_scores(table, 0, (3,))["challenge_score"])

    assert score(point["normal_offset"]) >= max(score(offset) for offset in np.linspace(-4, 4, 81)) - 1e-12


def test_a_validation_set_without_normal_rows_keeps_the_logits():
    logits = np.random.default_rng(0).normal(size=(5, 4))
    rule = EvaluateSettings(threshold="average_score")
    point = choose_operating_point(logits, np.eye(4)[[1, 1, 2, 2, 3]], ids_of(5), task_of(), rule)
    assert point["normal_offset"] == 0
    assert "undefined on validation" in point["threshold_notes"][0]
