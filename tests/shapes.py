"""Pictures of discs and ellipses with label images, some of them touching; drawn from a generator that is handed in."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter
from scipy import ndimage

from auscult.config import DatasetSettings, JobSettings, TaskSettings, paths
from auscult.datasets.ingest import ingest
from auscult.images.make_pictures import make_pictures
from auscult.splits.make_split import make_split

LEAST_PX = 30
"""Of an object: what others leave less of is none."""
GREY, BRIGHT, NOISE = 60.0, 150.0, 12.0
DATASET = {
    "description": "simulated discs and ellipses",
    "layout": "label_images",
    "pattern": "(?P<patient>p[0-9]+)_[0-9]+",
    "columns": {"patient": "patient"},
}
TASK = {
    "description": "Where are discs and ellipses, each with its outline?",
    "type": "objects",
    "targets": ["shape"],
    "level": "recording",
    "aggregate": {"method": "max"},
    "objects": {"boundary_px": 1.5},
    "datasets": {"shapes": {"shape": {"column": "objects", "positive": ["present"], "negative": ["absent"]}}},
}
JOB = {
    "task": "shapes",
    "datasets": ["shapes"],
    "clips": {"unit": "image", "size": 64, "channels": 1},
    "split": {"kind": "patients", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 1},
    "model": {"name": "unet", "channels": 8, "depth": 2},
    "train": {
        "epochs": 16,
        "batch_size": 4,
        "optimizer": {"name": "adam", "lr": 0.02},
        "monitor": "val/object_f1",
        "loss": {"bnd_weight": 2.0},
    },
    "evaluate": {"bootstrap_draws": 100},
}


def draw_labels(rng: np.random.Generator, size: int = 64, n_objects: int = 6) -> np.ndarray:
    """A label image: two discs side by side that touch, and ellipses apart from all others."""
    rows, columns = np.mgrid[:size, :size]
    labels = np.zeros((size, size), dtype=np.uint8)

    def put(row: float, column: float, radii: tuple[float, float], angle: float = 0.0, *, apart: bool = False) -> None:
        x, y = columns - column, rows - row
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
        if not (apart and labels[ndimage.binary_dilation(inside, iterations=3)].any()):
            labels[inside & (labels == 0)] = labels.max() + 1 if labels.max() else 2

    row, column = rng.uniform(20, size - 20, 2)
    angle, radius = rng.uniform(0, 2 * np.pi), 6.5
    put(row, column, (radius, radius))
    put(row + 2 * radius * np.sin(angle), column + 2 * radius * np.cos(angle), (radius, radius))
    for _ in range(n_objects):
        put(*rng.uniform(8, size - 8, 2), tuple(rng.uniform(5, 9, 2)), rng.uniform(0, np.pi), apart=True)
    for value in np.unique(labels[labels > 0]):
        if (labels == value).sum() < LEAST_PX:
            labels[labels == value] = 0
    return labels


def write_shapes(root: Path, rng: np.random.Generator, *, n_patients: int = 16, n_each: int = 4) -> None:
    """Write `images/pNN_N.png` and `labels/pNN_N.png`; every third patient has a picture without an object."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for patient in range(n_patients):
        for number in range(n_each):
            labels = draw_labels(rng)
            if number == 0 and patient % 3 == 0:
                labels[:] = 0
            picture = np.where(labels > 0, BRIGHT, GREY) + rng.normal(0, NOISE, labels.shape)
            name = f"p{patient:02d}_{number}.png"
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(root / "images" / name)
            Image.fromarray(labels).save(root / "labels" / name)


def prepare(folder: Path, rng: np.random.Generator, **how_many: int) -> dict[str, Any]:
    """Write shapes, and their tables, store and split; return what a training reads of them."""
    write_shapes(folder / "raw", rng, **how_many)
    dataset = TypeAdapter(DatasetSettings).validate_python({**DATASET, "root": str(folder / "raw")})
    job, task = JobSettings.model_validate(JOB), TaskSettings.model_validate(TASK)
    ingest(folder / "raw", "shapes", dataset, folder / "tables")
    make_pictures(
        root=folder / "raw",
        dataset="shapes",
        tables_dir=folder / "tables",
        settings=job.clips,
        output=folder / "pictures.h5",
        full_settings=paths.clips_settings(dataset, job.clips),
    )
    tables = {"shapes": folder / "tables"}
    split = folder / "shapes" / "split.csv"
    make_split(tables, job.split, task, split, folder / "shapes" / "split.audit.json")
    return {"features": {"shapes": [folder / "pictures.h5"]}, "tables": tables, "split": split, "task": task}
