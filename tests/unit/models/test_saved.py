import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from auscult.config import JobSettings, TaskSettings
from auscult.errors import ConfigError, DataError
from auscult.models import Normalisation, SavedModel, build_model, describe_model, load_model, save_model
from auscult.models.operating_point import with_operating_point

SHAPE = (32, 40)
RULE = {"column": "x", "positive": ["1"], "negative": "others"}


def make(model="test_cnn", kind="multi_label"):
    common = {"description": "toy", "type": kind, "targets": ["a", "b"], "level": "clip"}
    rules = {} if kind == "multi_class" else {"datasets": {"toy": {"a": RULE, "b": RULE}}}
    task = TaskSettings.model_validate({**common, **rules})
    job = JobSettings.model_validate(
        {
            "task": "toy",
            "datasets": ["toy"],
            "clips": {},
            "spectrogram": {},
            "split": {"kind": "patients"},
            "model": model if isinstance(model, dict) else {"name": model},
        }
    )
    module = build_model(job.model, 2, SHAPE, seed=4)
    module(torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0)))  # moves the running means
    rng = np.random.default_rng(0)
    normalisation = Normalisation.from_bands(rng.normal(-50, 5, SHAPE[0]), rng.uniform(5, 15, SHAPE[0]))
    meta = describe_model(
        module.eval(), normalisation=normalisation, job=job, task=task, input_shape=SHAPE, training={"best_epoch": 3}
    )
    return SavedModel(module, normalisation, {**meta, "thresholds": {"a": 0.25, "b": 0.5}})


@pytest.fixture
def spectrograms():
    return np.random.default_rng(1).normal(-50, 10, (5, *SHAPE)).astype(np.float16)


LAYERS = {
    "name": "layers",
    "layers": [
        {"layer": "Conv2d", "out_channels": 4, "kernel_size": [3, 5], "stride": 2},
        {"layer": "BatchNorm2d"},
        {"layer": "ELU"},
        {"layer": "MaxPool2d", "kernel_size": 3},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 6},
    ],
    "head": {"hidden_size": 5, "activation": "gelu", "layer_norm": True, "dropout": 0.3},
}


@pytest.mark.parametrize("name", ["test_cnn", "mixednet", "timm/resnet10t", LAYERS])
def test_a_round_trip_is_bit_equal(tmp_path, spectrograms, name):
    model = make(name)
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    before, after = model.module.state_dict(), loaded.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(loaded.normalisation.mean_db, model.normalisation.mean_db)
    assert torch.equal(loaded.normalisation.std_db, model.normalisation.std_db)
    assert not loaded.module.training
    assert (loaded.targets, loaded.meta["thresholds"], loaded.input_shape) == (("a", "b"), {"a": 0.25, "b": 0.5}, SHAPE)
    again = load_model(shutil.copytree(tmp_path, tmp_path / "copy"))
    assert (again.predict_proba(spectrograms) == loaded.predict_proba(spectrograms)).all()


def test_probabilities_by_hand(spectrograms):
    model = make()
    normalised = (
        spectrograms.astype(np.float32) - model.normalisation.mean_db.numpy()
    ) / model.normalisation.std_db.numpy()
    logits = model.module(torch.from_numpy(normalised)).detach().double().numpy()
    np.testing.assert_allclose(model.predict_proba(spectrograms), 1 / (1 + np.exp(-logits)), rtol=1e-6)
    classes = make(kind="multi_class").predict_proba(spectrograms)
    np.testing.assert_allclose(classes, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-6)


def test_batches_arrays_and_tensors_give_the_same_answers(spectrograms):
    model = make()
    whole = model.predict_proba(spectrograms)
    np.testing.assert_allclose(model.predict_proba(spectrograms, batch_size=2), whole, rtol=1e-5)
    assert (model.predict_proba(torch.from_numpy(spectrograms)) == whole).all()
    np.testing.assert_array_equal(model.predict_proba(spectrograms.astype(np.float32)), whole)
    assert model.predict_proba(spectrograms[:0]).shape == (0, 2)


def test_embeddings_of_a_loaded_model(tmp_path, spectrograms):
    model = make(LAYERS)
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    normalised = loaded.normalisation.apply(torch.from_numpy(spectrograms))
    for layer, width in (("backbone", 6), ("head", 5)):
        embeddings = loaded.embed(spectrograms, layer, batch_size=2)
        assert (embeddings.shape, embeddings.dtype) == ((5, width), np.float32)
        expected = loaded.module.embed(normalised, layer).detach().numpy()
        np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-5)
        assert loaded.embed(spectrograms[:0], layer).shape == (0, width)
    with pytest.raises(ConfigError, match="unknown layer of embeddings 'neck'"):
        loaded.embed(spectrograms, "neck")


def test_spectrograms_of_another_shape_are_refused(spectrograms):
    with pytest.raises(DataError, match=r"shape \[5, 32, 39\], expected \[clip, 32 mel, 40 frames\]"):
        make().predict_proba(spectrograms[:, :, 1:])


def test_a_flat_band_is_not_blown_up():
    normalisation = Normalisation.from_bands(np.array([-100.0]), np.array([0.0]))
    assert normalisation.apply(torch.full((1, 1, 2), -99.0)).max() == pytest.approx(10.0, rel=1e-5)


def test_maps_of_targets_are_applied_to_arrays_and_to_embeddings(spectrograms, tmp_path):
    model = make()
    knots = {"target": "b", "logits": [-0.2, 0.1], "probabilities": [0.05, 0.6]}
    calibration = {"method": "isotonic", "maps": [{"target": "a", "slope": 0.5, "intercept": -1.0}, knots]}
    meta = with_operating_point(model.meta, {"calibration": calibration, "temperature": 1.0})
    assert (model.meta["format_version"], meta["format_version"]) == (1, 5)
    save_model(tmp_path, SavedModel(model.module, model.normalisation, meta))
    loaded = load_model(tmp_path)
    logits = loaded.logits(spectrograms).astype(np.float64)
    found = loaded.predict_proba(spectrograms)
    assert found[:, 0] == pytest.approx(1 / (1 + np.exp(1.0 - 0.5 * logits[:, 0])))
    assert found[:, 1] == pytest.approx(np.interp(logits[:, 1], [-0.2, 0.1], [0.05, 0.6]))
    assert loaded.predict_proba_of_embeddings(loaded.embed(spectrograms)) == pytest.approx(found, abs=1e-5)


def change_meta(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def remove_key(folder):
    path = folder / "model.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "targets"}))


def flip(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def other_weights(folder):
    weights = {"w": torch.zeros(3)}
    safetensors.torch.save_file(weights, folder / "model.safetensors")


def consistent_but_wrong(folder):
    from auscult.storage.files import sha256_file

    other_weights(folder)
    change_meta(folder, weights_sha256=sha256_file(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "model.json: no such file"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: no such file"),
        (lambda folder: (folder / "model.json").write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / "model.json").write_text("{}"), "not the description of a model"),
        (lambda folder: change_meta(folder, format_version=10), "format version 10, this installation reads up to 9"),
        (remove_key, r"the keys \['targets'\] are missing"),
        (flip, "damaged, or the two files belong to different models"),
        (other_weights, "damaged, or the two files belong to different models"),
        (consistent_but_wrong, "do not make a model"),
        (lambda folder: change_meta(folder, architecture={"name": "mixnet"}), "do not make a model"),
        (lambda folder: change_meta(folder, input_shape=[32]), "do not make a model"),
        (
            lambda folder: change_meta(folder, calibration={"method": "platt", "maps": [{"target": "a"}]}),
            r"do not make a model: calibration has maps of \['a'\], expected \['a', 'b'\]",
        ),
    ],
)
def test_damage_is_named(tmp_path, harm, message):
    save_model(tmp_path, make())
    harm(tmp_path)
    with pytest.raises(DataError, match=message):
        load_model(tmp_path)
