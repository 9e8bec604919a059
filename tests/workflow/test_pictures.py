"""Simulated shapes from a folder to a report: found to the pixel, touching ones told apart, by U-Net and DCAN."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tests.shapes import DATASET, JOB, TASK, write_shapes

EXPERIMENT = {
    **{key: value for key, value in JOB.items() if key != "datasets"},
    "description": "shapes",
    "datasets": ["shapes"],
    "jobs": [{}, {"model": {"name": "dcan", "channels": 8, "depth": 2}}],
}


@pytest.mark.soak
@pytest.mark.slow
def test_touching_shapes_are_found_and_told_apart(snakemake, workflow_dir: Path) -> None:
    write_shapes(workflow_dir / "raw", np.random.default_rng(7))
    config = workflow_dir / "config"
    for kind, name, content in (
        ("datasets", "shapes", {**DATASET, "root": "raw"}),
        ("tasks", "shapes", TASK),
        ("experiments/shapes", "found", EXPERIMENT),
    ):
        path = config / kind / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    done = snakemake("results/shapes/found")
    assert done.returncode == 0, done.stdout[-6000:]
    assert not (workflow_dir / "work" / "features").exists()
    result = workflow_dir / "results" / "shapes" / "found"
    for job in ("1", "2"):
        scores = json.loads((result / job / "metrics.json").read_text())["objects"]["test"]
        assert scores["objects"]["iou"]["value"] > 0.9
        assert scores["separated"]["f1"]["value"] > 0.9
        assert scores["n"]["true"] > 50
        decoding = json.loads((result / job / "model.json").read_text())["object_decoding"]
        assert decoding["boundary"] is not None
        pictures = pd.read_csv(result / job / "objects.csv")
        assert set(pictures["split"]) == {"val", "test"}
        assert (result / job / "figures" / "object_maps.svg").is_file()
    report = (result / "report.html").read_text()
    for text in ("Objects in pictures", "cut at boundaries of probability", "64 x 64 pixels", "decoded with Pillow"):
        assert text in report, text
    # With its blank: pictures inside the page are letters of any order.
    for text in (" kHz", "log-mel"):
        assert text not in report, text
    require_told_apart(workflow_dir, result / "1")


def require_told_apart(workflow_dir: Path, model: Path) -> None:
    """Predict the folder, and check that pairs of touching objects are two in nearly all pictures of the test set."""
    command = [
        sys.executable,
        "-m",
        "auscult",
        "predict",
        str(model),
        "raw/images",
        "--maps",
        "found",
        "--format",
        "csv",
    ]
    done = subprocess.run(command, cwd=workflow_dir, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    test = pd.read_csv(model / "objects.csv").query("split == 'test'")
    n_apart = n_pairs = 0
    for name in test["recording_id"].str.rsplit("/", n=1).str[-1]:
        true = np.asarray(Image.open(workflow_dir / "raw" / "labels" / f"{name}.png"))
        found = np.asarray(Image.open(workflow_dir / "found" / f"{name}.png_labels.png"))
        assert found.shape == true.shape
        for one, other in touching_pairs(true):
            n_pairs += 1
            most = [np.bincount(found[true == value]).argmax() for value in (one, other)]
            n_apart += most[0] != most[1] and 0 not in most
    assert n_pairs > 10
    assert n_apart / n_pairs > 0.8, (n_apart, n_pairs)


def touching_pairs(labels: np.ndarray) -> set[tuple[int, int]]:
    """The values of objects that touch with a side."""
    beside = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    return {
        (int(min(a, b)), int(max(a, b)))
        for one, other in beside
        for a, b in zip(one[one != other], other[one != other], strict=True)
        if a and b
    }
