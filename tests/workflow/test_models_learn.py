"""The long proofs of the own models: each learns the demo, and one finds single sounds to the millisecond."""

import json
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from auscult_simulate.layouts.hf_lung import clock
from auscult_simulate.write import write_dataset

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


@pytest.mark.soak
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


EVENTS_TASK = """
description: When does one crackle or wheeze sound?
type: events
targets: [crackle, wheeze]
level: recording
aggregate: {method: max}
events: {boundary_s: 0.016, collars: {onset_s: 0.1, offset_s: 0.1, offset_share: 0}}
datasets:
  sim:
    crackle: {events: [crackle], annotated_by: [recording]}
    wheeze: {events: [wheeze, rhonchus], annotated_by: [recording]}
"""
EVENTS_EXPERIMENT = """
description: single crackles and wheezes of simulated patients
task: sim_events
datasets: [sim]
clips: {unit: window, length_s: 5, sample_rate_hz: 4000}
spectrogram: {n_fft: 128, hop_samples: 32, n_mels: 32}
split: {preset: patients_70_15_15, seed: 1}
model: {name: crnn, channels: [16, 32, 32], gru_size: 32}
train:
  epochs: 15
  batch_size: 8
  optimizer: {name: adamw, lr: 3.0e-3, weight_decay: 0.01}
  schedules: [{name: cosine}]
  loss: {class_weights: none, bnd_weight: 0.5}
  monitor: val/event_f1
evaluate: {bootstrap_draws: 100}
"""
HF_CODES = {"fine_crackle": "D", "coarse_crackle": "D", "wheeze": "Wheeze", "rhonchus": "Rhonchi"}


@pytest.mark.soak
def test_a_crnn_finds_single_crackles_and_wheezes_of_simulated_patients(snakemake, workflow_dir: Path) -> None:
    root = workflow_dir / "simulated"
    # As hard as the demo: pneumonia from next to nothing to grave.
    recordings = write_dataset(
        "hf_lung",
        root,
        n_patients=60,
        seed=5,
        duration_s=(10.0, 10.0),
        recordings_per_patient=(1, 2),
        severity={"pneumonia": (-0.05, 0.8)},
    )
    for recording in recordings:
        # A listener marks the stretch of several crackles; the simulator knows each.
        rows = [
            f"{HF_CODES[s.kind]} {clock(s.start_s)} {clock(s.end_s)}\n" for s in recording.sounds if s.kind in HF_CODES
        ]
        recording.path.with_name(f"{recording.path.stem}_label.txt").write_text("".join(rows))
    config = workflow_dir / "config"
    (config / "datasets" / "sim.yaml").write_text(f"{{description: simulated, layout: hf_lung, root: {root}}}")
    (config / "tasks" / "sim_events.yaml").write_text(EVENTS_TASK)
    (config / "experiments" / "sim").mkdir()
    (config / "experiments" / "sim" / "single.yaml").write_text(EVENTS_EXPERIMENT)

    finished = snakemake("work/runs/sim/single/1/metrics.json")

    assert finished.returncode == 0, finished.stdout[-6000:]
    by_event = json.loads((workflow_dir / "work/runs/sim/single/1/metrics.json").read_text())["events"]["test"][
        "by_event"
    ]
    assert by_event["wheeze"]["f1"]["value"] >= 0.8
    assert by_event["crackle"]["f1"]["value"] >= 0.7
