"""A sheet of maps: what is laid in stands where it belongs, in the colours that the legend names."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from auscult.plots.map_sheet import FollowedClip, MapSheet, shaded
from auscult.plots.style import FAINT, INK, series_colour
from auscult.spectrograms.frames import FrameGrid

N_FRAMES = 40


def colour(name: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(name))


@pytest.mark.parametrize("bands", [(), (16,)])
def test_truth_and_what_is_found_stand_in_strips_of_their_own(tmp_path: Path, bands: tuple[int, ...]) -> None:
    truth = np.zeros((2, 4, *bands, N_FRAMES), dtype=np.int8)
    truth[0, 0, ..., 10:20] = 1
    truth[1, 3, ..., 5:8] = 1
    truth[1, 1, ..., 30:] = -1
    clips = [
        FollowedClip(n, np.random.default_rng(n).random((16, N_FRAMES), dtype=np.float32), truth[n]) for n in (0, 1)
    ]
    sheet = MapSheet(clips, ("crackle", "wheeze"), FrameGrid(0.05, 0.1, N_FRAMES, 4.0))
    # What is found is the truth of the other clip: nothing may come from there to here.
    sheet.write(tmp_path / "a" / "one.png", "epoch 1", (truth[::-1] == 1).astype(np.float32))
    with Image.open(tmp_path / "a" / "one.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    blank = tmp_path / "none.png"
    sheet.write(blank, "epoch 1", np.zeros_like(truth, dtype=np.float32))
    with Image.open(blank) as picture:
        nothing = np.asarray(picture.convert("RGB")).astype(int)

    def share(of: np.ndarray, name: str, column: int) -> int:
        half = of.shape[1] // 2
        here = of[180:-80, :half] if column == 0 else of[180:-80, half:]
        return int((np.abs(here - colour(name)).max(axis=2) <= 8).sum())

    crackle, wheeze = series_colour(0), series_colour(1)
    # True and found strips of each clip: true alone where nothing is found.
    assert share(nothing, crackle, 0) > 0
    assert share(nothing, crackle, 1) == 0
    assert share(nothing, wheeze, 0) == share(nothing, wheeze, 1) == 0
    assert share(nothing, FAINT, 1) > 0
    assert share(pixels, crackle, 1) >= share(nothing, crackle, 0)  # a strip of what is found is as high, or higher
    assert share(pixels, crackle, 0) == share(nothing, crackle, 0)
    assert share(pixels, INK, 0) > share(nothing, INK, 0)


def test_an_event_of_one_frame_stays_where_a_pixel_stands_for_many_and_low_bands_lie_below() -> None:
    values = np.zeros((2, 1000), dtype=np.float32)
    values[0, 777] = 1
    laid = shaded(values, (10, 50), "#000000")
    is_dark = laid[..., 0] < 128
    assert np.flatnonzero(is_dark.any(axis=0)).tolist() == [777 // 20]
    assert np.flatnonzero(is_dark.any(axis=1)).tolist() == [5, 6, 7, 8, 9]
