import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.evaluation.outcomes import choose_examples, find_outcomes, sample_outcomes, write_lists
from auscult.storage.study_ids import StudyIds

BINARY = TaskSettings(description="?", type="binary", targets=("ill",), level="patient")
IDS = StudyIds(
    pd.DataFrame(
        [(f"d/r{number}", f"d/p{number // 2}", "d", f"r{number}.wav") for number in range(6)],
        columns=["recording_id", "patient_id", "dataset", "path"],
    )
)
DIGITS = TaskSettings(description="?", type="multi_class", targets=("0", "1", "2"), level="clip")


def _predictions(**columns):
    n = len(next(iter(columns.values())))
    ids = {
        "clip_id": [f"d/r{index}:0000" for index in range(n)],
        "recording_id": [f"d/r{index}" for index in range(n)],
        "patient_id": [f"d/p{index // 2}" for index in range(n)],
        "dataset": ["d"] * n,
    }
    return pd.DataFrame(ids | columns)


@pytest.fixture
def binary():
    truth = pd.array([1, 1, 0, 0, None, 1], dtype="Int8")
    return _predictions(target_ill=truth, prob_ill=np.array([0.9, 0.5, 0.7, 0.2, 0.9, 0.1]))


def test_a_probability_at_the_threshold_is_positive_and_the_unknown_is_left_out(binary):
    outcomes = find_outcomes(binary, BINARY, [0.5])

    assert outcomes["outcome"].tolist() == ["tp", "tp", "fp", "tn", "fn"]
    assert "d/r4:0000" not in set(outcomes["clip_id"])


def test_several_targets_have_their_own_thresholds():
    task = TaskSettings(description="?", type="multi_label", targets=("a", "b"), level="clip")
    table = _predictions(target_a=[1.0, 0.0], prob_a=[0.4, 0.4], target_b=[1.0, np.nan], prob_b=[0.4, 0.4])

    outcomes = find_outcomes(table, task, [0.3, 0.6])

    assert outcomes[["target", "outcome"]].to_numpy().tolist() == [["a", "tp"], ["a", "fp"], ["b", "fn"]]


def test_classes_are_judged_one_against_the_rest():
    table = _predictions(
        target_0=[1.0, 0.0],
        target_1=[0.0, 1.0],
        target_2=[0.0, 0.0],
        prob_0=[0.5, 0.6],
        prob_1=[0.3, 0.3],
        prob_2=[0.2, 0.1],
    )

    outcomes = find_outcomes(table, DIGITS, [])

    first, second = (outcomes[outcomes["clip_id"] == clip_id] for clip_id in ("d/r0:0000", "d/r1:0000"))
    assert first["outcome"].tolist() == ["tp", "tn", "tn"]
    assert second["outcome"].tolist() == ["fp", "fn", "tn"]


def test_lists_name_clips_with_their_probabilities_the_worst_errors_first(binary, tmp_path):
    write_lists(
        find_outcomes(pd.concat([binary, binary.assign(clip_id=binary["clip_id"] + "b", prob_ill=0.3)]), BINARY, [0.5]),
        tmp_path,
        IDS,
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == ["fns.txt", "fps.txt", "tns.txt", "tps.txt"]
    assert (tmp_path / "tps.txt").read_text() == (
        f"clip\ttarget\tprobability\n{IDS.clip('d/r0:0000')}\till\t0.900000\n{IDS.clip('d/r1:0000')}\till\t0.500000\n"
    )
    assert (tmp_path / "fns.txt").read_text().splitlines()[1:] == [
        f"{IDS.clip('d/r5:0000')}\till\t0.100000",
        f"{IDS.clip('d/r0:0000b')}\till\t0.300000",
        f"{IDS.clip('d/r1:0000b')}\till\t0.300000",
        f"{IDS.clip('d/r5:0000b')}\till\t0.300000",
    ]


def test_nothing_to_list_leaves_the_heading(tmp_path):
    write_lists(find_outcomes(_predictions(target_ill=[np.nan], prob_ill=[0.5]), BINARY, [0.5]), tmp_path, IDS)

    assert (tmp_path / "fns.txt").read_text() == "clip\ttarget\tprobability\n"


def test_examples_are_the_worst_errors_then_the_surest_hits_of_different_patients():
    table = _predictions(
        target_ill=[1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], prob_ill=[0.1, 0.2, 0.9, 0.8, 0.99, 0.7, 0.02, 0.3]
    )

    chosen = choose_examples(find_outcomes(table, BINARY, [0.5]), 4, multi_class=False)

    assert chosen == ["d/r0:0000", "d/r2:0000", "d/r6:0000", "d/r4:0000"]


def test_a_patient_comes_back_when_no_other_is_left():
    table = _predictions(target_ill=[1.0, 1.0], prob_ill=[0.9, 0.8])

    assert choose_examples(find_outcomes(table, BINARY, [0.5]), 5, multi_class=False) == ["d/r0:0000", "d/r1:0000"]


def test_no_examples_are_chosen_when_none_are_asked_for(binary):
    assert choose_examples(find_outcomes(binary, BINARY, [0.5]), 0, multi_class=False) == []


def test_an_error_of_a_multi_class_task_is_a_class_missed():
    table = _predictions(
        target_0=[1.0, 0.0],
        target_1=[0.0, 1.0],
        target_2=[0.0, 0.0],
        prob_0=[0.5, 0.6],
        prob_1=[0.3, 0.3],
        prob_2=[0.2, 0.1],
    )

    assert choose_examples(find_outcomes(table, DIGITS, []), 2, multi_class=True) == ["d/r1:0000", "d/r0:0000"]


def many(n=40):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "clip_id": [f"c{number:02d}" for number in range(n)],
            "recording_id": [f"r{number // 2:02d}" for number in range(n)],
            "patient_id": [f"p{number // 4:02d}" for number in range(n)],
            "dataset": "toy",
            "target": rng.choice(["a", "b"], size=n),
            "truth": 1,
            "probability": rng.random(n),
            "outcome": rng.choice(["tp", "fn"], size=n),
        }
    )


def test_a_sample_is_capped_and_takes_the_extremes_of_all_targets():
    table = many()
    for outcome, is_hit in (("tp", True), ("fn", False)):
        part = table.loc[table["outcome"] == outcome]
        chosen = sample_outcomes(table, outcome, 4, "extreme", np.random.default_rng(0))
        assert len(chosen) == 4
        assert set(chosen["outcome"]) == {outcome}
        assert set(chosen["target"]) == {"a", "b"}
        assert chosen["patient_id"].is_unique
        extreme = part["probability"].max() if is_hit else part["probability"].min()
        assert extreme in set(chosen["probability"])
        assert len(sample_outcomes(table, outcome, 999, "extreme", np.random.default_rng(0))) == len(part)


def test_a_random_sample_comes_from_the_generator_alone():
    table = many()
    one, two, other = (sample_outcomes(table, "tp", 5, "random", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one["clip_id"].tolist() == two["clip_id"].tolist()
    assert one["clip_id"].tolist() != other["clip_id"].tolist()
    assert one["clip_id"].is_monotonic_increasing
    assert len(sample_outcomes(table, "tn", 5, "random", np.random.default_rng(1))) == 0
