"""What a model is worth on the validation set: over the whole epoch, or as the mean over its batches."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from auscult.config import TaskSettings
from auscult.config.train import TrainSettings
from auscult.models import Normalisation
from auscult.training.batches import ResidentBatches, Subset
from auscult.training.losses import Loss
from auscult.training.session import Stop
from auscult.training.validation import validate

CPU = torch.device("cpu")
NAN = float("nan")
TASK = TaskSettings.model_validate(
    {
        "description": "toy",
        "type": "binary",
        "targets": ["sick"],
        "level": "clip",
        "datasets": {"toy": {"sick": {"column": "health", "positive": ["sick"], "negative": "others"}}},
    }
)


class Same(torch.nn.Module):
    """Its answer is the one number that a clip holds."""

    def forward(self, spectrograms):
        return spectrograms[:, 0]


def validated(logits, targets, metric_over, **train):
    """Validate in batches of three, unless `train` says otherwise."""
    stored = np.array(logits, dtype=np.float16).reshape(-1, 1, 1)
    batches = ResidentBatches(stored, Normalisation.from_bands(np.zeros(1), np.ones(1)), CPU)
    names = [f"c{number}" for number in range(len(logits))]
    ids = pd.DataFrame({"clip_id": names, "recording_id": names, "patient_id": names})
    subset = Subset(batches, np.array(targets, dtype=np.float32).reshape(-1, 1), ids)
    settings = TrainSettings(**{"batch_size": 3, "metric_over": metric_over, **train})
    metrics, answers, maps = validate(
        Same(), Loss("bce", torch.ones(2, 1)), subset, task=TASK, settings=settings, stop=Stop()
    )
    assert maps is None
    np.testing.assert_allclose(answers[:, 0], 1 / (1 + np.exp(-np.array(logits))), rtol=1e-6)
    return metrics


LOGITS = [2.0, -1.0, 0.5, 1.0, -2.0, 3.0, -0.5, -1.5, -3.0]
TARGETS = [1, 0, 0, 0, 0, 1, NAN, NAN, NAN]


def cross_entropies():
    return [math.log1p(math.exp(-logit if target else logit)) for logit, target in zip(LOGITS, TARGETS, strict=True)][
        :6
    ]


def test_over_an_epoch_all_answers_are_one_set():
    found = validated(LOGITS, TARGETS, "epoch")
    # Positives 2.0 and 3.0 against negatives -1.0, 0.5, 1.0 and -2.0; said positive: 2.0, 0.5, 1.0, 3.0.
    assert found["val/auroc"] == 1.0
    assert found["val/balanced_accuracy"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["val/loss"] == pytest.approx(sum(cross_entropies()) / 6, rel=1e-6)


def test_the_batch_size_of_validation_is_its_own_and_changes_no_metric_of_an_epoch():
    assert validated(LOGITS, TARGETS, "epoch", batch_size=64, eval_batch_size=2) == validated(LOGITS, TARGETS, "epoch")
    of_batches = validated(LOGITS, TARGETS, "batch")
    assert validated(LOGITS, TARGETS, "batch", batch_size=64, eval_batch_size=3) == of_batches
    assert validated(LOGITS, TARGETS, "batch", eval_batch_size=2) != of_batches
    larger = TrainSettings(eval_batch_size=64)
    assert larger.shaping() == TrainSettings().shaping()
    assert TrainSettings(eval_batch_size=64, metric_over="batch").shaping()["eval_batch_size"] == 64


def test_over_batches_it_is_the_mean_of_those_that_know_an_answer():
    found = validated(LOGITS, [1, 0, 0, 1, 0, 0, NAN, NAN, NAN], "batch")
    # First batch: 2.0 above -1.0 and 0.5; second: 1.0 above -2.0, below 3.0; the third knows nothing.
    assert found["val/auroc"] == pytest.approx((1.0 + 0.5) / 2)
    assert found["val/balanced_accuracy"] == pytest.approx(((1 + 1 / 2) / 2 + (1 + 1 / 2) / 2) / 2)
    whole = validated(LOGITS, [1, 0, 0, 1, 0, 0, NAN, NAN, NAN], "epoch")
    assert whole["val/auroc"] == pytest.approx(6 / 8)
    losses = [math.log1p(math.exp(sign * logit)) for sign, logit in zip([-1, 1, 1, -1, 1, 1], LOGITS[:6], strict=True)]
    assert found["val/loss"] == pytest.approx((sum(losses[:3]) / 3 + sum(losses[3:]) / 3) / 2, rel=1e-6)


def test_batches_of_several_sizes_count_the_same():
    found = validated(LOGITS[:5], TARGETS[:5], "batch")
    losses = cross_entropies()
    assert found["val/loss"] == pytest.approx((sum(losses[:3]) / 3 + sum(losses[3:5]) / 2) / 2, rel=1e-6)
    # Of the second batch no one is positive: its AUROC is not defined.
    assert found["val/auroc"] == 1.0


def test_what_no_batch_defines_is_undefined():
    assert validated(LOGITS[:6], [0, 0, 0, 1, 1, 1], "batch")["val/auroc"] is None
    assert validated(LOGITS[:6], [NAN] * 6, "epoch")["val/loss"] is None
