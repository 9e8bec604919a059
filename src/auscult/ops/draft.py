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
import soundfile
from pydantic import TypeAdapter

from auscult.audio.probe import AudioFacts, probe
from auscult.config import DatasetSettings, load_dataset, load_experiment
from auscult.config.base import NAME_PATTERN
from auscult.config.files import is_defined
from auscult.config.split import SplitSettings
from auscult.config.task import TaskSettings
from auscult.datasets.draft.dataset import propose_dataset
from auscult.datasets.draft.proposal import Ask, Place, Proposal
from auscult.datasets.draft.published import find_layout
from auscult.datasets.draft.survey import Survey, survey
from auscult.datasets.draft.task import TaskGuess, propose_tasks, task_name
from auscult.datasets.draft.text import yaml_text
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import DatasetTables, read_tables
from auscult.errors import ConfigError, DataError, InfeasibleError
from auscult.formatting.numbers import plural
from auscult.splits.make_split import make_split
from auscult.storage.files import atomic_path, sha256_file

EPOCHS = 5
MAX_CLIP_S = 10.0
EVENT_CLIP_S = 5.0
RATES_HZ = (4000, 8000)
_FRACTIONS = ((0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.5, 0.25, 0.25))
_SEEDS = (1, 2, 3)
_ORDER = ("description", "layout", "root", "manifest", "table", "wide", "raters", "pattern", "path_pattern", "columns", "join")
_DATASET: TypeAdapter[DatasetSettings] = TypeAdapter(DatasetSettings)
_SPLIT: TypeAdapter[SplitSettings] = TypeAdapter(SplitSettings)


@dataclass(frozen=True)
class Wishes:
    """What somebody who drafts has said.

    Attributes:
        name: Of dataset and experiment; None: the folder's.
        task: Of the task; None: what is learnt.
        out: The file; None: its place in `config/experiments`.
        label: The label's column.
        patient: The patient's column, or a pattern.
        force: Whether a file that is there is replaced.
        ask: Asks where a guess is not sure.
    """

    name: str | None = None
    task: str | None = None
    out: Path | None = None
    label: str | None = None
    patient: str | None = None
    force: bool = False
    ask: Ask | None = None


@dataclass(frozen=True)
class Drafted:
    """A draft that was written.

    Attributes:
        name: Of dataset and experiment.
        task: The task's name.
        path: The file.
        tables: The recordings and events, read by the draft.
        guess: The task.
        split: How the patients were divided, or why they cannot be.
        is_feasible: Whether they can be.
        doubts: What somebody should look at.
        unused: What was not understood.
    """

    name: str
    task: str
    path: Path
    tables: DatasetTables
    guess: TaskGuess
    split: str
    is_feasible: bool
    doubts: list[str]
    unused: list[str]


def draft(folder: Path, config_dir: Path, wishes: Wishes) -> Drafted:
    """Look at a folder, and write an experiment that reads it.

    Durations and rates come from the files' headers: `auscult data verify` decodes them.

    Args:
        folder: The recordings and what lies with them.
        config_dir: The project's `config`.
        wishes: What is known already.

    Raises:
        DataError: No recording, or no label, was found.
        ConfigError: A name cannot be used, or is taken.
    """
    found = survey(folder)
    is_given = wishes.name is not None
    name = _free_name(wishes.name or _plain(folder.resolve().name), config_dir, is_given=is_given, force=wishes.force)
    proposal = _propose(found, wishes)
    settings = {"description": f"What lies in {folder.name}: a draft", "root": _root_text(folder), **proposal.settings}
    settings = {key: settings[key] for key in (*_ORDER, *settings) if key in settings}
    with tempfile.TemporaryDirectory(prefix="auscult-draft-") as scratch:
        tables_dir = Path(scratch) / "tables"
        ingest(folder, name, _DATASET.validate_python(settings), tables_dir, probe=_probe_header)
        tables = read_tables(tables_dir)
        guesses = propose_tasks(name, tables.recordings, tables.events, proposal)
        if not guesses:
            raise DataError(_say_no_task(found, proposal))
        guess, split, said, is_feasible = _feasible(name, tables_dir, guesses, Path(scratch))
    if not is_feasible:
        proposal.doubts.append(f"The patients cannot be divided for any task that was tried: {said}")
    task = wishes.task or _free_task(task_name(guess), name, config_dir, force=wishes.force)
    values, comments = _experiment(name, task, settings, proposal, guess, split, tables)
    comments[("split",)] = said if is_feasible else "not feasible yet, see what `auscult data draft` printed"
    head = [f"Drafted from {folder}: each comment says what a guess rests on.", *proposal.doubts]
    path = wishes.out or config_dir / "experiments" / task / f"{name}.yaml"
    if path.exists() and not wishes.force:
        raise ConfigError(f"{path} is there already; --force replaces it, --name gives the draft another name")
    text = yaml_text(values, comments, [" ".join(line.split()) for line in head])
    _check(text, config_dir, task, name)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Drafted(name, task, path, tables, guess, said, is_feasible, proposal.doubts, proposal.unused)


def _propose(found: Survey, wishes: Wishes) -> Proposal:
    if wishes.label is None and wishes.patient is None:
        layout = find_layout(found.root, len(found.audio))
        if layout is not None:
            proposal = Proposal({"layout": layout[0]}, ask=wishes.ask)
            proposal.say(layout[1], "layout")
            return proposal
    return propose_dataset(found, ask=wishes.ask, label=wishes.label, patient=wishes.patient)


def _probe_header(path: Path) -> AudioFacts:
    """Return what a file's header says; a file without a readable one is decoded."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        return probe(path)
    if info.frames <= 0:
        return probe(path)
    rate_hz = int(info.samplerate)
    return AudioFacts(
        sample_rate_hz=rate_hz,
        n_channels=int(info.channels),
        n_samples=int(info.frames),
        duration_s=info.frames / rate_hz,
        encoding=str(info.subtype),
        sha256=sha256_file(path),
        fingerprint=None,
    )


def _plain(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-").lower() or "collection"
    return text if re.match(NAME_PATTERN, text) else f"set_{text}"


def _free_name(name: str, config_dir: Path, *, is_given: bool, force: bool) -> str:
    if not re.match(NAME_PATTERN, name):
        raise ConfigError(f"--name {name!r}: use letters, digits, _ . and -; it becomes a folder's name")
    if (config_dir / "datasets" / f"{name}.yaml").is_file():
        if is_given:
            raise ConfigError(f"--name {name}: config/datasets/{name}.yaml has that name; take another")
        return f"{name}_draft"
    if is_defined(config_dir, "dataset", name) and not force:
        raise ConfigError(f"an experiment defines the dataset {name!r} already; --name takes another, --force replaces it")
    return name


def _free_task(task: str, name: str, config_dir: Path, *, force: bool) -> str:
    is_taken = (config_dir / "tasks" / f"{task}.yaml").is_file() or (is_defined(config_dir, "task", task) and not force)
    return f"{task}_{name}" if is_taken else task


def _root_text(folder: Path) -> str:
    real = folder.resolve()
    here = Path.cwd().resolve()
    return real.relative_to(here).as_posix() if real.is_relative_to(here) else real.as_posix()


def _say_no_task(found: Survey, proposal: Proposal) -> str:
    columns = [f"{sheet.title}: {', '.join(sheet.columns[:12])}" for sheet in found.sheets]
    lines = "".join(f"\n  {line}" for line in [*columns, *proposal.unused])
    return (
        f"{found.root}: {plural(len(found.audio), 'recording')} and no label with at least two values. Name its column with "
        f"`--label COLUMN`, or put a table with a column `label` beside the recordings. What is there:{lines}"
    )


def _feasible(
    name: str, tables_dir: Path, guesses: Sequence[TaskGuess], scratch: Path
) -> tuple[TaskGuess, dict[str, Any], str, bool]:
    """Return the first task and split that leave every subset a patient of each kind; the first of all if none does."""
    first_reason = ""
    for guess in guesses:
        task = TaskSettings.model_validate(guess.settings)
        for fractions in _FRACTIONS:
            for seed in _SEEDS:
                train, val, test = fractions
                settings: dict[str, Any] = {"kind": "patients", "seed": seed}
                if fractions != _FRACTIONS[0]:
                    settings["fractions"] = {"train": train, "val": val, "test": test}
                try:
                    make_split(
                        {name: tables_dir},
                        _SPLIT.validate_python(settings),
                        task,
                        scratch / "split.csv",
                        scratch / "audit.json",
                    )
                except (InfeasibleError, DataError) as error:
                    first_reason = first_reason or str(error).splitlines()[0]
                    continue
                coarser = "" if guess is guesses[0] else f"; a finer task cannot be divided: {first_reason}"
                shares = f"{train:.0%} train, {val:.0%} val, {test:.0%} test of the patients"
                return guess, settings, f"{shares}; tried, and every subset holds each kind{coarser}", True
    return guesses[0], {"kind": "patients", "seed": _SEEDS[0]}, first_reason, False


def _clips(recordings: pd.DataFrame, guess: TaskGuess) -> tuple[dict[str, Any], str]:
    durations_s = recordings["duration_s"].to_numpy(dtype=float)
    shortest_s, usual_s, longest_s = (float(value) for value in np.quantile(durations_s, [0.0, 0.9, 1.0]))
    rates_hz = Counter(recordings["sample_rate_hz"].astype(int).tolist())
    most_s = EVENT_CLIP_S if guess.settings["level"] == "clip" else MAX_CLIP_S
    length_s = min(most_s, max(1.0, float(-(-usual_s * 2 // 1)) / 2))
    rate_hz = rates_hz.most_common(1)[0][0]
    kept_hz = max((known for known in RATES_HZ if known <= rate_hz), default=rate_hz)
    clips: dict[str, Any] = {"unit": "window", "length_s": float(f"{length_s:g}"), "sample_rate_hz": kept_hz}
    if shortest_s < 1.0:
        clips["min_valid_s"] = max(0.0, int(shortest_s * 10) / 10)
    rates = ", ".join(f"{hz} Hz ({n})" for hz, n in rates_hz.most_common(4))
    return clips, f"recordings last {shortest_s:.1f} to {longest_s:.1f} s, most up to {usual_s:.1f} s; rates {rates}"


def _experiment(
    name: str,
    task: str,
    dataset: Mapping[str, Any],
    proposal: Proposal,
    guess: TaskGuess,
    split: Mapping[str, Any],
    tables: DatasetTables,
) -> tuple[dict[str, Any], dict[Place, str]]:
    clips, about_clips = _clips(tables.recordings, guess)
    values: dict[str, Any] = {
        "description": f"A first look at {name}",
        "task": task,
        "define": {"task": guess.settings, "datasets": {name: dict(dataset)}},
        "datasets": [name],
        "clips": clips,
        "spectrogram": {"n_fft": 512, "hop_samples": 128, "n_mels": 64},
        "split": dict(split),
        "model": {"name": "mixednet"},
        "train": {"epochs": EPOCHS, "monitor": "val/auroc"},
    }
    comments: dict[Place, str] = {("define", "datasets", name, *place): text for place, text in proposal.comments.items()}
    comments |= {("define", "task", *place): text for place, text in guess.comments.items()}
    comments[("clips",)] = about_clips
    comments[("train",)] = "a first report in minutes; more epochs when the data are right"
    return values, comments


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
