"""Steps of several batches against plain torch."""

from types import SimpleNamespace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from auscult.augment import BatchRows
from auscult.config.train import TrainSettings
from auscult.training.losses import Loss
from auscult.training.stepper import Stepper

PLAN = [np.array([4, 0]), np.array([2, 5]), np.array([1, 3])]
STEPS = ([4, 0, 2, 5], [1, 3])


def linear():
    model = nn.Linear(3, 1)
    nn.init.constant_(model.weight, 0.1)
    nn.init.zeros_(model.bias)
    return model


def test_the_batches_left_over_at_an_epochs_end_are_a_step_too():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((6, 3)).astype(np.float32))
    y = np.array([[1], [0], [np.nan], [1], [0], [1]], np.float32)
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(module := linear(), torch.optim.SGD(module.parameters(), lr=0.5))
    augmentation = SimpleNamespace(
        items=lambda _: SimpleNamespace(targets=y), logits=lambda net, batch, _rows, _epoch: net(batch)
    )
    stepper = Stepper(
        fabric,
        model,
        optimizer,
        Loss("bce", torch.ones(2, 1)),
        augmentation=augmentation,
        settings=TrainSettings(accumulate_batches=2),
        schedules=SimpleNamespace(set_rates=lambda _: None),
        ema=None,
    )
    for epoch in (1, 2):
        for number, items in enumerate(PLAN):
            rows = BatchRows(clips=items, ids=items, items=items, mixed=())
            stepper.train_batch(x[items], rows, epoch=epoch, number=number, plan=PLAN)

    plain = linear()
    by_hand = torch.optim.SGD(plain.parameters(), lr=0.5)
    for items in STEPS * 2:
        known = [item for item in items if not np.isnan(y[item, 0])]
        by_hand.zero_grad()
        functional.binary_cross_entropy_with_logits(plain(x[known]), torch.from_numpy(y[known])).backward()
        by_hand.step()
    assert stepper.n_steps == 4
    torch.testing.assert_close(module.weight, plain.weight)
    torch.testing.assert_close(module.bias, plain.bias)
