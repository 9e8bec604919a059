"""Trainings that read clips: spectrograms computed on the device, or made by the model itself."""

import json
import logging
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from sklearn.metrics import roc_auc_score
from tests.unit.training.conftest import make_setup, spoil
from tests.unit.training.test_train import ALL_THAT_HAS_A_STATE, TIMING, Killed, Position, kill, results, train

from auscult.audio.clip_store import create_clips, to_int16
from auscult.augment import Augmenter, ItemMaker
from auscult.config import JobSettings
from auscult.config.augment import AugmentSettings
from auscult.errors import DataError
from auscult.evaluation.predict import predict
from auscult.models import load_model
from auscult.models.embeddings import embed_clips
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore
from auscult.training import train as stage
from auscult.training.dataset import load_clip_dataset
from auscult.training.rung import run_rung

FRONTENDS = ("mel", "learnable_mel", "linear", "cqt")
MIXED = {
    "spectrogram": [
        {"name": "mask_time", "max_width_frames": 3},
        {"name": "mixup", "quantity": 0.3, "classes": [0, 1], "weight": [0.3, 0.7]},
        {"name": "cutmix", "probability": 0.3, "label": "union"},
    ]
}
HEARD = MIXED | {
    "waveform": [
        {"name": "time_shift", "max_shift_s": 0.2},
        {"name": "augmix", "quantity": 0.2, "functions": ["gain", "pitch_shift"], "weight": [0.3, 0.7]},
        {"name": "coloured_noise", "probability": 0.3},
    ]
}


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """The toy dataset with sound: sick patients carry a louder band around 600 Hz."""
    folder = tmp_path_factory.mktemp("heard")
    setup = make_setup(folder)
    with FeatureStore(setup.features["toy"][0]) as store:
        table = store.table
    sick = table["recording_id"].str[-2:].astype(int).to_numpy() % 2 == 1
    rng = np.random.default_rng(0)
    time_s = np.arange(4000) / 4000
    waveforms = 0.02 * rng.standard_normal((len(table), 4000))
    for frequency_hz in range(300, 901, 50):
        waveforms[sick] += 0.05 * np.sin(2 * np.pi * frequency_hz * time_s + rng.uniform(0, 6, (sick.sum(), 1)))
    clips, features = folder / "clips.h5", folder / "heard.h5"
    settings = {"clips": setup.job.clips.model_dump(mode="json")}
    with create_clips(clips, n_samples=4000, settings=settings) as writer:
        writer.append(table, to_int16(waveforms.astype(np.float32)))
    make_spectrograms(
        clips=clips, settings=setup.job.spectrogram, output=features, full_settings={**settings, "spectrogram": {}}
    )
    return replace(setup, features={"toy": [features]}), {"toy": [clips]}


def job_of(setup, *, model=None, augment=None, **values):
    settings = setup.with_train(**values).model_dump(mode="json")
    settings["model"] |= model or {}
    settings["augment"] = augment or {}
    return JobSettings.model_validate(settings)


def test_spectrograms_computed_in_training_train_the_same_model(heard, tmp_path, caplog):
    setup, clips = heard
    train(setup, tmp_path / "stored", job_of(setup))
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "online", job_of(setup, batches={"frontend": "online"}), clips=clips)
    assert "in cpu memory, spectrograms computed in training" in caplog.text
    stored, online = load_model(tmp_path / "stored"), load_model(tmp_path / "online")
    assert online.takes == "spectrogram"
    # Stored spectrograms are rounded to float16: the answers differ by what that does in some steps.
    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",))
    np.testing.assert_allclose(predict(online, test, 8), predict(stored, test, 8), atol=0.03)
    assert results(tmp_path / "stored")[0] != results(tmp_path / "online")[0]


@pytest.mark.parametrize("name", FRONTENDS)
def test_a_model_with_a_front_end_learns_and_answers_waveforms(heard, tmp_path, name):
    setup, clips = heard
    best = {"monitor": "val/loss", "mode": "min"}
    job = job_of(setup, model={"frontend": {"name": name}, "dropout": 0}, epochs=30, batch_size=4, **best)
    train(setup, tmp_path, job, clips=clips)
    model = load_model(tmp_path)
    assert (model.takes, model.stored_shape, model.meta["format_version"]) == ("waveform", (4000,), 2)
    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",), clips=clips)
    answers = predict(model, test, batch_size=3)[:, 0]
    assert roc_auc_score(test.targets[:, 0], answers) > 0.9
    assert model.embed(test.waveforms([0, 1])).shape == (2, 16)
    with pytest.raises(DataError, match=r"found waveforms of shape \[1, 32, 40\], expected \[clip, 4000 samples\]"):
        model.predict_proba(test.spectrograms([0]))


@pytest.mark.parametrize("batches", [{}, {"place": "stream", "workers": 0, "window_clips": 12}])
@pytest.mark.parametrize("frontend", [None, {"name": "learnable_mel"}])
def test_an_interrupted_training_on_clips_goes_on_bit_for_bit(heard, tmp_path, *, monkeypatch, frontend, batches):
    setup, clips = heard
    batches = batches if frontend else {**batches, "frontend": "online"}
    values = ALL_THAT_HAS_A_STATE | {"epochs": 3, "batches": batches}
    job = job_of(setup, model={"frontend": frontend}, augment=HEARD, **values)
    train(setup, tmp_path / "whole", job, clips=clips)
    with monkeypatch.context() as patch:
        kill(patch, Position(2, 3), "batch")
        with pytest.raises(Killed):
            train(setup, tmp_path / "cut", job, clips=clips)
    train(setup, tmp_path / "cut", job, clips=clips)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize(
    ("frontend", "augment"), [(None, HEARD), ({"name": "learnable_mel"}, {}), ({"name": "mel"}, HEARD)]
)
def test_a_trial_that_reads_clips_reads_no_test_clip(heard, tmp_path, frontend, augment):
    """Whatever sound stands in the stores for test patients, the trial is the same; of validation it is not."""
    rows = {}
    for spoilt in ("nothing", "test", "val"):
        folder = tmp_path / spoilt
        folder.mkdir()
        features, clips = (
            {"toy": [Path(shutil.copy(path, folder)) for path in stores["toy"]]}
            for stores in (heard[0].features, heard[1])
        )
        setup = replace(heard[0], features=features)
        if spoilt != "nothing":
            spoil(setup, spoilt, clips)
        job = job_of(setup, model={"frontend": frontend}, augment=augment, epochs=3)
        assert job.frontend != "stored"
        train_until = partial(train, setup, folder, job, clips=clips)
        run_rung(folder / "epoch2.json", job, 2, lambda epoch, go_on=train_until: go_on(until_epoch=epoch))
        found = json.loads((folder / "epoch2.json").read_text())
        rows[spoilt] = [{key: value for key, value in row.items() if key not in TIMING} for row in found["rows"]]
    assert len(rows["nothing"]) == 2
    assert rows["test"] == rows["nothing"] != rows["val"]


def test_workers_read_clips_too(heard, tmp_path):
    setup, clips = heard
    for workers in (0, 2):
        batches = {"place": "stream", "frontend": "online", "window_clips": 12, "workers": workers}
        train(setup, tmp_path / str(workers), job_of(setup, augment=HEARD, epochs=2, batches=batches), clips=clips)
    without, with_two = results(tmp_path / "0"), results(tmp_path / "2")
    assert (without[0], without[2]) == (with_two[0], with_two[2])


def test_mixed_clips_take_their_partners_from_the_whole_part(heard, tmp_path, caplog):
    setup, _ = heard
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "mixed", job_of(setup, augment=MIXED))
    assert "20 clips to train on and 6 made of them in each epoch" in caplog.text
    train(setup, tmp_path / "again", job_of(setup, augment=MIXED))
    assert results(tmp_path / "mixed") == results(tmp_path / "again")
    train(setup, tmp_path / "plain", job_of(setup))
    assert results(tmp_path / "mixed")[0] != results(tmp_path / "plain")[0]


def test_clip_stores_of_other_clips_are_refused(heard, tmp_path):
    setup, clips = heard
    with FeatureStore(setup.features["toy"][0]) as store:
        table = store.table
    with create_clips(tmp_path / "other.h5", n_samples=4000, settings={}) as writer:
        writer.append(table.iloc[::-1].reset_index(drop=True), np.zeros((len(table), 4000), np.int16))
    with pytest.raises(DataError, match="does not hold the clips of"):
        load_clip_dataset(
            setup.features, setup.tables, setup.split, setup.task, ("test",), clips={"toy": [tmp_path / "other.h5"]}
        )
    examples = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",))
    with pytest.raises(ValueError, match="load_clip_dataset was given none"):
        examples.waveforms([0])
    assert load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",), clips=clips)


def test_waveforms_that_are_augmented_are_read_and_turned_into_spectrograms_in_training(heard, tmp_path, caplog):
    setup, clips = heard
    job = job_of(setup, augment=HEARD)
    assert job.frontend == "online"
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "heard", job, clips=clips)
    assert "20 clips to train on and 10 made of them in each epoch" in caplog.text
    assert "spectrograms computed in training" in caplog.text
    train(setup, tmp_path / "mixed", job_of(setup, augment=MIXED, batches={"frontend": "online"}), clips=clips)
    assert results(tmp_path / "heard")[0] != results(tmp_path / "mixed")[0]


def test_a_training_is_bound_to_the_noise_that_it_mixes_in(heard, tmp_path, caplog):
    setup, clips = heard
    noises, sound = tmp_path / "noises", 0.1 * np.random.default_rng(0).standard_normal(9000)
    noises.mkdir()
    soundfile.write(noises / "ward.wav", sound, 8000)
    augment = {"waveform": [{"name": "background_noise", "folder": str(noises), "probability": 1.0}]}
    job = job_of(setup, augment=augment, epochs=2)
    train(setup, tmp_path / "run", job, clips=clips)
    soundfile.write(noises / "ward.wav", sound[::-1], 8000)
    before = results(tmp_path / "run")[0]
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "run", job, clips=clips)
    assert re.search(r"under other settings and is not used: .*noise", caplog.text)
    assert results(tmp_path / "run")[0] != before


def test_settings_that_contradict_each_other_are_refused(setup):
    with pytest.raises(ValueError, match=r"model\.frontend takes clips"):
        job_of(setup, model={"frontend": {"name": "mel"}}, batches={"frontend": "online"})
    with pytest.raises(ValueError, match=r"augment\.waveform needs clips"):
        job_of(setup, augment=HEARD, batches={"frontend": "stored"})


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("frontend", [None, *({"name": name} for name in FRONTENDS)])
def test_clips_train_on_a_gpu(heard, tmp_path, *, frontend, compiled):
    setup, clips = heard
    job = job_of(setup, model={"frontend": frontend}, augment=HEARD, precision="bf16-mixed", compile=compiled)
    stage.train(**setup.inputs, clips=clips, job=job, output_dir=tmp_path, device="cuda", threads=1)
    assert load_model(tmp_path, "cuda").takes == ("waveform" if frontend else "spectrogram")


@pytest.mark.gpu
@NO_GPU
def test_a_gpu_augments_as_a_cpu_does(setup):
    settings = AugmentSettings.model_validate(HEARD)
    waveforms = 0.1 * torch.randn(12, 4000, generator=torch.Generator().manual_seed(0))
    targets = (np.arange(12) % 2).astype(np.float32)[:, None]
    n_valid = np.full(12, 4000)
    items = ItemMaker(settings, targets, task=setup.task, is_unpadded=n_valid > 0, shape=(8, 10), seed=1).epoch(1)
    rows = items.rows(np.arange(len(items.clips)))
    found = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        augmenter = Augmenter(settings, n_valid=n_valid, n_samples=4000, sample_rate_hz=4000, seed=1, device=device)
        batch = augmenter.batch(items, rows, 1)
        heard = batch.waveforms(waveforms[rows.clips].to(device))
        seen = batch.spectrograms(heard[:, :80].reshape(-1, 8, 10))
        found.append((heard.cpu(), seen.cpu()))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-3, rtol=1e-3)


def test_a_published_encoder_is_loaded_trained_stored_and_read_again(heard, tmp_path, caplog):
    setup, clips = heard
    weights = safetensors.torch.load_file(Path(__file__).parents[1] / "models" / "ast_of_transformers.safetensors")
    path = tmp_path / "published.safetensors"
    safetensors.torch.save_file({name: value for name, value in weights.items() if not name.startswith("test.")}, path)
    settings = setup.with_train(epochs=2, pretrained={"published": str(path)}, freeze="backbone").model_dump(
        mode="json"
    )
    # As many samples, at the rate that the encoder was trained on.
    settings["clips"] |= {"length_s": 0.25, "sample_rate_hz": 16_000}
    settings["model"] = {"name": "published", "encoder": "test_ast"}
    with caplog.at_level(logging.INFO, "auscult"):
        train(setup, tmp_path / "run", JobSettings.model_validate(settings), clips=clips)
    assert "27 tensors arrived as they are, 4 changed, 4 of the file not used, 2 new" in caplog.text
    assert "new: head.linear.bias, head.linear.weight" in caplog.text
    model = load_model(tmp_path / "run")
    assert (model.takes, model.input_shape) == ("waveform", (32, 64))
    stored = model.module.backbone.model.norm.weight
    torch.testing.assert_close(stored, weights["audio_spectrogram_transformer.layernorm.weight"])
    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",), clips=clips)
    assert predict(model, test, batch_size=3).shape == (len(test.clips), 1)


def test_an_encoder_with_a_front_end_is_probed_on_clips(heard, tmp_path):
    setup, clips = heard
    job = job_of(setup, model={"frontend": {"name": "mel"}}, epochs=1)
    train(setup, tmp_path / "encoder", job, clips=clips)
    embed_clips(stored=clips["toy"][0], encoder=tmp_path / "encoder", output=tmp_path / "e.h5", full_settings={})
    probe = {"probe": {"encoder": str(tmp_path / "encoder")}}
    job = JobSettings.model_validate(job.model_dump(mode="json") | probe)
    train(setup, tmp_path / "probe", job, clips=clips, embeddings={"toy": [tmp_path / "e.h5"]})
    model = load_model(tmp_path / "probe")
    assert model.takes == "waveform"
    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",), clips=clips)
    answers = model.predict_proba(test.waveforms(np.arange(len(test))))[:, 0]
    assert roc_auc_score(test.targets[:, 0], answers) > 0.9
