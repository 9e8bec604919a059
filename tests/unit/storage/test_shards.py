from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.planted_faults import plant_faults

from auscult.audio.clip_store import ClipStore
from auscult.audio.cut_clips import cut_clips
from auscult.config import ClipSettings, NativeDataset, SpectrogramSettings, TaskSettings
from auscult.datasets.decode_audio import ShardError, decode_audio
from auscult.datasets.ingest import ingest
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore
from auscult.storage.hdf5 import RECORDING_COST_S, Shard
from auscult.storage.tables import SUBSETS, read_recordings, write_csv
from auscult.training.dataset import ClipDataset, load_clip_dataset
from auscult_simulate.write import write_dataset

DATASET = NativeDataset(description="simulated", layout="icbhi", root="raw")
TASK = TaskSettings.model_validate(
    {
        "description": "wheezes",
        "type": "binary",
        "targets": ["wheeze"],
        "level": "clip",
        "datasets": {"toy": {"wheeze": {"events": ["wheeze"], "annotated_by": ["cycle"]}}},
    }
)
N_SHARDS = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated") / "raw"
    write_dataset("icbhi", root, n_patients=10, seed=7, duration_s=(4, 6), recordings_per_patient=(2, 3))
    plant_faults(root, "icbhi", np.random.default_rng(3))
    return root


def decode(root: Path, folder: Path, count: int) -> list[Path]:
    paths = [folder / f"audio_facts-{index}.parquet" for index in range(count)]
    for index, path in enumerate(paths):
        decode_audio(root, "toy", DATASET, shard=Shard(index, count), output=path)
    return paths


@pytest.fixture(scope="module")
def tables(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    ingest(root, "toy", DATASET, folder / "whole")
    ingest(root, "toy", DATASET, folder / "sharded", audio_facts=decode(root, folder, N_SHARDS))
    return {"whole": folder / "whole", "sharded": folder / "sharded"}


@pytest.mark.parametrize(("n_rows", "count"), [(0, 3), (1, 4), (10, 4), (12, 5), (7, 7), (3, 8), (20_000, 64)])
def test_shards_hold_every_recording_once_in_order_and_take_a_like_time(n_rows: int, count: int) -> None:
    durations_s = np.random.default_rng(n_rows).uniform(0.5, 60, n_rows)
    table = pd.DataFrame({"row": range(n_rows), "duration_s": durations_s})
    parts = [Shard(index, count).rows(table) for index in range(count)]
    assert list(chain.from_iterable(part["row"] for part in parts)) == list(range(n_rows))
    costs = [(part["duration_s"] + RECORDING_COST_S).sum() for part in parts]
    assert max(costs) - min(costs) <= 2 * (durations_s.max(initial=0) + RECORDING_COST_S)
    alike = [len(Shard(index, count).rows(table.assign(duration_s=1.0))) for index in range(count)]
    assert max(alike) - min(alike) <= 1


def test_what_lies_beside_a_long_recording_goes_to_other_shards() -> None:
    table = pd.DataFrame({"duration_s": [*[10.0] * 3000, 6 * 3600.0, *[10.0] * 3000]})
    parts = [Shard(index, 4).rows(table) for index in range(4)]
    costs = [(part["duration_s"] + RECORDING_COST_S).sum() for part in parts]
    assert max(costs) <= sum(costs) / 4 + 6 * 3600 / 2 + 20
    assert min(map(len, parts)) < 1100  # by number each would have 1,500


@pytest.mark.parametrize(("index", "count"), [(4, 4), (-1, 4), (0, 0)])
def test_a_shard_that_is_none_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="shards are numbered"):
        Shard(index, count)


@pytest.mark.parametrize("name", ["recordings.parquet", "events.parquet", "rejected.csv", "summary.json"])
def test_a_sharded_ingest_writes_the_same_bytes(tables: dict[str, Path], name: str) -> None:
    assert (tables["sharded"] / name).read_bytes() == (tables["whole"] / name).read_bytes()
    assert len(pd.read_csv(tables["whole"] / "rejected.csv")) >= 10


def test_a_folder_that_changed_under_the_shards_is_noticed(root: Path, tmp_path: Path) -> None:
    paths = decode(root, tmp_path, 2)
    with pytest.raises(ShardError, match=r"where '.*' is due: the folder changed while it was read; delete"):
        ingest(root, "toy", DATASET, tmp_path / "tables", audio_facts=paths[::-1])
    (whole,) = decode(root, tmp_path / "alone", 1)
    pd.read_parquet(whole).iloc[:-1].to_parquet(whole)
    with pytest.raises(ShardError, match="no more recordings"):
        ingest(root, "toy", DATASET, tmp_path / "tables", audio_facts=[whole])
    paths[1].write_bytes(b"no table")
    with pytest.raises(ShardError, match="not a readable Parquet table"):
        ingest(root, "toy", DATASET, tmp_path / "tables", audio_facts=paths)
    assert not (tmp_path / "tables" / "recordings.parquet").exists()


def build(root: Path, tables: Path, folder: Path, settings: ClipSettings, count: int) -> list[Path]:
    stores: list[Path] = []
    full_settings = {"clips": settings.model_dump(mode="json")}
    for index in range(count):
        clip_store, feature_store = folder / f"clips-{index}.h5", folder / f"features-{index}.h5"
        cut_clips(
            root=root,
            dataset="toy",
            tables_dir=tables,
            settings=settings,
            channel="mean",
            output=clip_store,
            full_settings=full_settings,
            shard=Shard(index, count),
        )
        spectrogram = SpectrogramSettings(n_fft=256, hop_samples=128, n_mels=16)
        make_spectrograms(clips=clip_store, settings=spectrogram, output=feature_store, full_settings=full_settings)
        stores.append(feature_store)
    return stores


def split(tables: Path, path: Path) -> Path:
    recordings = read_recordings(tables / "recordings.parquet")
    patients = sorted(set(recordings["patient_id"]))
    subsets = {patient: SUBSETS[number % 3] for number, patient in enumerate(patients)}
    columns = recordings[["recording_id", "patient_id", "dataset"]]
    write_csv(path, columns.assign(split=recordings["patient_id"].map(subsets)))
    return path


@pytest.mark.parametrize("unit", ["cycle", "window"])
def test_shards_read_as_one_hold_the_rows_of_one(
    root: Path, tables: dict[str, Path], tmp_path: Path, unit: str
) -> None:
    settings = ClipSettings.model_validate({"unit": unit, "length_s": 2, "sample_rate_hz": 4000})
    (tmp_path / "one").mkdir()
    (tmp_path / "four").mkdir()
    (one,) = build(root, tables["whole"], tmp_path / "one", settings, 1)
    four = build(root, tables["sharded"], tmp_path / "four", settings, N_SHARDS)

    waveforms = []
    for path in [one, *four]:
        with ClipStore(path.with_name(path.name.replace("features", "clips"))) as store:
            waveforms.append(store.read(np.arange(len(store))))
    assert np.concatenate(waveforms[1:]).tobytes() == waveforms[0].tobytes()

    rows, tables_of = [], []
    for path in [one, *four]:
        with FeatureStore(path) as store:
            rows.append(store.read(np.arange(len(store))))
            tables_of.append(store.table)
    assert all(len(part) for part in rows)
    assert np.concatenate(rows[1:]).tobytes() == rows[0].tobytes()
    pd.testing.assert_frame_equal(pd.concat(tables_of[1:], ignore_index=True), tables_of[0])

    subsets = split(tables["whole"], tmp_path / "split.csv")
    together, alone = (
        load_clip_dataset({"toy": stores}, {"toy": tables["whole"]}, subsets, TASK, ("train", "val"))
        for stores in (four, [one])
    )
    check_equal(together, alone)


def check_equal(together: ClipDataset, alone: ClipDataset) -> None:
    pd.testing.assert_frame_equal(together.clips, alone.clips)
    assert np.array_equal(together.targets, alone.targets, equal_nan=True)
    backwards = np.arange(len(alone))[::-1]
    assert together.spectrograms(backwards).tobytes() == alone.spectrograms(backwards).tobytes()
    for ours, theirs in zip(together.normalisation(), alone.normalisation(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert together.digest() == alone.digest()


def test_an_empty_shard_is_a_whole_store(root: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    settings = ClipSettings.model_validate({"unit": "recording", "length_s": 1, "sample_rate_hz": 4000})
    n_recordings = len(read_recordings(tables["whole"] / "recordings.parquet"))
    stores = build(root, tables["whole"], tmp_path, settings, 4 * n_recordings)
    lengths = []
    for path in stores:
        with FeatureStore(path) as store:
            lengths.append(len(store))
    assert sorted(lengths) == [0] * 3 * n_recordings + [1] * n_recordings
    subsets = split(tables["whole"], tmp_path / "split.csv")
    examples = load_clip_dataset({"toy": stores}, {"toy": tables["whole"]}, subsets, TASK, ("train",))
    assert len(examples.spectrograms(examples.subset("train"))) == len(examples)
