"""Operating points, one for each level: thresholds, and the weight of a normal class against every other offset."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.config import TaskSettings
from auscult.config.evaluate import EvaluateSettings
from auscult.metrics.aggregation import at_level
from auscult.metrics.conformal import calibrate
from auscult.metrics.icbhi import confusion, normal_class_scores
from auscult.metrics.operating_points import points_of
from auscult.metrics.summary import summarise
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


CLIPS = TaskSettings(description="t", type="binary", targets=("crackle",), level="clip")


def patients_with_few_positive_clips(seed: int, n_patients: int = 40) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Ten clips a patient; of a sick one three hold the sound, and the probability of those alone is high."""
    generator = np.random.default_rng(seed)
    is_sick = np.arange(n_patients) % 2 == 1
    truth = np.zeros((n_patients, 10))
    truth[is_sick, :3] = 1
    logits = np.where(truth == 1, 2.5, -2.5) + generator.normal(0, 0.7, truth.shape)
    names = [f"d/{k}" for k in range(truth.size)]
    patients = [f"d/p{k // 10}" for k in range(truth.size)]
    ids = pd.DataFrame({"clip_id": names, "recording_id": names, "patient_id": patients}, dtype="str")
    return logits.reshape(-1, 1), truth.reshape(-1, 1), ids


def test_a_threshold_of_clips_misses_patients_and_their_own_does_not():
    task = CLIPS
    point = choose_operating_point(*patients_with_few_positive_clips(0), task, EvaluateSettings())
    logits, truth, ids = patients_with_few_positive_clips(1)
    predicted = 1 / (1 + np.exp(-logits))

    def rates(points) -> tuple[float, float]:
        found = summarise(truth, predicted, ids, task, points, np.random.default_rng(0), 0)["patient"]["crackle"]
        return found["sensitivity"]["value"], found["specificity"]["value"]

    of_clips = rates(list(point["thresholds"].values()))
    assert of_clips[0] < 0.3
    assert of_clips[1] == 1
    assert min(rates(points_of(point, task))) > 0.9


def test_each_level_has_what_its_own_rows_choose():
    logits, truth, ids = patients_with_few_positive_clips(3, 12)
    point = choose_operating_point(logits, truth, ids, CLIPS, EvaluateSettings())
    for level in ("clip", "recording", "patient"):
        alone = CLIPS.model_copy(update={"level": level})
        expected = choose_operating_point(logits, truth, ids, alone, EvaluateSettings())
        assert point["operating_points"][level]["thresholds"] == expected["thresholds"]
    assert point["thresholds"] == point["operating_points"]["clip"]["thresholds"]
    assert point["operating_points"]["clip"]["chosen_on"] == {"crackle": {"positive": 18, "negative": 102}}
    assert point["operating_points"]["patient"]["chosen_on"] == {"crackle": {"positive": 6, "negative": 6}}


def test_where_validation_cannot_choose_at_a_level_the_task_s_level_stands_with_a_note():
    logits, truth, ids = patients_with_few_positive_clips(0)
    sick = truth.reshape(-1, 10).any(axis=1).repeat(10)
    point = choose_operating_point(logits[sick], truth[sick], ids[sick], CLIPS, EvaluateSettings())
    patient = point["operating_points"]["patient"]
    assert patient["thresholds"] == point["thresholds"] != {"crackle": 0.5}
    assert patient["kept"] == ["crackle"]
    assert patient["notes"] == ["crackle: validation holds 20 positives and 0 negatives; threshold of clips kept"]
    assert point["threshold_notes"] == point["operating_points"]["clip"]["kept"] == []


def test_the_normal_class_is_weighed_at_each_level():
    generator = np.random.default_rng(5)
    true = np.repeat(generator.integers(0, 3, 30), 4)
    logits = generator.normal(size=(120, 4)) + 0.6 * np.eye(4)[true]
    ids = ids_of(120).assign(patient_id=[f"d/p{k // 4}" for k in range(120)])
    task, rule = task_of(), EvaluateSettings(threshold="average_score")
    point = choose_operating_point(logits, np.eye(4)[true], ids, task, rule)
    offsets = {level: found["normal_offset"] for level, found in point["operating_points"].items()}
    assert offsets["clip"] == offsets["recording"] == point["normal_offset"] != offsets["patient"]
    predicted = shifted_probabilities(torch.as_tensor(logits), 0, point["normal_offset"])

    def score(points) -> float:
        found = summarise(np.eye(4)[true], predicted, ids, task, points, np.random.default_rng(0), 0)
        return found["patient"]["multi_class"]["average_score"]["value"]

    # The model's probabilities hold the offset of clips: patients are judged as if it were their own from the start.
    own = shifted_probabilities(torch.as_tensor(logits), 0, offsets["patient"]).reshape(30, 4, 4).mean(axis=1)
    expected = normal_class_scores(confusion(true[::4], own.argmax(axis=1), 4), 0, (3,))["average_score"]
    assert score(points_of(point, task)) == pytest.approx(float(expected))
    assert score(points_of(point, task)) > score([])


def test_conformal_sets_are_calibrated_on_the_rows_of_the_task_s_level():
    logits, truth, ids = patients_with_few_positive_clips(0)
    by_patient = CLIPS.model_copy(update={"level": "patient"})
    plain = choose_operating_point(logits, truth, ids, by_patient, EvaluateSettings())
    found = choose_operating_point(logits, truth, ids, by_patient, EvaluateSettings(conformal={"alpha": 0.2}))
    assert found.pop("conformal") == calibrate(
        at_level(1 / (1 + np.exp(-logits)), truth, ids, by_patient, "patient"), by_patient, 0.2
    )
    assert found == plain
