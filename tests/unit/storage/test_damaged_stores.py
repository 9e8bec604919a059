"""Damage anywhere in a store of any kind is named before HDF5 parses it; nothing that leads out of it is followed."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from auscult.audio.clip_store import ClipStore, create_clips
from auscult.errors import DataError, may_pass
from auscult.models.embeddings import EmbeddingStore
from auscult.spectrograms.store import FeatureStore, SummedSpectrograms, create_features, sum_spectrograms
from auscult.storage import hdf5
from auscult.storage import seal as sealing
from auscult.storage.files import store_key
from auscult.storage.hdf5 import StoreReader, create_store
from auscult.storage.seal import damage_of, seal

N_CLIPS = 40
PAGE_BYTES = 4096
RNG = np.random.default_rng(6)
TABLE = pd.DataFrame(
    {
        "clip_id": [f"d/a{index}:0000" for index in range(N_CLIPS)],
        "recording_id": [f"d/a{index}" for index in range(N_CLIPS)],
        "patient_id": "d/p",
        "dataset": "d",
        "start_s": 0.0,
        "end_s": 1.0,
        "n_valid": np.arange(1, N_CLIPS + 1),
    }
)


def write_clips(path: Path) -> None:
    with create_clips(path, n_samples=1000, settings={"clips": 1}) as writer:
        writer.append(TABLE, RNG.integers(-(2**15), 2**15, (N_CLIPS, 1000)).astype(np.int16))


def write_spectrograms(path: Path) -> None:
    with create_features(path, TABLE, shape=(8, 30), settings={}) as writer:
        writer.append(sum_spectrograms(RNG.normal(-50, 9, (N_CLIPS, 8, 30)), np.full(N_CLIPS, 30)))


def write_pictures(path: Path) -> None:
    with create_features(path, TABLE, shape=(1, 16, 16), settings={}, has_labels=True) as writer:
        labels = RNG.integers(0, 9, (N_CLIPS, 16, 16)).astype(np.uint16)
        pictures = RNG.uniform(0, 1, (N_CLIPS, 1, 16, 16)).astype(np.float16)
        sums = pictures.astype(np.float64).sum(axis=(2, 3))
        writer.append(SummedSpectrograms(pictures, sums, sums, np.full(N_CLIPS, 256, np.int32)), labels)


def write_embeddings(path: Path) -> None:
    settings = {"weights_sha256": "0" * 64}
    with create_store(
        path, kind=EmbeddingStore.KIND, rows={"embedding": (np.dtype(np.float32), (64,))}, settings=settings
    ) as writer:
        writer.append_table(TABLE)
        writer.append_rows(embedding=RNG.normal(0, 1, (N_CLIPS, 64)).astype(np.float32))


KINDS: dict[str, tuple[type[StoreReader], Callable[[Path], None]]] = {
    "clips": (ClipStore, write_clips),
    "spectrograms": (FeatureStore, write_spectrograms),
    "pictures": (FeatureStore, write_pictures),
    "embeddings": (EmbeddingStore, write_embeddings),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    for name, (_, write) in KINDS.items():
        write(folder / f"{name}.h5")
    return {name: folder / f"{name}.h5" for name in KINDS}


def flip(content: bytearray, place: int) -> None:
    content[place // 8] ^= 1 << place % 8


def zero(content: bytearray, place: int) -> None:
    first = place // 8 // PAGE_BYTES * PAGE_BYTES
    content[first : first + PAGE_BYTES] = bytes(len(content[first : first + PAGE_BYTES]))


@pytest.mark.parametrize("n_places", [40, pytest.param(200, marks=(pytest.mark.slow, pytest.mark.soak))])
@pytest.mark.parametrize("harm", [flip, zero])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_at_any_place_is_named_before_anything_is_parsed(  # noqa: PLR0917 (fixtures)
    stores: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, harm: Callable, n_places: int
) -> None:
    reader = KINDS[kind][0]
    original, damaged = stores[kind].read_bytes(), tmp_path / "damaged.h5"
    with reader(stores[kind]) as store:
        assert len(store) == len(store.table) == N_CLIPS
    monkeypatch.setattr(h5py, "File", lambda *_, **__: pytest.fail("HDF5 parsed a damaged file"))
    for place in np.random.default_rng(19).integers(0, 8 * len(original), n_places).tolist():
        content = bytearray(original)
        harm(content, place)
        if content == original:
            continue  # a page of zeros
        damaged.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged\.h5: damaged: .*; make it again: snakemake .* --force .*\.h5$"):
            reader(damaged)


def test_a_store_of_an_earlier_version_is_read(tmp_path: Path, stores: dict[str, Path]) -> None:
    old = tmp_path / "old.h5"
    with h5py.File(stores["clips"], "r") as source, h5py.File(old, "w", libver=("v110", "v110")) as target:
        for name in source:
            source.copy(name, target)
        for name, value in source.attrs.items():
            target.attrs[name] = value
    assert damage_of(old) is None
    with ClipStore(old) as one, ClipStore(stores["clips"]) as other:
        assert (one.read(range(N_CLIPS)) == other.read(range(N_CLIPS))).all()


def link_outside(file: h5py.File, outside: Path) -> None:
    file["waveform"] = h5py.ExternalLink(outside, "waveform")


def link_inside(file: h5py.File, _: Path) -> None:
    file["waveform"] = h5py.SoftLink("/table/n_valid")


def virtual(file: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((N_CLIPS, 1000), np.int16)
    layout[:] = h5py.VirtualSource(outside, "waveform", (N_CLIPS, 1000))
    file.create_virtual_dataset("waveform", layout)


def values_outside(file: h5py.File, outside: Path) -> None:
    file.create_dataset("waveform", (N_CLIPS, 1000), np.int16, external=[(str(outside), 0, N_CLIPS * 2000)])


def link_of_a_group(file: h5py.File, outside: Path) -> None:
    del file["table"]
    file["table"] = h5py.ExternalLink(outside, "table")


@pytest.mark.parametrize("lead", [link_outside, link_inside, virtual, values_outside, link_of_a_group])
def test_nothing_that_leads_elsewhere_is_followed(stores: dict[str, Path], tmp_path: Path, lead: Callable) -> None:
    path, outside = (Path(shutil.copy(stores["clips"], tmp_path / name)) for name in ("clips.h5", "outside.h5"))
    with h5py.File(path, "r+") as file:
        if lead is not link_of_a_group:
            del file["waveform"]
        lead(file, outside)
    seal(path)
    with pytest.raises(DataError, match="never followed"):
        ClipStore(path)


def test_a_process_reads_a_file_once_for_its_digest(
    stores: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(stores["clips"], tmp_path / "clips.h5"))
    read: list[Path] = []
    digest = sealing._digest
    monkeypatch.setattr(sealing, "_digest", lambda path: (read.append(path), digest(path))[1])
    with ClipStore(path) as store, ClipStore(path), pickle.loads(pickle.dumps(store)):
        assert read == [path]
    changed = bytearray(path.read_bytes())
    flip(changed, 8 * 9000)
    path.write_bytes(changed)
    with pytest.raises(DataError, match="damaged"):
        ClipStore(path)


def test_a_disk_that_does_not_answer_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clips.h5"
    write_clips(path)

    def refuse(path: Path) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(hdf5, "damage_of", refuse)
    with pytest.raises(DataError, match=r"clips\.h5: cannot be read now \(.*Stale file handle") as caught:
        ClipStore(path)
    assert "make it again" not in str(caught.value)
    assert may_pass(caught.value)


@pytest.mark.parametrize("part", ["", "-part-00001-of-00002"])
def test_a_whole_store_of_other_settings_in_the_place_of_one_is_named(
    tmp_path: Path, stores: dict[str, Path], part: str
) -> None:
    with ClipStore(stores["clips"]) as store:
        settings, n_rows = store.settings, len(store)
    right = tmp_path / f"window-{store_key(settings, is_shard=bool(part))}{part}.h5"
    shutil.copy(stores["clips"], right)
    assert len(ClipStore(right)) == n_rows
    swapped = tmp_path / f"window-{store_key({**settings, 'channel': 1}, is_shard=bool(part))}{part}.h5"
    shutil.copy(stores["clips"], swapped)
    embedded = tmp_path / f"encoder-{store_key({}, is_shard=bool(part))}{part}.h5"
    shutil.copy(stores["embeddings"], embedded)
    assert len(EmbeddingStore(embedded)) == n_rows
    with pytest.raises(DataError, match=r"another store in its place: .*make it again: snakemake --cores all --force"):
        ClipStore(swapped)
