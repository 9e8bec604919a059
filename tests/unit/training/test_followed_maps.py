"""Maps of some validation clips by epoch: of fixed clips, only of epochs that are done, also in TensorBoard."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from auscult.config import JobSettings
from auscult.datasets.event_maps import ClipEvents
from auscult.labels import Intervals
from auscult.metrics.events import TrueEvents
from auscult.spectrograms.frames import FrameGrid
from auscult.training.batches import ResidentBatches, Subset
from auscult.training.followed_maps import MAX_PICTURES, FollowedMaps
from auscult.training.history import History

from .test_events import TASK

N_CLIPS, N_FRAMES = 6, 50
GRID = FrameGrid(0.02, 0.04, N_FRAMES, 2.0)


class AsStored:
    def to(self, device: object) -> "AsStored":
        return self

    def apply(self, stored: Any) -> Any:
        return stored.float()


def followed(epochs: int) -> FollowedMaps:
    """Clip 2 holds both kinds, clips 0 and 4 a crackle, clip 1 a shorter wheeze."""
    rows = np.array([2, 2, 0, 4, 1]) * 2 + [0, 1, 0, 0, 1]
    starts = np.array([0.2, 1.0, 0.5, 0.5, 0.1])
    ends = np.array([0.7, 1.5, 1.0, 1.0, 0.3])
    nothing = Intervals(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    truth = TrueEvents(("crackle", "wheeze"), np.full(N_CLIPS, 2.0), Intervals(rows, starts, ends), nothing)
    names = np.array([f"toy/{n}" for n in range(N_CLIPS)], dtype=object)
    events = ClipEvents(truth, names, names, np.arange(N_CLIPS), np.zeros(N_CLIPS), GRID, 0.1)
    stored = np.random.default_rng(0).standard_normal((N_CLIPS, 8, N_FRAMES)).astype(np.float16)
    batches = ResidentBatches(stored, AsStored(), torch.device("cpu"))
    val = Subset(batches, np.zeros((N_CLIPS, 2), np.float32), pd.DataFrame(), events, events.maps())
    job = JobSettings.model_validate(
        {
            "task": "toy",
            "datasets": ["toy"],
            "clips": {"length_s": 2.0, "sample_rate_hz": 4000},
            "spectrogram": {"n_mels": 8},
            "split": {"kind": "patients"},
            "model": {"name": "crnn", "over_time": "max"},
            "train": {"epochs": epochs, "live_examples": 6, "monitor": "val/event_f1"},
        }
    )
    return FollowedMaps(val, TASK, job)


def test_a_resumed_training_shows_each_epoch_once(tmp_path: Path) -> None:
    maps = np.random.default_rng(1).random((N_CLIPS, 4, N_FRAMES)).astype(np.float32)
    rows = [{"epoch": epoch, "val/event_f1": 0.5} for epoch in (1, 2, 3)]
    first = followed(3)
    first.open(tmp_path, lambda batch: batch)
    for row in rows[:2]:
        first.draw(row["epoch"], row, maps)
    before = (tmp_path / "live_maps" / "epoch_0001.png").read_bytes()
    # The state of epoch 2 was lost: the next session trains it again.
    second = followed(3)
    second.open(tmp_path, lambda batch: batch)
    history = History(tmp_path, rows[:1], tensorboard=True)
    assert [path.name for path in (tmp_path / "live_maps").iterdir()] == ["epoch_0001.png"]
    for row in rows[1:]:
        second.draw(row["epoch"], row, maps if row["epoch"] == 2 else 1 - maps)
        history.append(row)
    history.close()
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [event.step for event in shown.Images("maps")] == [1, 2, 3]
    assert (tmp_path / "live_maps" / "epoch_0001.png").read_bytes() == before
    pictures = []
    for epoch in (2, 3):
        with Image.open(tmp_path / "live_maps" / f"epoch_{epoch:04d}.png") as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    assert (pictures[0] != pictures[1]).mean() > 0.05


def test_pictures_are_few_and_of_the_clips_that_hold_most(tmp_path: Path) -> None:
    chosen = followed(1000)
    assert chosen._clips.tolist() == [0, 2, 4]
    chosen.open(tmp_path, lambda batch: batch)
    drawn = []
    chosen._sheet.write = lambda path, title, maps: drawn.append((path.name, title, maps.shape))
    for epoch in range(1, 1001):
        chosen.draw(epoch, {"val/event_f1": None}, np.zeros((N_CLIPS, 4, N_FRAMES), np.float32))
    assert len(drawn) == MAX_PICTURES + 1
    assert drawn[0] == ("epoch_0001.png", "epoch 1 of 1000   val/event_f1 undefined", (3, 4, N_FRAMES))
    assert drawn[-1][0] == "epoch_1000.png"
