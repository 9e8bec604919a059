"""A small world on disk for each kind of task (tables, features, split, model), and results to compare."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import save_file
from tests.unit.conftest import are_figures_plain

from auscult.audio.clip_store import create_clips
from auscult.config import JobSettings, TaskSettings
from auscult.evaluation.evaluate import evaluate as run
from auscult.models import Normalisation, SavedModel, build_model, describe_model, save_model
from auscult.spectrograms.store import write_features
from auscult.storage.files import sha256_file
from auscult.storage.tables import Event, events_frame, write_csv, write_parquet

N_MELS, N_FRAMES = 32, 40
SAMPLE_RATE_HZ = 1000
SPECTROGRAM = {"n_fft": 64, "hop_samples": 24, "n_mels": N_MELS}
CLIP_S = 1.0

TASKS = {
    "binary": TaskSettings(
        description="Is the patient ill?",
        type="binary",
        targets=("ill",),
        level="patient",
        datasets={
            "toy": {"ill": {"column": "state", "positive": ["ill"], "negative": "others", "unknown": ["unclear"]}}
        },
    ),
    "multi_label": TaskSettings(
        description="Which sounds?",
        type="multi_label",
        targets=("crackle", "wheeze"),
        level="clip",
        four_class={"crackle": "crackle", "wheeze": "wheeze"},
        datasets={
            "toy": {name: {"events": [name], "annotated_by": ["recording"]} for name in ("crackle", "wheeze")},
        },
    ),
    "multi_class": TaskSettings(
        description="Which digit?",
        type="multi_class",
        targets=("0", "1", "2"),
        level="recording",
        classes_from={"toy": {"column": "digit"}},
    ),
}


@dataclass(frozen=True)
class World:
    """Arguments of `evaluation.run`, but for the output folder."""

    kind: str
    job: JobSettings
    task: TaskSettings
    model_dir: Path
    features: dict[str, list[Path]]
    clips: dict[str, list[Path]]
    tables: dict[str, Path]
    split: Path

    def arguments(self, output_dir, **changes):
        return {
            "model_dir": self.model_dir,
            "features": self.features,
            "clips": self.clips,
            "tables": self.tables,
            "split": self.split,
            "job": self.job,
            "task": self.task,
            "output_dir": output_dir,
            "device": "cpu",
        } | changes


def _tables(folder, rng, n_patients, prefix):
    rows, events, clips = [], [], []
    for patient in range(n_patients):
        for recording in range(2):
            name = f"toy/{prefix}p{patient:02d}_{recording}"
            digit = str((patient + recording) % 3)
            state = "unclear" if patient == 5 else ("ill" if patient % 2 else "well")
            age_years = None if patient == 17 else 3.0 + 2 * patient
            device = ("contact", "open")[recording]
            rows.append(_recording(name, f"toy/p{patient:02d}", state, digit, age_years=age_years, device=device))
            for kind, chance in (("crackle", patient % 2), ("wheeze", patient % 3 == 0)):
                if chance:
                    events.append(Event(name, 0.2, 0.6, kind, "made up"))
            for index in range(2):
                n_valid = SAMPLE_RATE_HZ if index == 0 else int(rng.integers(500, 900))
                start_s = CLIP_S * index
                clips.append(
                    (f"{name}:{index:04d}", name, f"toy/p{patient:02d}", start_s, start_s + n_valid / 1000, n_valid)
                )
    write_parquet(folder / "recordings.parquet", pd.DataFrame(rows))
    write_parquet(folder / "events.parquet", events_frame(events))
    columns = ["clip_id", "recording_id", "patient_id", "start_s", "end_s", "n_valid"]
    table = pd.DataFrame(clips, columns=columns).assign(dataset="toy")
    return pd.DataFrame(rows), table[
        ["clip_id", "recording_id", "patient_id", "dataset", "start_s", "end_s", "n_valid"]
    ]


def _recording(name, patient, state, digit, *, age_years, device):
    return {
        "recording_id": name,
        "dataset": "toy",
        "patient_id": patient,
        "path": f"{name}.wav",
        "site": None,
        "device": device,
        "age_years": age_years,
        "sex": "female",
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "n_channels": 1,
        "n_samples": 2 * SAMPLE_RATE_HZ,
        "duration_s": 2.0,
        "encoding": "PCM_16",
        "sha256": "0" * 64,
        "fingerprint": None,
        "label_state": state,
        "label_digit": digit,
    }


def make_world(
    folder: Path, kind: str, *, n_patients: int = 24, draws: int = 50, n_examples: int = 4, prefix: str = ""
) -> World:
    rng = np.random.default_rng(7)
    tables = folder / "tables"
    tables.mkdir(parents=True)
    recordings, clips = _tables(tables, rng, n_patients, prefix)
    recordings = recordings.astype({"site": "str", "fingerprint": "str"})
    write_parquet(tables / "recordings.parquet", recordings)
    job = JobSettings(
        task=kind,
        datasets=("toy",),
        clips={"length_s": CLIP_S, "sample_rate_hz": SAMPLE_RATE_HZ},
        spectrogram=SPECTROGRAM,
        split={"kind": "patients"},
        model={"name": "test_cnn"},
        train={"monitor": "val/auroc"},
        evaluate={"bootstrap_draws": draws, "n_examples": n_examples, "outcomes": {"max_clips": 2}},
    )
    task = TASKS[kind]
    frames = (clips["n_valid"].to_numpy() - 64) // 24 + 1
    levels_db = rng.normal(-60, 8, size=(len(clips), N_MELS, N_FRAMES))
    write_features(
        folder / "features.h5",
        clips,
        levels_db,
        frames,
        {"clips": job.clips.model_dump(mode="json"), "spectrogram": job.spectrogram.model_dump(mode="json")},
    )
    with create_clips(folder / "clips.h5", n_samples=SAMPLE_RATE_HZ, settings={}) as writer:
        writer.append(clips, rng.integers(-3000, 3000, size=(len(clips), SAMPLE_RATE_HZ)).astype(np.int16))
    number = recordings["patient_id"].str.slice(5).astype(int)
    subsets = np.select([number < n_patients // 3, number < 2 * n_patients // 3], ["train", "val"], "test")
    split = recordings[["recording_id", "patient_id", "dataset"]].assign(split=subsets)
    write_csv(folder / "split.csv", split)
    _save_model(folder / "model", job, task)
    return World(
        kind=kind,
        job=job,
        task=task,
        model_dir=folder / "model",
        features={"toy": [folder / "features.h5"]},
        clips={"toy": [folder / "clips.h5"]},
        tables={"toy": tables},
        split=folder / "split.csv",
    )


def _save_model(folder, job, task):
    module = build_model(job.model, len(task.targets), (N_MELS, N_FRAMES), seed=3).eval()
    normalisation = Normalisation.from_bands(np.full(N_MELS, -60.0), np.full(N_MELS, 8.0))
    meta = describe_model(
        module,
        normalisation=normalisation,
        job=job,
        task=task,
        input_shape=(N_MELS, N_FRAMES),
        training={"best_epoch": 2},
    )
    thresholds = {} if task.type == "multi_class" else dict.fromkeys(task.targets, 0.5)
    folder.mkdir()
    _save_epochs(folder, module, meta, thresholds)
    history = {
        "epoch": [1, 2, 3],
        "train/loss": [0.7, 0.5, 0.4],
        "val/loss": [0.7, 0.6, 0.65],
        "val/auroc": [0.5, 0.8, 0.7],
    }
    write_csv(folder / "history.csv", pd.DataFrame(history))


def _save_epochs(folder, module, meta, thresholds):
    """Three epochs; the second is the one that was kept, the third predicts the opposite."""
    entries = []
    (folder / "epochs").mkdir()
    for epoch, factor in ((1, 0.1), (2, 1.0), (3, -1.0)):
        weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        weights["head.linear.weight"] *= factor
        weights["head.linear.bias"] *= factor
        path = folder / "epochs" / f"epoch-{epoch:03d}.safetensors"
        save_file(weights, path)
        entries.append({"epoch": epoch, "file": f"epochs/{path.name}", "sha256": sha256_file(path), "val": 0.5})
    normalisation = Normalisation.from_bands(np.full(N_MELS, -60.0), np.full(N_MELS, 8.0))
    save_model(folder, SavedModel(module, normalisation, {**meta, "thresholds": thresholds, "epochs": entries}))


@pytest.fixture(scope="session")
def judge_once(tmp_path_factory):
    """World and output of one evaluation of a kind of task; each runs once, and the tests only read it."""
    judged = {}

    def evaluate_once(kind: str) -> tuple[World, Path]:
        key = (kind, are_figures_plain())
        if key not in judged:
            folder = tmp_path_factory.mktemp(kind)
            world = make_world(folder / "world", kind)
            run(**world.arguments(folder / "out"))
            judged[key] = (world, folder / "out")
        return judged[key]

    return evaluate_once


@pytest.fixture(params=list(TASKS))
def judged(request, judge_once) -> tuple[World, Path]:
    return judge_once(request.param)


@pytest.fixture
def judged_binary(judge_once) -> tuple[World, Path]:
    return judge_once("binary")


TARGETS = {"binary": ["ill"], "multi_label": ["crackle", "wheeze"], "multi_class": ["a", "b", "c"]}


@pytest.fixture
def make_result(tmp_path):
    """Write a result whose predictions are right with `skill`; equal `truth_seed`s give equal test sets."""

    def make(name, kind="binary", *, skill=1.0, truth_seed=0, seed=0, n_patients=40, level=None, **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        targets = TARGETS[kind]
        truth_rng, rng = np.random.default_rng(truth_seed), np.random.default_rng(seed)
        rows = [
            (f"toy/p{p:02d}", f"toy/p{p:02d}_{r}", c) for p in range(n_patients) for r in range(2) for c in range(2)
        ]
        patients, recordings, clips = zip(*rows, strict=True)
        table = pd.DataFrame({"patient_id": patients, "recording_id": recordings})
        table["clip_id"] = [f"{recording}:{clip:04d}" for recording, clip in zip(recordings, clips, strict=True)]
        table = table.assign(dataset="toy", split="test", start_s=0.0, end_s=1.0)
        of_patient = truth_rng.integers(0, 2, (n_patients, len(targets)))
        if kind == "multi_class":
            of_patient = np.eye(3, dtype=int)[truth_rng.integers(0, 3, n_patients)]
        truth = np.repeat(of_patient, 4, axis=0)
        logits = skill * (2 * truth - 1) + rng.standard_normal(truth.shape)
        prob = 1 / (1 + np.exp(-logits))
        if kind == "multi_class":
            prob /= prob.sum(axis=1, keepdims=True)
        for column, target in enumerate(targets):
            table[f"target_{target}"] = truth[:, column].astype(np.float32)
            table[f"prob_{target}"] = prob[:, column]
        task = {"description": "", "type": kind, "targets": targets, "level": level or "patient"}
        if kind == "multi_label":
            task["four_class"] = {"crackle": "crackle", "wheeze": "wheeze"}
        meta = {
            "task_name": "toy", "task": task, "targets": targets, "datasets": ["toy"],
            "thresholds": {} if kind == "multi_class" else dict.fromkeys(targets, 0.5),
            "architecture": {"name": "mixednet", "dropout": 0.1}, "clips": {"length_s": 10.0},
            "spectrogram": {"n_mels": 32},
            "training": {"settings": {"epochs": 3, "seed": 0}, "split": {"kind": "patients", "seed": 1}},
            "n_parameters": 100, "best_epoch": 2,
        } | changes.pop("meta", {})  # fmt: skip
        (folder / "model.json").write_text(json.dumps(meta))
        table = changes.pop("edit", lambda unchanged: unchanged)(table)
        table.to_parquet(folder / "predictions.parquet")
        return folder

    return make
