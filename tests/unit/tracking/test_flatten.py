import pytest

from auscult.tracking.flatten import (
    MAX_PARAM_CHARACTERS,
    finite,
    flatten_settings,
    flatten_summary,
    metric_name,
    run_names,
)


def test_long_values_are_cut_and_still_differ():
    long = "x" * (MAX_PARAM_CHARACTERS + 1)
    first = flatten_settings({"note": long + "a"})["note"]
    second = flatten_settings({"note": long + "b"})["note"]
    assert len(first) == len(second) == MAX_PARAM_CHARACTERS
    assert first != second
    assert flatten_settings({"note": long[:MAX_PARAM_CHARACTERS]})["note"] == long[:MAX_PARAM_CHARACTERS]


def test_every_leaf_has_a_name_and_a_text():
    settings = {"a": {}, "b": [], "c": [[1, 2], [3]], "d": False, "e@f": 1, "g": {"..": 2}}
    assert flatten_settings(settings) == {
        "a": "none",
        "b": "none",
        "c": "[[1, 2], [3]]",
        "d": "false",
        "e_f": "1",
        "g.__": "2",
    }


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


def test_run_names_stay_short():
    jobs = [{"model.name": "mixednet"}, {"model.name": "mixednet", **{f"a.k{n}": "v" * 20 for n in range(9)}}]
    names = run_names("e", [str(number) for number in range(1, len(jobs) + 1)], jobs)
    assert names[0] == "e/1 mixednet"
    assert len(names[1]) == 80
    assert names[1].startswith("e/2 mixednet k0=")
