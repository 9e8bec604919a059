"""The layout label_images: pictures and label images are paired by name, and what is not taken is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from auscult.config import DatasetSettings
from auscult.datasets.ingest import ingest

ADAPTER = TypeAdapter(DatasetSettings)


def settings(root, **changes):
    values = {"description": "pictures", "root": str(root), "layout": "label_images", **changes}
    return ADAPTER.validate_python(values)


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path, **options)


def picture(height=8, width=10):
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def labels(height=8, width=10, value=2, dtype=np.uint8):
    image = np.zeros((height, width), dtype=dtype)
    image[2:4, 2:5] = value
    return image


def read(root, **changes):
    """Ingest a folder and return its recordings, and file -> reason of what was refused."""
    out = root.parent / "tables"
    ingest(root, "shapes", settings(root, **changes), out)
    rejected = pd.read_csv(out / "rejected.csv")
    return pd.read_parquet(out / "recordings.parquet"), dict(zip(rejected["file"], rejected["reason"], strict=True))


def test_pictures_and_label_images_are_paired_by_name_whatever_their_formats(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for name, suffix in (("a.png", "png"), ("b.jpg", "tif"), ("ward/c.bmp", "png"), ("ward/d.webp", "tiff")):
        save(root / "images" / name, picture())
        save(root / "labels" / f"{name.rsplit('.', 1)[0]}.{suffix}", labels(value=300, dtype=np.uint16))
    (root / "README.md").write_text("what is what")
    recordings, rejected = read(root)
    assert rejected == {}
    assert recordings["recording_id"].tolist() == [f"shapes/images/{name}" for name in ("a", "b", "ward/c", "ward/d")]
    assert recordings["attr_label_image"].tolist()[1:3] == ["labels/b.tif", "labels/ward/c.png"]
    assert recordings["attr_size_px"].tolist() == ["10x8"] * 4
    assert recordings["label_objects"].tolist() == ["present"] * 4
    assert (recordings[["sample_rate_hz", "n_samples", "duration_s"]] == 0).all(axis=None)
    assert recordings["encoding"].tolist() == ["PNG/RGB", "JPEG/RGB", "BMP/RGB", "WEBP/RGB"]


def test_one_folder_holds_both_where_a_suffix_tells_them_apart(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for number in (1, 2):
        save(root / f"p{number}.png", picture())
        save(root / f"p{number}_label.png", labels())
    columns = {"patient": "patient"}
    recordings, rejected = read(
        root, images="", labels="", suffix="_label", pattern="p(?P<patient>[0-9])", columns=columns
    )
    assert rejected == {}
    assert recordings["patient_id"].tolist() == ["shapes/1", "shapes/2"]
    assert recordings["attr_label_image"].tolist() == ["p1_label.png", "p2_label.png"]


def test_what_a_picture_holds_is_present_absent_or_unknown(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for name, value in (("empty", 0), ("hard", 1), ("object", 7)):
        save(root / "images" / f"{name}.png", picture())
        save(root / "labels" / f"{name}.png", labels(value=value))
    recordings, _ = read(root)
    found = recordings["label_objects"]
    assert found.isna().tolist() == [False, True, False]
    assert found.dropna().tolist() == ["absent", "present"]


def test_what_is_not_taken_is_named_with_what_was_expected(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for name in ("good", "alone", "other_size", "colours", "two", "broken", "bits", "floats"):
        save(root / "images" / f"{name}.png", picture())
    save(root / "labels" / "good.png", labels())
    save(root / "labels" / "other_size.png", labels(height=9))
    save(root / "labels" / "colours.png", picture())
    save(root / "labels" / "two.png", labels())
    save(root / "labels" / "two.tif", labels())
    save(root / "labels" / "broken.png", labels())
    save(root / "labels" / "bits.png", labels() > 1)
    save(root / "labels" / "floats.tif", labels(dtype=np.float32))
    whole = (root / "images" / "broken.png").read_bytes()
    (root / "images" / "broken.png").write_bytes(whole[: len(whole) // 2])
    save(root / "labels" / "orphan.png", labels())
    (root / "labels" / "note.wav").write_bytes(b"RIFF")
    (root / "list.txt").write_text("x")
    recordings, rejected = read(root)
    assert recordings["recording_id"].tolist() == ["shapes/images/good"]
    expected = {
        "images/alone.png": ("missing label", "alone.png or alone.tif in labels"),
        "images/other_size.png": ("size", "labels/other_size.png is 10 x 9 pixels, the picture 10 x 8 pixels"),
        "images/colours.png": ("labels/colours.png: label", "in colours (mode RGB)"),
        "images/two.png": ("ambiguous", "labels/two.png, labels/two.tif"),
        "images/broken.png": ("unreadable", "Pillow cannot decode it"),
        "images/bits.png": ("labels/bits.png: label", "black and white (mode 1)"),
        "images/floats.png": ("labels/floats.tif: label", "mode F"),
        "labels/orphan.png": ("missing picture", "images/orphan.png"),
        "labels/note.wav": ("not part of the layout", "pictures (.png"),
        "list.txt": ("not part of the layout", "in images, and label images"),
    }
    assert rejected.keys() == expected.keys()
    for file, (opens, holds) in expected.items():
        assert rejected[file].startswith(opens), rejected[file]
        assert holds in rejected[file]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": "all", "labels": "all/"}, "one folder"),
        ({"columns": {"labels": {"objects": {"column": "x"}}}, "pattern": "(?P<x>.*)"}, "given by the label images"),
        ({"annotations": {"files": "{stem}.csv"}}, "annotations"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings("raw", **changes)
