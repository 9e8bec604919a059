"""The clips of some subsets of a split, with targets, spectrograms and waveforms; clips of other subsets are absent."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from auscult.audio.clip_store import ClipStore
from auscult.config.clips import ClipSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.split import SplitSettings
from auscult.config.task import TaskSettings
from auscult.datasets.event_maps import UNKNOWN, ClipEvents
from auscult.datasets.object_maps import ClipObjects
from auscult.errors import DataError
from auscult.labels import clip_targets
from auscult.models.embeddings import EmbeddingStore
from auscult.spectrograms.frames import BandGrid, FrameGrid
from auscult.spectrograms.store import FeatureStore, Sums
from auscult.storage.hdf5 import StoreReader
from auscult.storage.tables import SUBSETS, read_events, read_recordings, read_split

ID_COLUMNS = ["clip_id", "recording_id", "patient_id"]
"""By which scores join clips to recordings and patients."""

CLIPS_AT_ONCE = 1024
"""Clips in memory at a time: 80 MB of spectrograms at [128, 311] in float16."""

StoredKind = Literal["spectrogram", "waveform"]
"""What is read of a clip: float16 [mel, frame] in dB from the feature store, or int16 [sample] from the clip store.

A picture, float16 [channel, height, width], stands where a spectrogram would."""


@dataclass(frozen=True)
class _Shard:
    """The clips of one feature store; a dataset has one store, or several where it is sharded.

    Attributes:
        path: The store.
        clips: The clip store that it was made of, its rows the same; None where waveforms were not asked for.
        embeddings: The store of its embeddings, its rows the same; None where they were not asked for.
        rows: Rows of the store, one a clip; rows of other subsets are not here.
        first: Number of its first clip.
    """

    path: Path
    clips: Path | None
    embeddings: Path | None
    rows: NDArray[np.int64]
    first: int


class ClipDataset:
    """Clips that take part, dataset after dataset (by name), in the stores' order.

    Attributes:
        clips: Columns of `tables.CLIPS` and `split`, index 0, 1, ...
        targets: Float32 [clip, target]: 1, 0 or NaN for unknown; no row is unknown throughout.
        shape: Mel bands and frames of one spectrogram; of a picture channels, height and width.
        events: Of a task that finds events, those of the clips; then a row of `targets` may be unknown throughout.
        objects: Of a task that finds objects, those of the clips; the same holds.
    """

    def __init__(
        self,
        clips: pd.DataFrame,
        targets: NDArray[np.float32],
        shards: Sequence[_Shard],
        shape: tuple[int, ...],
        *,
        events: ClipEvents | None = None,
        objects: ClipObjects | None = None,
    ) -> None:
        self.clips = clips
        self.targets = targets
        self.shape = shape
        self.events = events
        self.objects = objects
        self._shards = tuple(shards)

    def __len__(self) -> int:
        return len(self.clips)

    def subset(self, name: str) -> NDArray[np.int64]:
        """Return the indices of the clips of one subset, one of `tables.SUBSETS`.

        Raises:
            DataError: That subset was not asked for, or holds no clip.
        """
        indices = np.flatnonzero((self.clips["split"] == name).to_numpy())
        if not len(indices):
            found = self.clips["split"].value_counts().to_dict()
            raise DataError(f"no clips of subset {name!r} here; found {found}: ask for it, or check the split's audit")
        return indices

    def spectrograms(self, indices: ArrayLike) -> NDArray[np.float16]:
        """Read spectrograms in dB.

        Args:
            indices: Of rows of `clips`, any order, duplicates allowed.

        Returns:
            Shape [len(indices), mel, frame]; of pictures [len(indices), channel, height, width].

        Raises:
            IndexError: An index is not one of `clips`.
            DataError: A store is damaged.
        """
        wanted = self._checked(indices)
        spectrograms = np.empty((len(wanted), *self.shape), dtype=np.float16)
        for shard, places in self._by_shard(wanted):
            with FeatureStore(shard.path) as store:
                spectrograms[places] = store.read(shard.rows[wanted[places] - shard.first])
        return spectrograms

    def waveforms(self, indices: ArrayLike) -> NDArray[np.int16]:
        """Read clips of sound, of full scale 32,768.

        Args:
            indices: As `spectrograms` takes them.

        Returns:
            Shape [len(indices), sample].

        Raises:
            IndexError: An index is not one of `clips`.
            DataError: A store is damaged.
            ValueError: Clip stores were not given to `load_clip_dataset`.
        """
        wanted = self._checked(indices)
        waveforms = np.empty((len(wanted), *self.stored_shape("waveform")), dtype=np.int16)
        for shard, places in self._by_shard(wanted):
            with ClipStore(_given(shard.clips, "waveforms are read from clip stores")) as store:
                waveforms[places] = store.read(shard.rows[wanted[places] - shard.first])
        return waveforms

    def embeddings(self, indices: ArrayLike, weights_sha256: str) -> NDArray[np.float32]:
        """Read the embeddings of an encoder.

        Args:
            indices: As `spectrograms` takes them.
            weights_sha256: Of the encoder.

        Returns:
            Shape [len(indices), feature].

        Raises:
            IndexError: An index is not one of `clips`.
            DataError: A store is damaged, or holds the embeddings of another encoder.
            ValueError: Stores of embeddings were not given to `load_clip_dataset`.
        """
        wanted = self._checked(indices)
        found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for shard, places in self._by_shard(wanted):
            path = _given(shard.embeddings, "embeddings are read from their own stores")
            with EmbeddingStore(path) as store:
                if store.settings["weights_sha256"] != weights_sha256:
                    raise DataError(
                        f"{path}: of an encoder with weights {store.settings['weights_sha256'][:12]}…, expected "
                        f"{weights_sha256[:12]}…; make it again: snakemake --cores all --force {path}"
                    )
                found.append((places, store.read(shard.rows[wanted[places] - shard.first])))
        embeddings = np.empty((len(wanted), found[0][1].shape[1] if found else 0), dtype=np.float32)
        for places, values in found:
            embeddings[places] = values
        return embeddings

    def stored(self, kind: StoredKind, indices: ArrayLike) -> NDArray[np.float16] | NDArray[np.int16]:
        """Read spectrograms or waveforms, as the functions of these names."""
        return self.spectrograms(indices) if kind == "spectrogram" else self.waveforms(indices)

    def blocks(
        self, kind: StoredKind, indices: NDArray[np.integer], n_at_once: int = CLIPS_AT_ONCE
    ) -> Iterator[NDArray[np.float16] | NDArray[np.int16]]:
        """Yield what `stored` reads, in order, so many clips at a time."""
        for start in range(0, len(indices), n_at_once):
            yield self.stored(kind, indices[start : start + n_at_once])

    def stored_shape(self, kind: StoredKind) -> tuple[int, ...]:
        """Return the shape of what is read of one clip."""
        if kind == "spectrogram":
            return self.shape
        with ClipStore(_given(self._shards[0].clips, "waveforms are read from clip stores")) as store:
            return (store.n_samples,)

    def normalisation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and (population) deviation of each mel band in dB, shape [mel] each; of pictures of each channel.

        Exact, from the stores' sums, over the frames of true sound of the training clips and of nothing else.

        Raises:
            DataError: The training subset was not asked for.
        """
        total, total_sq = np.zeros(self.shape[0]), np.zeros(self.shape[0])
        n_frames = 0
        for sums in self._sums(self.subset("train")):
            total, total_sq = _add_rows(total, sums.sum), _add_rows(total_sq, sums.sum_sq)
            n_frames += int(sums.n_frames_valid.sum())
        mean = total / n_frames
        return mean, np.sqrt(np.maximum(total_sq / n_frames - mean**2, 0.0))

    def digest(self) -> str:
        """Return a SHA-256 that changes when a clip, a subset, a target or the sound of a clip changes.

        Of the sound the clips' sums per mel band are hashed, not every value: milliseconds, not minutes. The number of
        shards does not change it.
        """
        digest = hashlib.sha256()
        digest.update(self.clips.to_csv(index=False, lineterminator="\n").encode("utf-8"))
        digest.update(np.ascontiguousarray(self.targets, dtype="<f4").tobytes())
        sound_digests = [hashlib.sha256() for _ in Sums._fields]
        for sums in self._sums(np.arange(len(self))):
            for sound_digest, values in zip(sound_digests, sums, strict=True):
                sound_digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
        for sound_digest in sound_digests:
            digest.update(sound_digest.digest())
        for truth in (self.events, self.objects):
            if truth is not None:
                digest.update(truth.digest())
        return digest.hexdigest()

    def _sums(self, indices: NDArray[np.int64]) -> Generator[Sums]:
        """Yield the stored sums of clips, block by block in their order."""
        for shard, places in self._by_shard(indices):
            with FeatureStore(shard.path) as store:
                yield from store.sums(shard.rows[indices[places] - shard.first])

    def _checked(self, indices: ArrayLike) -> NDArray[np.int64]:
        wanted = np.asarray(indices, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"clips are numbered 0 to {len(self) - 1}, found {outside[:5].tolist()}")
        return wanted

    def _by_shard(self, wanted: NDArray[np.int64]) -> list[tuple[_Shard, NDArray[np.int64]]]:
        found = [
            (shard, np.flatnonzero((wanted >= shard.first) & (wanted < shard.first + len(shard.rows))))
            for shard in self._shards
        ]
        return [(shard, places) for shard, places in found if len(places)]


def _given(path: Path | None, what: str) -> Path:
    if path is None:
        raise ValueError(f"{what}, and load_clip_dataset was given none")
    return path


def _add_rows(total: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add rows to a total one after the other, so that the result does not depend on how they come in blocks."""
    return np.concatenate([total[np.newaxis], rows]).sum(axis=0)


def training_subsets(split: SplitSettings) -> tuple[str, ...]:
    """Return the subsets that a training may read, as far as a split has them: never the test set."""
    if split.val_fold is not None and split.val_fold.fold is None:
        return ("train",)
    return ("train", "val", "calibration") if split.calibration_fraction else ("train", "val")


def load_clip_dataset(
    features: Mapping[str, Sequence[Path]],
    tables: Mapping[str, Path],
    split: Path,
    task: TaskSettings,
    subsets: tuple[str, ...],
    *,
    clips: Mapping[str, Sequence[Path]] | None = None,
    embeddings: Mapping[str, Sequence[Path]] | None = None,
) -> ClipDataset:
    """Find the clips of `subsets`; spectrograms and waveforms are read later, and only theirs can be.

    Clips of recordings that the split does not name take no part, nor do clips whose targets are all unknown.

    Args:
        features: Dataset -> its feature stores, in order; several where it is sharded.
        tables: Dataset -> folder with `recordings.parquet` and `events.parquet`.
        split: The split table (CSV).
        task: Gives the targets.
        subsets: Some of `tables.SUBSETS`.
        clips: Dataset -> the clip stores that its feature stores were made of, in the same order; needed to read
            waveforms.
        embeddings: Dataset -> the stores of its clips' embeddings, in the same order; needed to read embeddings.

    Raises:
        DataError: A file is missing or damaged, the split names another dataset than `features` or a recording that no
            table holds, the stores differ in their settings, hold clips of another dataset or one twice, or a subset
            has no clip.
    """
    unknown = sorted(set(subsets) - set(SUBSETS))
    if unknown or not subsets:
        raise ValueError(f"subsets must be some of {SUBSETS}, found {subsets}")
    if set(features) != set(tables):
        raise DataError(f"feature stores are given for {sorted(features)}, tables for {sorted(tables)}")
    assignment = read_split(split)
    absent = sorted(set(assignment["dataset"]) - set(features))
    if absent:
        raise DataError(f"{split}: names the datasets {absent}, features are given for {sorted(features)}")
    shape = _check_stores_agree(features)
    grid = _grids(features, task) if task.finds_events else None
    events: list[ClipEvents] = []
    objects: list[ClipObjects] = []
    tables_of_clips: list[pd.DataFrame] = []
    targets: list[NDArray[np.float32]] = []
    shards: list[_Shard] = []
    for name in sorted(features):
        chosen = assignment.loc[(assignment["dataset"] == name) & assignment["split"].isin(subsets)]
        found = _load_dataset(name, features[name], tables[name], chosen, task, grids=grid)
        events += [] if found.events is None else [found.events]
        objects += [] if found.objects is None else [found.objects]
        tables_of_clips.append(found.clips)
        targets.append(found.targets)
        none = [None] * len(features[name])
        sounds = _matching(ClipStore, clips[name], features[name]) if clips else none
        encoded = _matching(EmbeddingStore, embeddings[name], features[name]) if embeddings else none
        for path, sound, code, rows in zip(features[name], sounds, encoded, found.rows, strict=True):
            shards.append(_Shard(Path(path), sound, code, rows, first=sum(len(shard.rows) for shard in shards)))
    dataset = ClipDataset(
        pd.concat(tables_of_clips, ignore_index=True),
        np.concatenate(targets),
        shards,
        shape,
        events=ClipEvents.joined(events) if events else None,
        objects=ClipObjects.joined(objects) if objects else None,
    )
    for subset in subsets:
        dataset.subset(subset)
    return dataset


def _matching(kind: type[StoreReader], stores: Sequence[Path], features: Sequence[Path]) -> list[Path]:
    """Return stores of a kind, each checked to hold the clips of its feature store.

    Raises:
        DataError: One holds others.
    """
    for path, spectrograms in zip(stores, features, strict=True):
        with kind(path) as store, FeatureStore(spectrograms) as feature_store:
            if not store.table.equals(feature_store.table):
                raise DataError(f"{path} does not hold the clips of {spectrograms}; make both by the same settings")
    return [Path(path) for path in stores]


def _grids(features: Mapping[str, Sequence[Path]], task: TaskSettings) -> tuple[FrameGrid, BandGrid | None]:
    """Return where the frames of the clips lie, by what a store says of how it was made, and their bands, if asked."""
    with FeatureStore(next(path for paths in features.values() for path in paths)) as store:
        settings = store.settings
    spectrogram = SpectrogramSettings.model_validate(settings["spectrogram"])
    clips = ClipSettings.model_validate(settings["clips"])
    bands = BandGrid.of(spectrogram, clips.sample_rate_hz) if task.maps_bands else None
    return FrameGrid.of(spectrogram, clips), bands


@dataclass(frozen=True)
class _OfDataset:
    """The clips of a dataset that take part, their targets, and for each store the rows that they are."""

    clips: pd.DataFrame
    targets: NDArray[np.float32]
    rows: list[NDArray[np.int64]]
    events: ClipEvents | None
    objects: ClipObjects | None


def _load_dataset(
    name: str,
    features: Sequence[Path],
    tables: Path,
    chosen: pd.DataFrame,
    task: TaskSettings,
    *,
    grids: tuple[FrameGrid, BandGrid | None] | None,
) -> _OfDataset:
    """Return the clips of a dataset that take part.

    Of a task that finds events or objects also these, and clips take part of which any frame or pixel is known.
    """
    recordings = read_recordings(Path(tables) / "recordings.parquet")
    missing = sorted(set(chosen["recording_id"]) - set(recordings["recording_id"]))
    if missing:
        raise DataError(
            f"the split names {len(missing)} recordings that {tables} does not hold, such as {missing[:3]}: "
            "it was made from other tables; make the split again"
        )
    together, rows = _chosen_clips(name, features, chosen)
    marked = read_events(Path(tables) / "events.parquet")
    targets = clip_targets(together, recordings, marked, task)
    known = ~np.isnan(targets).all(axis=1)
    events = objects = None
    if task.finds_objects:
        labels = np.concatenate([_labels(path, of_store) for path, of_store in zip(features, rows, strict=True)])
        objects = ClipObjects.of(together, labels, task.object_settings.boundary_px)
        known = objects.is_known
        objects = objects.take(known)
    if grids is not None:
        events = ClipEvents.of(together, recordings, marked, task, grids[0], bands=grids[1])
        known = (events.frame_maps() != UNKNOWN).any(axis=(1, 2))
        events = events.take(known)
    borders = np.cumsum([len(each) for each in rows])[:-1]
    rows = [each[kept] for each, kept in zip(rows, np.split(known, borders), strict=True)]
    return _OfDataset(together.loc[known].reset_index(drop=True), targets[known], rows, events, objects)


def _chosen_clips(
    name: str, features: Sequence[Path], chosen: pd.DataFrame
) -> tuple[pd.DataFrame, list[NDArray[np.int64]]]:
    """Return the clips of a dataset's chosen recordings with their `split`, and for each store the rows that they are.

    Raises:
        DataError: A store holds clips of another dataset, or one that an earlier store holds.
    """
    recording_ids, subsets = pd.Index(chosen["recording_id"]), chosen["split"].to_numpy()
    clips: list[pd.DataFrame] = []
    rows: list[NDArray[np.int64]] = []
    for path in features:
        with FeatureStore(path) as store:
            store.require_dataset(name)
            table = store.table
        place = recording_ids.get_indexer(pd.Index(table["recording_id"]))
        rows.append(np.flatnonzero(place >= 0).astype(np.int64))
        clips.append(table.iloc[rows[-1]].assign(split=subsets[place[rows[-1]]]))
    together = pd.concat(clips, ignore_index=True)
    twice = together.loc[together["clip_id"].duplicated(), "clip_id"]
    if len(twice):
        raise DataError(
            f"{features[0].parent}: {len(twice)} clips stand in two of its stores, such as {twice.iloc[0]!r}; "
            f"make them again: snakemake --cores all --force {' '.join(map(str, features))}"
        )
    return together, rows


def _labels(path: Path, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
    with FeatureStore(path) as store:
        return store.labels(rows)


def _check_stores_agree(features: Mapping[str, Sequence[Path]]) -> tuple[int, ...]:
    """Return the shape of a spectrogram in all stores.

    Raises:
        DataError: Stores were made by different settings (the channel may differ by dataset), or a dataset has no clip.
    """
    seen: tuple[Path, dict[str, object]] | None = None
    shape: tuple[int, ...] = ()
    for dataset, paths in features.items():
        n_clips = 0
        for path in paths:
            with FeatureStore(path) as store:
                n_clips += len(store)
                shape = store.shape[1:]
                facts: dict[str, object] = {"shape": shape}
                facts |= {key: store.settings.get(key) for key in ("clips", "spectrogram")}
            if seen is not None and facts != seen[1]:
                differing = [key for key in facts if facts[key] != seen[1][key]]
                values = " and ".join(str({key: each[key] for key in differing}) for each in (facts, seen[1]))
                raise DataError(f"{path} and {seen[0]} were made differently, {values}; make both by the same settings")
            seen = (path, facts)
        if n_clips == 0:
            raise DataError(
                f"{dataset}: its {len(paths)} feature stores hold no clip; choose clips by window or recording, or see "
                f"rejected.csv and events.parquet among its tables"
            )
    return shape
