"""Tables, clips and spectrograms of a dataset as a stored model takes them; those of the workflow are reused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.audio.cut_clips import cut_clips
from auscult.config import DatasetSettings, JobSettings, load_dataset, load_project, paths
from auscult.config.documents import read_yaml
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import has_tables
from auscult.errors import ConfigError
from auscult.inference.loaded_model import require_sound
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.storage.hdf5 import Shard


@dataclass(frozen=True)
class PreparedDataset:
    """Files of a dataset.

    Attributes:
        name: Of the dataset.
        tables: Folder of its tables.
        clips: Its clip stores, in order.
        features: Its feature stores, in the same order.
    """

    name: str
    tables: Path
    clips: list[Path]
    features: list[Path]


def job_like(meta: Mapping[str, Any], datasets: tuple[str, ...], **changes: Any) -> JobSettings:
    """Return the settings of a model's own job, on other datasets.

    Args:
        meta: The model's description.
        datasets: Their names.
        changes: Further keys of the job.

    Raises:
        ConfigError: The model takes pictures.
    """
    require_sound(meta)
    return JobSettings.model_validate(
        {
            "task": meta["task_name"],
            "datasets": datasets,
            "clips": meta["clips"],
            "spectrogram": meta["spectrogram"],
            "model": meta["architecture"],
            "train": meta["training"].get("settings", {}),
            "split": {"kind": "column", "column": "dataset", "test": datasets},
            **changes,
        }
    )


def settings_of(name: str, config_dir: Path, root: str | None = None) -> DatasetSettings:
    """Return a dataset's settings, its root replaced by `root`, or else as `config.yaml` says.

    Raises:
        ConfigError: There is no such dataset, or a fault in its file.
    """
    path = config_dir / "config.yaml"
    roots = load_project(read_yaml(path), config_dir).roots if path.is_file() else {}
    return load_dataset(config_dir, name, {**roots, name: root} if root else roots)


def prepare(
    name: str, settings: DatasetSettings, job: JobSettings, folder: Path, *, ignores_workflow: bool
) -> PreparedDataset:
    """Run ingest, clips and spectrograms for one dataset; files that the workflow made by equal settings are reused.

    Args:
        name: Of the dataset.
        settings: Its own.
        job: With the settings of clips and spectrograms.
        folder: Where new files go.
        ignores_workflow: Reuse nothing, because the root is not the workflow's.

    Raises:
        ConfigError: The dataset lies in a bucket and was not fetched.
        DataError: Its root is missing or holds no usable recording.
    """
    root = Path(paths.local_root(name, settings.root))
    if paths.is_remote(settings.root) and not root.is_dir():
        raise ConfigError(f"{name}: lies in {settings.root}; fetch it first: auscult data fetch {name}")
    tables = Path(paths.tables_dir(name))
    is_reused = has_tables(tables) and not ignores_workflow
    if not is_reused:
        tables = folder / "tables" / name
        ingest(root, name, settings, tables)
    clips: list[Path] = []
    features: list[Path] = []
    stores = list(
        zip(paths.clips_paths(name, settings, job.clips), paths.features_paths(name, settings, job), strict=True)
    )
    for index, (clip_path, feature_path) in enumerate(stores):
        of_clips, of_features = Path(clip_path), Path(feature_path)
        if not (is_reused and of_clips.is_file()):
            of_clips = folder / of_clips
            cut_clips(
                root=root,
                dataset=name,
                tables_dir=tables,
                settings=job.clips,
                channel=settings.channel,
                output=of_clips,
                full_settings=paths.clips_settings(settings, job.clips),
                shard=Shard(index, len(stores)),
                full_scale=settings.full_scale,
            )
        if not (is_reused and of_features.is_file()):
            of_features = folder / of_features
            make_spectrograms(
                clips=of_clips,
                settings=job.spectrogram,
                output=of_features,
                full_settings=paths.features_settings(settings, job),
            )
        clips.append(of_clips)
        features.append(of_features)
    return PreparedDataset(name, tables, clips, features)
