"""`auscult data draft`: from an unknown folder to an experiment that loads, reads and divides, in one YAML file."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter

from auscult.audio.cut import cut_windows
from auscult.config import DatasetSettings, load_dataset, load_experiment
from auscult.config.base import NAME_PATTERN
from auscult.config.clips import ClipSettings
from auscult.config.files import Kind, find_definition, is_defined
from auscult.config.split import SplitSettings
from auscult.config.task import TaskSettings
from auscult.datasets.draft.dataset import NO_PATIENT, propose_dataset
from auscult.datasets.draft.proposal import Ask, Drafted, Place, Proposal, TaskGuess
from auscult.datasets.draft.published import find_layout
from auscult.datasets.draft.survey import Survey, survey
from auscult.datasets.draft.task import propose_tasks, task_name
from auscult.datasets.draft.text import yaml_text
from auscult.datasets.draft.words import is_called
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import DatasetTables, read_tables
from auscult.errors import ConfigError, DataError, InfeasibleError
from auscult.formatting.numbers import plural
from auscult.labels import clip_targets
from auscult.reports.terminal import counting_probe
from auscult.splits.make_split import make_split
from auscult.storage.files import atomic_path
from auscult.storage.tables import SUBSETS

EPOCHS, MAX_EPOCHS = 5, 30
MIN_STEPS = 150
"""With fewer, what batch normalisation has gathered is still near where it began, and validation says nothing."""
SMALL_BATCH = 8
N_SMALL = 320
"""Fewer training clips than ten batches of 32 are taken in smaller ones."""
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
    """A task, a split of the patients for it, and what came of trying it: why it is not feasible, if it is not."""

    guess: TaskGuess
    split: dict[str, Any]
    said: str
    is_feasible: bool = False


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
        with counting_probe(drafted) as probe:
            ingest(folder, name, drafted, tables_dir, probe=probe)
        tables = read_tables(tables_dir)
        proposal.doubts += _say_rejected(name, tables.rejected)
        guesses = propose_tasks(name, tables.recordings, tables.events, proposal)
        division = _divide(name, tables_dir, guesses, Path(scratch))
        if division is None:
            raise DataError(_say_no_task(found, proposal))
    _, known = _clip_targets(tables, division.guess)
    changes = _changes(known, division, proposal)
    proposal.doubts += [] if changes is None else [changes]
    if not division.is_feasible:
        proposal.doubts.append(f"The patients cannot be divided yet: {division.said}")
    task = wishes.task or _free_task(task_name(division.guess), name, config_dir)
    place = config_dir / "experiments" / task / f"{name}.yaml"
    path = wishes.out or place
    _refuse_taken(name, task, place, config_dir)
    if path.exists() and not wishes.force:
        raise ConfigError(f"{path} is there already; --force replaces it, --name gives the draft another name")
    clips, train = _clips(tables.recordings, division.guess), _train(int((~np.isnan(known)).any(axis=1).sum()))
    text = _text(name, task, settings, proposal, division, clips=clips, train=train)
    _check(text, config_dir, task, name)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Drafted(
        name=name,
        task=task,
        path=path,
        place=place,
        proposal=proposal,
        guess=division.guess,
        split=division.said,
        tables=tables,
        is_feasible=division.is_feasible,
        changes=changes,
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


def _divide(name: str, tables_dir: Path, guesses: Iterable[TaskGuess], scratch: Path) -> _Division | None:
    """Return the first task and split that leave every subset a patient of each kind; the first of all if none does.

    None: there is no task. A split that leaks ends the search: another seed would hide what somebody must look at.
    """
    first: _Division | None = None
    for guess, fractions, seed in (trial for task in guesses for trial in product([task], _FRACTIONS, _SEEDS)):
        split: dict[str, Any] = {"kind": "patients", "seed": seed}
        if fractions != _FRACTIONS[0]:
            split["fractions"] = dict(zip(("train", "val", "test"), fractions, strict=True))
        try:
            _try_split(name, tables_dir, split, guess, scratch)
        except InfeasibleError as error:
            first = first or _Division(guess, split, str(error).splitlines()[0])
            continue
        except (ConfigError, DataError) as error:
            return _Division(guess, split, str(error))
        train, val, test = fractions
        coarser = f"; a finer task cannot be divided: {first.said}" if first and first.guess != guess else ""
        shares = f"{train:.0%} train, {val:.0%} val, {test:.0%} test of the patients"
        return _Division(guess, split, f"{shares}: each has patients of each kind{coarser}", is_feasible=True)
    return first


def _try_split(name: str, tables_dir: Path, split: Mapping[str, Any], guess: TaskGuess, scratch: Path) -> None:
    """Divide the patients.

    Raises:
        InfeasibleError: A subset lacks a kind of patients, or of clips.
    """
    task = TaskSettings.model_validate(guess.settings)
    make_split({name: tables_dir}, _SPLIT.validate_python(split), task, scratch / "split.csv", scratch / "audit.json")
    if task.level != "clip":
        return
    recordings, targets = _clip_targets(read_tables(tables_dir), guess)
    subset_of = pd.read_csv(scratch / "split.csv", index_col="recording_id")["split"].to_dict()
    for subset in (name for name in SUBSETS if name in subset_of.values()):
        known = targets[[subset_of.get(recording) == subset for recording in recordings]]
        for column, target in enumerate(task.targets):
            for value, kind in ((1, "with"), (0, "known to be without")):
                if value not in known[:, column]:
                    raise InfeasibleError(f"no clip of {subset} is {kind} {target}")


def _clip_targets(tables: DatasetTables, guess: TaskGuess) -> tuple[list[str], NDArray[np.float32]]:
    """Return the recording of each of the draft's clips, and what is known of it, shape [clip, target]."""
    settings = ClipSettings.model_validate(_clips(tables.recordings, guess)[0])
    durations_s = tables.recordings["duration_s"].to_numpy(dtype=float)
    rows = [
        (str(recording), cut.start_s, cut.end_s)
        for recording, duration_s in zip(tables.recordings["recording_id"], durations_s, strict=True)
        for cut in cut_windows(max(1, round(duration_s * settings.sample_rate_hz)), settings)
    ]
    clips = pd.DataFrame(rows, columns=["recording_id", "start_s", "end_s"])
    task = TaskSettings.model_validate(guess.settings)
    return [row[0] for row in rows], clip_targets(clips, tables.recordings, tables.events, task)


def _changes(known: NDArray[np.float32], division: _Division, proposal: Proposal) -> str | None:
    """Return what must be changed before anything can be trained: nothing is known to be without a target."""
    if division.is_feasible or division.guess.settings["type"] == "multi_class":
        return None
    targets: list[str] = division.guess.settings["targets"]
    lacking = [target for column, target in enumerate(targets) if 0 not in known[:, column]]
    if not lacking:
        return None
    what = "; and ".join(proposal.switches) or "add recordings that somebody listened to and found without it"
    meaning = "if silence means that nothing was heard, " if proposal.switches else ""
    return f"Nothing can be trained yet: no clip is known to be without {', '.join(lacking)}. To do: {meaning}{what}."


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


def _train(n_clips: int) -> tuple[dict[str, Any], str]:
    """Return settings of a first training of so many clips: more epochs where one has but few steps."""
    n_train = max(1, round(_FRACTIONS[0][0] * n_clips))
    is_small = n_train < N_SMALL
    n_steps = -(-n_train // (SMALL_BATCH if is_small else 32))
    train: dict[str, Any] = {"epochs": min(MAX_EPOCHS, max(EPOCHS, -(-MIN_STEPS // n_steps)))}
    if not is_small:
        return train | {"monitor": "val/auroc"}, "a first report in minutes; more epochs when the data are right"
    # On a few patients the AUROC is soon as good as it gets, long before the network is.
    return train | {
        "batch_size": SMALL_BATCH,
        "monitor": "val/loss",
        "mode": "min",
    }, f"about {n_train} clips to train on"


def _text(
    name: str,
    task: str,
    dataset: Mapping[str, Any],
    proposal: Proposal,
    division: _Division,
    *,
    clips: tuple[dict[str, Any], str],
    train: tuple[dict[str, Any], str],
) -> str:
    values: dict[str, Any] = {
        "description": f"A first look at {name}",
        "task": task,
        "define": {"task": division.guess.settings, "datasets": {name: dict(dataset)}},
        "datasets": [name],
        "clips": clips[0],
        "spectrogram": {"n_fft": 512, "hop_samples": 128, "n_mels": 64},
        "split": division.split,
        "model": {"name": "mixednet"},
        "train": train[0],
    }
    comments: dict[Place, str] = {("define", "datasets", name, *place): say for place, say in proposal.comments.items()}
    comments |= {("define", "task", *place): say for place, say in division.guess.comments.items()}
    comments[("clips",)] = clips[1]
    comments[("split",)] = division.said if division.is_feasible else "not feasible yet, see above"
    comments[("train",)] = train[1]
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
