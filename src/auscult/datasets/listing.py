"""All datasets of a project at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from auscult.config import DatasetSettings, TaskSettings, load_dataset
from auscult.config.files import defined_names, require_config
from auscult.config.paths import local_root, tables_dir
from auscult.config.project import project_settings
from auscult.datasets.tasks import load_tasks, task_names
from auscult.errors import AuscultError, ConfigError, unknown_name
from auscult.storage.files import read_json


@dataclass(frozen=True)
class Counts:
    """What the last ingest found."""

    recordings: int
    patients: int
    duration_h: float


@dataclass(frozen=True)
class Listed:
    """One dataset.

    Attributes:
        name: Its YAML file's stem.
        settings: What that file says, the root replaced where the project's `roots` name it.
        is_present: Whether its root, or what was fetched of it, is there and holds anything.
        counts: Of the workflow's tables, None where there are none.
        tasks: Those that map it.
    """

    name: str
    settings: DatasetSettings
    is_present: bool
    counts: Counts | None
    tasks: list[str]


@dataclass(frozen=True)
class Listing:
    """Datasets by name, and what is wrong with the files that could not be read."""

    datasets: list[Listed]
    faults: list[str]


def list_datasets(config_dir: Path, pattern: str = "*", project_dir: Path = Path()) -> Listing:
    """Return the datasets whose name matches `pattern`, sorted.

    Args:
        config_dir: The folder `config`.
        pattern: As in a shell: `*` for any text, `?` for one character.
        project_dir: What roots and `work/` are relative to.

    Raises:
        ConfigError: No name matches, or `config.yaml` is at fault.
    """
    require_config(config_dir)
    known = defined_names(config_dir, "dataset")
    names = [name for name in known if fnmatchcase(name, pattern)]
    if not names:
        if not known:
            raise ConfigError(f"{config_dir / 'datasets'}: holds no dataset; add one: docs/data.md, or `data layouts`")
        raise ConfigError(unknown_name("dataset", pattern, known))
    roots = project_settings(config_dir).roots
    tasks, faults = load_tasks(config_dir)
    listed: list[Listed] = []
    for name in names:
        try:
            listed.append(_describe(load_dataset(config_dir, name, roots), name, tasks, project_dir))
        except AuscultError as error:
            faults.append(str(error))
    return Listing(listed, faults)


def _describe(settings: DatasetSettings, name: str, tasks: dict[str, TaskSettings], project_dir: Path) -> Listed:
    root = project_dir / local_root(name, settings.root)
    return Listed(
        name=name,
        settings=settings,
        is_present=root.is_dir() and any(root.iterdir()),
        counts=_read_counts(project_dir / tables_dir(name) / "summary.json"),
        tasks=task_names(name, tasks),
    )


def _read_counts(path: Path) -> Counts | None:
    if not path.is_file():
        return None
    try:
        summary = read_json(path)
        return Counts(int(summary["recordings"]), int(summary["patients"]), float(summary["duration_h"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: not the summary of an ingest ({error}); delete it and run the ingest again"
        ) from None
