"""A device that can be heard in the recordings: the probe for shortcuts finds it, and the report warns."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult_simulate.diseases import DISEASES
from auscult_simulate.write import write_dataset

pytestmark = pytest.mark.slow

TONE_HZ = 900.0
EXPERIMENT = """
description: A device that hums, or does not
task: ward
define:
  task:
    description: Does the patient have pneumonia?
    type: binary
    level: patient
    targets: [pneumonia]
    datasets: {ward: {pneumonia: {column: diagnosis, positive: [pneumonia], negative: others}}}
  datasets:
    ward:
      description: The ward's recordings
      layout: manifest
      root: collections/ward
      manifest: ward.csv
      columns: {path: file, patient: patient, device: device, labels: {diagnosis: diagnosis}}
datasets: [ward]
clips: {unit: window, length_s: 3, sample_rate_hz: 4000}
spectrogram: {n_fft: 256, hop_samples: 128, n_mels: 32}
split: {kind: patients, fractions: {train: 0.5, val: 0.3, test: 0.2}, seed: 2}
model: {name: mixednet, channels: [8, 16, 32, 32]}
train: {epochs: 15, batch_size: 16, optimizer: {name: adam, lr: 3.0e-3}}
evaluate: {bootstrap_draws: 500, n_examples: 1, outcomes: {max_clips: 1}}
"""


def write_ward(folder: Path, *, hums: bool) -> None:
    """Recordings of 140 patients by one of two devices, of which the ill were mostly recorded by one; it may hum."""
    rng = np.random.default_rng(4)
    written = write_dataset(
        "bd",
        folder,
        n_patients=140,
        seed=5,
        duration_s=(3.2, 3.6),
        recordings_per_patient=(1, 1),
        severity=dict.fromkeys(DISEASES, (0.1, 0.5)),
    )
    shares = {recording.patient.patient_id: 0.75 if recording.disease == "pneumonia" else 0.25 for recording in written}
    devices = {patient: "humming" if rng.random() < share else "quiet" for patient, share in shares.items()}
    with (folder / "ward.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "patient", "device", "diagnosis"])
        for recording in written:
            device = devices[recording.patient.patient_id]
            if hums and device == "humming":
                waveform, rate_hz = soundfile.read(recording.path)
                tone = np.sin(2 * np.pi * TONE_HZ * np.arange(len(waveform)) / rate_hz)
                louder = np.clip(waveform + 2 * np.std(waveform) * tone, -1, 1)
                soundfile.write(recording.path, louder, rate_hz, subtype="PCM_16")
            file = recording.path.relative_to(folder).as_posix()
            table.writerow([file, recording.patient.patient_id, device, recording.disease])


@pytest.mark.parametrize("hums", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_a_device_that_hums_is_told_from_the_embeddings_and_one_that_does_not_is_not(
    snakemake, workflow_dir: Path, tmp_path_factory, hums: bool
) -> None:
    raw = tmp_path_factory.mktemp("ward") / "raw"
    write_ward(raw, hums=hums)
    path = workflow_dir / "config" / "experiments" / "ward" / "hum.yaml"
    path.parent.mkdir()
    path.write_text(EXPERIMENT, encoding="utf-8")

    finished = snakemake("results/ward/hum", "--config", f"roots={{ward: {raw}}}")

    assert finished.returncode == 0, finished.stdout[-6000:]
    result = workflow_dir / "results" / "ward" / "hum"
    found = json.loads((result / "1" / "metrics.json").read_text())["baselines"]["shortcuts"]["device"]
    page, text = ((result / name).read_text() for name in ("report.html", "1/report.txt"))
    if hums:
        assert found["auroc"]["value"] > 0.95
        assert "shortcut possible" in page
        assert "WARNING: Among patients of the same label the embeddings tell device" in text
    else:
        # The device goes with the label, which the embeddings do tell: of the same label nothing is left.
        assert found["auroc_any_label"]["value"] > found["auroc"]["value"]
        assert found["auroc"]["value"] == pytest.approx(0.5, abs=0.15)
        assert "shortcut possible" not in page
        assert "WARNING" not in text
