"""The settings of an evaluation, and their page in the docs."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from auscult.config.evaluate import EvaluateSettings, OutcomeSettings, ThresholdRule


def test_the_docs_list_every_setting_with_its_default(project_dir: Path) -> None:
    text = (project_dir / "docs" / "evaluation.md").read_text(encoding="utf-8")
    first_table = text.partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([^`]+)` \| `?([^`|]+)`? \|", first_table, flags=re.MULTILINE))
    expected = {}
    for name, field in EvaluateSettings.model_fields.items():
        if name != "outcomes":
            default = [] if field.default == () else field.default
            expected[name] = str(default).lower() if isinstance(default, bool) else f"{default}"
    for name, field in OutcomeSettings.model_fields.items():
        expected[f"outcomes: {{{name}}}"] = f"{field.default}"
    assert {name: value.strip() for name, value in rows.items()} == expected
    assert all(f"`{rule}`" in text for rule in get_args(ThresholdRule))


def test_a_training_depends_on_what_is_frozen_with_it_alone() -> None:
    frozen = {"threshold": "youden", "threshold_target": 0.9, "calibration": "none", "best_on_test": False}
    assert EvaluateSettings().frozen() == frozen
    assert EvaluateSettings(bootstrap_draws=0, n_examples=1).frozen() == frozen


def test_shifts_belong_to_the_model() -> None:
    assert EvaluateSettings(shifts_s=(0.0, 0.5)).frozen()["shifts_s"] == [0.0, 0.5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_target": 1.0},
        {"threshold": "best"},
        {"outcomes": {"max_clips": -1}},
        {"shifts_s": [0.0]},
        {"shifts_s": [0.5, 0.5]},
        {"shifts_s": ["a"]},
    ],
)
def test_what_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        EvaluateSettings.model_validate(wrong)
