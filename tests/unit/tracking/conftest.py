import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from auscult.config import load_experiment, load_task
from auscult.tracking import init_store

CONFIG = Path(__file__).parents[3] / "config"
PATIENTS = ["icbhi/101", "icbhi/102", "jordan/BP42_Asthma", "bd/zarah-0007"]
RECORDINGS = [
    "icbhi/101_1b1_Al_sc_Meditron",
    "icbhi/102_1b1_Ar_sc_Meditron",
    "jordan/BP42_Asthma,E W,P L L,70,M",
    "bd/zarah-0007_left_07",
]
EPOCHS = 12


def png_bytes():
    """A real picture of one pixel."""
    return bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )


def interval(value):
    return {"value": value, "low": max(0.0, value - 0.07), "high": min(1.0, value + 0.06)}


def summary(auroc):
    names = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "mcc", "brier")
    levels = {}
    for level, loss in (("clip", 0.06), ("recording", 0.03), ("patient", 0.0)):
        values = {name: interval(auroc - loss - 0.01 * i) for i, name in enumerate(names)}
        target = values | {
            "n": {"positive": 11, "negative": 29, "unknown": 0, "patients": 40},
            "confusion": {"tp": 9, "tn": 25, "fp": 4, "fn": 2},
        }
        levels[level] = {"pneumonia": target | {"ppv": {"value": None, "low": None, "high": None}}, "macro": values}
    return levels


def write_job(folder, seed, auroc):
    """A job's folder as training and evaluation leave it."""
    rng = np.random.default_rng(seed)
    (folder / "figures").mkdir(parents=True)
    lines = []
    for epoch in range(EPOCHS):
        line = {"epoch": epoch, "train/loss": 0.7 * 0.85**epoch + 0.02 * rng.random(), "lr": 1e-3, "epoch_s": 1.5}
        line |= {"val/loss": 0.72 * 0.88**epoch + 0.03 * rng.random()}
        line |= {"val/auroc": None if epoch == 0 else auroc - 0.4 * 0.7**epoch + 0.02 * rng.random()}
        lines.append(json.dumps(line))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    outcome = {"task": "pneumonia", "level": "patient", "best_epoch": 9, "thresholds": [0.41]}
    (folder / "metrics.json").write_text(json.dumps(outcome | {"test": summary(auroc), "val": summary(auroc)}))
    save_file({"weight": rng.standard_normal((4, 4)).astype(np.float32)}, folder / "model.safetensors")
    (folder / "model.json").write_text(
        json.dumps({"model": {"name": "mixednet"}, "thresholds": [0.41], "best_epoch": 9})
    )
    for name in ("roc.png", "learning_curves.png"):
        (folder / "figures" / name).write_bytes(png_bytes())
    (folder / "figures" / "roc.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><text>AUROC</text></svg>")
    pd.DataFrame(
        {"clip_id": [f"{name}:0000" for name in RECORDINGS], "recording_id": RECORDINGS, "patient_id": PATIENTS}
    ).to_parquet(folder / "predictions.parquet")
    (folder / "outcomes.csv").write_text("\n".join(RECORDINGS))
    (folder / "report.txt").write_text("worst: " + RECORDINGS[0])
    return folder


@pytest.fixture(scope="session")
def experiment():
    return load_experiment(CONFIG, "pneumonia", "train2356")


@pytest.fixture(scope="session")
def task():
    return load_task(CONFIG, "pneumonia")


@pytest.fixture
def job_dirs(tmp_path):
    return [write_job(tmp_path / "runs" / str(n), n, auroc) for n, auroc in ((1, 0.93), (2, 0.90))]


@pytest.fixture
def provenance():
    return {
        "command": "snakemake --cores all results/pneumonia/train2356",
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "branch": "main", "dirty": False},
        "data": {"tracked_by": "data.dvc", "md5": "d41d8cd98f00b204e9800998ecf8427e.dir"},
        "inputs": {"icbhi": "a" * 64, "jordan": "b" * 64},
    }


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory):
    """An empty store, made once: making one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    init_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def store_uri(fresh_store, tmp_path):
    path = tmp_path / "tracking" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(fresh_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def client(store_uri):
    from auscult.tracking.store import import_mlflow

    import_mlflow()
    from mlflow.tracking import MlflowClient

    return MlflowClient(store_uri, store_uri)


@pytest.fixture(autouse=True)
def environment_is_restored():
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
