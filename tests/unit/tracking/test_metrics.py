import json

import pytest

from auscult.errors import DataError
from auscult.tracking.metrics import agree, epoch_points, finite, flatten_summary, metric_name, read_history


def test_history_gives_every_number_of_every_epoch(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"epoch": 0, "train/loss": 0.7, "val/auroc": None, "epoch_s": 2.0},
        {"epoch": 1, "train/loss": 9.9, "val/auroc": 0.1, "epoch_s": 3.0},
        {"epoch": 1, "train/loss": 0.5, "val/auroc": 0.8, "epoch_s": 3.0},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    points = read_history(path)
    assert [(p.key, p.value, p.step) for p in points] == [
        ("train/epoch_s", 2.0, 0),
        ("train/loss", 0.7, 0),
        ("train/epoch_s", 3.0, 1),
        ("train/loss", 0.5, 1),
        ("val/auroc", 0.8, 1),
    ]
    assert points[-1].timestamp_ms - points[0].timestamp_ms == 3000


@pytest.mark.parametrize("line", ["{", "[]", '{"train/loss": 1}', '{"epoch": "1"}', '{"epoch": -1}', '{"epoch": true}'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2"):
        read_history(path)


def test_summary_names_levels_targets_and_bounds():
    auroc = {"value": 0.9, "low": 0.8, "high": 0.95}
    summary = {
        "clip": {"crackle": {"auroc": auroc, "n": {"positive": 3}}, "macro": {"auroc": auroc}},
        "patient": {"crackle": {"auroc": {"value": None, "low": None, "high": None}}},
    }
    assert flatten_summary(summary, "test", "multi_label", "clip") == {
        "test/auroc": 0.9,
        "test/clip/crackle/auroc": 0.9,
        "test/clip/crackle/auroc_high": 0.95,
        "test/clip/crackle/auroc_low": 0.8,
        "test/clip/crackle/n/positive": 3.0,
        "test/clip/macro/auroc": 0.9,
        "test/clip/macro/auroc_high": 0.95,
        "test/clip/macro/auroc_low": 0.8,
    }


def test_counts_stand_only_where_the_task_is_judged():
    group = {"confusion": {"tp": 1}, "f1": {"value": 0.5}}
    flat = flatten_summary({"clip": {"a": group}, "patient": {"a": group}}, "test", "binary", "patient")
    assert set(flat) == {"test/f1", "test/patient/a/f1", "test/patient/a/confusion/tp", "test/clip/a/f1"}


def test_matrices_and_text_are_no_metrics():
    summary = {"recording": {"multi_class": {"accuracy": {"value": 1.0}, "confusion": [[1, 0], [0, 1]], "unit": "%"}}}
    assert flatten_summary(summary, "test", "multi_class", "recording") == {
        "test/accuracy": 1.0,
        "test/recording/multi_class/accuracy": 1.0,
    }


def test_the_first_group_gives_the_short_name():
    # Sensitivity of the four-class view is in per cent; the mean over targets is what `test/sensitivity` means.
    summary = {
        "clip": {"macro": {"f1": {"value": 0.5}}, "four_class": {"f1": {"value": 50.0}, "score": {"value": 60.0}}}
    }
    flat = flatten_summary(summary, "test", "multi_label", "clip")
    assert flat["test/f1"] == 0.5
    assert flat["test/score"] == 60.0


@pytest.mark.parametrize("value", [None, "1", True, float("nan"), float("inf"), [1]])
def test_not_a_number_is_left_out(value):
    assert finite(value) is None


@pytest.mark.parametrize("name", ["val/a@b", "val//a", "../a", "a b:c", "val/ß*?"])
def test_metric_names_are_what_mlflow_takes(name):
    from auscult.tracking.store import import_mlflow

    import_mlflow()
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(metric_name(name))


LOGGED = {("train/loss", 1): {0.5}, ("train/epoch_s", 1): {2.0}, ("train/loss", 2): {0.4}}


@pytest.mark.parametrize(
    ("rows", "whole", "so_far"),
    [
        ({1: (0.5, 2.0), 2: (0.4, 2.0), 3: (0.3, 2.0)}, True, True),
        ({1: (0.5, 9.0), 2: (0.4, 9.0)}, True, True),  # the same training on a busier machine
        ({1: (0.5, 2.0)}, False, True),  # epoch 2 was logged, and lost before it was saved
        ({1: (0.5, 2.0), 2: (0.6, 2.0)}, False, False),
        ({}, False, False),  # started over
    ],
)
def test_one_training_is_told_from_another_by_its_numbers(rows, whole, so_far):
    points = [
        point
        for epoch, (loss, epoch_s) in rows.items()
        for point in epoch_points(epoch, {"train/loss": loss, "epoch_s": epoch_s}, 0)
    ]
    assert (agree(LOGGED, points), agree(LOGGED, points, so_far=True)) == (whole, so_far)


def test_a_double_point_is_of_no_one_training():
    assert not agree({("train/epoch_s", 1): {2.0, 3.0}}, epoch_points(1, {"epoch_s": 2.0}, 0), so_far=True)
