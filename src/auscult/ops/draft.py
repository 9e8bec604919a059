"""`auscult data draft`: from an unknown folder to an experiment that loads, reads and divides, in one YAML file."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from auscult.config import DatasetSettings, load_dataset, load_experiment
from auscult.config.base import NAME_PATTERN
from auscult.config.files import Kind, find_definition, is_defined
from auscult.config.split import SplitSettings
from auscult.config.task import TaskSettings
from auscult.datasets.draft.dataset import NO_PATIENT, propose_dataset
from auscult.datasets.draft.proposal import Ask, Drafted, Place, Proposal
from auscult.datasets.draft.published import find_layout
from auscult.datasets.draft.survey import Survey, survey
from auscult.datasets.draft.task import TaskGuess, propose_tasks, task_name
from auscult.datasets.draft.text import yaml_text
from auscult.datasets.draft.words import is_called
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import read_tables
from auscult.errors import ConfigError, DataError, InfeasibleError
from auscult.formatting.numbers import plural
from auscult.reports.terminal import counting_probe
from auscult.splits.make_split import make_split
from auscult.storage.files import atomic_path

EPOCHS = 5
MAX_CLIP_S = 10.0
EVENT_CLIP_S = 5.0
RATES_HZ = (4000, 8000)
"""What the sounds of the lungs need; the higher one that the recordings reach is taken."""
N_SHOWN = 3
_FRACTIONS = ((0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.5, 0.25, 0.25))
_SEEDS = (1, 2, 3)
_DATASET: TypeAdapter[DatasetSettings] = TypeAdapter(DatasetSettings)
_SPLIT: TypeAdapter[SplitSettings] = TypeAdapter(SplitSettings)


@dataclass(frozen=True)
class Wishes:
    """What somebody who drafts has said.

    Attributes:
        name: Of dataset and experiment; None: the folder's.
        task: Of the task; None: what is learnt.
        out: The file; None: its place in `config/experiments`.
        force: Whether a file that is there is replaced.
        ask: Asks where a guess is not sure; None: the best guess is taken.
    """

    name: str | None = None
    task: str | None = None
    out: Path | None = None
    force: bool = False
    ask: Ask | None = None


@dataclass(frozen=True)
class _Division:
    """A task, a split of the patients for it, and what came of trying it."""

    guess: TaskGuess
    split: dict[str, Any]
    said: str
    is_feasible: bool


def draft(folder: Path, config_dir: Path, wishes: Wishes) -> Drafted:
    """Look at a folder, and write an experiment that reads it.

    Args:
        folder: The recordings and what lies with them.
        config_dir: The project's `config`.
        wishes: What is known already.

    Raises:
        DataError: No recording, or no label, was found.
        ConfigError: A name cannot be used, or is taken.
    """
    found = survey(folder)
    name = wishes.name or _plain(folder.resolve().name)
    for option, value in (("--name", name), ("--task", wishes.task)):
        if value is not None and not re.match(NAME_PATTERN, value):
            raise ConfigError(f"{option} {value!r}: use letters, digits, _ . and -; it becomes a folder's name")
    proposal = _propose(found, wishes.ask)
    settings = {"description": f"What lies in {folder.name}: a draft", "root": _root_text(folder), **proposal.settings}
    with tempfile.TemporaryDirectory(prefix="auscult-draft-") as scratch:
        tables_dir = Path(scratch) / "tables"
        drafted = _DATASET.validate_python(settings)
        with counting_probe(drafted.rate_hz) as probe:
            ingest(folder, name, drafted, tables_dir, probe=probe)
        tables = read_tables(tables_dir)
        proposal.doubts += _say_rejected(name, tables.rejected)
        guesses = propose_tasks(name, tables.recordings, tables.events, proposal)
        if not guesses:
            raise DataError(_say_no_task(found, proposal))
        division = _divide(name, tables_dir, guesses, Path(scratch))
    if not division.is_feasible:
        proposal.doubts.append(f"The patients cannot be divided yet: {division.said}")
    task = wishes.task or _free_task(task_name(division.guess), name, config_dir)
    place = config_dir / "experiments" / task / f"{name}.yaml"
    path = wishes.out or place
    _refuse_taken(name, task, place, config_dir)
    if path.exists() and not wishes.force:
        raise ConfigError(f"{path} is there already; --force replaces it, --name gives the draft another name")
    text = _text(name, task, settings, proposal, division, recordings=tables.recordings)
    _check(text, config_dir, task, name)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Drafted(
        name=name,
        task=task,
        path=path,
        place=place,
        proposal=proposal,
        about_task=f"{division.guess.settings['type']}: {', '.join(division.guess.settings['targets'])}",
        why_task=division.guess.reason,
        split=division.said,
        tables=tables,
        is_feasible=division.is_feasible,
    )


def _propose(found: Survey, ask: Ask | None) -> Proposal:
    layout = find_layout(found.root, len(found.audio))
    if layout is None:
        return propose_dataset(found, ask)
    proposal = Proposal(ask, {"layout": layout[0]})
    proposal.say(layout[1], "layout")
    if layout[0] == "uid_json":
        names = [name for sheet in found.sheets for name in sheet.columns if is_called(name, "patient")]
        proposal.settings |= {"patient": names[0]} if names else {}
        proposal.doubts += [] if names else [NO_PATIENT]
    return proposal


def _plain(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-").lower() or "collection"
    return text if re.match(NAME_PATTERN, text) else f"set_{text}"


def _free_task(task: str, name: str, config_dir: Path) -> str:
    place = config_dir / "experiments" / task / f"{name}.yaml"
    return task if _owner("task", task, place, config_dir) is None else f"{task}_{name}"


def _owner(kind: Kind, name: str, place: Path, config_dir: Path) -> str | None:
    """Return what defines a dataset or task already, unless it is the draft's own file."""
    if not is_defined(config_dir, kind, name):
        return None
    where = find_definition(config_dir, kind, name, "the draft").where
    return None if where.startswith(f"{place}:") else where


def _refuse_taken(name: str, task: str, place: Path, config_dir: Path) -> None:
    kinds: tuple[tuple[Kind, str, str], ...] = (("dataset", name, "--name"), ("task", task, "--task"))
    for kind, wanted, option in kinds:
        owner = _owner(kind, wanted, place, config_dir)
        if owner is not None:
            raise ConfigError(f"{owner} defines the {kind} {wanted!r} already; use it, or take another with {option}")


def _root_text(folder: Path) -> str:
    real = folder.resolve()
    here = Path.cwd().resolve()
    return real.relative_to(here).as_posix() if real.is_relative_to(here) else real.as_posix()


def _say_rejected(name: str, rejected: pd.DataFrame) -> list[str]:
    if rejected.empty:
        return []
    rows = zip(rejected["file"].astype(str), rejected["reason"].astype(str), strict=True)
    shown = "; ".join(f"{file}: {reason}" for file, reason in list(rows)[:N_SHOWN])
    return [f"{len(rejected)} rejected, such as {shown}. `auscult data verify {name}` names each."]


def _say_no_task(found: Survey, proposal: Proposal) -> str:
    columns = [f"{sheet.title}: {', '.join(sheet.columns[:12])}" for sheet in found.sheets]
    lines = "".join(f"\n  {line}" for line in [*columns, *proposal.unused])
    return (
        f"{found.root}: {plural(len(found.audio), 'recording')} and no label with at least two values. Put a table "
        "with the columns `file` and `label` beside the recordings, or write the YAML by hand: docs/own-data.md has "
        f"examples. What is there:{lines}"
    )


def _divide(name: str, tables_dir: Path, guesses: Sequence[TaskGuess], scratch: Path) -> _Division:
    """Return the first task and split that leave every subset a patient of each kind; the first of all if none does.

    A split that leaks ends the search: another seed would hide what somebody must look at.
    """
    first_reason = ""
    for guess in guesses:
        for fractions in _FRACTIONS:
            for seed in _SEEDS:
                split: dict[str, Any] = {"kind": "patients", "seed": seed}
                if fractions != _FRACTIONS[0]:
                    split["fractions"] = dict(zip(("train", "val", "test"), fractions, strict=True))
                try:
                    _try_split(name, tables_dir, split, guess, scratch)
                except InfeasibleError as error:
                    first_reason = first_reason or str(error).splitlines()[0]
                    continue
                except (ConfigError, DataError) as error:
                    return _Division(guess, split, str(error), is_feasible=False)
                train, val, test = fractions
                coarser = "" if guess is guesses[0] else f"; a finer task cannot be divided: {first_reason}"
                shares = f"{train:.0%} train, {val:.0%} val, {test:.0%} test of the patients"
                return _Division(guess, split, f"{shares}: each has patients of each kind{coarser}", is_feasible=True)
    return _Division(guesses[0], {"kind": "patients", "seed": _SEEDS[0]}, first_reason, is_feasible=False)


def _try_split(name: str, tables_dir: Path, split: Mapping[str, Any], guess: TaskGuess, scratch: Path) -> None:
    make_split(
        {name: tables_dir},
        _SPLIT.validate_python(split),
        TaskSettings.model_validate(guess.settings),
        scratch / "split.csv",
        scratch / "audit.json",
    )


def _clips(recordings: pd.DataFrame, guess: TaskGuess) -> tuple[dict[str, Any], str]:
    durations_s = recordings["duration_s"].to_numpy(dtype=float)
    shortest_s, usual_s, longest_s = (float(value) for value in np.quantile(durations_s, [0.0, 0.9, 1.0]))
    rates_hz = Counter(recordings["sample_rate_hz"].astype(int).tolist())
    most_s = EVENT_CLIP_S if guess.settings["level"] == "clip" else MAX_CLIP_S
    length_s = min(most_s, max(1.0, float(-(-usual_s * 2 // 1)) / 2))
    rate_hz = rates_hz.most_common(1)[0][0]
    kept_hz = max((known for known in RATES_HZ if known <= rate_hz), default=rate_hz)
    clips: dict[str, Any] = {"unit": "window", "length_s": length_s, "sample_rate_hz": kept_hz}
    if shortest_s < 1.0:
        clips["min_valid_s"] = max(0.0, int(shortest_s * 10) / 10)
    rates = ", ".join(f"{hz} Hz ({n})" for hz, n in rates_hz.most_common(4))
    return clips, f"recordings last {shortest_s:.1f} to {longest_s:.1f} s, most up to {usual_s:.1f} s; rates {rates}"


def _text(
    name: str,
    task: str,
    dataset: Mapping[str, Any],
    proposal: Proposal,
    division: _Division,
    *,
    recordings: pd.DataFrame,
) -> str:
    clips, about_clips = _clips(recordings, division.guess)
    values: dict[str, Any] = {
        "description": f"A first look at {name}",
        "task": task,
        "define": {"task": division.guess.settings, "datasets": {name: dict(dataset)}},
        "datasets": [name],
        "clips": clips,
        "spectrogram": {"n_fft": 512, "hop_samples": 128, "n_mels": 64},
        "split": division.split,
        "model": {"name": "mixednet"},
        "train": {"epochs": EPOCHS, "monitor": "val/auroc"},
    }
    comments: dict[Place, str] = {("define", "datasets", name, *place): say for place, say in proposal.comments.items()}
    comments |= {("define", "task", *place): say for place, say in division.guess.comments.items()}
    comments[("clips",)] = about_clips
    comments[("split",)] = division.said if division.is_feasible else "not feasible yet, see above"
    comments[("train",)] = "a first report in minutes; more epochs when the data are right"
    head = [f"Drafted from {dataset['root']}: each comment says what a guess rests on.", *proposal.doubts]
    return yaml_text(values, comments, [" ".join(line.split()) for line in head])


def _check(text: str, config_dir: Path, task: str, name: str) -> None:
    """Load the draft as the workflow would, in a copy of the configuration.

    Raises:
        ConfigError: It does not load.
    """
    with tempfile.TemporaryDirectory(prefix="auscult-draft-") as scratch:
        copy = Path(scratch) / "config"
        (copy / "experiments" / task).mkdir(parents=True)
        for part in ("presets", "tasks", "datasets"):
            if (config_dir / part).is_dir():
                (copy / part).symlink_to((config_dir / part).resolve())
        (copy / "experiments" / task / f"{name}.yaml").write_text(text, encoding="utf-8")
        load_experiment(copy, task, name)
        load_dataset(copy, name)
