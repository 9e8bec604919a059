"""Where each file of the workflow lies, and the settings that its name is a hash of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auscult.config.clips import ClipSettings
from auscult.config.dataset import REMOTE, DatasetSettings
from auscult.config.experiment import JobSettings
from auscult.config.shards import shards_by_size
from auscult.config.split import ColumnSplit, PatientSplit, SplitSettings
from auscult.config.task import TaskSettings
from auscult.storage.files import settings_key, store_key

METRICS_FILE = "metrics.jsonl"
"""Beside a training: a line for each epoch, written by the training and read by tracking."""
MAPS_FOLDER = "live_maps"
"""Beside a training: pictures of the maps of a few validation clips, one an epoch, read by tracking."""

SETTINGS_FILE = "experiment.yaml"
"""In a result: the settings of all its jobs."""

CHECKSUMS_FILE = "checksums.txt"
"""In a result: of all its other files, as `sha256sum --check` reads it."""

STAGE_VERSIONS = {"ingest": 4, "clips": 1, "pictures": 1, "features": 1, "split": 5, "embeddings": 1}
"""Raised when a stage's code gives other content for equal settings: older files are then never read again."""


def tables_dir(dataset: str) -> str:
    """Folder of a dataset's tables."""
    return f"work/tables/{dataset}"


def is_remote(root: str) -> bool:
    """Tell whether a root lies in a bucket."""
    return root.startswith(REMOTE)


def raw_cache_dir(dataset: str) -> str:
    """Where the files of a dataset in a bucket are kept. No declared output: it outlives a failed fetch."""
    return f"work/raw/{dataset}"


def raw_listing_path(dataset: str) -> str:
    """What the bucket held when it was last fetched; it says that the raw data changed."""
    return f"work/raw/{dataset}.json"


def local_root(dataset: str, root: str) -> str:
    """The folder that readers read: the root itself, or the cache of a root in a bucket.

    >>> local_root("icbhi", "data/icbhi"), local_root("icbhi", "gs://bucket/icbhi")
    ('data/icbhi', 'work/raw/icbhi')
    """
    return raw_cache_dir(dataset) if is_remote(root) else root


def say_missing_root(dataset: str, settings: DatasetSettings, root: Path | None = None) -> str:
    """Say that the folder of a dataset (or `root` in its place) is not there, and what can be done."""
    folder = Path(settings.root) if root is None else root
    pull = f"`dvc pull {settings.tracked_by}` fetches it, or " if settings.tracked_by else ""
    kind = "is a file, expected a folder" if folder.exists() else "there is no such folder"
    return (
        f"{dataset}: root {folder}: {kind}; {pull}say where it lies: `--config roots='{{{dataset}: FOLDER}}'` "
        f"(or `root` in config/datasets/{dataset}.yaml)"
    )


def clips_settings(dataset: DatasetSettings, clips: ClipSettings) -> dict[str, Any]:
    """Everything that shapes a clips file, and nothing else."""
    if clips.is_image:
        return {"stage_version": STAGE_VERSIONS["pictures"], "clips": clips.model_dump(mode="json")}
    return {
        "stage_version": STAGE_VERSIONS["clips"],
        "channel": dataset.channel,
        # Named only where it is set, so that clips which were cut before keep their key.
        **({} if dataset.full_scale == 1 else {"full_scale": dataset.full_scale}),
        "clips": clips.model_dump(mode="json"),
    }


def features_settings(dataset: DatasetSettings, job: JobSettings) -> dict[str, Any]:
    """Everything that shapes a features file, and nothing else."""
    return {
        "stage_version": STAGE_VERSIONS["features"],
        **{key: value for key, value in clips_settings(dataset, job.clips).items() if key != "stage_version"},
        "clips_stage_version": STAGE_VERSIONS["clips"],
        "spectrogram": job.spectrogram.model_dump(mode="json"),
    }


def split_settings(job: JobSettings, task: TaskSettings) -> dict[str, Any]:
    """Everything that shapes a split, and nothing else."""
    return {
        "stage_version": STAGE_VERSIONS["split"],
        "datasets": sorted(job.datasets),
        "split": job.split.model_dump(mode="json"),
        "task": task.model_dump(
            mode="json", include={"type", "targets", "level", "overlap", "datasets", "classes_from"}
        ),
    }


def ingest_version(dataset: DatasetSettings) -> int:
    """Return the version of a dataset's tables: raised by one of pictures, and where annotations may hold frequencies.

    Since these are read, and pictures have fingerprints, tables that were made of the same files before lack them.
    """
    return STAGE_VERSIONS["ingest"] + int(dataset.may_know_bands or dataset.holds_pictures)


def n_shards(name: str, dataset: DatasetSettings) -> int:
    """Return in how many jobs the recordings of a dataset are read, cut and transformed.

    The setting says it, or else the size of the folder. A bucket is one shard: what it holds is not known before it is
    fetched. A folder that is not there keeps the number that its tables were made with.
    """
    if dataset.shards is not None or is_remote(dataset.root):
        return dataset.shards or 1
    root = Path(dataset.root)
    if root.is_dir():
        return shards_by_size(root.absolute())
    earlier = Path(tables_dir(name)).glob("audio_facts-part-*-of-[0-9]*.parquet")
    newest = max(earlier, key=lambda path: path.stat().st_mtime_ns, default=None)
    return 1 if newest is None else int(newest.stem.rpartition("-")[2])


def audio_facts_paths(name: str, dataset: DatasetSettings) -> list[str]:
    """What the shards of an ingest found in the audio files; none for a dataset in one piece."""
    count = n_shards(name, dataset)
    return [] if count == 1 else [f"{tables_dir(name)}/audio_facts{part}.parquet" for part in _parts(count)]


def clips_paths(name: str, dataset: DatasetSettings, clips: ClipSettings) -> list[str]:
    """The clips of one dataset: a file a shard, to be read as one in this order."""
    return _stores("clips", name, dataset, clips.slug, clips_settings(dataset, clips))


def features_paths(name: str, dataset: DatasetSettings, job: JobSettings) -> list[str]:
    """The spectrogram stores of one dataset: a file a shard, to be read as one in this order; of pictures those."""
    if job.clips.is_image:
        return clips_paths(name, dataset, job.clips)
    slug = f"{job.spectrogram.slug}_{job.clips.slug}"
    return _stores("features", name, dataset, slug, features_settings(dataset, job))


def embeddings_settings(dataset: DatasetSettings, job: JobSettings, encoder: dict[str, str]) -> dict[str, Any]:
    """Everything that shapes a file of embeddings, and nothing else; `encoder` says whose they are."""
    return {
        **features_settings(dataset, job),
        "stage_version": STAGE_VERSIONS["embeddings"],
        "features_stage_version": STAGE_VERSIONS["features"],
        "encoder": encoder,
    }


def embeddings_paths(name: str, dataset: DatasetSettings, job: JobSettings, settings: dict[str, Any]) -> list[str]:
    """The embeddings of one dataset: a file a shard, to be read as one in this order."""
    return _stores("embeddings", name, dataset, f"{job.model.name.replace('/', '_')}_{job.clips.slug}", settings)


def _stores(kind: str, name: str, dataset: DatasetSettings, slug: str, settings: dict[str, Any]) -> list[str]:
    count = n_shards(name, dataset)
    key = store_key(settings, is_shard=count > 1)
    return [f"work/{kind}/{name}/{slug}-{key}{part}.h5" for part in _parts(count)]


def _parts(count: int) -> list[str]:
    return [""] if count == 1 else [f"-part-{number:05d}-of-{count:05d}" for number in range(count)]


def split_path(job: JobSettings, task: TaskSettings) -> str:
    """The split of one job; jobs and experiments with equal settings share it."""
    return f"work/splits/{job.task}/{_split_slug(job.split)}-{settings_key(split_settings(job, task))}.csv"


def audit_path(split: str) -> str:
    """The leakage audit beside a split."""
    return split.removesuffix(".csv") + ".audit.json"


def split_of_audit(audit: str) -> str:
    """The split that an audit lies beside."""
    return audit.removesuffix(".audit.json") + ".csv"


def flow_path(split: str) -> str:
    """The flow of recordings beside a split: from those found to train, val and test."""
    return split.removesuffix(".csv") + ".flow.csv"


def _split_slug(split: SplitSettings) -> str:
    slug = f"column_{split.column}" if isinstance(split, ColumnSplit) else split.kind
    if isinstance(split, PatientSplit):
        shares = split.fractions
        slug = f"patients_{shares.train * 100:.0f}_{shares.val * 100:.0f}_{shares.test * 100:.0f}"
    if split.val_fold is None:
        return slug
    return (
        f"{slug}_{'no_val' if split.val_fold.fold is None else f'val{split.val_fold.fold}'}of{split.val_fold.n_folds}"
    )


def result_dir(task: str, experiment: str) -> str:
    """Where an experiment is published."""
    return f"results/{task}/{experiment}"


def run_dir(task: str, experiment: str, run: str) -> str:
    """Where one training of an experiment works."""
    return f"work/runs/{task}/{experiment}/{run}"


def place_of(path: str) -> tuple[str, tuple[str, str] | None, str]:
    """Take a path of this project apart: which tree it lies in, task and experiment, and what is below.

    >>> place_of("results/pneumonia/train2356"), place_of("work/runs/pneumonia/train2356/1/model.safetensors")
    (('results', ('pneumonia', 'train2356'), ''), ('runs', ('pneumonia', 'train2356'), '1/model.safetensors'))
    >>> place_of("elsewhere/model.safetensors")
    ('', None, '')
    """
    parts = path.split("/")
    for kind, root in (("results", ["results"]), ("runs", ["work", "runs"])):
        below = parts[len(root) :]
        if parts[: len(root)] == root and len(below) > 1:
            return kind, (below[0], below[1]), "/".join(below[2:])
    return "", None, ""


def file_facts(path: Path) -> list[int]:
    """Return the size and the modification time of a file; nothing when it is missing.

    They say that a file changed which no rule makes, also when an older one took its place.
    """
    if not path.is_file():
        return []
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def inventory(root: Path) -> str:
    """Return a digest of the names, sizes and modification times of all files below `root`; empty when it is missing.

    It says that raw data changed which DVC does not track, without reading them.
    """
    if not root.is_dir():
        return ""
    files = ((path.relative_to(root).as_posix(), path.stat()) for path in root.rglob("*") if path.is_file())
    return settings_key(sorted([name, stat.st_size, stat.st_mtime_ns] for name, stat in files))
