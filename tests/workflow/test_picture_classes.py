"""Pictures in idx files from a folder to a report, and again: the same predictions to the last bit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.idx_files import write_set

DATASET = {"description": "striped pictures", "layout": "idx", "root": "raw", "classes": ["row", "column"]}
TASK = {
    "description": "Which way do the stripes run?",
    "type": "multi_class",
    "targets": ["row", "column"],
    "level": "recording",
    "classes_from": {"stripes": {"column": "label"}},
}
EXPERIMENT = {
    "description": "stripes",
    "task": "stripes",
    "datasets": ["stripes"],
    "clips": {"unit": "image", "size": 28, "channels": 1},
    "split": {"kind": "official", "val_fraction": 0.25, "seed": 1},
    "model": {"name": "test_cnn"},
    "train": {"epochs": 12, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.02}, "monitor": "val/accuracy"},
    "evaluate": {"bootstrap_draws": 50, "n_examples": 2, "outcomes": {"max_clips": 1}},
    "jobs": [{}],
}


@pytest.mark.slow
def test_idx_files_become_a_report_and_the_same_again(snakemake, workflow_dir: Path) -> None:
    write_set(workflow_dir / "raw", np.random.default_rng(7), n_train=70, n_test=30)
    for kind, name, content in (
        ("datasets", "stripes", DATASET),
        ("tasks", "stripes", TASK),
        ("experiments/stripes", "tiny", EXPERIMENT),
    ):
        path = workflow_dir / "config" / kind / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    done = snakemake("results/stripes/tiny")
    assert done.returncode == 0, done.stdout[-6000:]
    # No picture was written as a file of its own, and none became a spectrogram.
    assert not (workflow_dir / "work" / "features").exists()
    assert len(list((workflow_dir / "raw").iterdir())) == 4
    result = workflow_dir / "results" / "stripes" / "tiny"
    predictions = pd.read_parquet(result / "1" / "predictions.parquet")
    assert (predictions.query("split == 'test'")["recording_id"].str.startswith("stripes/t10k/")).sum() == 60
    scores = json.loads((result / "1" / "metrics.json").read_text())
    assert scores["test"]["recording"]["accuracy"]["value"] > 0.9
    assert len(list((result / "1" / "spectrograms").glob("*.png"))) == 2
    report = (result / "report.html").read_text()
    for text in ("28 x 28 pixels", "decoded with Pillow", "pictures in orange"):
        assert text in report, text
    for text in (" kHz", "log-mel", "Spectrogram", "<audio", "waveform,", "same sound", "The sound"):
        assert text not in report, text
    done = snakemake("results/stripes/tiny", "--forceall")
    assert done.returncode == 0, done.stdout[-6000:]
    pd.testing.assert_frame_equal(
        pd.read_parquet(result / "1" / "predictions.parquet"), predictions, check_exact=True, check_like=False
    )
