"""The training loop, beside the bare PyTorch loop over the same tensors that one writes by hand.

The bare loop indexes the spectrograms, normalises, and does forward, loss, backward, step. Ours does all else too:
augmentation's seeds, sums, progress, questions whether to stop or save.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter
from torch.nn import functional

from auscult.augment import Augmenter, ItemMaker
from auscult.config import TaskSettings, TrainSettings
from auscult.config.augment import AugmentSettings
from auscult.config.model import ModelSettings
from auscult.models import Normalisation, build_model
from auscult.training.batches import ResidentBatches, Subset, TrainingAugmentation, TrainingData
from auscult.training.distributed import build_fabric
from auscult.training.loop import Trainer
from auscult.training.losses import build_loss
from auscult.training.progress import Progress
from auscult.training.sampler import Sampler
from auscult.training.session import SaveTimer, Session, Stop
from bench.measure import Comparison, Options

LEAST_SHARE = 0.95
MODELS = {"mixednet": 64, "timm/efficientnet_b0": 16}
"""Clips of an epoch."""
BATCH_SIZE = 8
SHAPE = (128, 311)
TASK = TaskSettings.model_validate(
    {
        "description": "bench",
        "type": "binary",
        "targets": ["sick"],
        "level": "clip",
        "datasets": {"bench": {"sick": {"column": "x", "positive": ["1"], "negative": "others"}}},
    }
)


@contextmanager
def comparisons(options: Options) -> Generator[Generator[Comparison]]:
    """Yield one comparison for each model; the tiny mode trains the smaller one."""
    models = {"mixednet": BATCH_SIZE} if options.is_tiny else MODELS
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        progress = Progress(Path(folder), "bench")
        yield (_comparison(name, n_clips, progress, options) for name, n_clips in models.items())


def _comparison(name: str, n_clips: int, progress: Progress, options: Options) -> Comparison:
    settings = TypeAdapter[Any](ModelSettings).validate_python({"name": name})
    torch.manual_seed(0)
    model: Any = build_model(settings, 1, SHAPE)
    bare: Any = build_model(settings, 1, SHAPE)
    bare.load_state_dict(model.state_dict())
    noise = np.random.default_rng(0).standard_normal((n_clips, *SHAPE), dtype=np.float32)
    spectrograms = (-50 + 8 * noise).astype(np.float16)
    targets = (np.arange(n_clips) % 2).astype(np.float32)[:, None]
    normalisation = Normalisation.from_bands(np.full(SHAPE[0], -50.0), np.full(SHAPE[0], 8.0))
    trainer = _trainer(model, spectrograms, targets, normalisation, options.device)
    by_hand = _Bare(bare, spectrograms, targets, normalisation, torch.device(options.device))

    session = Session(Stop(), SaveTimer(trainer.settings.save), progress, trainer.processes, None)

    def train_epoch() -> None:
        trainer.train_epoch(session)
        trainer.next_epoch()

    def check() -> None:
        before = [values.detach().clone() for values in model.parameters()]
        train_epoch()
        by_hand.epoch(BATCH_SIZE)
        # Dropout and the order of clips are drawn anew: weights that Adam moved equally far did the same work.
        moved = [_distance(trained.parameters(), before) for trained in (model, bare)]
        np.testing.assert_allclose(moved[0], moved[1], rtol=0.2, err_msg="how far the weights moved")

    return Comparison(
        f"training/{name}",
        "bare PyTorch loop",
        train_epoch,
        lambda: by_hand.epoch(BATCH_SIZE),
        check,
        LEAST_SHARE,
    )


def _distance(now: Any, before: list[torch.Tensor]) -> float:
    squares = [torch.sum((after.detach() - first) ** 2).item() for after, first in zip(now, before, strict=True)]
    return float(np.sqrt(sum(squares)))


def _trainer(model: Any, spectrograms: Any, targets: Any, normalisation: Normalisation, device: str) -> Trainer:
    settings = TrainSettings(epochs=1000, batch_size=BATCH_SIZE)
    fabric = build_fabric(settings, device)
    subset = Subset(ResidentBatches(spectrograms, normalisation, fabric.device), targets, pd.DataFrame())
    data = TrainingData(
        subset, subset, Sampler(len(targets), BATCH_SIZE, seed=0), _no_augmentation(targets, fabric.device)
    )
    return Trainer(
        fabric,
        model,
        build_loss(targets, TASK, settings.loss, fabric.device),
        data,
        task=TASK,
        settings=settings,
    )


def _no_augmentation(targets: Any, device: torch.device) -> TrainingAugmentation:
    settings, n_valid = AugmentSettings(), np.ones(len(targets), dtype=np.int64)
    maker = ItemMaker(settings, targets, task=TASK, is_unpadded=n_valid > 0, shape=SHAPE, seed=0)
    return TrainingAugmentation(
        maker, Augmenter(settings, n_valid=n_valid, n_samples=1, sample_rate_hz=8000, seed=0, device=device)
    )


class _Bare:
    """The loop that one writes by hand."""

    def __init__(
        self, model: Any, spectrograms: Any, targets: Any, normalisation: Normalisation, device: torch.device
    ) -> None:
        self._model = model.to(device=device, memory_format=torch.channels_last)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3)
        self._spectrograms = torch.from_numpy(spectrograms).to(device)
        self._targets = torch.from_numpy(targets).to(device)
        self._normalisation = normalisation.to(device)

    def epoch(self, batch_size: int) -> None:
        self._model.train()
        for indices in torch.randperm(len(self._targets), device=self._targets.device).split(batch_size):
            batch = (self._spectrograms[indices].float() - self._normalisation.mean_db) / self._normalisation.std_db
            self._optimizer.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(self._model(batch), self._targets[indices])
            loss.backward()
            self._optimizer.step()
