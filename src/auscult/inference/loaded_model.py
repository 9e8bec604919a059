"""`auscult.load_model`: a trained model that predicts audio files from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from auscult.config.events import KindDecoding
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.task import TaskSettings
from auscult.errors import ConfigError, DataError
from auscult.formatting.numbers import plural_of
from auscult.formatting.operating_points import decision_text
from auscult.inference.predictions import (
    EVENT_COLUMNS,
    FileOutputs,
    Forward,
    OnBlock,
    Predictions,
    find_events,
    run_files,
    tabulate,
)
from auscult.inference.stream import ClipReader, find_audio
from auscult.metrics.event_decoding import decodings_of, over_bands
from auscult.metrics.operating_points import points_of
from auscult.models import SavedModel
from auscult.models.classifier import EmbeddingLayer
from auscult.models.embeddings import BATCH_CLIPS
from auscult.models.saved import META_FILE
from auscult.models.saved import load_model as load_saved
from auscult.spectrograms.frames import FrameGrid

Files = str | PathLike[str] | Iterable[str | PathLike[str]]
Channel = int | Literal["mean"]
_PREDICTED = ("clip", "recording")


class LoadedModel:
    """A trained model.

    Attributes:
        saved: The network with its normalisation and description, for arrays instead of files.
        task: What it predicts.
        targets: Names of the targets, in the order of the probabilities.
        thresholds: Target -> probability from which it is positive at the task's level, chosen on validation; empty
            for a multi-class task.
        points: Level -> where decisions are taken; clips and recordings are predicted with their own.
    """

    def __init__(self, saved: SavedModel) -> None:
        self.saved = saved
        self.task = TaskSettings.model_validate(saved.meta["task"])
        self.targets = saved.targets
        self.points = points_of(saved.meta, self.task)
        self.thresholds = self.thresholds_at(self.task.level)

    def thresholds_at(self, level: str) -> dict[str, float]:
        """Return target -> threshold at a level; empty for a multi-class task."""
        if self.task.type == "multi_class":
            return {}
        return dict(zip(self.targets, self.points[level].thresholds, strict=True))

    @property
    def batch_clips(self) -> int:
        """Clips at a time, as suits the device."""
        return BATCH_CLIPS[next(self.saved.module.parameters()).device.type]

    def predict(self, files: Files, *, channel: Channel = "mean", batch_clips: int | None = None) -> Predictions:
        """Predict audio files of any length and rate; long ones are streamed.

        Args:
            files: A file or a folder, or several.
            channel: Channel of multi-channel audio, or `mean`.
            batch_clips: Clips at a time; default: 8 on a CPU, 64 on a GPU.

        Returns:
            The predictions; files that cannot be read are in its `errors`.

        Raises:
            DataError: A folder holds no audio.
        """
        reader = self.reader(channel)
        found = self.outputs(files, reader, batch_clips=batch_clips)
        return self.tabulate([one.without_tracks for one in found], reader)

    def reader(self, channel: Channel = "mean") -> ClipReader:
        """Return a reader that cuts files into clips for this model.

        Raises:
            ConfigError: The model takes pictures.
        """
        require_sound(self.saved.meta)
        return ClipReader(self.saved, channel)

    def outputs(
        self, files: Files, reader: ClipReader, *, batch_clips: int | None = None, on_block: OnBlock | None = None
    ) -> Iterator[FileOutputs]:
        """Yield the probabilities of each file's clips as soon as they are computed; see `run_files`."""

        def forward(clips: NDArray[Any]) -> NDArray[Any]:
            return self.saved.predict_proba(clips, batch_size=len(clips))

        def forward_with_maps(clips: NDArray[Any]) -> NDArray[Any]:
            of_clips, maps = self.saved.proba_and_maps(clips, batch_size=len(clips))
            return np.concatenate([of_clips, over_bands(maps).reshape(len(maps), -1)], axis=1)

        if not self.task.finds_events:
            return self._run(files, reader, forward, batch_clips, on_block)
        found = self._run(files, reader, forward_with_maps, batch_clips, on_block)
        decodings, grid = self.decodings, self.grid(reader)
        return (find_events(one, self.task, decodings, grid) for one in found)

    @property
    def decodings(self) -> list[KindDecoding]:
        """How the events of each kind are read from maps, of a model that finds events."""
        return decodings_of(self.saved.meta["event_decoding"], self.targets)

    def grid(self, reader: ClipReader) -> FrameGrid:
        """Return where the frames of one clip lie."""
        return FrameGrid.of(SpectrogramSettings.model_validate(self.saved.meta["spectrogram"]), reader.clips)

    def tabulate(self, outputs: Sequence[FileOutputs], reader: ClipReader) -> Predictions:
        """Return the predictions of files as tables."""
        notes = [reader.note] if reader.note else []
        if self.task.normal_class is not None:
            added = [f"{decision_text(self.saved.meta, self.task, level, ())} for {level}s" for level in _PREDICTED]
            notes.append(
                f"the class is the most probable one, after what validation chose is added: {', '.join(added)}"
            )
        conformal = self.saved.meta.get("conformal")
        if conformal is not None:
            of = "clip" if conformal["level"] == "clip" else "recording"
            notes.append(
                f"{of}s are unsure where a conformal set (alpha {conformal['alpha']:g}, calibrated on "
                f"{plural_of(conformal['level'])}) has not one class"
            )
        found = tabulate(outputs, self.task, self.points, notes, conformal)
        if not self.task.finds_events:
            return found
        rows = [event for one in outputs for event in one.events]
        return replace(found, events=pd.DataFrame(rows, columns=list(EVENT_COLUMNS)))

    def embed(
        self,
        files: Files,
        layer: EmbeddingLayer = "backbone",
        *,
        channel: Channel = "mean",
        batch_clips: int | None = None,
    ) -> tuple[pd.DataFrame, NDArray[np.float32], dict[str, str]]:
        """Return the features of every clip of audio files.

        Args:
            files: A file or a folder, or several.
            layer: `backbone` (pooled features) or `head` (its first dense layer, before the activation).
            channel: Channel of multi-channel audio, or `mean`.
            batch_clips: Clips at a time; default: 8 on a CPU, 64 on a GPU.

        Returns:
            One row a clip (`file`, `clip`, `start_s`, `end_s`), the features [clip, feature], and file -> fault of the
            files that cannot be read.

        Raises:
            DataError: A folder holds no audio.
            ConfigError: There is no such layer.
        """
        reader = self.reader(channel)

        def forward(clips: NDArray[Any]) -> NDArray[Any]:
            return self.saved.embed(clips, layer, batch_size=len(clips))

        found = list(self._run(files, reader, forward, batch_clips, None))
        good = [one for one in found if one.fault is None]
        rows = [(str(one.path), index, cut.start_s, cut.end_s) for one in good for index, cut in enumerate(one.cuts)]
        table = pd.DataFrame(rows, columns=["file", "clip", "start_s", "end_s"])
        values = [value for one in good for value in one.values]
        features = np.stack(values) if values else np.zeros((0, 0), np.float32)
        return table, features, {str(one.path): one.fault for one in found if one.fault is not None}

    def _run(
        self, files: Files, reader: ClipReader, forward: Forward, batch_clips: int | None, on_block: OnBlock | None
    ) -> Iterator[FileOutputs]:
        given = [files] if isinstance(files, str | PathLike) else files
        paths = find_audio([Path(file) for file in given])
        return run_files(paths, reader, forward, batch_clips=batch_clips or self.batch_clips, on_block=on_block)


def load_model(folder: str | PathLike[str], device: str = "cpu") -> LoadedModel:
    """Load a model that auscult trained.

    Args:
        folder: A job of a result, such as `results/pneumonia/train2356/1`: only `model.json` and
            `model.safetensors` in it are needed.
        device: `cpu`, `cuda`, or `auto` (a GPU where there is one).

    Raises:
        DataError: There is no model, or it is damaged or of a newer format.
        ConfigError: There is no such device.
    """
    folder = Path(folder)
    if folder.name == META_FILE:
        folder = folder.parent
    require_model(folder)
    return LoadedModel(load_saved(folder, choose_device(device)))


def require_sound(meta: Mapping[str, Any]) -> None:
    """Refuse a model of pictures where sound is read.

    Raises:
        ConfigError: With what can be done with it.
    """
    if meta["clips"]["unit"] == "image":
        raise ConfigError(
            "this model takes pictures, and here sound is read; `auscult predict MODEL FOLDER` takes pictures (with "
            "`--maps OUT` it writes the maps of their objects), and so does auscult.inference.pictures"
        )


def choose_device(name: str) -> str:
    """Return `cpu` or `cuda`.

    Raises:
        ConfigError: Another name, or no GPU is there.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise ConfigError(f"device: found {name!r}, expected auto, cpu or cuda")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("device cuda: torch finds no GPU here; take cpu, or auto")
    return "cuda" if name != "cpu" and has_gpu else "cpu"


def require_model(folder: Path) -> None:
    """Raise a DataError unless `folder` holds a model; the message names models below it."""
    if not folder.is_dir():
        what = "is a file, expected the folder of a model" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}; a model is a job of a result, such as results/pneumonia/train2356/1")
    if (folder / META_FILE).is_file():
        return
    near = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"**/{META_FILE}"))
    hint = f"; below it there are models in {', '.join(near[:8])}: name one" if near else ""
    raise DataError(f"{folder}: holds no {META_FILE}{hint}")
