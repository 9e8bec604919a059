"""Pictures in idx files, folders and a table become reports, and again: the same predictions to the last bit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tests.idx_files import striped, write_set

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

# The same pictures by their files: a picture of both kinds of stripes carries both labels.
KINDS = ("row", "column", "row+column")
FOLDERS = {
    "description": "striped pictures in folders",
    "layout": "label_folders",
    "root": "folders",
    "holds": "pictures",
    "known_labels": ["row", "column"],
}
LISTED = {
    "description": "striped pictures in a table",
    "layout": "files_csv",
    "root": "listed",
    "holds": "pictures",
}
BOTH = {
    "description": "Which stripes are there?",
    "type": "multi_label",
    "targets": ["row", "column"],
    "level": "recording",
    "datasets": {
        name: {kind: {"column": column, "positive": [kind], "negative": "others"} for kind in ("row", "column")}
        for name, column in (("folders", "label"), ("listed", "type"))
    },
}


def experiment_on(dataset: str) -> dict:
    return {
        **EXPERIMENT,
        "task": "both",
        "datasets": [dataset],
        "split": {"kind": "patients", "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 1},
        "augment": {"picture": [{"name": "colour_jitter", "max_saturation": 0, "max_hue": 0}]},
        "train": {**EXPERIMENT["train"], "epochs": 3, "monitor": "val/exact_match"},
    }


def write_pictures(root: Path) -> None:
    """Write PNG into folders named by label sets, and JPEG with `info.csv`."""
    pictures, labels = striped(np.random.default_rng(8), 20, 3)
    (root / "listed").mkdir()
    rows = ["files,type"]
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = root / "folders" / KINDS[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
        Image.fromarray(picture).save(root / "listed" / f"{number}.jpg")
        rows.append(f"{number}.jpg,{KINDS[label]}")
    (root / "listed" / "info.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_pictures_become_reports_and_the_same_again(snakemake, workflow_dir: Path) -> None:
    write_set(workflow_dir / "raw", np.random.default_rng(7), n_train=70, n_test=30)
    write_pictures(workflow_dir)
    for kind, name, content in (
        ("datasets", "stripes", DATASET),
        ("datasets", "folders", FOLDERS),
        ("datasets", "listed", LISTED),
        ("tasks", "stripes", TASK),
        ("tasks", "both", BOTH),
        ("experiments/stripes", "tiny", EXPERIMENT),
        ("experiments/both", "folders", experiment_on("folders")),
        ("experiments/both", "listed", experiment_on("listed")),
    ):
        path = workflow_dir / "config" / kind / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    done = snakemake("results/stripes/tiny", "results/both/folders", "results/both/listed")
    assert done.returncode == 0, done.stdout[-6000:]
    # No picture was written as a file of its own, and none became a spectrogram.
    assert not (workflow_dir / "work" / "features").exists()
    assert len(list((workflow_dir / "raw").iterdir())) == 4
    result = workflow_dir / "results" / "stripes" / "tiny"
    predictions = pd.read_parquet(result / "1" / "predictions.parquet")
    assert (predictions.query("split == 'test'")["recording_id"].str.startswith("stripes/t10k/")).sum() == 60
    scores = json.loads((result / "1" / "metrics.json").read_text())
    assert scores["test"]["recording"]["multi_class"]["accuracy"]["value"] > 0.9
    assert len(list((result / "1" / "spectrograms").glob("*.png"))) == 2
    report = (result / "report.html").read_text()
    for text in ("28 x 28 pixels", "decoded with Pillow", "pictures in orange"):
        assert text in report, text
    for text in (" kHz", "log-mel", "Spectrogram", "<audio", "waveform,", "same sound", "The sound"):
        assert text not in report, text
    for name in ("folders", "listed"):
        scores = json.loads((workflow_dir / "results" / "both" / name / "1" / "metrics.json").read_text())
        assert {"row", "column"} <= set(scores["test"]["recording"])
        assert (workflow_dir / "results" / "both" / name / "report.html").is_file()
    for folder in ("work", "results"):
        shutil.rmtree(workflow_dir / folder)
    again = "work/runs/stripes/tiny/1/predictions.parquet"
    done = snakemake(again)
    assert done.returncode == 0, done.stdout[-6000:]
    pd.testing.assert_frame_equal(pd.read_parquet(workflow_dir / again), predictions, check_exact=True)
