"""How fast the training loop is beside a bare PyTorch loop over the same tensors, in one run.

The bare loop is what one writes by hand: index the spectrograms, normalise, forward, loss, backward, step. Ours does
all else too: augmentation's seeds, sums, progress, questions whether to stop or save. Epochs of both alternate, so that
whatever else the machine does weighs on both; the figure is the median of the ratios of the repetitions, by the
processor's time on a CPU, by the clock on a GPU. Waiting is what the loop itself measures with features resident.

    python bench/training.py --models mixednet timm/efficientnet_b0 --output bench.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure import clock_s, processor_s, say
from pydantic import TypeAdapter
from torch.nn import functional

from auscult.augment import Augmenter, ItemMaker
from auscult.config import TaskSettings, TrainSettings
from auscult.config.augment import AugmentSettings
from auscult.config.model import ModelSettings
from auscult.models import Normalisation, build_model
from auscult.storage.files import write_json
from auscult.training.augmentation import TrainingAugmentation
from auscult.training.batches import ResidentBatches
from auscult.training.hardware import build_fabric
from auscult.training.loop import Trainer
from auscult.training.losses import build_loss
from auscult.training.progress import Progress
from auscult.training.validation import Part

LEAST_SHARE = 0.95
MOST_WAITING = 0.05
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


def main() -> int:
    """Print the table, write the figures, and return 1 when the loop is too slow or waits too long."""
    options = _options()
    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {}
    for name in options.models:
        n_clips = options.clips if name == "mixednet" else max(options.batch_size, options.clips // 4)
        report[name] = _measure(name, n_clips, options)
        figures = report[name]
        say(
            f"{name}: {figures['samples_per_s']:.0f} samples/s, {figures['share']:.3f} of a bare loop "
            f"({figures['low']:.3f} to {figures['high']:.3f}), {figures['waiting']:.1%} waiting for data"
        )
    if options.output is not None:
        write_json(options.output, report)
    is_met = all(row["share"] >= LEAST_SHARE and row["waiting"] < MOST_WAITING for row in report.values())
    say(f"at least {LEAST_SHARE} of a bare loop and waiting under {MOST_WAITING:.0%}: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of the training loop")
    parser.add_argument("--models", nargs="+", default=["mixednet", "timm/efficientnet_b0"])
    parser.add_argument("--clips", type=int, default=64, help="clips of an epoch; a quarter for timm's models")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=7, help="pairs of epochs after one to warm up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    return parser.parse_args()


def _measure(name: str, n_clips: int, options: argparse.Namespace) -> dict[str, float]:
    settings = TrainSettings(epochs=1000, batch_size=options.batch_size)
    fabric = build_fabric(settings, "auto")
    rng = np.random.default_rng(0)
    spectrograms = (-50 + 8 * rng.standard_normal((n_clips, *SHAPE), dtype=np.float32)).astype(np.float16)
    targets = (np.arange(n_clips) % 2).astype(np.float32)[:, None]
    normalisation = Normalisation.from_bands(np.full(SHAPE[0], -50.0), np.full(SHAPE[0], 8.0))
    part = Part(ResidentBatches(spectrograms, normalisation, fabric.device), targets, pd.DataFrame())
    model_settings = TypeAdapter[Any](ModelSettings).validate_python({"name": name})
    trainer = Trainer(
        fabric,
        build_model(model_settings, 1, SHAPE),
        build_loss(targets, TASK, settings.loss, fabric.device),
        train=part,
        validation=part,
        task=TASK,
        settings=settings,
        augmentation=_no_augmentation(targets, fabric.device),
    )
    bare = _Bare(model_settings, spectrograms, targets, normalisation.to(fabric.device), fabric.device)
    time_of = partial(clock_s, device=fabric.device) if fabric.device.type == "cuda" else processor_s
    ratios: list[float] = []
    ours_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        progress = Progress(Path(folder), "bench")
        for repetition in range(options.repetitions + 1):
            theirs = time_of(lambda: bare.epoch(options.batch_size))
            ours = time_of(lambda: trainer.train_epoch(progress))
            if repetition:
                ratios.append(theirs / ours)
                ours_s.append(ours)
    return {
        "share": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "samples_per_s": n_clips / statistics.median(ours_s),
        "waiting": trainer.sums.wait_s / trainer.sums.train_s,
    }


def _no_augmentation(targets: Any, device: torch.device) -> TrainingAugmentation:
    settings, n_valid = AugmentSettings(), np.ones(len(targets), dtype=np.int64)
    maker = ItemMaker(settings, targets, task=TASK, is_unpadded=n_valid > 0, shape=SHAPE, seed=0)
    return TrainingAugmentation(
        maker, Augmenter(settings, n_valid=n_valid, n_samples=1, sample_rate_hz=8000, seed=0, device=device)
    )


class _Bare:
    """The loop that one writes by hand."""

    def __init__(
        self, settings: Any, spectrograms: Any, targets: Any, normalisation: Normalisation, device: torch.device
    ) -> None:
        self._model: Any = build_model(settings, 1, SHAPE).to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3)
        self._spectrograms = torch.from_numpy(spectrograms).to(device)
        self._targets = torch.from_numpy(targets).to(device)
        self._normalisation = normalisation

    def epoch(self, batch_size: int) -> None:
        self._model.train()
        for indices in torch.randperm(len(self._targets), device=self._targets.device).split(batch_size):
            batch = (self._spectrograms[indices].float() - self._normalisation.mean_db) / self._normalisation.std_db
            self._optimizer.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(self._model(batch), self._targets[indices])
            loss.backward()
            self._optimizer.step()


if __name__ == "__main__":
    sys.exit(main())
