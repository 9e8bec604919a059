"""Results on disk as a training leaves them: `model.json` and `predictions.parquet`."""

import json

import numpy as np
import pandas as pd
import pytest

TARGETS = {"binary": ["ill"], "multi_label": ["crackle", "wheeze"], "multi_class": ["a", "b", "c"]}


@pytest.fixture
def make_result(tmp_path):
    """Write a result whose answers are right with `skill`; equal `truth_seed`s give equal test parts."""

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
