"""Evaluated jobs without a training: predictions are random, then evaluated and drawn as in `evaluate`."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.conftest import are_figures_plain

from auscult.audio.listening import write_listening_copy
from auscult.config import Experiment, JobSettings, Run, TaskSettings
from auscult.evaluation.clinical import clinical_results
from auscult.evaluation.evaluate import write_curves
from auscult.evaluation.outcomes import find_outcomes, write_lists
from auscult.metrics.aggregation import at_level
from auscult.metrics.operating_points import points_of
from auscult.metrics.summary import summarise
from auscult.plots.job import draw_job
from auscult.plots.spectrograms import Axis, Mark, spectrogram
from auscult.plots.style import save
from auscult.reports.job_text import report_text
from auscult.splits.counts import RecordingFacts
from auscult.splits.table_one import table_one
from auscult.storage.files import write_json, write_text
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import predictions_table, probabilities_of, truth_of, write_csv, write_parquet

TASKS = {
    "binary": TaskSettings(
        description="Does the patient have pneumonia?",
        type="binary",
        targets=("pneumonia",),
        level="patient",
        datasets={
            name: {"pneumonia": {"column": "diagnosis", "positive": ["pneumonia"], "negative": "others"}}
            for name in ("one", "two")
        },
    ),
    "multi_label": TaskSettings(
        description="Are there crackles, are there wheezes in this cycle?",
        type="multi_label",
        targets=("crackle", "wheeze"),
        level="clip",
        four_class={"crackle": "crackle", "wheeze": "wheeze"},
        doubtful=("two",),
        datasets={
            name: {kind: {"events": [kind], "annotated_by": ["cycle"]} for kind in ("crackle", "wheeze")}
            for name in ("one", "two")
        },
    ),
    "multi_class": TaskSettings(
        description="Which digit is spoken?",
        type="multi_class",
        targets=tuple("0123456789"),
        level="recording",
        classes_from={"one": {"column": "digit"}, "two": {"column": "digit"}},
    ),
}

JOBS = {
    "binary": [
        {"model": {"name": "mixednet"}},
        {"model": {"name": "timm/mobilenetv3_small_050"}, "train": {"epochs": 15}},
    ],
    "multi_label": [{"model": {"name": "mixednet"}, "allow_doubtful": ["two"]}],
    "multi_class": [
        {"note": "the usual split by recording index; every speaker is in every subset"},
        {"note": "speakers kept apart", "split": {"kind": "patients"}},
    ],
}


@dataclass(frozen=True)
class Published:
    """Arguments of `publish.run`, but for the output folder."""

    experiment: Experiment
    task: TaskSettings
    job_dirs: list[Path]
    audits: list[Path]
    summaries: dict[str, Path]

    def arguments(self, output_dir, **changes):
        return {
            "experiment": self.experiment,
            "task": self.task,
            "job_dirs": self.job_dirs,
            "audits": self.audits,
            "summaries": self.summaries,
            "output_dir": output_dir,
            "provenance": {
                "command": "snakemake --cores all results/t/e",
                "created_utc": "2026-01-02T03:04:05+00:00",
                "git": {"commit": "0" * 40, "branch": "main", "dirty": False},
                "packages": {"numpy": "2.4.6", "torch": "2.14.1"},
                "notices": ["These predictions are <random>, not learned."],
            },
            "ids": study_ids(),
        } | changes


def study_ids(*, show_names: bool = False) -> StudyIds:
    """The study ids of all patients and recordings that any test here speaks of."""
    table = _all_clips(60)[["recording_id", "patient_id", "dataset"]].drop_duplicates(ignore_index=True)
    return StudyIds(table.assign(path=table["recording_id"] + ".wav"), show_names=show_names)


def make_published(
    folder: Path,
    kind: str,
    *,
    n_patients: int = 60,
    draws: int = 100,
    one_class: bool = False,
    differences: list[dict] | None = None,
    one_truth: bool = False,
    predict: Callable[[Run], tuple[pd.DataFrame, np.ndarray, np.ndarray]] | None = None,
) -> Published:
    """Write all that `publish` reads; `one_class`: no positive in the test set, `one_truth`: jobs have equal labels.

    `predict` gives a run's clips, targets and probabilities in place of random ones.
    """
    task = TASKS[kind]
    shared = {
        "task": kind,
        "datasets": ["one", "two"],
        "clips": {"length_s": 5, "sample_rate_hz": 4000},
        "spectrogram": {"n_fft": 512, "hop_samples": 128, "n_mels": 64},
        "split": {"kind": "column", "column": "index", "test": ["1"], "allow_patient_overlap": True},
        "model": {"name": "mixednet"},
        "train": {"epochs": 30, "monitor": "val/auroc"},
        "evaluate": {"bootstrap_draws": draws, "threshold": "icbhi_score" if kind == "multi_label" else "youden"},
    }
    jobs = [JobSettings.model_validate({**shared, **difference}) for difference in differences or JOBS[kind]]
    experiment = Experiment(name="made_up", group=kind, task=kind, description="Random predictions", jobs=jobs)
    dirs, audits = [], []
    for number, run in enumerate(experiment.runs, start=1):
        job = run.settings
        dirs.append(folder / "runs" / run.id)
        options = {"one_class": one_class, "truth_seed": 7 if one_truth else None}
        options["predicted"] = None if predict is None else predict(run)
        make_job(dirs[-1], job, task, n_patients=n_patients, skill=3.0 / number, seed=number, **options)
        audits.append(folder / f"audit{number}.json")
        write_json(audits[-1], _audit(task, declared=job.split.kind == "column"))
    summaries = {}
    for name in ("one", "two"):
        summaries[name] = folder / f"{name}.json"
        write_json(summaries[name], _summary(name))
    return Published(experiment, task, dirs, audits, summaries)


def make_job(folder, job, task, *, n_patients, skill, seed, one_class, truth_seed=None, predicted=None):
    rng = np.random.default_rng(seed)
    clips = _clips(n_patients)
    targets = _targets(clips, task, rng if truth_seed is None else np.random.default_rng(truth_seed))
    if one_class:
        targets[clips["split"] == "test"] = np.nan if task.type == "multi_class" else 0
    noise = rng.normal(size=targets.shape)
    logits = skill * (np.nan_to_num(targets, nan=0.5) - 0.5) + noise
    if task.type == "multi_class":
        power = np.exp(1.5 * logits)
        prob = power / power.sum(axis=1, keepdims=True)
        thresholds = {}
    else:
        prob = 1 / (1 + np.exp(-logits))
        thresholds = dict.fromkeys(task.targets, 0.5)
    if predicted is not None:
        clips, targets, prob = predicted
    predictions = predictions_table(clips, targets, prob, task)
    write_parquet(folder / "predictions.parquet", predictions)
    metrics = {
        "task": job.task,
        "level": task.level,
        "best_epoch": 19,
        "n_parameters": 14_945,
        "thresholds": dict.fromkeys(thresholds, 0.321) if task.level == "patient" else thresholds,
        "operating_points": _points(task, thresholds),
        "bootstrap_draws": job.evaluate.bootstrap_draws,
    }
    for side in ("test", "val"):
        part = predictions[predictions["split"] == side]
        metrics[side] = summarise(
            truth_of(part, task),
            probabilities_of(part, task),
            part,
            task,
            points_of(metrics, task),
            rng,
            job.evaluate.bootstrap_draws,
        )
    metrics["slices"] = _slices(task)
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "report.txt", report_text(metrics, job, task))
    test = predictions[predictions["split"] == "test"]
    outcomes = find_outcomes(test, task, list(thresholds.values()))
    write_csv(folder / "outcomes.csv", outcomes)
    write_lists(outcomes, folder, study_ids())
    write_text(folder / "train.log", "a warning: one/000_0 and one/000_1 of one/000 are short\n")
    epoch = np.arange(1, 31)
    history = pd.DataFrame(
        {
            "epoch": epoch,
            "train/loss": np.exp(-epoch / 8),
            "val/loss": np.exp(-epoch / 9) + 0.01 * epoch,
            "val/auroc": 0.95 - 0.4 * np.exp(-epoch / 5) + rng.normal(0, 0.01, 30),
        }
    )
    write_csv(folder / "history.csv", history)
    rows = at_level(probabilities_of(test, task), truth_of(test, task), test, task, task.level)
    write_curves(rows, task, folder)
    metrics["clinical"] = clinical_results(
        test,
        _attributes(test),
        task=task,
        thresholds=metrics["thresholds"],
        generator=rng,
        resamples=job.evaluate.bootstrap_draws,
        folder=folder / "clinical",
    )
    write_json(folder / "metrics.json", metrics)
    draw_job(
        rows,
        metrics["test"],
        thresholds=thresholds,
        history=history,
        best_epoch=19,
        job=job,
        task=task,
        folder=folder / "figures",
    )
    _draw_examples(folder / "spectrograms", test, rng)
    _draw_outcomes(folder / "outcomes", test)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "model.json", {"architecture": {"name": job.model.name}, "threshold_notes": []})


def _attributes(test):
    """Return attributes of clips: one site of three is not stated for one patient, a rare device has two patients."""
    number = test["patient_id"].str[-3:].astype(int).to_numpy()
    site = np.array(["north", "south", "west"], dtype=object)[number % 3]
    return pd.DataFrame(
        {
            "dataset": test["dataset"].to_numpy(dtype=object),
            "site": np.where(number == 2, "not stated", site),
            "device": np.where(number < 7, "rare", "Meditron"),
            "sex": np.where(number % 5 < 2, "female", "male"),
            "age group": np.array(["under 5 years", "5 to 17", "18 to 64"], dtype=object)[number // 3 % 3],
        }
    )


def _points(task, thresholds):
    """Return operating points: those of patients lie lower, and validation could not choose for recordings."""
    if task.type == "multi_class":
        chosen_on = dict.fromkeys(task.targets, 7)
    else:
        chosen_on = {key: {"positive": 7, "negative": 9} for key in task.targets}
    point = {"thresholds": thresholds, "normal_offset": 0.0, "notes": [], "kept": [], "chosen_on": chosen_on}
    return {
        "clip": point,
        "recording": {**point, "notes": ["validation cannot choose here"]},
        "patient": {**point, "thresholds": dict.fromkeys(thresholds, 0.321)},
    }


def _clips(n_patients):
    table = _all_clips(n_patients)
    return table[table["split"] != "train"].reset_index(drop=True)


def _all_clips(n_patients):
    rows = []
    for patient in range(n_patients):
        dataset = ("one", "two")[patient % 2]
        side = ("train", "val", "test", "test")[patient % 4]
        for recording in range(3):
            for index in range(2):
                name = f"{dataset}/{patient:03d}_{recording}"
                rows.append(
                    (
                        f"{name}:{index:04d}",
                        name,
                        f"{dataset}/{patient:03d}",
                        dataset,
                        5.0 * index,
                        5.0 * index + 4.5,
                        side,
                    )
                )
    columns = ["clip_id", "recording_id", "patient_id", "dataset", "start_s", "end_s", "split"]
    return pd.DataFrame(rows, columns=columns)


def _targets(clips, task, rng):
    if task.type == "binary":
        ill = {patient: float(rng.random() < 0.4) for patient in clips["patient_id"].unique()}
        return clips["patient_id"].map(ill).to_numpy(dtype=np.float32)[:, None]
    if task.type == "multi_label":
        targets = (rng.random((len(clips), 2)) < [0.35, 0.2]).astype(np.float32)
        targets[::29] = np.nan
        return targets
    digit = {name: rng.integers(10) for name in clips["recording_id"].unique()}
    return np.eye(10, dtype=np.float32)[clips["recording_id"].map(digit)]


def _slices(task):
    number = {"value": 0.8, "low": 0.7, "high": 0.9}
    names = {
        "binary": ["auroc", "sensitivity", "specificity"],
        "multi_label": ["icbhi_score", "crackle_auroc", "wheeze_auroc"],
        "multi_class": ["accuracy", "balanced_accuracy"],
    }[task.type]
    n = {
        "clips": 60,
        "patients": 12,
        "known": 30,
        **{target: {"positive": 4, "negative": 8} for target in task.targets},
    }
    undefined = {**dict.fromkeys(names, number), names[0]: dict.fromkeys(("value", "low", "high"))}
    return [
        {"by": "dataset", "value": "one", "n": n, "metrics": dict.fromkeys(names, number)},
        {"by": "dataset", "value": "two", "n": n, "metrics": undefined},
        {"by": "sex", "value": "female", "n": n, "metrics": dict.fromkeys(names, number)},
        {"by": "sex", "value": "not stated", "n": {"clips": 6, "patients": 3}, "metrics": None},
    ]


def _draw_examples(folder, test, rng):
    entries = []
    axis = Axis(np.geomspace(30, 1900, 64), 0.064, 0.032)
    band = np.exp(-(((np.arange(64)[:, None] - 25) / 10) ** 2))
    for number, row in enumerate(test.head(3).to_dict("records")):
        levels_db = -70 + 6 * rng.normal(size=(64, 152)) + 35 * band * np.clip(np.sin(np.arange(152) / 9), 0, 1)
        name = f"{number + 1:02d}.png"
        save(spectrogram(levels_db, axis, 4.5, (-80, -20), [Mark(1.0, 1.4, "wheeze")]), folder / name)
        entry = {"clip": study_ids().clip(row["clip_id"])}
        entry |= {key: row[key] for key in ("dataset", "start_s", "end_s")}
        entries.append({"file": name, **entry, "is_error": number == 0, "text": "pneumonia: missed (0.12)"})
    write_listening_copy(rng.normal(0, 0.1, 4_000), 8_000, folder / "01.mp3")
    entries[0]["sound"] = "01.mp3"
    write_json(folder / "index.json", entries)
    shutil.copyfile(folder / "01.png", folder / "average_pneumonia.png")
    average = {"file": "average_pneumonia.png", "target": "pneumonia", "n": {"tp": 3, "tn": 4, "fp": 0, "fn": 1}}
    write_json(folder / "averages.json", [average])


def _draw_outcomes(folder, test):
    for outcome in ("tp", "tn", "fp", "fn"):
        (folder / outcome).mkdir(parents=True)
    shutil.copyfile(folder.parent / "spectrograms" / "01.png", folder / "fn" / "01.png")
    entry = {
        "file": "fn/01.png",
        "clip": study_ids().clip(test["clip_id"].iloc[0]),
        "target": "x",
        "outcome": "fn",
        "probability": 0.1,
    }
    write_json(folder / "index.json", {"n": {"fn": 1}, "sample": "extreme", "pictures": [entry]})


def _audit(task, *, declared):
    def side(n):
        cells = {"positive": n // 3, "negative": n - n // 3, "unknown": 0}
        return {
            "patients": n,
            "recordings": 3 * n,
            "hours": 0.1,
            "targets": {target: {"patients": cells, "recordings": cells} for target in task.targets},
        }

    counts = {"train": side(15), "val": side(15), "test": side(30)}
    text = "60 of 60 patients are in several subsets: the test set knows them from training"
    finding = {
        "kind": "patient_overlap",
        "severity": "declared",
        "text": text,
        "ids": [f"one/{n:03d}" for n in range(0, 18, 2)],
    }
    copies = {
        "kind": "near_duplicate_audio",
        "severity": "declared",
        "text": "2 recordings hold the same sound, encoded anew or cut, as another in a different subset; "
        "declared: one",
        "ids": ["one/000_0", "one/002_0"],
    }
    return {
        "total": counts,
        "by_dataset": {"one": counts, "two": counts},
        "table_one": _table_one(task),
        "left_out": [{"reason": "no target is known", "recordings": 6, "patients": 2, "examples": ["one/x"]}],
        "findings": [finding, copies] if declared else [],
        "rules": [
            {
                "kind": "negative_by_others",
                "severity": "note",
                "text": "one: negative because `others` says so",
                "ids": ["copd (3)"],
            }
        ],
        "declared": [text, copies["text"]] if declared else [],
        "flow": [_flow_row(*row) for row in FLOW],
        "warnings": ["12 of 192 (6.2%) recordings of one are lost; rejected.csv beside its tables names each"],
    }


def _table_one(task):
    """Table 1 of 60 patients with three recordings each; some ages and all sites are not stated."""
    clips = _all_clips(60)
    recordings = clips.drop_duplicates("recording_id").reset_index(drop=True)
    number = recordings["patient_id"].str[-3:].astype(int)
    recordings = recordings.assign(
        age_years=np.where(number % 7 == 0, np.nan, 20.0 + number),
        sex=np.where(number % 3 == 0, "female", "male"),
        device=np.where(number < 3, "rare", "Meditron"),
        site=None,
    )
    targets = np.tile(np.where(number % 3 == 0, 1, np.where(number % 10 == 1, np.nan, 0))[:, None], len(task.targets))
    facts = RecordingFacts(
        patient_ids=recordings["patient_id"].to_numpy(dtype=object),
        datasets=recordings["dataset"].to_numpy(dtype=object),
        targets=targets.astype(np.float32),
        positive=targets == 1,
        negative=targets == 0,
        level=task.level,
    )
    return table_one(recordings, recordings["split"].to_numpy(dtype=object), facts, task)


FLOW = [
    ("found", "", 192),
    ("lost", "missing", 8),
    ("lost", "empty", 4),
    ("read", "", 180),
    ("left_out", "no target is known", 6),
    ("used", "", 174),
    ("train", "", 84),
    ("val", "", 45),
    ("test", "", 45),
]


def _flow_row(step, reason, recordings):
    numbers = {"recordings": recordings, "patients": recordings // 3, "patients_unknown": 0}
    return {"dataset": "one", "step": step, "reason": reason, **numbers}


def _summary(name):
    return {
        "dataset": name,
        "layout": "manifest",
        "recordings": 1180,
        "patients": 60,
        "duration_h": 1.53,
        "sample_rates_hz": {"4000": 1000, "44100": 180},
        "encodings": {"PCM_16": 1180},
        "channels": {"1": 1180},
        "devices": {"Meditron": 700, "Litt3200": 400},
        "sites": {},
        "sexes": {"female": 600, "male": 580},
        "missing": {"devices": 80, "sites": 1180, "sexes": 0},
        "labels": {"diagnosis": {"counts": {"pneumonia": 400, "copd": 780}, "missing": 0}},
        "events": {"cycle": {"count": 5000, "duration_h": 1.2}},
        "rejected": {"total": 2, "by_class": {"empty file": 1, "not audio": 1}},
        "notices": {"official_list_absent": {"count": 910, "subjects": ["a", "b"]}},
        "content_sha256": "0" * 64,
    }


@pytest.fixture(scope="session")
def published_once(tmp_path_factory):
    """Inputs of `publish` for a kind of task; made once, and only read by the tests."""
    made = {}

    def make(kind: str) -> Published:
        key = (kind, are_figures_plain())
        if key not in made:
            made[key] = make_published(tmp_path_factory.mktemp(kind), kind)
        return made[key]

    return make


@pytest.fixture(scope="session")
def publishable(tmp_path_factory):
    """Make inputs of `publish` with jobs that differ as asked; those made once are kept, and only to be read."""
    made = {}

    def make(kind: str = "binary", *differences: dict) -> Published:
        key = (f"{kind}{differences}", are_figures_plain())
        if key not in made:
            folder = tmp_path_factory.mktemp("publishable")
            made[key] = make_published(folder, kind, draws=60, differences=list(differences) or None, one_truth=True)
        return made[key]

    return make


@pytest.fixture(scope="session")
def make_repeated(tmp_path_factory):
    """Inputs of `publish` for a plain job and one with three seeds."""
    return lambda: make_published(
        tmp_path_factory.mktemp("repeated"), "binary", n_patients=24, draws=20, differences=[{}, {"seeds": [0, 1, 2]}]
    )


@pytest.fixture(scope="session")
def make_predicted(tmp_path_factory):
    """Make inputs of `publish` for one job whose runs predict as a function of run and clips says."""

    def make(difference: dict, predict: Callable) -> Published:
        folder = tmp_path_factory.mktemp("predicted")
        return make_published(
            folder, "binary", draws=20, differences=[difference], predict=lambda run: predict(run, _all_clips(60))
        )

    return make


@pytest.fixture
def make_one_class(tmp_path_factory) -> Published:
    """A binary experiment whose test set has no positive patient."""
    return make_published(tmp_path_factory.mktemp("one_class"), "binary", n_patients=24, draws=20, one_class=True)
