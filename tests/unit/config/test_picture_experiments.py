"""What fits an experiment on pictures, what is told at once, and which file stands for what."""

import shutil
from pathlib import Path

import pytest
import yaml

from auscult.config import load_experiment, load_project, paths
from auscult.config.plan import Plan
from auscult.config.resolve import merge
from auscult.errors import ConfigError

DATASET = {"description": "cells", "root": "raw", "layout": "label_images"}
TASK = {
    "description": "Where are the cells?",
    "type": "objects",
    "targets": ["cell"],
    "level": "recording",
    "datasets": {"cells": {"cell": {"column": "objects", "positive": ["present"], "negative": ["absent"]}}},
}
EXPERIMENT = {
    "description": "cells",
    "task": "cells",
    "datasets": ["cells"],
    "clips": {"unit": "image", "size": 64, "channels": 1},
    "split": {"kind": "patients", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}, "seed": 1},
    "model": {"name": "unet"},
    "train": {"monitor": "val/object_f1"},
}


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(project_dir / "config", tmp_path / "config"))
    (folder / "datasets" / "cells.yaml").write_text(yaml.safe_dump(DATASET))
    (folder / "tasks" / "cells.yaml").write_text(yaml.safe_dump(TASK))
    return folder


@pytest.fixture
def load(config_dir: Path):
    path = config_dir / "experiments" / "cells" / "first.yaml"
    path.parent.mkdir()

    def load(**changes):
        path.write_text(yaml.safe_dump(merge(EXPERIMENT, changes)))
        return load_experiment(config_dir, "cells", "first").job(1)

    return load


def test_a_job_on_pictures_says_nothing_of_sound_and_reads_back_as_itself(load) -> None:
    job = load()
    written = job.model_dump(mode="json")
    assert "spectrogram" not in written
    assert written["clips"] == {"unit": "image", "size": [64, 64], "channels": 1, "trim": "resize"}
    assert type(job).model_validate(written) == job
    assert job.model.over_time == "max"
    assert job.frontend == "stored"


def test_one_file_is_clips_and_what_a_model_takes(load, config_dir: Path) -> None:
    job = load()
    plan = Plan(config_dir, load_project({}))
    files = plan.files("cells", "first", "1")
    assert files.clips == files.spectrograms
    (path,) = files.clips["cells"]
    assert path.startswith("work/clips/cells/image_1x64x64-")
    made_with = plan.made_with(path)
    assert made_with["settings"] == job.clips.model_dump(mode="json")
    assert made_with["all"].keys() == {"stage_version", "clips"}
    other = paths.clips_paths("cells", plan.dataset("cells"), load(clips={"trim": "padding"}).clips)
    assert other != [path]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spectrogram": {}}, "spectrogram: pictures (clips.unit: image) have none"),
        ({"jobs": [{}, {"spectrogram": {"n_mels": 32}}]}, "clips.unit: image does not go with spectrogram"),
        ({"model": {"name": "unet", "frontend": {"name": "mel"}}}, "model.frontend (it makes spectrograms of sound)"),
        ({"augment": {"spectrogram": [{"name": "roll_time"}]}}, "their steps change sound; pictures take augment.pic"),
        ({"augment": {"picture": [{"name": "roll_time"}]}}, "unknown augmentation 'roll_time'"),
        (
            {"clips": {"size": [64, 32]}, "augment": {"picture": [{"name": "turn"}]}},
            "turn needs square pictures, and clips.size is 64 x 32; take flip",
        ),
        (
            {"clips": {"channels": 2}, "augment": {"picture": [{"name": "grey"}, {"name": "flip"}]}},
            "grey take grey or colours, and clips.channels is 2; take brightness_contrast",
        ),
        (
            {"train": {"normalise": {"mean": [0.5, 0.4], "std": [0.2]}}},
            "train.normalise: found 2 means and 1 deviations, expected 1 of each (clips.channels)",
        ),
        ({"train": {"normalise": "pretrained"}}, "normalise: pretrained needs a model timm/... and clips.channels: 3"),
        ({"train": {"normalise": "imagenet"}}, "normalise"),
        ({"seeds": [0, 1], "ensemble": True}, "does not go with ensemble"),
        ({"evaluate": {"shifts_s": [0.0, 0.5]}}, "evaluate.shifts_s (it moves sound in time)"),
        ({"model": {"name": "mixednet"}}, "'mixednet' gives no maps of pictures; those that do: unet, dcan"),
        ({"model": {"name": "unet", "over_time": "attention"}}, "attention does not combine maps"),
        ({"train": {"monitor": "val/object_f"}}, "did you mean 'val/object_f1'"),
        ({"clips": {"unit": "window", "size": 64}}, "size, channels: of unit 'image'"),
        ({"clips": {"pad": "zero", "length_s": 3}}, "length_s: of sound"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(load, changes, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(**changes)
    assert text in str(raised.value)


CLASSES = {
    "task": "which",
    "datasets": ["shots"],
    "model": {"name": "test_cnn"},
    "train": {"monitor": "val/auroc"},
}
LAYERS = [{"layer": "Conv2d", "out_channels": 4, "kernel_size": 3}, {"layer": "Linear", "out_features": 8}]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"model": {"name": "timm/resnet18"}}, ""),
        ({"model": {"name": "mixednet"}}, "'mixednet' takes sound alone; those that take pictures: layers, unet, dcan"),
        (
            {"model": {"name": "layers", "layers": LAYERS}},
            "layer 2 (Linear) cannot take maps of [4 channels, 62 high, ",
        ),
        ({"model": {"name": "unet", "over_time": "max"}}, "a picture has no time to decide over"),
        ({"clips": None, "spectrogram": {}}, "'shots' holds pictures, and clips.unit 'window' takes sound"),
    ],
)
def test_pictures_are_classified_by_models_that_take_them(load, config_dir: Path, changes, text: str) -> None:
    folders = {"description": "d", "root": "raw", "layout": "label_folders", "holds": "pictures"}
    (config_dir / "datasets" / "shots.yaml").write_text(yaml.safe_dump(folders))
    rule = {"disc": {"column": "label", "positive": ["disc"], "negative": ["none"]}}
    task = {
        "description": "d",
        "type": "binary",
        "targets": ["disc"],
        "level": "recording",
        "datasets": {"shots": rule},
    }
    (config_dir / "tasks" / "which.yaml").write_text(yaml.safe_dump(task))
    (config_dir / "experiments" / "cells").rename(config_dir / "experiments" / "which")
    path = config_dir / "experiments" / "which" / "first.yaml"
    written = merge(merge(EXPERIMENT, CLASSES), changes)
    path.write_text(yaml.safe_dump({**written, "clips": written["clips"] or {"unit": "window"}}))
    if not text:
        assert load_experiment(config_dir, "which", "first").job(1).clips.is_image
        return
    with pytest.raises(ConfigError) as raised:
        load_experiment(config_dir, "which", "first")
    assert text in str(raised.value)


def test_sound_needs_a_spectrogram_and_another_task(load, config_dir: Path) -> None:
    path = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
    shipped = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in shipped.items() if key != "spectrogram"}))
    with pytest.raises(ConfigError, match="spectrogram: field required"):
        load_experiment(config_dir, "pneumonia", "train2356")
    path.write_text(yaml.safe_dump(merge(shipped, {"train": {"normalise": "training"}})))
    with pytest.raises(ConfigError, match=r"train.normalise is of pictures; of sound each mel band is normalised"):
        load_experiment(config_dir, "pneumonia", "train2356")
    path.write_text(yaml.safe_dump({**shipped, "augment": {"picture": [{"name": "flip"}]}}))
    with pytest.raises(ConfigError, match=r"augment.picture: its steps change pictures"):
        load_experiment(config_dir, "pneumonia", "train2356")
    task = config_dir / "tasks" / "cells.yaml"
    task.write_text(yaml.safe_dump({**TASK, "targets": ["cell", "disc"], "datasets": {}}))
    with pytest.raises(ConfigError, match="has one target"):
        load()
