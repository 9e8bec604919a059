"""`auscult predict`: predict audio files and draw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from auscult.audio.probe import AudioFacts
from auscult.errors import ConfigError
from auscult.formatting.numbers import probability_text
from auscult.inference.loaded_model import Channel, LoadedModel
from auscult.inference.predictions import FileOutputs, Predictions, combine
from auscult.inference.stream import ClipBlock, ClipReader, find_audio
from auscult.plots.recording import LongSpectrogram, over_time
from auscult.plots.style import save
from auscult.storage.files import file_name


def predict_files(
    model: LoadedModel,
    sources: Sequence[Path],
    *,
    channel: Channel = "mean",
    batch_clips: int | None = None,
    plot_dir: Path | None = None,
    on_fault: Callable[[Path, str], None] | None = None,
) -> Predictions:
    """Predict audio files.

    Args:
        model: A trained model.
        sources: Files and folders.
        channel: Channel of multi-channel audio, or `mean`.
        batch_clips: Clips at a time; default: as suits the device.
        plot_dir: Where a picture of each file goes; None: no pictures.
        on_fault: Receives each file that cannot be read, at once.

    Raises:
        DataError: A folder holds no audio.
        ConfigError: `plot_dir` cannot be written.
    """
    reader = model.reader(channel)
    paths = find_audio(sources)
    pictures = None if plot_dir is None else _Pictures(model, reader, plot_dir, paths)
    on_block = None if pictures is None else pictures.add
    outputs: list[FileOutputs] = []
    for found in model.outputs(paths, reader, batch_clips=batch_clips, on_block=on_block):
        outputs.append(found)
        if found.fault is not None and on_fault is not None:
            on_fault(found.path, found.fault)
        if pictures is not None:
            pictures.draw(found)
    return model.tabulate(outputs, reader)


class _Pictures:
    """The spectrograms of files that are being read, each kept until its predictions are complete."""

    def __init__(self, model: LoadedModel, reader: ClipReader, folder: Path, paths: Sequence[Path]) -> None:
        self._model = model
        self._reader = reader
        self._spectrograms: dict[Path, LongSpectrogram] = {}
        self._targets = dict(zip(paths, picture_paths(paths, folder), strict=True))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--plot {folder}: cannot be made ({error.strerror or error})") from error

    def add(self, path: Path, facts: AudioFacts, block: ClipBlock) -> None:
        if path not in self._spectrograms:
            self._spectrograms[path] = LongSpectrogram(self._reader, facts.duration_s)
        self._spectrograms[path].add(block)

    def draw(self, found: FileOutputs) -> None:
        spectrogram = self._spectrograms.pop(found.path, None)
        if found.fault is not None or spectrogram is None:
            return
        values = np.asarray(found.values, dtype=np.float64)
        together = combine(values, self._model.task, self._model.points["recording"].normal_shift)
        predicted = ", ".join(
            f"{name} {probability_text(value)}" for name, value in zip(self._model.targets, together, strict=True)
        )
        path = self._targets[found.path]
        figure = over_time(
            spectrogram,
            found.cuts,
            values,
            targets=self._model.targets,
            thresholds=self._model.thresholds_at("clip"),
            title=f"{found.path.name}   recording: {predicted}",
        )
        try:
            save(figure, path)
        except OSError as error:
            raise ConfigError(f"--plot {path}: cannot be written ({error.strerror or error})") from error


def picture_paths(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return where each file's picture goes: its name and `.png`, with a number where two share it.

    >>> [path.name for path in picture_paths([Path("a/x.wav"), Path("b/x.wav"), Path("é y.mp3")], Path("."))]
    ['x.wav.png', 'x.wav-2.png', '_y.mp3.png']
    """
    used: dict[str, int] = {}
    made: list[Path] = []
    for path in paths:
        name = file_name(path.name)
        used[name] = used.get(name, 0) + 1
        made.append(folder / (f"{name}.png" if used[name] == 1 else f"{name}-{used[name]}.png"))
    return made
