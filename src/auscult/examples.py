"""Examples: the clips of some sides of a split, with their targets and spectrograms. A side not asked for is absent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.features.feature_store import FeatureStore
from auscult.labels import clip_targets
from auscult.tables import SIDES, read_events, read_recordings, read_split

TRAINING_SIDE = "train"


@dataclass(frozen=True)
class _Part:
    """The examples of one dataset.

    Attributes:
        path: Its feature store.
        rows: Rows of the store, one an example; rows of other sides are not here.
        first: Number of its first example.
    """

    path: Path
    rows: NDArray[np.int64]
    first: int


class Examples:
    """Clips that take part, dataset after dataset (by name), in the stores' order.

    Attributes:
        clips: Columns of `tables.CLIPS` and `split`, index 0, 1, ...
        targets: Float32 [clip, target]: 1, 0 or NaN for unknown; no row is unknown throughout.
        shape: Mel bands and frames of one spectrogram.
    """

    def __init__(
        self, clips: pd.DataFrame, targets: NDArray[np.float32], parts: Sequence[_Part], shape: tuple[int, int]
    ) -> None:
        self.clips = clips
        self.targets = targets
        self.shape = shape
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return len(self.clips)

    def side(self, name: str) -> NDArray[np.int64]:
        """Return the indices of the examples of one side.

        Raises:
            DataError: That side was not asked for, or holds no example.
        """
        indices = np.flatnonzero((self.clips["split"] == name).to_numpy())
        if not len(indices):
            found = self.clips["split"].value_counts().to_dict()
            raise DataError(f"no examples of side {name!r} here; found {found}: ask for it, or check the split's audit")
        return indices

    def spectrograms(self, indices: ArrayLike) -> NDArray[np.float16]:
        """Read spectrograms in dB.

        Args:
            indices: Of rows of `clips`, any order, duplicates allowed.

        Returns:
            Shape [len(indices), mel, frame].

        Raises:
            IndexError: An index is not one of `clips`.
            DataError: A store is damaged.
        """
        wanted = self._checked(indices)
        spectrograms = np.empty((len(wanted), *self.shape), dtype=np.float16)
        for part, places in self._by_part(wanted):
            with FeatureStore(part.path) as store:
                spectrograms[places] = store.read(part.rows[wanted[places] - part.first])
        return spectrograms

    def normalisation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and (population) deviation of each mel band in dB, shape [mel] each.

        Exact, from the stores' sums, over the frames of true sound of the training examples and of nothing else.

        Raises:
            DataError: The training side was not asked for.
        """
        total, total_sq = np.zeros(self.shape[0]), np.zeros(self.shape[0])
        n_frames = 0
        indices = self.side(TRAINING_SIDE)
        for part, places in self._by_part(indices):
            with FeatureStore(part.path) as store:
                sums = store.sums(part.rows[indices[places] - part.first])
            total, total_sq, n_frames = total + sums[0], total_sq + sums[1], n_frames + sums[2]
        mean = total / n_frames
        return mean, np.sqrt(np.maximum(total_sq / n_frames - mean**2, 0.0))

    def digest(self) -> str:
        """Return a SHA-256 that changes when a clip, a side, a target or the sound of a dataset changes.

        Of the sound the stores' sums per mel band are hashed, not every value: microseconds, not minutes.
        """
        digest = hashlib.sha256()
        digest.update(self.clips.to_csv(index=False, lineterminator="\n").encode("utf-8"))
        digest.update(np.ascontiguousarray(self.targets, dtype="<f4").tobytes())
        for part in self._parts:
            with FeatureStore(part.path) as store:
                total, total_sq, n_frames = store.sums(part.rows)
            digest.update(np.concatenate([total, total_sq, [n_frames]]).astype("<f8").tobytes())
        return digest.hexdigest()

    def _checked(self, indices: ArrayLike) -> NDArray[np.int64]:
        wanted = np.asarray(indices, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"examples are numbered 0 to {len(self) - 1}, found {outside[:5].tolist()}")
        return wanted

    def _by_part(self, wanted: NDArray[np.int64]) -> list[tuple[_Part, NDArray[np.int64]]]:
        found = [
            (part, np.flatnonzero((wanted >= part.first) & (wanted < part.first + len(part.rows))))
            for part in self._parts
        ]
        return [(part, places) for part, places in found if len(places)]


def load_examples(
    features: Mapping[str, Path],
    tables: Mapping[str, Path],
    split: Path,
    task: TaskSettings,
    sides: tuple[str, ...],
) -> Examples:
    """Find the examples of `sides`; spectrograms are read later, and only theirs can be.

    Clips of recordings that the split does not name take no part, nor do clips whose targets are all unknown.

    Args:
        features: Dataset -> feature store.
        tables: Dataset -> folder with `recordings.parquet` and `events.parquet`.
        split: The split table (CSV).
        task: Gives the targets.
        sides: Some of `tables.SIDES`.

    Raises:
        DataError: A file is missing or damaged, the split names another dataset than `features` or a recording that no
            table holds, the stores differ in their settings, or a side has no example.
    """
    strange = sorted(set(sides) - set(SIDES))
    if strange or not sides:
        raise ValueError(f"sides must be some of {SIDES}, found {sides}")
    if set(features) != set(tables):
        raise DataError(f"feature stores are given for {sorted(features)}, tables for {sorted(tables)}")
    side_of = read_split(split)
    unknown = sorted(set(side_of["dataset"]) - set(features))
    if unknown:
        raise DataError(f"{split}: names the datasets {unknown}, features are given for {sorted(features)}")
    _check_stores_agree(features)
    clips: list[pd.DataFrame] = []
    targets: list[NDArray[np.float32]] = []
    parts: list[_Part] = []
    shape = (0, 0)
    for dataset in sorted(features):
        chosen = side_of.loc[(side_of["dataset"] == dataset) & side_of["split"].isin(sides)]
        part_clips, part_targets, rows, shape = _load_part(features[dataset], tables[dataset], chosen, task)
        parts.append(_Part(Path(features[dataset]), rows, first=sum(len(part.rows) for part in parts)))
        clips.append(part_clips)
        targets.append(part_targets)
    examples = Examples(pd.concat(clips, ignore_index=True), np.concatenate(targets), parts, shape)
    for side in sides:
        examples.side(side)
    return examples


def _load_part(
    features: Path, tables: Path, chosen: pd.DataFrame, task: TaskSettings
) -> tuple[pd.DataFrame, NDArray[np.float32], NDArray[np.int64], tuple[int, int]]:
    recordings = read_recordings(Path(tables) / "recordings.parquet")
    missing = sorted(set(chosen["recording_id"]) - set(recordings["recording_id"]))
    if missing:
        raise DataError(
            f"the split names {len(missing)} recordings that {tables} does not hold, such as {missing[:3]}: "
            "it was made from other tables; make the split again"
        )
    with FeatureStore(features) as store:
        table, shape = store.table, store.shape[1:]
    place = pd.Index(chosen["recording_id"]).get_indexer(pd.Index(table["recording_id"]))
    rows = np.flatnonzero(place >= 0)
    clips = table.iloc[rows].assign(split=chosen["split"].to_numpy()[place[rows]]).reset_index(drop=True)
    targets = clip_targets(clips, recordings, read_events(Path(tables) / "events.parquet"), task)
    known = ~np.isnan(targets).all(axis=1)
    return clips[known].reset_index(drop=True), targets[known], rows[known].astype(np.int64), shape


def _check_stores_agree(features: Mapping[str, Path]) -> None:
    """Refuse stores whose clips or spectrograms were made by different settings (the channel may differ by dataset)."""
    seen: tuple[Path, dict[str, object]] | None = None
    for path in features.values():
        with FeatureStore(path) as store:
            facts: dict[str, object] = {"shape": store.shape[1:]}
            facts |= {key: store.settings.get(key) for key in ("clips", "spectrogram")}
        if seen is not None and facts != seen[1]:
            differing = [key for key in facts if facts[key] != seen[1][key]]
            values = " and ".join(str({key: side[key] for key in differing}) for side in (facts, seen[1]))
            raise DataError(f"{path} and {seen[0]} were made differently, {values}; make both by the same settings")
        seen = (path, facts)
