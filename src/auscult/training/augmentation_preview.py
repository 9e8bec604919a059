"""What the augmentation of a job does to some training clips: each step by itself, and all of them as in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auscult.augment import Augmenter, EpochItems, ItemMaker
from auscult.config import JobSettings, TaskSettings, load_dataset, paths
from auscult.config.augment import Augmentation, AugmentSettings
from auscult.config.project import project_settings
from auscult.errors import ConfigError, DataError
from auscult.models import FullScale, Normalisation
from auscult.models.frontends import log_mel
from auscult.training.dataset import ClipDataset, load_clip_dataset


@dataclass(frozen=True)
class Look:
    """One clip at one moment.

    Attributes:
        levels_db: Its spectrogram in dB, float32 [mel, frame].
        waveform: Full scale 1, float32 [sample]; None after a step that changes spectrograms, which cannot be heard.
        valid_s: Length of the true sound.
        text: What it is: its label, and what was mixed in.
    """

    levels_db: NDArray[np.float32]
    waveform: NDArray[np.float32] | None
    valid_s: float
    text: str


@dataclass(frozen=True)
class Change:
    """Clips before and after one step, or after all of them.

    Attributes:
        step: The step; None for all together.
        pairs: Before and after, a pair a clip.
    """

    step: Augmentation | None
    pairs: tuple[tuple[Look, Look], ...]


@dataclass(frozen=True)
class Preview:
    """What a page shows.

    Attributes:
        job: Whose augmentation.
        changes: Step by step, then all together.
    """

    job: JobSettings
    changes: tuple[Change, ...]


def preview(
    job: JobSettings, task: TaskSettings, *, result: str, config_dir: Path, n_clips: int, epoch: int
) -> Preview:
    """Apply the steps of a job to some of its training clips.

    Args:
        job: Whose augmentation.
        task: What is predicted.
        result: The result that the job belongs to, for the command that makes what is missing.
        config_dir: The folder with the configuration.
        n_clips: So many clips of each step.
        epoch: Whose draws, from 1.

    Raises:
        ConfigError: The job augments nothing.
        DataError: Its clips, spectrograms or split have not been made yet.
        InfeasibleError: No clip is of a class that a step asks for.
    """
    if job.clips.is_image:
        raise ConfigError("only what is done to sound can be previewed, and this job takes pictures")
    if not job.augment.steps:
        raise ConfigError("the job augments nothing: add steps under augment.waveform or augment.spectrogram")
    studio = _Studio(_examples(job, task, result, config_dir), job, task, epoch)
    alone = [Change(step, studio.pairs(_alone(step, job.augment), n_clips)) for step in job.augment.steps]
    return Preview(job, (*alone, Change(None, studio.pairs(job.augment, n_clips))))


def _alone(step: Augmentation, augment: AugmentSettings) -> AugmentSettings:
    """Return settings under which one step changes every clip that it may."""
    certain = step.model_copy(update={"probability": 1.0, "quantity": None})
    if step in augment.waveform:
        return AugmentSettings.model_construct(waveform=(certain,), spectrogram=())
    return AugmentSettings.model_construct(waveform=(), spectrogram=(certain,))


def _examples(job: JobSettings, task: TaskSettings, result: str, config_dir: Path) -> ClipDataset:
    roots = project_settings(config_dir).roots
    datasets = {name: load_dataset(config_dir, name, roots) for name in job.datasets}
    clips = {name: [Path(path) for path in paths.clips_paths(name, datasets[name], job.clips)] for name in datasets}
    features = {name: [Path(path) for path in paths.features_paths(name, datasets[name], job)] for name in datasets}
    split = Path(paths.split_path(job, task))
    needed = [split, *(path for stores in (*clips.values(), *features.values()) for path in stores)]
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(needed)} files of this job have not been made yet, such as {missing[0]}; "
            f"make them: snakemake --cores all --until make_spectrograms make_split -- {result}"
        )
    tables = {name: Path(paths.tables_dir(name)) for name in datasets}
    return load_clip_dataset(features, tables, split, task, ("train",), clips=clips)


class _Studio:
    """Makes clips and their spectrograms, as a training does."""

    def __init__(self, examples: ClipDataset, job: JobSettings, task: TaskSettings, epoch: int) -> None:
        self._examples = examples
        self._job = job
        self._task = task
        self._epoch = epoch
        self._normalisation = Normalisation.from_bands(*examples.normalisation())
        self._log_mel = log_mel(job.spectrogram, job.clips)
        self._n_valid = examples.clips["n_valid"].to_numpy().astype(np.int64)

    def pairs(self, augment: AugmentSettings, n_clips: int) -> tuple[tuple[Look, Look], ...]:
        """Return clips before and after these steps: changed ones first, of as many classes as there are."""
        items = self._maker(augment).epoch(self._epoch)
        chosen = self._chosen(items, augment, n_clips)
        rows = items.rows(chosen)
        batch = self._augmenter(augment).batch(items, rows, self._epoch)
        waveforms = FullScale().apply(torch.from_numpy(self._examples.waveforms(rows.clips)))
        heard = batch.waveforms(waveforms)
        seen = self._normalisation.apply(self._log_mel(heard))
        after_db = self._decibels(batch.spectrograms(seen))
        before_db = self._log_mel(waveforms).numpy()
        can_be_heard = not augment.spectrogram
        return tuple(
            (
                self._look(before_db[place], waveforms[place].numpy(), rows.clips[place], ""),
                self._look(
                    after_db[place],
                    heard[place].numpy() if can_be_heard else None,
                    rows.clips[place],
                    self._mixture(items, int(item), augment),
                ),
            )
            for place, item in enumerate(chosen)
        )

    def _decibels(self, normalised: torch.Tensor) -> NDArray[np.float32]:
        return (normalised * self._normalisation.std_db + self._normalisation.mean_db).numpy()

    def _look(
        self, levels_db: NDArray[np.float32], waveform: NDArray[np.float32] | None, clip: int, mixture: str
    ) -> Look:
        valid_s = float(self._n_valid[clip]) / self._job.clips.sample_rate_hz
        text = mixture or f"{self._examples.clips['dataset'].iloc[clip]}, {self._label(self._examples.targets[clip])}"
        return Look(levels_db, waveform, valid_s, text)

    def _mixture(self, items: EpochItems, item: int, augment: AugmentSettings) -> str:
        parts = [
            f"{mix.shares[item]:.0%} of a clip with {self._label(self._examples.targets[mix.partners[item]])}"
            for mix in items.mixes
            if mix.partners[item] >= 0
        ]
        if not parts:
            return "as before" if not augment.steps else ""
        return f"mixed with {' and '.join(parts)}; label: {self._label(items.targets[item])}"

    def _label(self, targets: NDArray[np.float32]) -> str:
        values = ["unknown" if np.isnan(value) else f"{value:.2g}" for value in targets]
        return ", ".join(f"{name} {value}" for name, value in zip(self._task.targets, values, strict=True))

    def _chosen(self, items: EpochItems, augment: AugmentSettings, n_clips: int) -> NDArray[np.int64]:
        """Choose items that the steps can change: mixed and added ones first, then unpadded ones, of varied answers."""
        may_change = np.ones(len(items.clips), dtype=np.bool_)
        if augment.mixings and len(augment.steps) == 1:
            may_change = items.mixes[0].partners >= 0
        elif len(augment.steps) == 1 and augment.steps[0].unpadded_only:
            may_change = self._n_valid[items.clips] >= self._job.clips.n_samples
        order = np.flatnonzero(may_change)
        generator = np.random.default_rng(self._job.train.seed)
        order = generator.permutation(order)
        if len(augment.steps) > 1:
            # Those that were added or mixed show more than those that chance left alone.
            is_new = items.made_by[order] >= 0
            order = np.concatenate([order[is_new], order[~is_new]])
        return _varied(order, self._examples.targets[items.clips[order]], n_clips)

    def _maker(self, augment: AugmentSettings) -> ItemMaker:
        n_samples = self._job.clips.n_samples
        return ItemMaker(
            augment,
            self._examples.targets,
            task=self._task,
            is_unpadded=self._n_valid >= n_samples,
            shape=self._examples.shape,
            seed=self._job.train.seed,
        )

    def _augmenter(self, augment: AugmentSettings) -> Augmenter:
        return Augmenter(
            augment,
            n_valid=self._n_valid,
            n_samples=self._job.clips.n_samples,
            sample_rate_hz=self._job.clips.sample_rate_hz,
            seed=self._job.train.seed,
            device=torch.device("cpu"),
        )


def _varied(order: NDArray[np.int64], targets: NDArray[np.float32], n_wanted: int) -> NDArray[np.int64]:
    """Return the first of each combination of labels, then the second of each, and so on."""
    seen: dict[Any, int] = {}
    ranks = []
    for row in targets:
        labels = tuple(-1.0 if np.isnan(value) else float(value) for value in row)
        ranks.append(seen.get(labels, 0))
        seen[labels] = ranks[-1] + 1
    return np.sort(order[np.argsort(ranks, kind="stable")[:n_wanted]])
