"""Pictures are learned as sounds are: the same loop, targets and stores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from tests.idx_files import write_set

from auscult.config import DatasetSettings, JobSettings, TaskSettings, paths
from auscult.datasets.ingest import ingest
from auscult.images.make_pictures import make_pictures
from auscult.splits.make_split import make_split
from auscult.storage.tables import read_split
from auscult.training.train import train

TASK = TaskSettings.model_validate(
    {
        "description": "which way",
        "type": "multi_class",
        "targets": ["row", "column", "block"],
        "level": "recording",
        "classes_from": {"stripes": {"column": "label"}},
    }
)
JOB = {
    "task": "stripes",
    "datasets": ["stripes"],
    "clips": {"unit": "image", "size": 28, "channels": 3},
    "split": {"kind": "official", "val_fraction": 0.4, "seed": 1},
    "model": {"name": "test_cnn"},
    "train": {
        "epochs": 40,
        "batch_size": 6,
        "optimizer": {"name": "adam", "lr": 0.03},
        "monitor": "val/accuracy",
        "debug": {"overfit_one_batch": True},
    },
}


def test_one_batch_of_pictures_can_be_learned_by_heart(tmp_path: Path) -> None:
    write_set(tmp_path / "raw", np.random.default_rng(5), n_train=8, n_test=3, n_classes=3)
    written = {"description": "d", "root": "raw", "layout": "idx", "classes": list(TASK.targets)}
    dataset = TypeAdapter(DatasetSettings).validate_python(written)
    job = JobSettings.model_validate(JOB)
    ingest(tmp_path / "raw", "stripes", dataset, tmp_path / "tables")
    store = tmp_path / "pictures.h5"
    make_pictures(
        root=tmp_path / "raw",
        dataset="stripes",
        tables_dir=tmp_path / "tables",
        settings=job.clips,
        output=store,
        full_settings=paths.clips_settings(dataset, job.clips),
    )
    tables, split = {"stripes": tmp_path / "tables"}, tmp_path / "stripes" / "split.csv"
    make_split(tables, job.split, TASK, split, tmp_path / "stripes" / "split.audit.json")
    subsets = read_split(split).groupby("split")["recording_id"].agg(list)
    assert all(name.startswith("stripes/t10k/") for name in subsets["test"])
    assert len(subsets["test"]) == 9
    train(
        features={"stripes": [store]},
        tables=tables,
        split=split,
        job=job,
        task=TASK,
        output_dir=tmp_path / "model",
        device="cpu",
        threads=1,
    )
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert history["train/loss"].iloc[-1] < 0.2 * history["train/loss"].iloc[0]
    assert history["val/accuracy"].iloc[-1] == pytest.approx(1.0)
