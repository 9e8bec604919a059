"""The long proof of the own models: each learns the demo."""

import json
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EXPERIMENT = """
description: own models on the demo
task: pneumonia
datasets: [icbhi, jordan, bd]
clips: {unit: window, length_s: 4, sample_rate_hz: 4000}
spectrogram: {n_fft: 512, hop_samples: 100, n_mels: 64}
split: {preset: patients_70_15_15, seed: 12}
model: {name: sequence_net}
train: {epochs: 12, batch_size: 16, optimizer: {name: adam, lr: 1.0e-3}, monitor: val/auroc}
evaluate: {bootstrap_draws: 100}
jobs:
  - {}
  - {model: {name: inception_residual}}
"""


def test_sequence_net_and_inception_residual_learn_the_demo(snakemake, workflow_dir: Path) -> None:
    (workflow_dir / "config" / "experiments" / "pneumonia" / "models.yaml").write_text(EXPERIMENT)
    runs = [f"work/runs/pneumonia/models/{job}/metrics.json" for job in (1, 2)]
    finished = snakemake(*runs)
    assert finished.returncode == 0, finished.stdout[-6000:]
    for run in runs:
        folder = (workflow_dir / run).parent
        answers = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
        patients = answers.groupby("patient_id")[["target_pneumonia", "prob_pneumonia"]].mean()
        auroc = roc_auc_score(patients["target_pneumonia"], patients["prob_pneumonia"])
        assert auroc > 0.85, folder
        metrics = json.loads((workflow_dir / run).read_text())
        assert metrics["test"]["patient"]["pneumonia"]["auroc"]["value"] == pytest.approx(auroc)
