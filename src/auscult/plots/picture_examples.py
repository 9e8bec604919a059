"""Some pictures of a dataset, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from auscult.errors import DataError
from auscult.images.decode import read_picture
from auscult.images.idx import ENCODING, IdxPictures
from auscult.plots.excerpts import Picture
from auscult.plots.inline import png_data
from auscult.storage.tables import LABEL_PREFIX

SIDE_PX = 360
"""The longer side, at most; a small picture is enlarged without smoothing, so that its pixels are seen."""


def draw_picture_examples(
    recordings: pd.DataFrame,
    root: Path,
    n_examples: int,
    generator: np.random.Generator,
    hidden_labels: Sequence[str] = (),
) -> tuple[list[Picture], list[str]]:
    """Draw pictures for a page: one of each label set, then others.

    Args:
        recordings: Rows of `tables.RECORDINGS`.
        root: The dataset's folder.
        n_examples: At most so many.
        generator: The only source of randomness.
        hidden_labels: Labels to leave out of the captions.

    Returns:
        The pictures, and why some could not be drawn.
    """
    labels = [str(name) for name in recordings.columns if str(name).startswith(LABEL_PREFIX)]
    drawn = recordings.sort_values("recording_id").iloc[generator.permutation(len(recordings))]
    is_repeated = drawn[labels].duplicated().to_numpy() if labels else np.zeros(len(drawn), dtype=bool)
    chosen = drawn.iloc[np.argsort(is_repeated, kind="stable")[:n_examples]]
    pictures: list[Picture] = []
    faults: list[str] = []
    with IdxPictures() as rows:
        for row in chosen.to_dict("records"):
            path = root / row["path"]
            try:
                values = rows.read(path) if row["encoding"] == ENCODING else _read(path, int(row["n_channels"]))
            except DataError as error:
                faults.append(str(error))
                continue
            stated = {
                name.removeprefix(LABEL_PREFIX): row[name]
                for name in labels
                if isinstance(row[name], str) and name.removeprefix(LABEL_PREFIX) not in hidden_labels
            }
            size = f"{values.shape[1]} x {values.shape[0]} pixels"
            text = ", ".join(f"{name} {value}" for name, value in stated.items()) or "no label"
            facts = ", ".join(fact for fact in (row["device"], row["site"], size) if isinstance(fact, str))
            pictures.append(Picture(png_data(_fitted(values)), text, facts, str(row["recording_id"])))
    return pictures, faults


def _read(path: Path, n_channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture, shape [height, width, 3], or of other than 3 or 4 channels its first one, [height, width]."""
    n_read = 3 if n_channels in (3, 4) else n_channels
    values = np.clip(read_picture(path, n_read), 0, 255).astype(np.uint8)
    return values.transpose(1, 2, 0) if n_read == 3 else values[0]


def _fitted(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(values))
    scale = SIDE_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
