"""`auscult experiment create --from-study`: what a study chose, as an experiment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auscult.config.documents import dump_yaml, read_yaml
from auscult.config.files import check_name
from auscult.config.resolve import PRESET_SECTIONS, load_experiment, merge, with_values
from auscult.config.trials import Chosen, chosen_job, read_chosen, study_dir
from auscult.errors import ConfigError
from auscult.storage.files import write_text

_WIDTH = 118


def create_from_study(config_dir: Path, group: str, name: str, new_name: str, *, is_forced: bool = False) -> Path:
    """Write `experiments/<group>/<new_name>.yaml`: the experiment of a study with the settings that it chose.

    Args:
        config_dir: The folder `config`.
        group: Folder of the experiment with the search.
        name: Its name.
        new_name: Of the new experiment.
        is_forced: Replace a file that is there.

    Raises:
        ConfigError: The study is not finished, or there is such an experiment already.
    """
    written = load_experiment(config_dir, group, name)
    chosen = None if written.tune is None else read_chosen(written)
    if chosen is None:
        raise ConfigError(
            f"{group}/{name}: found no finished study in {study_dir(group, name)}; auscult tune run {group}/{name}"
        )
    folder = config_dir / "experiments" / group
    path = folder / f"{check_name(new_name, 'experiment', 'auscult experiment create')}.yaml"
    if path.exists() and not is_forced:
        raise ConfigError(f"{path}: is there already; take another name, or replace it with --force")
    raw = _chosen_values(read_yaml(folder / f"{name}.yaml"), chosen)
    raw["description"] = f"{written.description}; settings chosen by the study {group}/{name}"
    write_text(path, _heading(chosen) + dump_yaml(raw, width=_WIDTH))
    try:
        made = load_experiment(config_dir, group, path.stem)
        if made.job(1) != chosen_job(config_dir, written, chosen.values):
            raise ValueError(f"{path} would not be what the study chose")
    except BaseException:
        path.unlink()
        raise
    return path


def _chosen_values(raw: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    """Return an experiment file as written, its one job laid over the shared settings, with the chosen values."""
    # A task or a dataset is defined once; the new experiment finds it there.
    shared = {key: value for key, value in raw.items() if key not in {"tune", "jobs", "define"}}
    (difference,) = raw.get("jobs", [{}])
    for key, value in difference.items():
        replaces = key in PRESET_SECTIONS and isinstance(value, dict) and "preset" in value
        shared[key] = value if replaces else merge(shared.get(key), value)
    return with_values(shared, chosen.values)


def _heading(chosen: Chosen) -> str:
    states = [trial.state for trial in chosen.trials]
    lines = [
        f"Chosen by the study {chosen.experiment}, on validation alone:",
        chosen.reason,
        *(f"  {key}: {value}" for key, value in chosen.values.items()),
        f"{len(states)} trials, {chosen.budget.training_h:.2f} h of training.",
    ]
    return "".join(f"# {line}\n" for line in lines)
