from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.errors import DataError
from auscult.spectrograms.store import FeatureStore, write_features
from auscult.storage.tables import EVENTS, write_csv, write_parquet
from auscult.training.dataset import ClipDataset, load_clip_dataset

N_MELS, N_FRAMES = 6, 9
RULE = {"sick": {"column": "health", "positive": ["sick"], "negative": "others"}}
TASK = TaskSettings.model_validate(
    {
        "description": "toy",
        "type": "binary",
        "targets": ["sick"],
        "level": "clip",
        "datasets": {"alpha": RULE, "beta": RULE},
    }
)
SUBSETS = {0: "train", 1: "val", 2: "test", 3: "train", 4: "val", 5: "test"}


def text(values):
    return pd.array(values, dtype="str")


def write_dataset(folder: Path, name: str, clips_each: list[int], seed: int) -> pd.DataFrame:
    """Recordings 0, 1, ... of one patient each; every third one's health is unknown from recording 6 on."""
    n = len(clips_each)
    rng = np.random.default_rng(seed)
    recordings = pd.DataFrame(
        {
            "recording_id": [f"{name}/r{number}" for number in range(n)],
            "dataset": name,
            "patient_id": [f"{name}/p{number}" for number in range(n)],
            "path": "x.wav",
            "site": text([None] * n),
            "device": text([None] * n),
            "age_years": np.nan,
            "sex": text([None] * n),
            "sample_rate_hz": 4000,
            "n_channels": 1,
            "n_samples": 4000,
            "duration_s": 1.0,
            "encoding": "PCM_16",
            "sha256": [f"{number:064x}" for number in range(n)],
            "fingerprint": text([None] * n),
            "label_health": text([None if number >= 6 else "sick" if number % 2 else "well" for number in range(n)]),
        }
    )
    write_parquet(folder / name / "recordings.parquet", recordings)
    empty = pd.DataFrame({column: pd.Series(dtype=spec.dtype.type) for column, spec in EVENTS.columns.items()})
    write_parquet(folder / name / "events.parquet", empty)
    clips = pd.DataFrame(
        [
            (f"{name}/r{number}:{index:04d}", f"{name}/r{number}", f"{name}/p{number}", name, index, index + 1, 100)
            for number, count in enumerate(clips_each)
            for index in range(count)
        ],
        columns=["clip_id", "recording_id", "patient_id", "dataset", "start_s", "end_s", "n_valid"],
    ).astype({"start_s": float, "end_s": float})
    spectrograms = rng.normal(-40, 10, (len(clips), N_MELS, N_FRAMES)).astype(np.float16)
    n_frames_valid = rng.integers(1, N_FRAMES + 1, len(clips))
    write_features(
        folder / f"{name}.h5", clips, spectrograms, n_frames_valid, {"clips": {"length_s": 1}, "channel": seed}
    )
    return recordings


def write_split(path: Path, *tables: pd.DataFrame) -> Path:
    recordings = pd.concat(tables, ignore_index=True)
    number = recordings["recording_id"].str.extract(r"r(\d+)$")[0].astype(int)
    split = recordings[["recording_id", "patient_id", "dataset"]].assign(split=number.map(lambda n: SUBSETS[n % 6]))
    write_csv(path, split)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    alpha = write_dataset(folder, "alpha", [3, 1, 2, 0, 2, 1, 2], seed=1)
    beta = write_dataset(folder, "beta", [1, 2, 2, 4, 1, 1], seed=2)
    write_split(folder / "split.csv", alpha, beta)
    return folder


def load(folder: Path, *subsets: str, names=("beta", "alpha"), split: Path | None = None) -> ClipDataset:
    features, tables = {name: [folder / f"{name}.h5"] for name in names}, {name: folder / name for name in names}
    return load_clip_dataset(features, tables, split or folder / "split.csv", TASK, subsets)


def test_only_the_asked_sides_are_there(folder):
    examples = load(folder, "train", "val")
    assert set(examples.clips["split"]) == {"train", "val"}
    expected = {f"{name}/r{number}" for name in ("alpha", "beta") for number in (0, 1, 3, 4)} - {"alpha/r3"}
    assert set(examples.clips["recording_id"]) == expected
    assert examples.clips["split"].tolist() == [SUBSETS[int(name[-1])] for name in examples.clips["recording_id"]]
    assert len(examples) == len(examples.clips) == len(examples.targets) == 6 + 8


def test_the_sound_of_another_side_cannot_be_reached(folder):
    """Every spectrogram that any index gives belongs to the asked subset."""
    examples = load(folder, "val")
    got = examples.spectrograms(np.arange(len(examples)))
    test = load(folder, "test")
    others = test.spectrograms(np.arange(len(test)))
    assert not (got[:, None] == others[None]).all(axis=(2, 3)).any()
    for outside in ([len(examples)], [-1]):
        with pytest.raises(IndexError, match="clips are numbered 0 to"):
            examples.spectrograms(outside)
    with pytest.raises(DataError, match="no clips of subset 'test'"):
        examples.subset("test")


def test_spectrograms_are_those_of_the_clips_in_any_order(folder):
    examples = load(folder, "train", "val", "test")
    by_clip = {}
    for name in ("alpha", "beta"):
        with FeatureStore(folder / f"{name}.h5") as store:
            by_clip |= dict(zip(store.table["clip_id"], store.read(np.arange(len(store.table))), strict=True))
    order = np.random.default_rng(0).integers(0, len(examples), 40)
    expected = np.stack([by_clip[clip] for clip in examples.clips["clip_id"].to_numpy()[order]])
    assert (examples.spectrograms(order) == expected).all()
    assert examples.spectrograms(order).dtype == np.float16
    assert examples.spectrograms([]).shape == (0, N_MELS, N_FRAMES)


def test_targets_belong_to_their_clips_and_unknown_clips_are_left_out(folder):
    examples = load(folder, "train")
    assert "alpha/r6" not in set(examples.clips["recording_id"])  # train by the split, unknown by its label
    expected = [int(name[-1]) % 2 for name in examples.clips["recording_id"]]
    assert examples.targets[:, 0].tolist() == expected
    assert examples.targets.dtype == np.float32


def test_normalisation_equals_numpy_on_the_true_sound_of_the_training_clips(folder):
    examples = load(folder, "train", "val")
    frames = []
    for name in ("alpha", "beta"):
        with FeatureStore(folder / f"{name}.h5") as store:
            is_train = store.table["recording_id"].isin([f"{name}/r0", f"{name}/r3"]).to_numpy()
            rows = np.flatnonzero(is_train)
            for spectrogram, n_valid in zip(store.read(rows), store.n_frames_valid(rows), strict=True):
                frames.append(spectrogram[:, :n_valid].astype(np.float64))
    together = np.concatenate(frames, axis=1)
    mean, std = examples.normalisation()
    np.testing.assert_allclose(mean, together.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(std, together.std(axis=1), rtol=1e-9)


def test_normalisation_needs_the_training_side(folder):
    with pytest.raises(DataError, match="no clips of subset 'train'"):
        load(folder, "val", "test").normalisation()


def test_the_order_of_datasets_does_not_matter_but_what_they_hold_does(folder, tmp_path):
    examples = load(folder, "train", "val")
    swapped = load(folder, "train", "val", names=("alpha", "beta"))
    pd.testing.assert_frame_equal(examples.clips, swapped.clips)
    assert examples.digest() == swapped.digest()
    assert examples.digest() != load(folder, "train", "test").digest()
    alpha = write_dataset(tmp_path, "alpha", [3, 1, 2, 0, 2, 1, 2], seed=7)
    beta = write_dataset(tmp_path, "beta", [1, 2, 2, 4, 1, 1], seed=2)
    write_split(tmp_path / "split.csv", alpha, beta)
    assert load(tmp_path, "train", "val").digest() != examples.digest()


def test_a_dataset_without_features_is_named(folder):
    with pytest.raises(DataError, match=r"names the datasets \['beta'\]"):
        load(folder, "train", names=("alpha",))


def test_a_split_of_other_tables_is_named(folder, tmp_path):
    split = pd.read_csv(folder / "split.csv")
    strange = pd.DataFrame([{"recording_id": "beta/r9", "patient_id": "beta/p9", "dataset": "beta", "split": "train"}])
    write_csv(tmp_path / "split.csv", pd.concat([split, strange]))
    with pytest.raises(DataError, match=r"1 recordings that .* does not hold, such as \['beta/r9'\]"):
        load(folder, "train", split=tmp_path / "split.csv")


def test_a_store_of_another_dataset_or_twice_the_same_is_refused_not_left_out(folder, tmp_path):
    """Its clips match no recording of the split: they would be missing without a word."""
    for name in ("alpha", "beta"):
        (tmp_path / name).symlink_to(folder / name)
        (tmp_path / f"{name}.h5").symlink_to(folder / "alpha.h5")
    with pytest.raises(DataError, match=r"beta\.h5: another store in its place: its clips are of alpha, expected beta"):
        load(tmp_path, "train", split=folder / "split.csv")
    features = {"alpha": [folder / "alpha.h5", tmp_path / "alpha.h5"], "beta": [folder / "beta.h5"]}
    tables = {name: folder / name for name in features}
    with pytest.raises(DataError, match="8 clips stand in two of its stores, such as 'alpha/r0:0000'; make them again"):
        load_clip_dataset(features, tables, folder / "split.csv", TASK, ("train", "val"))


def test_stores_made_by_other_settings_are_refused(folder, tmp_path):
    for name in ("alpha", "beta"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "alpha.h5").symlink_to(folder / "alpha.h5")
    with FeatureStore(folder / "beta.h5") as store:
        rows = np.arange(len(store.table))
        table, spectrograms, n_valid = store.table, store.read(rows), store.n_frames_valid(rows)
    write_features(tmp_path / "beta.h5", table, spectrograms, n_valid, {"clips": {"length_s": 2}})
    with pytest.raises(DataError, match=r"made differently, .*'length_s': 1.*'length_s': 2"):
        load(tmp_path, "train", split=folder / "split.csv")
    write_features(
        tmp_path / "beta.h5", table, spectrograms[:, :, 1:], np.minimum(n_valid, 8), {"clips": {"length_s": 1}}
    )
    with pytest.raises(DataError, match=r"'shape': \(6, 9\).*'shape': \(6, 8\)"):
        load(tmp_path, "train", split=folder / "split.csv")


def test_a_side_that_does_not_exist_is_a_fault_of_the_caller(folder):
    for subsets in (("trian",), ()):
        with pytest.raises(ValueError, match="subsets must be some of"):
            load(folder, *subsets)
