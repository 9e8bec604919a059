import json

import numpy as np
import pandas as pd
import pytest
import torch

from auscult.config.augment import AugmentSettings
from auscult.errors import ConfigError, InfeasibleError
from auscult.examples import load_examples
from auscult.models import load_model
from auscult.training import checkpoint, loop, run

OUTPUTS = ("model.safetensors", "model.json", "history.csv", "metrics.jsonl")
AUGMENT = AugmentSettings.model_validate(
    {
        "spectrogram": [
            {"name": "mask_time", "max_width_frames": 3},
            {"name": "gaussian_noise", "max_deviation": 0.5},
        ]
    }
)
TIMING = ["epoch_s", "data_wait_share", "samples_per_s"]


def train(setup, folder, job=None, **more):
    run.run(**setup.inputs, job=job or setup.job, output_dir=folder, device="cpu", threads=1, **more)


def results(folder):
    """Weights, description and history, without what a clock gives."""
    meta = json.loads((folder / "model.json").read_text())
    for name in TIMING:
        del meta["training"]["at_best_epoch"][name]
    history = pd.read_csv(folder / "history.csv").drop(columns=TIMING)
    return (folder / "model.safetensors").read_bytes(), meta, history.to_csv()


def test_a_training_learns_and_writes_all_it_declares(setup, tmp_path):
    train(setup, tmp_path, setup.with_train(epochs=12, batch_size=4, monitor="val/loss", mode="min"))
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == list(range(1, 13))
    assert {"train/loss", "val/loss", "val/auroc", "lr", "epoch_s", "data_wait_share"} <= set(history.columns)
    assert history["train/loss"].iloc[-1] < history["train/loss"].iloc[0]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["val/loss"] for line in lines] == history["val/loss"].tolist()

    model = load_model(tmp_path)
    assert model.meta["best_epoch"] == history.loc[history["val/loss"].idxmin(), "epoch"]
    assert model.targets == ("sick",)
    assert 0 < model.meta["thresholds"]["sick"] < 1
    assert model.meta["architecture"]["name"] == "test_cnn"

    test = load_examples(setup.features, setup.tables, setup.split, setup.task, ("test",))
    probabilities = model.predict_proba(test.spectrograms(np.arange(len(test))))[:, 0]
    truth = test.targets[:, 0]
    assert probabilities[truth == 1].min() > probabilities[truth == 0].max()


def test_augmentation_changes_the_training_and_is_part_of_what_its_state_is_bound_to(setup, tmp_path):
    augmented = setup.job.model_copy(update={"augment": AUGMENT})
    train(setup, tmp_path / "plain")
    train(setup, tmp_path / "augmented", augmented)
    train(setup, tmp_path / "again", augmented)
    assert results(tmp_path / "augmented") == results(tmp_path / "again")
    assert results(tmp_path / "augmented")[0] != results(tmp_path / "plain")[0]
    # The state of the plain training is in the way, and is not gone on with.
    train(setup, tmp_path / "plain", augmented)
    assert results(tmp_path / "plain") == results(tmp_path / "augmented")


def test_equal_seeds_give_equal_bytes_and_another_seed_others(setup, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(setup, tmp_path / name, setup.with_train(seed=seed))
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert results(tmp_path / "a")[0] != results(tmp_path / "c")[0]


def test_no_global_state_is_left_behind(setup, tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    train(setup, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.get_num_threads() == before[2]


class Killed(BaseException):
    pass


def kill_in_epoch(monkeypatch, epoch, where):
    """Stop the process' work as SIGKILL would: in the middle of an epoch, inside a save, or right after it."""
    if where == "batch":
        original = loop.ResidentBatches.__call__
        seen = []

        def batches(self, order):
            seen.append(1)
            for number, batch in enumerate(original(self, order)):
                # Two passes an epoch: over the training part, then over the validation part.
                if len(seen) == 2 * epoch - 1 and number == 1:
                    raise Killed
                yield batch

        monkeypatch.setattr(loop.ResidentBatches, "__call__", batches)
        return
    original_save = checkpoint.CheckpointStore.save

    def save(self, state):
        if state.epoch == epoch and where == "manifest":

            def write(path, value):
                raise Killed

            monkeypatch.setattr(checkpoint, "write_json", write)
        original_save(self, state)
        if state.epoch == epoch and where == "after":
            raise Killed

    monkeypatch.setattr(checkpoint.CheckpointStore, "save", save)


@pytest.mark.parametrize("where", ["batch", "manifest", "after"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_training_goes_on_bit_for_bit(setup, tmp_path, *, monkeypatch, epoch, where, caplog):
    job = setup.with_train(optimizer={"name": "adamw", "lr": 0.01, "weight_decay": 0.1}, epochs=5)
    job = job.model_copy(update={"augment": AUGMENT})
    train(setup, tmp_path / "whole", job)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, epoch, where)
        with pytest.raises(Killed):
            train(setup, tmp_path / "cut", job)
    assert not (tmp_path / "cut" / "model.json").exists()
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "cut", job)
    finished = epoch if where == "after" else epoch - 1
    assert ("going on after epoch" in caplog.text) == (finished > 0)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_finished_training_writes_its_outputs_again_without_training(setup, tmp_path, monkeypatch):
    train(setup, tmp_path)
    before = results(tmp_path)
    for name in OUTPUTS:
        (tmp_path / name).unlink()
    monkeypatch.setattr(loop.Trainer, "_epoch", lambda *_: pytest.fail("an epoch was trained"))
    train(setup, tmp_path)
    assert results(tmp_path) == before


def test_other_settings_start_afresh_and_say_so(setup, tmp_path, caplog):
    train(setup, tmp_path / "a", setup.with_train(seed=3))
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "a", setup.with_train(seed=4))
    assert "train.seed: 3 -> 4" in caplog.text
    train(setup, tmp_path / "b", setup.with_train(seed=4))
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert len(list((tmp_path / "a" / "state").iterdir())) == 1


def test_a_monitor_that_is_never_defined_is_an_error_with_counts(setup, tmp_path):
    one_sided = pd.read_csv(setup.split)
    health = {row: number % 2 for number, row in enumerate(f"toy/r{number:02d}" for number in range(24))}
    keep = (one_sided["split"] != "val") | (one_sided["recording_id"].map(health) == 0)
    one_sided[keep].to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(InfeasibleError, match=r"val/auroc was defined in none of 4 epochs.*0 positive"):
        run.run(
            setup.features,
            setup.tables,
            tmp_path / "split.csv",
            job=setup.job,
            task=setup.task,
            output_dir=tmp_path / "run",
            device="cpu",
            threads=1,
        )
    assert not (tmp_path / "run" / "model.json").exists()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_diverging_training_says_which_setting_to_lower(setup, tmp_path):
    job = setup.with_train(optimizer={"name": "sgd", "lr": 1e30})
    with pytest.raises(ConfigError, match=r"lower train\.optimizer\.lr"):
        train(setup, tmp_path, job)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(setup, tmp_path):
    with pytest.raises(ConfigError, match="sees no GPU"):
        run.run(**setup.inputs, job=setup.job, output_dir=tmp_path, device="cuda")


def test_an_unknown_device_is_an_error(setup, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'cuda'"):
        run.run(**setup.inputs, job=setup.job, output_dir=tmp_path, device="cudaa")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32", "bf16-mixed", "16-mixed"])
def test_a_gpu_learns_and_goes_on(setup, tmp_path, monkeypatch, caplog, precision):
    job = setup.with_train(epochs=12, batch_size=4, monitor="val/loss", mode="min", precision=precision)
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 6, "after")
        with caplog.at_level("INFO"), pytest.raises(Killed):
            run.run(**setup.inputs, job=job, output_dir=tmp_path, device="cuda")
    assert "in cuda memory" in caplog.text
    run.run(**setup.inputs, job=job, output_dir=tmp_path, device="cuda")
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == list(range(1, 13))
    assert history["val/loss"].min() < history["val/loss"].iloc[0]
    test = load_examples(setup.features, setup.tables, setup.split, setup.task, ("test",))
    spectrograms = test.spectrograms(np.arange(len(test)))
    on_gpu, on_cpu = (load_model(tmp_path, device).predict_proba(spectrograms) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)
