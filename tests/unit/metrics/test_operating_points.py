"""What a description says of operating points, read; that of earlier versions too."""

import numpy as np
import pytest
import torch

from auscult.config import TaskSettings
from auscult.errors import DataError
from auscult.metrics.aggregation import weigh_class
from auscult.metrics.operating_points import LevelPoint, points_of
from auscult.models.saved import shifted_probabilities

TASK = TaskSettings(description="t", type="multi_label", targets=("crackle", "wheeze"), level="clip")
CLASSES = TaskSettings(
    description="t",
    type="multi_class",
    targets=("normal", "wheeze", "crackle"),
    level="recording",
    normal_class="normal",
)


def described(**of_levels: dict[str, float]) -> dict:
    points = {level: {"thresholds": found, "normal_offset": 0.0} for level, found in of_levels.items()}
    return {"thresholds": of_levels["clip"], "normal_offset": 0.0, "operating_points": points}


def test_each_level_has_its_own_in_the_order_of_the_targets():
    one, other = {"wheeze": 0.2, "crackle": 0.1}, {"crackle": 0.3, "wheeze": 0.4}
    found = points_of(described(clip=one, recording=other, patient=other), TASK)
    assert found["clip"] == LevelPoint((0.1, 0.2))
    assert found["patient"] == LevelPoint((0.3, 0.4))


def test_a_model_of_an_earlier_version_has_one_for_all_levels():
    found = points_of({"thresholds": {"crackle": 0.1, "wheeze": 0.2}, "normal_offset": 0.0}, TASK)
    assert found == dict.fromkeys(("clip", "recording", "patient"), LevelPoint((0.1, 0.2)))
    # Its probabilities hold the offset already, at every level.
    found = points_of({"thresholds": {}, "normal_offset": 1.5}, CLASSES)
    assert found == dict.fromkeys(("clip", "recording", "patient"), LevelPoint(()))


def test_offsets_are_told_beyond_that_of_the_task_s_level():
    points = {
        level: {"thresholds": {}, "normal_offset": k} for level, k in (("clip", 1), ("recording", 2), ("patient", 4))
    }
    found = points_of({"thresholds": {}, "normal_offset": 2.0, "operating_points": points}, CLASSES)
    assert [found[level].normal_shift for level in ("clip", "recording", "patient")] == [-1, 0, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": {"crackle": 0.9, "wheeze": 0.2}}, "change both, or neither"),
        ({"thresholds": {}}, "expected one for each of"),
        ({"thresholds": {"crackle": 0.1, "snore": 0.2}}, "expected one for each of"),
        ({"operating_points": {"clip": {"thresholds": {"crackle": 0.1, "wheeze": 0.2}}}}, "found levels"),
        (
            {"operating_points": {key: {"thresholds": 0.1} for key in ("clip", "recording", "patient")}},
            "for level clip",
        ),
    ],
)
def test_an_edited_description_is_refused(change, message):
    same = {"crackle": 0.1, "wheeze": 0.2}
    with pytest.raises(DataError, match=message):
        points_of({**described(clip=same, recording=same, patient=same), **change}, TASK)


@pytest.mark.parametrize("offset", [0.0, 0.7, -3.0, 800.0])
def test_a_class_is_weighed_as_if_its_logit_had_been_moved(offset):
    logits = torch.as_tensor(np.random.default_rng(0).normal(0, 3, (20, 3)))
    plain = shifted_probabilities(logits, 1, 0.0)
    np.testing.assert_allclose(weigh_class(plain, 1, offset), shifted_probabilities(logits, 1, offset), atol=1e-12)
    assert weigh_class(np.zeros((0, 3)), 1, offset).shape == (0, 3)
