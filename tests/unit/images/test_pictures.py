"""Pictures are decoded as they are, brought to one size and back, and stored with sums and label images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auscult.config import ClipSettings
from auscult.errors import DataError
from auscult.images.decode import probe_picture, read_labels, read_picture
from auscult.images.fit import Fit
from auscult.images.make_pictures import make_pictures
from auscult.spectrograms.store import FeatureStore
from auscult.storage.tables import RECORDINGS, SOUND_FACTS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def save(path, values, **options):
    Image.fromarray(np.asarray(values)).save(path, **options)
    return path


def test_grey_and_colour_are_read_from_either(tmp_path: Path, rng: np.random.Generator) -> None:
    colour = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    grey = rng.integers(0, 256, (6, 9), dtype=np.uint8)
    of_colour, of_grey = save(tmp_path / "c.png", colour), save(tmp_path / "g.bmp", grey)
    assert np.array_equal(read_picture(of_colour, 3), colour.transpose(2, 0, 1))
    assert np.array_equal(read_picture(of_grey, 1)[0], grey)
    assert np.array_equal(read_picture(of_grey, 3), np.stack([grey] * 3))
    weights = np.array([299, 587, 114]) / 1000
    assert np.abs(read_picture(of_colour, 1)[0] - colour @ weights).max() <= 1


def test_16_bit_and_tiffs_of_several_pages_keep_what_they_hold(tmp_path: Path, rng: np.random.Generator) -> None:
    deep = rng.integers(0, 65_536, (6, 9), dtype=np.uint16)
    found = read_picture(save(tmp_path / "d.tif", deep), 1)[0]
    assert np.allclose(found, deep / 257, atol=1e-4)
    pages = [Image.fromarray(rng.integers(0, 256, (6, 9), dtype=np.uint8)) for _ in range(5)]
    path = tmp_path / "five.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert np.array_equal(read_picture(path, 5), np.stack([np.asarray(page) for page in pages]))
    assert probe_picture(path).n_channels == 5
    with pytest.raises(DataError, match=r"it has 5 .*asks for 3"):
        read_picture(path, 3)
    with pytest.raises(DataError, match=r"it has 1 .*asks for 4"):
        read_picture(save(tmp_path / "g.png", np.zeros((6, 9), np.uint8)), 4)


def test_an_orientation_that_a_camera_noted_is_applied(tmp_path: Path) -> None:
    values = np.arange(54, dtype=np.uint8).reshape(6, 9)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    assert np.array_equal(read_picture(save(tmp_path / "turned.png", values, exif=exif), 1)[0], np.rot90(values, -1))


def test_objects_are_numbered_in_the_order_of_their_values(tmp_path: Path) -> None:
    values = np.array([[0, 1, 9], [500, 2, 9]], dtype=np.uint16)
    assert read_labels(save(tmp_path / "l.png", values)).tolist() == [[0, 1, 3], [4, 2, 3]]
    palette = Image.fromarray(values.clip(0, 9).astype(np.uint8)).convert("P")
    palette.putpalette([value % 256 for value in range(0, 768 * 7, 7)][:768])
    palette.putdata(values.clip(0, 9).astype(np.uint8).ravel().tolist())
    palette.save(tmp_path / "p.png")
    assert read_labels(tmp_path / "p.png").tolist() == [[0, 1, 3], [3, 2, 3]]


@pytest.mark.parametrize(("content", "says"), [(b"", "empty"), (b"no picture", "unreadable")])
def test_what_is_no_picture_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        probe_picture(path)


@pytest.mark.parametrize("trim", ["resize", "padding", "reflect"])
@pytest.mark.parametrize("whole", [(40, 60), (61, 37), (32, 32), (8, 200), (300, 300)])
def test_what_lies_where_stays_there_on_the_way_to_the_clip_and_back(whole, trim) -> None:
    # Smooth, so that what interpolation loses is little.
    rows, columns = np.mgrid[: whole[0], : whole[1]]
    values = (100 * np.stack([rows / whole[0], columns / whole[1]])).astype(np.float32)
    fit = Fit.of(whole, (32, 32), trim)
    fitted = fit.picture(values)
    assert fitted.shape == (2, 32, 32)
    back = fit.back(fitted)
    assert back.shape == values.shape
    step = 100 / min(fit.inner)
    assert np.abs(back - values).max() <= step


def test_what_is_filled_up_is_the_mean_or_the_mirror_and_no_object() -> None:
    values = np.arange(32, dtype=np.float32).reshape(1, 4, 8)
    padded = Fit.of((4, 8), (8, 8), "padding").picture(values)
    assert np.array_equal(padded[:, :4], values)
    assert (padded[:, 4:] == values.mean()).all()
    mirrored = Fit.of((4, 8), (8, 8), "reflect").picture(values)
    assert np.array_equal(mirrored[:, 4:], values[:, ::-1])
    labels = Fit.of((4, 8), (8, 8), "reflect").labels(np.full((4, 8), 5, np.uint16), outside=1)
    assert (labels[:4] == 5).all()
    assert (labels[4:] == 1).all()


def tables(folder, rows):
    """Write a recordings table of pictures: names and label images."""
    table = pd.DataFrame(
        [
            {
                "recording_id": f"shapes/{name}",
                "dataset": "shapes",
                "patient_id": f"shapes/{name}",
                "path": f"{name}.png",
                "site": None,
                "device": None,
                "age_years": None,
                "sex": None,
                "sample_rate_hz": 0,
                "n_channels": 1,
                "n_samples": 0,
                "duration_s": 0.0,
                "encoding": "PNG/L",
                "sha256": "0",
                "fingerprint": None,
                **dict.fromkeys(SOUND_FACTS),
                "dead_which": None,
                "attr_label_image": label,
            }
            for name, label in rows
        ]
    )
    text = ["site", "device", "sex", "fingerprint", "dead_which"]
    table = table.astype({**dict.fromkeys(text, "str"), "age_years": float, **dict.fromkeys(SOUND_FACTS, float)})
    folder.mkdir(exist_ok=True)
    RECORDINGS.validate(table).to_parquet(folder / "recordings.parquet")
    return folder


def test_the_store_holds_pictures_sums_over_what_is_no_padding_and_label_images(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    values = rng.integers(0, 256, (16, 32), dtype=np.uint8)
    save(tmp_path / "a.png", values)
    save(tmp_path / "a_label.png", np.where(values > 200, 2, 0).astype(np.uint8))
    settings = ClipSettings(unit="image", size=(32, 32), channels=1, trim="padding")
    output = tmp_path / "pictures.h5"
    make_pictures(
        root=tmp_path,
        dataset="shapes",
        tables_dir=tables(tmp_path / "tables", [("a", "a_label.png")]),
        settings=settings,
        output=output,
        full_settings={"clips": settings.model_dump(mode="json")},
        threads=2,
    )
    with FeatureStore(output) as store:
        assert store.shape == (1, 1, 32, 32)
        assert np.array_equal(store.read([0])[0, 0, :16], values)
        (sums,) = store.sums([0])
        assert sums.sum[0, 0] == values.astype(float).sum()
        assert sums.sum_sq[0, 0] == (values.astype(float) ** 2).sum()
        assert sums.n_frames_valid[0] == 512
        labels = store.labels([0])[0]
        assert np.array_equal(labels[:16], np.where(values > 200, 2, 0))
        assert (labels[16:] == 1).all()
        assert store.table["clip_id"].tolist() == ["shapes/a:0000"]


def test_a_label_image_that_changed_its_size_since_the_ingest_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((16, 16), np.uint8))
    save(tmp_path / "a_label.png", np.zeros((16, 17), np.uint8))
    with pytest.raises(DataError, match=r"a_label.png: it is 17 x 16 pixels, its picture .*a.png 16 x 16 pixels"):
        make_pictures(
            root=tmp_path,
            dataset="shapes",
            tables_dir=tables(tmp_path / "tables", [("a", "a_label.png")]),
            settings=ClipSettings(unit="image", channels=1),
            output=tmp_path / "pictures.h5",
            full_settings={},
        )


def test_settings_of_clips_of_sound_keep_their_keys_and_pictures_have_their_own() -> None:
    assert not {"size", "channels", "trim"} & ClipSettings().model_dump().keys()
    of_image = ClipSettings(unit="image", size=128)
    assert of_image.model_dump(mode="json") == {"unit": "image", "size": [128, 128], "channels": 3, "trim": "resize"}
    assert ClipSettings.model_validate(of_image.model_dump(mode="json")) == of_image
    with pytest.raises(ValueError, match="length_s: of sound"):
        ClipSettings(unit="image", length_s=5)
    with pytest.raises(ValueError, match="size: of unit 'image'"):
        ClipSettings(size=128)
