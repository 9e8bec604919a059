"""Pictures come from folders, tables and idx files into tables and stores, and copies of them are found."""

import gzip
import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from tests.idx_files import idx_bytes, striped, write_idx, write_set

from auscult.config import DatasetSettings, TaskSettings, paths
from auscult.config.clips import ClipSettings
from auscult.datasets.description import describe
from auscult.datasets.ingest import ingest
from auscult.errors import DataError
from auscult.images.fingerprint import fingerprint_of
from auscult.images.make_pictures import make_pictures
from auscult.labels import recording_targets
from auscult.reports.dataset_page import render
from auscult.spectrograms.store import FeatureStore
from auscult.splits.alike_pictures import groups_of_alike
from auscult.splits.leaks import Declared, find_leaks
from auscult.storage.hdf5 import Shard
from auscult.storage.tables import read_events, read_recordings

CLASSES = ("row", "column", "block")
GREY_28 = ClipSettings(unit="image", size=28, channels=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def settings_of(**values):
    return TypeAdapter(DatasetSettings).validate_python({"description": "d", "root": "raw", **values})


def read(root: Path, tables: Path, **values):
    settings = settings_of(**values)
    ingest(root, "shots", settings, tables)
    return settings, read_recordings(tables / "recordings.parquet").set_index("recording_id")


def store_of(root: Path, tables: Path, settings, clips: ClipSettings, output: Path, **options) -> np.ndarray:
    make_pictures(
        root=root,
        dataset="shots",
        tables_dir=tables,
        settings=clips,
        output=output,
        full_settings=paths.clips_settings(settings, clips),
        **options,
    )
    with FeatureStore(output) as store:
        return store.read(np.arange(len(store)))


def photo(rng: np.random.Generator, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A smooth random picture in colours, [height, width]."""
    coarse = rng.uniform(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def test_each_row_of_idx_files_is_a_picture_with_its_label_and_its_part(tmp_path: Path, rng) -> None:
    root, tables = tmp_path / "raw", tmp_path / "tables"
    write_set(root, rng, n_train=5, n_test=2, n_classes=3)
    settings, found = read(root, tables, layout="idx", classes=CLASSES)
    assert len(found) == 21
    images, labels = striped(np.random.default_rng(3), 5, 3)
    names = [CLASSES[label] for label in labels]
    assert found.loc[found["attr_official_split"] == "train", "label_label"].tolist() == names
    row = found.loc["shots/train/07"]
    assert (row["path"], row["label_label"]) == ("train-images-idx3-ubyte.gz#7", CLASSES[labels[7]])
    assert found["attr_official_split"].value_counts().to_dict() == {"train": 15, "test": 6}
    assert found["sha256"].is_unique
    assert (found["patient_id"] == found.index).all()
    for threads in (1, 3):
        pictures = store_of(root, tables, settings, GREY_28, tmp_path / f"{threads}.h5", threads=threads)
        # In the order of the tables, t10k first.
        assert np.array_equal(pictures[6:, 0].astype(np.uint8), images)
    part = store_of(root, tables, settings, GREY_28, tmp_path / "part.h5", shard=Shard(1, 3))
    assert np.array_equal(part, pictures[7:14])


def test_labels_without_names_are_their_digits_and_plain_files_do(tmp_path: Path, rng) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    images, labels = striped(rng, 4)
    write_idx(root / "images.idx3-ubyte", images)
    write_idx(root / "labels.idx1-ubyte", labels)
    _, found = read(root, tmp_path / "tables", layout="idx")
    assert found["label_label"].tolist() == [str(label) for label in labels]
    assert found["attr_official_split"].isna().all()
    assert found.index[0] == "shots/0"


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


IMAGES = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
LABELS = np.array([0, 1, 2, 1], dtype=np.uint8)


def header(*sizes: int) -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (gz(idx_bytes(IMAGES)[:-1]), gz(idx_bytes(LABELS)), r"cut: .*4 pictures of 5 x 6 pixels, 1 bytes"),
        (gz(idx_bytes(IMAGES))[:-9], gz(idx_bytes(LABELS)), r"cut: the gzip archive ends"),
        (gz(idx_bytes(IMAGES))[:-8] + bytes(8), gz(idx_bytes(LABELS)), r"damaged: it cannot be unpacked"),
        (gz(idx_bytes(IMAGES) + b"x"), gz(idx_bytes(LABELS)), r"goes on behind the 4 pictures"),
        (gz(b"\x89PNG" + bytes(99)), gz(idx_bytes(LABELS)), r"magic: it begins with 89 50 4e 47"),
        (b"", gz(idx_bytes(LABELS)), r"magic: it begins with nothing"),
        (gz(idx_bytes(IMAGES, kind=0x0D)), gz(idx_bytes(LABELS)), r"type: its values are of type 0x0d"),
        (gz(idx_bytes(LABELS)), gz(idx_bytes(LABELS)), r"dimensions: it has 1, pictures .* have 3"),
        (gz(header(4, 6)), gz(idx_bytes(LABELS)), r"dimensions: it has 2"),
        (gz(header(0, 6, 5)), gz(idx_bytes(LABELS)), r"size: its header says 0 pictures"),
        (gz(header(1, 9000, 5)), gz(idx_bytes(LABELS)), r"size: .*at most 8192 pixels a side"),
        (gz(header(2**32 - 1, 28, 28)), gz(idx_bytes(LABELS)), r"size: .*at most 8,589,934,592 are taken"),
        (gz(header(1_000_000, 28, 28)), gz(idx_bytes(LABELS)), r"cut: .*which no file of \d+ bytes holds"),
        (gz(idx_bytes(IMAGES)), gz(idx_bytes(LABELS[:3])), r"4 pictures, .* 3 labels; expected one label a picture"),
        (gz(idx_bytes(IMAGES)), gz(idx_bytes(LABELS + 1)), r"label 3 of row 2; `classes` names 3"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path: Path, images: bytes, labels: bytes, says: str) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(images)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(DataError, match=says):
        read(tmp_path, tmp_path / "tables", layout="idx", classes=CLASSES)


def test_pictures_without_labels_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    with pytest.raises(DataError, match="0 files of labels for 'train'"):
        read(tmp_path, tmp_path / "tables", layout="idx")


def test_an_archive_bomb_takes_no_memory(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(header(3, 8, 8) + bytes(192))
        for _ in range(64):
            file.write(bytes(1 << 20))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed.getvalue())
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="goes on behind the 3 pictures of 8 x 8"):
            read(tmp_path, tmp_path / "tables", layout="idx")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


TASK = TaskSettings.model_validate(
    {
        "description": "what it shows",
        "type": "multi_label",
        "targets": ["crackle", "wheeze"],
        "level": "recording",
        "aggregate": {"method": "max"},
        "datasets": {
            "shots": {
                name: {"column": "type", "positive": [name], "negative": ["normal"], "may_be_absent": ["normal"]}
                for name in ("crackle", "wheeze")
            }
        },
    }
)


def test_folders_of_label_sets_take_pictures_of_every_kind(tmp_path: Path, rng) -> None:
    root, tables = tmp_path / "raw", tmp_path / "tables"
    files = ["crackle/p1_a.png", "crackle+wheeze/p1_b.jpg", "wheeze/p2_c.tif", "normal/p3_d.bmp", "normal/p3_e.webp"]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        photo(rng).save(root / file)
    (root / "normal" / "p3_f.wav").write_bytes(b"RIFF")
    how = {
        "layout": "label_folders",
        "label": "type",
        "pattern": "(?P<patient>p[0-9])_.",
        "columns": {"patient": "patient"},
    }
    settings, found = read(root, tables, **how, holds="pictures")
    assert sorted(found["path"]) == sorted(files)
    assert set(found["patient_id"]) == {"shots/p1", "shots/p2", "shots/p3"}
    assert "normal/p3_f.wav" in (tables / "rejected.csv").read_text()
    recordings = found.reset_index()
    targets = recording_targets(recordings, read_events(tables / "events.parquet"), TASK)
    by_file = dict(zip(recordings["path"], targets.tolist(), strict=True))
    assert by_file["crackle+wheeze/p1_b.jpg"] == [1, 1]
    assert by_file["normal/p3_d.bmp"] == [0, 0]
    # Nobody said that there is no wheeze.
    assert np.array_equal(by_file["crackle/p1_a.png"], [1, np.nan], equal_nan=True)
    clips = ClipSettings(unit="image", size=(40, 50))
    pictures = store_of(root, tables, settings, clips, tmp_path / "s.h5")
    assert pictures.shape == (5, 3, 40, 50)
    with pytest.raises(DataError, match="a dataset of pictures says `holds: pictures`"):
        read(root / "crackle", tmp_path / "other", **how)


def test_a_table_names_pictures_and_an_unlabelled_one_stays_unknown(tmp_path: Path, rng) -> None:
    root, tables = tmp_path / "raw", tmp_path / "tables"
    (root / "img").mkdir(parents=True)
    for name in "abcd":
        photo(rng).save(root / "img" / f"{name}.png")
    (root / "info.csv").write_text("files,type\na.png,crackle+wheeze\nb.png,\nc,normal\n")
    _, found = read(root, tables, layout="files_csv", folder="img", holds="pictures")
    assert found["path"].tolist() == ["img/a.png", "img/b.png", "img/c.png"]
    targets = recording_targets(found.reset_index(), read_events(tables / "events.parquet"), TASK)
    assert np.array_equal(targets, [[1, 1], [np.nan, np.nan], [0, 0]], equal_nan=True)
    assert "img/d.png" in (tables / "summary.json").read_text()
    with pytest.raises(ValidationError, match="mark times in sound"):
        settings_of(layout="files_csv", holds="pictures", annotations={"files": "{stem}.txt", "format": "audacity"})


def test_collections_of_sound_keep_their_settings() -> None:
    assert "holds" not in settings_of(layout="label_folders").model_dump()
    assert settings_of(layout="label_folders", holds="pictures").model_dump()["holds"] == "pictures"


def recoded(picture: Image.Image, form: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_copies_that_were_encoded_anew_or_resized_are_found_across_subsets_and_others_are_not(
    tmp_path: Path, rng
) -> None:
    root = tmp_path / "raw"
    (root / "a").mkdir(parents=True)
    pictures = [photo(rng) for _ in range(12)]
    for number, picture in enumerate(pictures):
        picture.save(root / "a" / f"{number:02d}.png")
    recoded(pictures[3], "JPEG", quality=75).save(root / "a" / "13_of_03.jpg")
    pictures[5].resize((60, 45)).save(root / "a" / "14_of_05.png")
    (root / "a" / "15_of_07.png").write_bytes((root / "a" / "07.png").read_bytes())
    _, found = read(root, tmp_path / "tables", layout="label_folders", holds="pictures")
    recordings = found.reset_index()
    split = recordings[["recording_id", "patient_id", "dataset"]].assign(
        split=["test" if "_of_" in name else "train" for name in recordings["recording_id"]]
    )
    leaks = [leak for leak in find_leaks(recordings, split, Declared()) if leak.severity == "error"]
    assert [(leak.kind, leak.ids) for leak in leaks] == [
        ("byte_equal_pictures", ["shots/a/07", "shots/a/15_of_07"]),
        ("near_duplicate_pictures", ["shots/a/03", "shots/a/13_of_03", "shots/a/05", "shots/a/14_of_05"]),
    ]
    assert "2 pictures are byte for byte" in leaks[0].text


def test_many_pictures_are_grouped_as_their_copies_are(rng) -> None:
    pictures = [photo(rng, (40, 40)).convert("L") for _ in range(150)]
    plain, tiny = Image.new("L", (40, 40), 9), pictures[0].resize((8, 8))
    copies = [recoded(pictures[number], "JPEG", quality=60) for number in (0, 70, 149)]
    prints = [fingerprint_of(one) for one in (*pictures, plain, tiny, *copies, plain)]
    groups = groups_of_alike(prints)
    assert groups[:150].tolist() == list(range(150))
    assert groups[152:155].tolist() == [0, 70, 149]
    assert len(set(groups[[150, 151, 155]])) == 3
    assert groups_of_alike([]).tolist() == []


def test_the_page_of_a_dataset_of_pictures_shows_them_and_says_nothing_of_sound(tmp_path: Path, rng) -> None:
    root = tmp_path / "raw"
    for number, label in enumerate(("crackle", "wheeze", "wheeze")):
        (root / label).mkdir(parents=True, exist_ok=True)
        photo(rng, (500, 40)).save(root / label / f"p{number}.png")
    Image.fromarray(rng.integers(0, 65_536, (30, 40), dtype=np.uint16)).save(root / "crackle" / "deep.tif")
    settings = settings_of(layout="label_folders", holds="pictures", root=str(root))
    page = render(describe("shots", settings, {}, tables_dir=None), show_ids=False).split('<section id="layout">')[0]
    assert page.count("data:image/png;base64,") == 4
    assert page.count("500 x 40 pixels") == 2 * 3  # below the picture, and read out
    for text in ("Spectrogram", "<audio", " Hz", "Duration", "Sound"):
        assert text not in page, text
