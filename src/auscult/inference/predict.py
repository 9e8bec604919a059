"""`auscult predict`: predict audio files, draw them, and write the maps of their events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auscult.audio.probe import AudioFacts
from auscult.errors import ConfigError
from auscult.formatting.numbers import plural, probability_text
from auscult.inference.loaded_model import Channel, LoadedModel
from auscult.inference.predictions import FileOutputs, Predictions, combine
from auscult.inference.stream import ClipBlock, ClipReader, find_audio
from auscult.metrics.event_decoding import Tracks
from auscult.plots.event_maps import draw_maps, spectrogram_columns
from auscult.plots.recording import MAX_COLUMNS, LongSpectrogram, over_time
from auscult.plots.style import save
from auscult.storage.files import atomic_path, file_name, require_free

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predict_files(
    model: LoadedModel,
    sources: Sequence[Path],
    *,
    channel: Channel = "mean",
    batch_clips: int | None = None,
    plot_dir: Path | None = None,
    maps_dir: Path | None = None,
    is_forced: bool = False,
    on_fault: Callable[[Path, str], None] | None = None,
) -> Predictions:
    """Predict audio files.

    Args:
        model: A trained model.
        sources: Files and folders.
        channel: Channel of multi-channel audio, or `mean`.
        batch_clips: Clips at a time; default: as suits the device.
        plot_dir: Where a picture of each file goes; None: no pictures.
        maps_dir: Of a model that finds events: where the maps of each file go, `.npz` and `.png`; None: nowhere.
        is_forced: Pictures and maps that are there may be overwritten.
        on_fault: Receives each file that cannot be read, at once.

    Raises:
        DataError: A folder holds no audio.
        ConfigError: `plot_dir` or `maps_dir` cannot be written, or holds what would be written.
    """
    reader = model.reader(channel)
    paths = find_audio(sources)
    pictures = None if plot_dir is None else _Pictures(model, reader, outputs_in(plot_dir, paths, "--plot", is_forced))
    maps = None if maps_dir is None else outputs_in(maps_dir, paths, "--maps", is_forced, (".npz", ".png"))
    on_block = None if pictures is None else pictures.add
    outputs: list[FileOutputs] = []
    for found in model.outputs(paths, reader, batch_clips=batch_clips, on_block=on_block):
        outputs.append(found.without_tracks)
        if found.fault is not None and on_fault is not None:
            on_fault(found.path, found.fault)
        if pictures is not None:
            pictures.draw(found)
        if maps is not None and found.tracks is not None:
            _write_maps(maps[found.path], found.tracks, model.targets, found.path.name)
    return model.tabulate(outputs, reader)


class _Pictures:
    """The spectrograms of files that are being read, each kept until its predictions are complete."""

    def __init__(self, model: LoadedModel, reader: ClipReader, targets: dict[Path, Path]) -> None:
        self._model = model
        self._reader = reader
        self._spectrograms: dict[Path, LongSpectrogram] = {}
        self._targets = targets

    def add(self, path: Path, facts: AudioFacts, block: ClipBlock) -> None:
        if path not in self._spectrograms:
            n_columns = spectrogram_columns(facts.duration_s) if self._model.task.finds_events else MAX_COLUMNS
            self._spectrograms[path] = LongSpectrogram(self._reader, facts.duration_s, n_columns)
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
        title = f"{found.path.name}   recording: {predicted}"
        if found.tracks is None:
            figure = over_time(
                spectrogram,
                found.cuts,
                values,
                targets=self._model.targets,
                thresholds=self._model.thresholds_at("clip"),
                title=title,
            )
        else:
            figure = draw_maps(
                found.tracks,
                self._model.targets,
                title=f"{title}   {plural(len(found.events), 'event')}",
                spectrogram=spectrogram,
                events=found.events,
            )
        _save(figure, self._targets[found.path], "--plot")


def _write_maps(path: Path, tracks: Tracks, kinds: Sequence[str], name: str) -> None:
    """Write a recording's maps as numbers and as a picture; `path` is that of the picture.

    Raises:
        ConfigError: They cannot be written.
    """
    values = tracks.of_recording(0)
    grid = tracks.grid.along(values.shape[1])
    arrays = path.with_suffix(".npz")
    try:
        with atomic_path(arrays) as temporary:
            np.savez_compressed(
                temporary,
                objects=values[: len(kinds)],
                boundaries=values[len(kinds) :],
                times_s=grid.middles_s,
                kinds=np.array(kinds),
                duration_s=tracks.durations_s[0],
            )
    except OSError as error:
        raise ConfigError(f"--maps {arrays}: cannot be written ({error.strerror or error})") from error
    _save(draw_maps(tracks, kinds, title=f"{name}   probability of objects and boundaries"), path, "--maps")


def _save(figure: Figure, path: Path, option: str) -> None:
    try:
        save(figure, path)
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror or error})") from error


def outputs_in(
    folder: Path, paths: Sequence[Path], option: str, is_forced: bool, endings: Sequence[str] = (".png",)
) -> dict[Path, Path]:
    """Return file -> picture in a folder, which is made; refuse what is there, by each of the endings.

    Raises:
        ConfigError: The folder cannot be made or written in, or holds one of the outputs.
    """
    pictures = picture_paths(paths, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option} {folder}: cannot be made ({error.strerror or error})") from error
    for picture in pictures:
        for ending in endings:
            require_free(Path(f"{picture.with_suffix('')}{ending}"), is_forced=is_forced, option=option)
    return dict(zip(paths, pictures, strict=True))


def picture_paths(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return where each file's picture goes: its name and `.png`, with a number where two share it.

    Names that differ only in case share one: some file systems tell them not apart.

    >>> [path.name for path in picture_paths([Path("a/x.wav"), Path("b/x.wav"), Path("é y.mp3")], Path("."))]
    ['x.wav.png', 'x.wav-2.png', '_y.mp3.png']
    """
    used: set[str] = set()
    made: list[Path] = []
    for path in paths:
        plain = name = file_name(path.name)
        number = 1
        while name.lower() in used:
            number += 1
            name = f"{plain}-{number}"
        used.add(name.lower())
        made.append(folder / f"{name}.png")
    return made
