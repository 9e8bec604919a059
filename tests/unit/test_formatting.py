import pytest

from auscult.config import TaskSettings
from auscult.formatting.metric_tables import blocks, flat, headline
from auscult.formatting.numbers import Number

TASK = TaskSettings(description="?", type="binary", targets=("ill",), level="patient")
METRICS = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "accuracy", "mcc")


def _subset(positive, negative, cells, undefined):
    def value(name):
        return dict.fromkeys(("value", "low", "high")) if name in undefined else {"value": 0.5, "low": 0.4, "high": 0.6}

    section = {
        **{name: value(name) for name in (*METRICS, "brier", "ece")},
        "n": {"positive": positive, "negative": negative, "unknown": 0, "patients": positive + negative},
        "confusion": dict(zip(("tp", "tn", "fp", "fn"), cells, strict=True)),
    }
    return {level: {"ill": section, "macro": section} for level in ("clip", "recording", "patient")}


@pytest.mark.parametrize(
    ("positive", "negative", "cells", "reasons"),
    [
        (0, 3, (0, 2, 1, 0), {"auroc": "no positive patient", "sensitivity": "no positive patient"}),
        (3, 0, (2, 0, 0, 1), {"auroc": "no negative patient", "specificity": "no negative patient"}),
        (2, 2, (0, 2, 0, 2), {"ppv": "no patient was predicted positive"}),
        (2, 2, (0, 2, 0, 2), {"mcc": "every patient got the same prediction"}),
        (2, 2, (2, 0, 2, 0), {"npv": "no patient was predicted negative"}),
        (0, 2, (0, 2, 0, 0), {"f1": "no positives, neither actual nor predicted"}),
        (0, 0, (0, 0, 0, 0), {"accuracy": "no patient with a known label"}),
    ],
)
def test_an_undefined_metric_says_why(positive, negative, cells, reasons):
    (block,) = blocks(_subset(positive, negative, cells, set(reasons)), TASK, "patient")

    assert {name: block.numbers[name].reason for name in reasons} == reasons
    assert all(block.numbers[name].reason == "" for name in METRICS if name not in reasons)


def test_headline_and_flat_values_take_the_level_of_the_task():
    subset = _subset(2, 2, (1, 1, 1, 1), {"auprc"})
    subset["patient"]["ill"]["auroc"] = {"value": 0.75, "low": None, "high": None}

    assert headline(subset, TASK)["AUROC"] == Number(0.75, people="4 patients")
    assert flat(subset, TASK)["auroc"] == 0.75
    assert "auprc" not in flat(subset, TASK)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(0.5, 0.25, 0.75), "0.500 (0.250–0.750)"),
        (Number(-0.5, -0.75, 0.1), "−0.500 (−0.750–0.100)"),
        (Number(50.0, 40.0, 60.0, is_percent=True), "50.0 (40.0–60.0)"),
        (Number(1.0, None, None), "1.000"),
        (Number(None, reason="no case"), "undefined"),
    ],
)
def test_numbers_read_with_their_intervals(number, text):
    assert number.text == text
