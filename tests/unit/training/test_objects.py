"""Pictures go through the same models, losses and loop as sound; what was too hard to annotate counts for nothing."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from tests.shapes import JOB, draw_labels, prepare

from auscult.config import JobSettings, LossSettings, TaskSettings
from auscult.config.model import ModelSettings
from auscult.config.resolve import merge
from auscult.errors import ConfigError, DataError
from auscult.inference import load_model
from auscult.inference.pictures import ENDINGS, predict_pictures
from auscult.models.registry import build_model
from auscult.training import train as training
from auscult.training.batches import TrainingAugmentation
from auscult.training.dataset import load_clip_dataset
from auscult.training.losses import build_map_loss
from auscult.training.session import TrainingStopped

ADAPTER = TypeAdapter(ModelSettings)
TASK = TaskSettings.model_validate(
    {
        "description": "",
        "type": "objects",
        "targets": ["disc"],
        "level": "recording",
        "datasets": {"d": {"disc": {"column": "objects", "positive": ["present"], "negative": ["absent"]}}},
    }
)
LOSSES = ("bce", "focal", "mse", "asymmetric", "dice")


def build(name, shape, **settings):
    values = {"name": name, "channels": 4, "depth": 2, "over_time": "max", **settings}
    return build_model(ADAPTER.validate_python(values), 1, shape, seed=1, learns_maps=True)


@pytest.mark.parametrize("name", ["unet", "dcan"])
@pytest.mark.parametrize("trim", ["resize", "padding", "reflect"])
@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 21, 30), (5, 9, 7)])
def test_maps_have_the_size_of_the_picture_and_those_of_clips_are_their_highest(name, trim, shape) -> None:
    model = build(name, shape, trim=trim).eval()
    pictures = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    maps = model(pictures, as_maps=True)
    assert maps.shape == (2, 2, *shape[1:])
    assert torch.equal(model(pictures)[:, 0], maps[:, 0].flatten(1).amax(dim=1))
    assert model.embed(pictures).shape == (2, model.n_features)


@pytest.mark.parametrize("name", ["unet", "dcan"])
def test_what_is_moved_in_a_picture_moves_in_its_maps(name: str) -> None:
    model = build(name, (1, 32, 32)).eval()
    picture = torch.zeros(1, 1, 32, 32)
    picture[:, :, 8:12, 12:16] = 3.0
    maps = model(picture, as_maps=True)
    # By whole cells of the deepest level: those of the middle, which see no border.
    moved = model(picture.roll((8, 4), dims=(2, 3)), as_maps=True)
    inside = np.s_[:, :, 16:22, 14:22]
    assert torch.allclose(maps.roll((8, 4), dims=(2, 3))[inside], moved[inside], atol=1e-4)
    assert not torch.allclose(maps[inside], moved[inside], atol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_too_hard_changes_neither_loss_nor_gradient(name: str) -> None:
    rng = np.random.default_rng(2)
    maps = rng.integers(-1, 2, (3, 2, 6, 5)).astype(np.int8)
    loss = build_map_loss(maps, TASK, LossSettings(name=name, obj_weight=2, bnd_weight=3), torch.device("cpu"))
    logits = torch.from_numpy(rng.normal(size=maps.shape).astype(np.float32))
    found = []
    for noise in (0.0, 50.0):
        noisy = (logits + noise * torch.from_numpy(maps == -1)).requires_grad_()
        value = loss(noisy, torch.from_numpy(maps)).mean()
        value.backward()
        assert noisy.grad is not None
        assert (noisy.grad[torch.from_numpy(maps == -1)] == 0).all()
        found.append((value.detach(), noisy.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_picture_is_that_of_its_pixels_in_a_row(name: str) -> None:
    rng = np.random.default_rng(3)
    maps = rng.integers(-1, 2, (3, 2, 6, 5)).astype(np.int8)
    logits = torch.from_numpy(rng.normal(size=maps.shape).astype(np.float32))
    settings = LossSettings(name=name, class_weights="none" if name == "dice" else "balanced", bnd_weight=2)
    values = []
    for shape in (maps.shape, (3, 2, 30)):
        loss = build_map_loss(maps.reshape(shape), TASK, settings, torch.device("cpu"))
        found = loss(logits.reshape(shape), torch.from_numpy(maps.reshape(shape)))
        assert int(found.n_known) == loss.count_known(maps.reshape(shape))
        values.append(found.mean())
    assert torch.allclose(values[0], values[1], rtol=1e-6)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("shapes"), np.random.default_rng(7), n_patients=8, n_each=2)


def short_job(**changes):
    return JobSettings.model_validate(
        merge(
            JOB,
            {
                "model": {"channels": 4, "over_time": "max"},
                "train": {"epochs": 2, "monitor": "val/loss", "mode": "min"},
            },
        )
        | changes
    )


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    training.train(**inputs, job=short_job(), output_dir=folder, device="cpu", threads=1)
    return folder


def test_an_interrupted_training_equals_one_that_was_not(inputs, trained, tmp_path, monkeypatch) -> None:
    original = training.Trainer._step
    n_calls = 0

    def stopping(self, *arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(training.Trainer, "_step", stopping)
    with pytest.raises(TrainingStopped):
        training.train(**inputs, job=short_job(), output_dir=tmp_path, device="cpu", threads=1)
    monkeypatch.setattr(training.Trainer, "_step", original)
    training.train(**inputs, job=short_job(), output_dir=tmp_path, device="cpu", threads=1)
    whole, parts = (json.loads((folder / "model.json").read_text()) for folder in (trained, tmp_path))
    assert whole["weights_sha256"] == parts["weights_sha256"]
    assert whole["object_decoding"] == parts["object_decoding"]


def test_the_digest_of_the_data_changes_with_a_label_image(inputs) -> None:
    dataset = load_clip_dataset(inputs["features"], inputs["tables"], inputs["split"], inputs["task"], ("train", "val"))
    before = dataset.digest()
    dataset.objects.labels[0, 0, 0] = 1
    assert dataset.digest() != before


def test_the_stored_model_gives_the_maps_of_its_training(inputs, trained) -> None:
    model = load_model(trained)
    assert model.saved.meta["format_version"] == 7
    assert model.saved.input_shape == (1, 64, 64)
    assert model.saved.meta["normalisation"].keys() == {"mean", "std"}
    dataset = load_clip_dataset(inputs["features"], inputs["tables"], inputs["split"], inputs["task"], ("train",))
    stored = dataset.spectrograms(np.arange(len(dataset)))
    pixels = stored.astype(np.float64)
    assert model.saved.meta["normalisation"]["mean"] == pytest.approx([pixels.mean()])
    assert model.saved.meta["normalisation"]["std"] == pytest.approx([pixels.std()])
    probabilities, maps = model.saved.proba_and_maps(stored[:3])
    assert maps.shape == (3, 2, 64, 64)
    assert probabilities[:, 0] == pytest.approx(maps[:, 0].max(axis=(1, 2)), abs=1e-5)
    with pytest.raises(DataError, match=r"expected \[clip, 1 channels, 64 height, 64 width\]"):
        model.saved.maps(stored[:, :, :32])
    with pytest.raises(ConfigError, match="takes pictures, and here sound is read"):
        model.predict("recording.wav")


def test_maps_of_a_folder_are_written_at_the_size_of_each_picture(trained, tmp_path) -> None:
    rng = np.random.default_rng(1)
    for name, shape in (("a.png", (64, 64)), ("ward/b.jpg", (40, 96))):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "c.png").write_bytes(b"no picture")
    faults = {}
    model, out = load_model(trained), tmp_path / "out"
    found = predict_pictures(
        model, [tmp_path / "in"], maps_dir=out, on_fault=lambda path, why: faults.update({path.name: why})
    )
    assert [Path(file).name for file in found["file"]] == ["a.png", "b.jpg"]
    assert faults.keys() == {"c.png"}
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{n}{e}" for n in ("a.png", "b.jpg") for e in ENDINGS)
    for row, (name, shape) in enumerate((("a.png", (64, 64)), ("b.jpg", (40, 96)))):
        with np.load(out / f"{name}.npz") as held:
            assert {held[key].shape for key in ("objects", "boundaries", "labels")} == {shape}
            for key in ("objects", "boundaries"):
                assert np.array_equal(np.asarray(Image.open(out / f"{name}_{key}.png")), np.rint(255 * held[key]))
            labels = np.asarray(Image.open(out / f"{name}_labels.png"))
            assert np.array_equal(labels, held["labels"])
            assert len(np.unique(labels[labels > 0])) <= found["n_objects"][row]
    with pytest.raises(ConfigError, match="is there already"):
        predict_pictures(model, [tmp_path / "in" / "a.png"], maps_dir=out)
    predict_pictures(model, [tmp_path / "in" / "a.png"], maps_dir=out, is_forced=True)


def test_the_shapes_of_the_tests_touch() -> None:
    labels = draw_labels(np.random.default_rng(0))
    touching = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    assert any(((one > 0) & (other > 0) & (one != other)).any() for one, other in touching)


def test_augmented_pictures_resume_and_learn_what_was_moved_with_them(inputs, tmp_path, monkeypatch) -> None:
    steps = [{"name": name} for name in ("flip", "turn", "rotate", "crop", "brightness_contrast")]
    job = short_job(augment={"picture": steps, "augments": 2})
    options = {**inputs, "job": job, "device": "cpu", "threads": 1}
    training.train(**options, output_dir=tmp_path / "whole")
    training.train(**options, output_dir=tmp_path / "parts", until_epoch=1)
    moved = []
    run = TrainingAugmentation.run

    def spied(self, model, batch, rows, epoch):
        logits, targets = run(self, model, batch, rows, epoch)
        assert logits.shape == targets.shape
        moved.append((targets.numpy() != self._maps[rows.clips]).mean())
        return logits, targets

    monkeypatch.setattr(TrainingAugmentation, "run", spied)
    training.train(**options, output_dir=tmp_path / "parts")
    assert min(moved) > 0.01
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert first == second
