"""`auscult predict` on pictures: what they show; or whether there are objects, how many, and their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from auscult.config.clips import ClipSettings
from auscult.config.objects import ObjectDecoding
from auscult.datasets.folder import PICTURE_SUFFIXES, files_of, is_picture
from auscult.errors import ConfigError, DataError
from auscult.images.decode import read_picture
from auscult.images.fit import Fit
from auscult.inference.loaded_model import LoadedModel
from auscult.inference.predict import outputs_in
from auscult.inference.predictions import NO_NUMBER, with_predictions
from auscult.metrics.aggregation import weigh_class
from auscult.metrics.conformal import is_unsure
from auscult.metrics.objects import separate
from auscult.storage.files import atomic_path
from auscult.storage.tables import unsure_column

OnFault = Callable[[Path, str], None]
"""Receives a file that cannot be read, and why."""
ENDINGS = (".npz", "_objects.png", "_boundaries.png", "_labels.png")
"""Of the files that are written of a picture: all three maps as arrays, and each as a picture."""


@dataclass(frozen=True)
class FoundPicture:
    """What was found in a picture.

    Attributes:
        file: As it was named.
        probability: That there is an object.
        is_positive: By the threshold that validation chose for recordings.
        n_objects: Told apart by what validation chose.
    """

    file: str
    probability: float
    is_positive: bool
    n_objects: int


def predict_pictures(
    model: LoadedModel,
    sources: Sequence[Path],
    *,
    maps_dir: Path | None = None,
    is_forced: bool = False,
    on_fault: OnFault | None = None,
) -> pd.DataFrame:
    """Predict pictures, one after the other; columns as of `FoundPicture`.

    With `maps_dir` each picture leaves there, at its own size, `<name>.npz` with `objects` and `boundaries`
    (probabilities, float32 [height, width]) and `labels` (uint16: 0 background, from 2 on a value for each object), and
    the same as `<name>_objects.png` and `<name>_boundaries.png` (grey, 255 is 1) and `<name>_labels.png` (16 bit).

    Args:
        model: Of a task of type `objects`.
        sources: Files and folders.
        maps_dir: Where maps go; None: nowhere.
        is_forced: Overwrite what is there.
        on_fault: Receives each file that cannot be read, at once.

    Raises:
        DataError: A folder holds no picture.
        ConfigError: The model finds no objects in pictures, or maps are there already.
    """
    if not model.task.finds_objects:
        raise ConfigError("this model finds no objects in pictures; take one of a task of type objects")
    settings = ClipSettings.model_validate(model.saved.meta["clips"])
    decoding = ObjectDecoding.model_validate(model.saved.meta["object_decoding"])
    (threshold,) = model.thresholds_at("recording").values()
    paths = files_of(sources, is_picture, "pictures", PICTURE_SUFFIXES)
    targets = {} if maps_dir is None else outputs_in(maps_dir, paths, "--maps", is_forced, ENDINGS)
    rows: list[FoundPicture] = []
    for path, whole, fit in _readable(paths, settings, on_fault):
        probabilities, (maps,) = model.saved.proba_and_maps(fit.picture(whole).astype(np.float16)[None])
        if not (np.isfinite(probabilities).all() and np.isfinite(maps).all()):
            if on_fault is not None:
                on_fault(path, NO_NUMBER)
            continue
        labels = separate(_without_filling(maps, fit), decoding)
        probability = float(probabilities[0, 0])
        rows.append(FoundPicture(str(path), probability, probability >= threshold, len(np.unique(labels[labels > 0]))))
        if path in targets:
            _write_maps(targets[path].with_suffix(""), fit.back(maps), fit.labels_back(labels))
    return pd.DataFrame([asdict(row) for row in rows], columns=pd.Index(list(FoundPicture.__dataclass_fields__)))


def classify_pictures(model: LoadedModel, sources: Sequence[Path], *, on_fault: OnFault | None = None) -> pd.DataFrame:
    """Return what pictures show, a row a picture: `file`, and what `predictions.with_predictions` adds.

    Args:
        model: Of pictures, and of a task that finds no objects.
        sources: Files and folders.
        on_fault: Receives each file that cannot be read, at once.

    Raises:
        DataError: A folder holds no picture.
    """
    settings = ClipSettings.model_validate(model.saved.meta["clips"])
    paths = files_of(sources, is_picture, "pictures", PICTURE_SUFFIXES)
    files: list[str] = []
    found: list[NDArray[np.float64]] = []
    for path, whole, fit in _readable(paths, settings, on_fault):
        probabilities = model.saved.predict_proba(fit.picture(whole).astype(np.float16)[None])[0].astype(np.float64)
        if not np.isfinite(probabilities).all():
            if on_fault is not None:
                on_fault(path, NO_NUMBER)
            continue
        files.append(str(path))
        found.append(probabilities)
    raw = np.stack(found) if found else np.zeros((0, len(model.targets)))
    point = model.points["recording"]
    decided = weigh_class(raw, model.task.normal_column, point.normal_shift) if point.normal_shift else raw
    table = with_predictions(pd.DataFrame({"file": files}), decided, model.task, point)
    conformal = model.saved.meta.get("conformal")
    for view, unsure in (is_unsure(raw, model.task, conformal) if conformal is not None else {}).items():
        table[unsure_column(view)] = unsure
    return table


def _readable(
    paths: Sequence[Path], settings: ClipSettings, on_fault: OnFault | None
) -> Iterator[tuple[Path, NDArray[np.float32], Fit]]:
    """Yield each picture that can be read, and how it is brought to the size that the model takes."""
    for path in paths:
        try:
            whole = read_picture(path, settings.channels)
        except DataError as error:
            if on_fault is not None:
                on_fault(path, str(error))
            continue
        yield path, whole, Fit.of((whole.shape[1], whole.shape[2]), settings.size, settings.trim)


def _without_filling(maps: NDArray[np.float32], fit: Fit) -> NDArray[np.float32]:
    """Return maps in which nothing is found where the clip was filled up."""
    inside = np.zeros_like(maps)
    inside[:, : fit.inner[0], : fit.inner[1]] = maps[:, : fit.inner[0], : fit.inner[1]]
    return inside


def _write_maps(base: Path, maps: NDArray[np.float32], labels: NDArray[np.uint16]) -> None:
    objects, boundaries = maps
    grey = [np.rint(255 * values).astype(np.uint8) for values in (objects, boundaries)]
    try:
        with atomic_path(Path(f"{base}{ENDINGS[0]}")) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(stream, objects=objects, boundaries=boundaries, labels=labels)
        for ending, values in zip(ENDINGS[1:], (*grey, labels), strict=True):
            with atomic_path(Path(f"{base}{ending}")) as temporary:
                Image.fromarray(values).save(temporary, format="PNG")
    except OSError as error:
        raise ConfigError(f"--maps {base.parent}: cannot be written ({error.strerror or error})") from error
