"""docs/from-torch.md: both configurations are read, planned, built, and learn from pictures of their kind."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import timm
import torch
import yaml
from jsonschema import Draft202012Validator
from PIL import Image
from tests.idx_files import striped, write_set

from auscult.config import JobSettings, load_experiment, load_project, paths
from auscult.config.plan import Plan
from auscult.config.project import load_dataset
from auscult.config.resolve import load_task, merge
from auscult.config.schema import experiment_schema
from auscult.datasets.ingest import ingest
from auscult.errors import ConfigError
from auscult.images.make_pictures import make_pictures
from auscult.models import build_model
from auscult.models.layers import make_layer
from auscult.splits.make_split import make_split
from auscult.storage.tables import read_split
from auscult.training.train import train

SIZE = 28
BLOCK = re.compile(r"```yaml\n# (config/(?:datasets|tasks|experiments)/\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def config_dir(project_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration, and what the page adds to it."""
    folder = Path(shutil.copytree(project_dir / "config", tmp_path_factory.mktemp("page") / "config"))
    blocks = BLOCK.findall((project_dir / "docs" / "from-torch.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    for name, text in blocks:
        path = folder.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("group", "name", "n_jobs"), [("fashion", "layers", 4), ("scalograms", "pretrained", 2)])
def test_the_page_is_valid_and_planned(config_dir: Path, group: str, name: str, n_jobs: int) -> None:
    raw = yaml.safe_load((config_dir / "experiments" / group / f"{name}.yaml").read_text())
    assert list(Draft202012Validator(experiment_schema()).iter_errors(raw)) == []
    plan = Plan(config_dir, load_project({}))
    runs = load_experiment(config_dir, group, name).runs
    assert [run.id for run in runs] == [str(number) for number in range(1, n_jobs + 1)]
    files = [plan.files(group, name, run.id) for run in runs]
    assert len({found.split for found in files}) == 1
    assert [len(found.clips) for found in files] == [1] * n_jobs


def test_the_layers_are_those_that_torch_would_build_and_a_channel_that_does_not_fit_is_named(config_dir: Path) -> None:
    model = load_experiment(config_dir, "fashion", "layers").job(1).model
    network = build_model(model, 10, (1, SIZE, SIZE))
    assert [type(layer).__name__ for layer in network.backbone.layers] == [layer.name for layer in model.layers]
    assert network(torch.zeros(2, 1, SIZE, SIZE)).shape == (2, 10)
    assert make_layer(model.layers[3], (16, 14, 14)).in_channels == 16

    path = config_dir / "experiments" / "fashion" / "layers.yaml"
    wrong = config_dir / "experiments" / "fashion" / "wrong.yaml"
    for right, fault, message in (
        ("in_channels: 16", "in_channels: 32", r"layer 4 \(Conv2d\) cannot take maps of \[16 .*in_channels 32, and 16"),
        ("in_features: 1568", "in_features: 3136", r"layer 8 \(Linear\) cannot take 1568 features: .*in_features 3136"),
    ):
        wrong.write_text(path.read_text().replace(right, fault))
        with pytest.raises(ConfigError, match=message):
            load_experiment(config_dir, "fashion", "wrong")
    wrong.unlink()


def prepared(config_dir: Path, folder: Path, group: str, name: str, **changes: object) -> dict[str, Any]:
    """Return all that a training of job 1, changed, is given of the pictures below `raw`."""
    given = load_experiment(config_dir, group, name).job(1).model_dump(mode="json")
    job = JobSettings.model_validate(merge(given, changes))
    dataset, task = load_dataset(config_dir, group), load_task(config_dir, group)
    tables, store, split = folder / "tables", folder / "pictures.h5", folder / "split.csv"
    ingest(folder / "raw", group, dataset, tables)
    make_pictures(
        root=folder / "raw",
        dataset=group,
        tables_dir=tables,
        settings=job.clips,
        output=store,
        full_settings=paths.clips_settings(dataset, job.clips),
    )
    make_split({group: tables}, job.split, task, split, folder / "split.audit.json")
    inputs = {"features": {group: [store]}, "tables": {group: tables}, "split": split}
    return {**inputs, "job": job, "task": task, "device": "cpu", "threads": 1}


def test_the_classifier_of_layers_learns(config_dir: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "raw", np.random.default_rng(5), n_train=6, n_test=2, n_classes=3)
    # Three of the ten pieces of clothing.
    task = yaml.safe_load((config_dir / "tasks" / "fashion.yaml").read_text())
    small = Path(shutil.copytree(config_dir, tmp_path / "config"))
    (small / "tasks" / "fashion.yaml").write_text(yaml.safe_dump({**task, "targets": task["targets"][:3]}))
    changes = {"split": {"val_fraction": 0.4}, "train": {"epochs": 7, "batch_size": 4, "optimizer": {"lr": 0.02}}}
    inputs = prepared(small, tmp_path, "fashion", "layers", **changes)
    train(**inputs, output_dir=tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["train/loss"].iloc[-1] < 0.5 * history["train/loss"].iloc[0]
    assert history.loc[history["val/accuracy"].notna(), "epoch"].tolist() == [2, 4, 6, 7]
    assert history["lr"].iloc[1] == pytest.approx(0.95 * history["lr"].iloc[0])
    # Standardised by the training pictures alone.
    is_in_train = read_split(inputs["split"]).set_index("recording_id")["split"].eq("train")
    with h5py.File(tmp_path / "pictures.h5") as store:
        names = [name.decode() for name in store["table/recording_id"][:]]
        brightness = store["spectrogram"][:][is_in_train[names].to_numpy()].astype(float)
    assert len(brightness) == is_in_train.sum() < len(names)
    stored = json.loads((tmp_path / "run" / "model.json").read_text())["normalisation"]
    assert (stored["mean"][0], stored["std"][0]) == pytest.approx((brightness.mean(), brightness.std()), rel=1e-5)


def test_of_the_pretrained_classifier_the_head_alone_learns(config_dir: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shades, kinds = striped(rng, 16, 3, SIZE)
    for number, (shade, kind) in enumerate(zip(shades, kinds, strict=True)):
        path = tmp_path / "raw" / ("crackle", "normal", "crackle+wheeze")[kind] / f"p{number}_1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([shade, shade // 2, 255 - shade], axis=-1)).save(path)
    weights = timm.create_model("test_resnet", pretrained=False).state_dict()
    safetensors.torch.save_file(weights, tmp_path / "timm.safetensors")
    inputs = prepared(
        config_dir,
        tmp_path,
        "scalograms",
        "pretrained",
        clips={"size": SIZE},
        model={"name": "timm/test_resnet"},
        train={"epochs": 4, "batch_size": 8, "pretrained": {"timm": str(tmp_path / "timm.safetensors")}},
    )
    run, paused = tmp_path / "run", tmp_path / "paused"
    train(**inputs, output_dir=run)
    history = pd.read_csv(run / "history.csv")
    assert history["train/loss"].iloc[-1] < history["train/loss"].iloc[0]
    assert history["val/exact_match"].between(0, 1).all()
    found = safetensors.torch.load_file(run / "model.safetensors")
    for name, tensor in weights.items():
        if f"backbone.model.{name}" in found:
            torch.testing.assert_close(found[f"backbone.model.{name}"], tensor, rtol=0, atol=0)
    assert sum(f"backbone.model.{name}" in found for name in weights) > 10
    standard = timm.get_pretrained_cfg("test_resnet")
    stored = json.loads((run / "model.json").read_text())["normalisation"]
    assert stored["mean"] == pytest.approx([255 * value for value in standard.mean])
    assert stored["std"] == pytest.approx([255 * value for value in standard.std])
    # Every draw belongs to a picture and an epoch: a training that was paused changes pictures in the same way.
    train(**inputs, output_dir=paused, until_epoch=2)
    assert not (paused / "model.safetensors").exists()
    train(**inputs, output_dir=paused)
    assert (paused / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
