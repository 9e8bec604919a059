import contextlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
from tests.unit.training.conftest import make_setup, spoil

from auscult.config.augment import AugmentSettings
from auscult.config.model import TimmSettings
from auscult.errors import ConfigError, InfeasibleError
from auscult.models import Normalisation, build_model_of, load_model
from auscult.storage.tables import read_recordings, write_parquet
from auscult.training import checkpoint, loop
from auscult.training import train as stage
from auscult.training.checkpoint import Position
from auscult.training.dataset import load_clip_dataset
from auscult.training.optim import Optimization
from auscult.training.sampler import Purpose, Sampler, derive_seed
from auscult.training.session import Stop, StopReason, TrainingStopped

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


def suppress_stopped():
    return contextlib.suppress(TrainingStopped)


def train(setup, folder, job=None, **more):
    stage.train(**setup.inputs, job=job or setup.job, output_dir=folder, device="cpu", threads=1, **more)


def results(folder):
    """Weights, description and history, without what a clock gives."""
    meta = json.loads((folder / "model.json").read_text())
    for name in TIMING:
        del meta["training"]["at_best_epoch"][name]
    del meta["description_sha256"]  # of the times too
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

    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",))
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
    # The state of the plain training is there, and is not resumed.
    train(setup, tmp_path / "plain", augmented)
    assert results(tmp_path / "plain") == results(tmp_path / "augmented")


def test_equal_seeds_give_equal_bytes_and_another_seed_others(setup, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(setup, tmp_path / name, setup.with_train(seed=seed))
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert results(tmp_path / "a")[0] != results(tmp_path / "c")[0]


def test_a_training_on_copies_of_its_stores_equals_one_without_them(setup, tmp_path, monkeypatch):
    node = tmp_path / "node"
    node.mkdir()
    read = []
    monkeypatch.setattr(
        stage,
        "load_clip_dataset",
        lambda features, *rest, **more: read.append(features) or load_clip_dataset(features, *rest, **more),
    )
    train(setup, tmp_path / "plain")
    # Stopped on copies, and gone on with where the stores lie: the state is bound to neither.
    train(setup, tmp_path / "staged", stage_dir=node, until_epoch=2)
    train(setup, tmp_path / "staged")
    assert results(tmp_path / "plain") == results(tmp_path / "staged")
    assert read[0] == read[2] == setup.features
    assert read[1]["toy"][0].is_relative_to(node)
    assert list(node.iterdir()) == []


def test_no_global_state_is_left_behind(setup, tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    train(setup, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.get_num_threads() == before[2]


class Killed(BaseException):
    pass


def kill(monkeypatch, at, where):
    """Stop the process' work as SIGKILL would, at the batch or save at a position: inside it, or right after it."""
    if where == "batch":
        original = loop.Trainer._step

        def step(self, batch, rows, plan):
            loss = original(self, batch, rows, plan)
            if self.at == at:
                raise Killed
            return loss

        monkeypatch.setattr(loop.Trainer, "_step", step)
        return
    original_save = checkpoint.CheckpointStore.save

    def save(self, state):
        if state.at == at and where == "manifest":

            def write(path, value):
                raise Killed

            monkeypatch.setattr(checkpoint, "write_json", write)
        original_save(self, state)
        if state.at == at and where == "after":
            raise Killed

    monkeypatch.setattr(checkpoint.CheckpointStore, "save", save)


ALL_THAT_HAS_A_STATE = {
    "epochs": 5,
    "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "schedules": [
        {"name": "linear_warmup", "length": 3},
        {"name": "cosine", "by": "step"},
        {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5},
    ],
    "ema": {"decay": 0.9},
    "early_stopping": {"patience": 4},
    "accumulate_batches": 2,
    "clip_gradient": {"norm": 1.0},
    "batch_size": 4,
    "save": {"every_steps": 1},
}


@pytest.mark.parametrize(
    ("at", "where", "resumed_at"),
    [
        (Position(1, 1), "batch", None),
        (Position(1, 3), "batch", (1, 2)),
        (Position(3, 4), "batch", (3, 4)),
        (Position(3, 2), "manifest", (3, 0)),
        (Position(3, 4), "after", (3, 4)),
        (Position(4, 0), "after", (4, 0)),
    ],
)
def test_an_interrupted_training_resumes_bit_for_bit(setup, tmp_path, *, monkeypatch, at, where, resumed_at, caplog):
    job = setup.with_train(**ALL_THAT_HAS_A_STATE).model_copy(update={"augment": AUGMENT})
    train(setup, tmp_path / "whole", job)
    with monkeypatch.context() as patch:
        kill(patch, at, where)
        with pytest.raises(Killed):
            train(setup, tmp_path / "cut", job)
    assert not (tmp_path / "cut" / "model.json").exists()
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "cut", job)
    if resumed_at is None:
        assert "resuming" not in caplog.text
    else:
        assert f"resuming in epoch {resumed_at[0]} of 5, after batch {resumed_at[1]}" in caplog.text
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_training_that_pauses_at_epochs_ends_as_one_that_does_not(setup, tmp_path):
    job = setup.with_train(**ALL_THAT_HAS_A_STATE).model_copy(update={"augment": AUGMENT})
    train(setup, tmp_path / "whole", job)
    for epoch in (1, 3):
        train(setup, tmp_path / "paused", job, until_epoch=epoch)
        lines = (tmp_path / "paused" / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == epoch
        progress = json.loads((tmp_path / "paused" / "state" / "progress.json").read_text())
        assert (progress["status"], progress["reason"]) == ("paused", f"epoch {epoch} was asked for")
        assert not (tmp_path / "paused" / "model.json").exists() and not (tmp_path / "paused" / "history.csv").exists()
    # Asked for less than there is: nothing is trained, nothing is lost.
    train(setup, tmp_path / "paused", job, until_epoch=2)
    train(setup, tmp_path / "paused", job, until_epoch=5)
    assert results(tmp_path / "paused") == results(tmp_path / "whole")


def test_a_training_kept_for_a_trial_reads_no_test_row(setup, tmp_path):
    """Whatever stands in the stores and tables of test patients, the trial is the same."""
    whole = make_setup(tmp_path / "whole")
    blind = make_setup(tmp_path / "blind")
    spoil(blind, "test")
    for name, data in {"a": whole, "b": blind}.items():
        train(data, tmp_path / name, until_epoch=2)
    rows = [
        [{key: value for key, value in json.loads(line).items() if key not in TIMING} for line in text.splitlines()]
        for text in ((tmp_path / name / "metrics.jsonl").read_text() for name in ("a", "b"))
    ]
    assert rows[0] == rows[1]


def test_sessions_of_one_batch_each_change_nothing(setup, tmp_path, monkeypatch):
    """Stopped after every batch: between the two batches of one step, and before a validation, too."""
    job = setup.with_train(**ALL_THAT_HAS_A_STATE | {"epochs": 3}).model_copy(update={"augment": AUGMENT})
    train(setup, tmp_path / "whole", job)
    positions = []
    monkeypatch.setattr(Stop, "reason", property(lambda _: StopReason("over", 75)))
    while not (tmp_path / "cut" / "model.json").exists():
        with suppress_stopped():
            train(setup, tmp_path / "cut", job)
        manifests = (tmp_path / "cut" / "state").glob("*/[0-9]*.json")
        positions.append(tuple(int(number) for number in max(manifests).stem.split("-")))
    in_epochs = [(epoch, batch) for epoch in (1, 2, 3) for batch in (1, 2, 3, 4, 5, 0)]
    assert positions == [(epoch + (batch == 0), batch) for epoch, batch in in_epochs]
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_finished_training_writes_its_outputs_again_without_training(setup, tmp_path, monkeypatch):
    train(setup, tmp_path)
    before = results(tmp_path)
    for name in OUTPUTS:
        (tmp_path / name).unlink()
    monkeypatch.setattr(loop.Trainer, "_epoch", lambda *_: pytest.fail("an epoch was trained"))
    train(setup, tmp_path)
    assert results(tmp_path) == before


def test_other_settings_after_a_finished_training_start_afresh_and_say_so(setup, tmp_path, caplog):
    train(setup, tmp_path / "a", setup.with_train(seed=3))
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "a", setup.with_train(seed=4))
    assert "train.seed: 3 -> 4" in caplog.text
    train(setup, tmp_path / "b", setup.with_train(seed=4))
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert len([path for path in (tmp_path / "a" / "state").iterdir() if path.is_dir()]) == 1


def test_other_settings_on_an_unfinished_training_are_refused_unless_fresh(setup, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill(patch, Position(2, 0), "after")
        with pytest.raises(Killed):
            train(setup, tmp_path / "a", setup.with_train(seed=3))
    with pytest.raises(ConfigError, match=r"train\.seed: 3 -> 4.*fresh=true"):
        train(setup, tmp_path / "a", setup.with_train(seed=4))
    # When it is saved is no such setting.
    train(setup, tmp_path / "b", setup.with_train(seed=4))
    train(setup, tmp_path / "a", setup.with_train(seed=4), fresh=True)
    assert results(tmp_path / "a") == results(tmp_path / "b")


def test_a_label_that_changes_between_two_sessions_is_refused(tmp_path, monkeypatch):
    setup = make_setup(tmp_path / "data")
    with monkeypatch.context() as patch:
        kill(patch, Position(2, 0), "after")
        with pytest.raises(Killed):
            train(setup, tmp_path / "run")
    path = setup.tables["toy"] / "recordings.parquet"
    recordings = read_recordings(path)
    recordings.loc[recordings["recording_id"] == "toy/r00", "label_health"] = "sick"
    write_parquet(path, recordings)
    with pytest.raises(ConfigError, match=r"under other settings: data: .*fresh=true"):
        train(setup, tmp_path / "run")


def test_how_often_it_is_saved_may_change(setup, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        kill(patch, Position(2, 0), "after")
        with pytest.raises(Killed):
            train(setup, tmp_path)
    with caplog.at_level("INFO"):
        train(setup, tmp_path, setup.with_train(save={"every_epochs": 3}))
    assert "resuming in epoch 2" in caplog.text


def test_a_monitor_that_cannot_be_defined_is_an_error_with_counts_before_the_first_epoch(setup, tmp_path):
    one_sided = pd.read_csv(setup.split)
    health = {row: number % 2 for number, row in enumerate(f"toy/r{number:02d}" for number in range(24))}
    keep = (one_sided["split"] != "val") | (one_sided["recording_id"].map(health) == 0)
    one_sided[keep].to_csv(tmp_path / "split.csv", index=False)
    inputs = {**setup.inputs, "split": tmp_path / "split.csv", "output_dir": tmp_path / "run", "device": "cpu"}
    with pytest.raises(
        InfeasibleError, match=r"val/auroc is undefined there.*'sick': '0 positive, \d+ negative clips'"
    ):
        stage.train(job=setup.job, **inputs)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    # Its own advice is followed.
    stage.train(job=setup.with_train(epochs=1, monitor="val/loss", mode="min"), **inputs)
    assert (tmp_path / "run" / "model.json").exists()


def test_a_diverging_training_says_which_setting_to_lower(setup, tmp_path):
    job = setup.with_train(optimizer={"name": "sgd", "lr": 1e30}, save={"every_steps": 1})
    with pytest.raises(ConfigError, match=r"lower train\.optimizer\.lr"):
        train(setup, tmp_path, job)
    # What it saved before does not stand in the way of its own advice.
    assert list((tmp_path / "state").glob("previous-*/*.pt"))
    train(setup, tmp_path, setup.with_train(epochs=1))
    assert not list((tmp_path / "state").glob("previous-*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(setup, tmp_path):
    with pytest.raises(ConfigError, match="sees no GPU"):
        stage.train(**setup.inputs, job=setup.job, output_dir=tmp_path, device="cuda")


def test_an_unknown_device_is_an_error(setup, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'cuda'"):
        stage.train(**setup.inputs, job=setup.job, output_dir=tmp_path, device="cudaa")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"precision": "32"}, "in cuda memory"),
        ({"precision": "bf16-mixed"}, "in cuda memory"),
        ({"precision": "16-mixed"}, "in cuda memory"),
        ({"compile": True}, "in cuda memory"),
        ({"batches": {"place": "device"}}, "in cuda memory"),
        ({"batches": {"place": "host"}}, "in cpu memory"),
        ({"batches": {"place": "stream", "window_clips": 12}}, "streamed from the disk by 2 workers"),
    ],
)
def test_a_gpu_learns_and_goes_on(setup, tmp_path, *, monkeypatch, caplog, settings, place):
    job = setup.with_train(epochs=12, batch_size=4, monitor="val/loss", mode="min", **settings)
    with monkeypatch.context() as patch:
        kill(patch, Position(7, 0), "after")
        with caplog.at_level("INFO"), pytest.raises(Killed):
            stage.train(**setup.inputs, job=job, output_dir=tmp_path, device="cuda")
    assert place in caplog.text
    stage.train(**setup.inputs, job=job, output_dir=tmp_path, device="cuda")
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == list(range(1, 13))
    assert history["val/loss"].min() < history["val/loss"].iloc[0]
    test = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("test",))
    spectrograms = test.spectrograms(np.arange(len(test)))
    on_gpu, on_cpu = (load_model(tmp_path, device).predict_proba(spectrograms) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


def test_one_batch_can_be_learned_by_heart(setup, tmp_path):
    job = setup.with_train(epochs=40, batch_size=5, debug={"overfit_one_batch": True})
    train(setup, tmp_path, job)
    meta = load_model(tmp_path).meta["training"]
    assert (meta["n_train"], meta["n_val"]) == (5, 5)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["train/loss"].iloc[-1] < 0.1 * history["train/loss"].iloc[0]
    assert history["val/auroc"].iloc[-1] == 1.0


def test_the_number_of_batches_can_be_limited(setup, tmp_path, monkeypatch):
    seen = []
    original = loop.Trainer._step

    def step(self, batch, rows, plan):
        seen.append(len(plan))
        return original(self, batch, rows, plan)

    monkeypatch.setattr(loop.Trainer, "_step", step)
    train(setup, tmp_path, setup.with_train(epochs=3, batch_size=4, debug={"limit_batches": 2}))
    assert seen == [2] * 6
    assert load_model(tmp_path).meta["training"]["n_val"] == 8


def test_a_trace_is_written_on_demand(setup, tmp_path):
    train(setup, tmp_path, setup.with_train(epochs=2, debug={"profile_batches": 2}))
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    assert any("conv" in event.get("name", "") for event in trace["traceEvents"])
    assert "aten::convolution" in (tmp_path / "profile" / "table.txt").read_text()


def test_validation_every_other_epoch_and_at_the_end(setup, tmp_path):
    train(setup, tmp_path, setup.with_train(epochs=5, eval_every=2, monitor="val/loss", mode="min"))
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["val/loss"].notna().tolist() == [False, True, False, True, True]
    assert history["train/loss"].notna().all()
    assert load_model(tmp_path).meta["best_epoch"] in (2, 4, 5)


def test_it_stops_early_and_stays_so(setup, tmp_path, caplog):
    job = setup.with_train(epochs=30, optimizer={"lr": 1e-9}, early_stopping={"patience": 2, "min_delta": 0.01})
    with caplog.at_level("INFO"):
        train(setup, tmp_path, job)
    assert "stopped after epoch 4" in caplog.text
    before = results(tmp_path)
    train(setup, tmp_path, job)
    assert results(tmp_path) == before


def test_two_batches_of_one_step_are_as_one_batch(setup, tmp_path):
    """Without batch norm's statistics, which are those of a batch: the loss of the first epoch, after several steps."""
    job = setup.with_train(epochs=4, batch_size=10, accumulate_batches=2, optimizer={"name": "sgd", "lr": 0.01})
    whole = setup.with_train(epochs=4, batch_size=20, optimizer={"name": "sgd", "lr": 0.01})
    losses = []
    for name, settings in (("parts", job), ("whole", whole)):
        without_batch_norm = settings.model_copy(update={"model": TimmSettings(name="timm/test_convnext")})
        train(setup, tmp_path / name, without_batch_norm)
        losses.append(pd.read_csv(tmp_path / name / "history.csv")[["train/loss", "val/loss"]].to_numpy())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_the_last_batches_of_an_epoch_make_a_step_when_they_are_fewer(setup, tmp_path):
    """Three batches, two together: the steps of a loop written by hand over the first two, then over the third."""
    sgd = {"name": "sgd", "lr": 0.05, "momentum": 0.0}
    job = setup.with_train(
        epochs=1, batch_size=8, accumulate_batches=2, optimizer=sgd, loss={"class_weights": "none"}
    ).model_copy(update={"model": TimmSettings(name="timm/test_convnext")})
    train(setup, tmp_path, job)

    dataset = load_clip_dataset(setup.features, setup.tables, setup.split, setup.task, ("train",))
    inputs = Normalisation.from_bands(*dataset.normalisation()).apply(
        torch.from_numpy(dataset.spectrograms(np.arange(len(dataset))))
    )
    module = build_model_of(job, 1, seed=derive_seed(job.train.seed, Purpose.WEIGHTS)).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=sgd["lr"])
    first, second, third = Sampler(len(dataset), 8, job.train.seed).plan(1)
    for rows in (np.concatenate([first, second]), third):
        optimizer.zero_grad()
        targets = torch.from_numpy(dataset.targets[rows])
        torch.nn.functional.binary_cross_entropy_with_logits(module(inputs[rows]), targets).backward()
        optimizer.step()
    for ours, expected in zip(load_model(tmp_path).module.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped(setup, tmp_path, monkeypatch):
    norms = []
    original = Optimization.step

    def step(self):
        before = [parameter.detach().clone() for parameter in self.model.parameters()]
        original(self)
        moves = zip(before, self.model.parameters(), strict=True)
        norms.append(sum(float(((new.detach() - old) ** 2).sum()) for old, new in moves) ** 0.5)

    monkeypatch.setattr(Optimization, "step", step)
    sgd = {"name": "sgd", "lr": 1.0, "momentum": 0.0}
    train(setup, tmp_path / "norm", setup.with_train(epochs=1, optimizer=sgd, clip_gradient={"norm": 0.001}))
    assert max(norms) <= 0.001 * 1.01
    norms.clear()
    train(setup, tmp_path / "value", setup.with_train(epochs=1, optimizer=sgd, clip_gradient={"value": 1e-6}))
    assert max(norms) <= 1e-6 * 1000**0.5


@pytest.mark.parametrize("settings", [{"channels_last": False}, {"deterministic": True}])
def test_how_it_is_computed_can_be_set(setup, tmp_path, settings):
    train(setup, tmp_path, setup.with_train(epochs=1, **settings))
    assert not torch.are_deterministic_algorithms_enabled()
    assert (
        load_model(tmp_path).meta["training"]["settings"] | settings
        == load_model(tmp_path).meta["training"]["settings"]
    )


@pytest.mark.parametrize("name", ["mse", "focal", "asymmetric"])
def test_other_losses_and_the_balanced_sampler_learn_too(setup, tmp_path, name):
    loss = {"name": name, "class_weights": "none"}
    train(setup, tmp_path, setup.with_train(epochs=15, batch_size=4, loss=loss, sampler="balanced"))
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["train/loss"].iloc[-1] < 0.7 * history["train/loss"].iloc[0]
    assert history["val/auroc"].max() > 0.9
