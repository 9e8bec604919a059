"""A training whose model, loss, augmentation and steps are the files that the page of plugins shows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.config.test_plugins import write_documented

from auscult.config import JobSettings
from auscult.config.plugins import plugins_used
from auscult.config.train import PluginLossSettings
from auscult.errors import DataError
from auscult.models import load_model
from auscult.storage.files import read_json, sha256_file
from auscult.training import train as training
from auscult.training.losses import build_loss

CHANGES = {
    "model": {"name": "gated_cnn", "dropout": 0.2},
    "augment": {"spectrogram": [{"name": "turn_round"}]},
    "train": {
        "epochs": 3,
        "batch_size": 8,
        "optimizer": {"lr": 0.02},
        "loss": {"name": "squared_hinge"},
        "train_step": {"name": "consistent", "weight": 0.1},
        "test_step": {"name": "both_ways"},
    },
}


@pytest.fixture
def job(setup, tmp_path, monkeypatch) -> JobSettings:
    monkeypatch.chdir(tmp_path)
    write_documented(tmp_path)
    return JobSettings.model_validate({**setup.job.model_dump(mode="json"), **CHANGES})


def test_plugins_train_resume_bit_for_bit_and_decide_as_they_were_judged(setup, job, tmp_path, monkeypatch):
    inputs = {**setup.inputs, "job": job, "device": "cpu", "threads": 1}
    training.train(**inputs, output_dir=tmp_path / "whole")
    for until_epoch in (1, None):
        training.train(**inputs, output_dir=tmp_path / "parts", until_epoch=until_epoch)
    assert sha256_file(tmp_path / "whole/model.safetensors") == sha256_file(tmp_path / "parts/model.safetensors")
    meta = read_json(tmp_path / "whole/model.json")
    assert meta["architecture"]["plugin_sha256"] == sha256_file(Path("plugins/gated.py"))
    assert meta["training"]["at_best_epoch"]["val/auroc"] > 0.9

    saved = load_model(tmp_path / "whole")
    spectrograms = torch.randn(3, *saved.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decided = saved.classifier(spectrograms)
        saved.classifier.test_step = None
        plain = [saved.classifier(inputs) for inputs in (spectrograms, spectrograms.flip(-1))]
    torch.testing.assert_close(decided, (plain[0] + plain[1]) / 2)

    for name in ("gated", "decide_twice"):
        # As in another process: this one has imported the files.
        monkeypatch.setattr("auscult.config.plugins._IMPLEMENTATIONS", {})
        path = Path(f"plugins/{name}.py")
        text = path.read_text()
        path.write_text(f"{text}# another\n")
        with pytest.raises(DataError, match=rf"plugins/{name}\.py:.*the file was changed since"):
            load_model(tmp_path / "whole")
        path.write_text(text)
    assert plugins_used(job)["plugins/hinge.py"] == sha256_file(Path("plugins/hinge.py"))


def test_a_train_step_that_gives_the_loss_trains_as_without_one(setup, job, tmp_path):
    Path("plugins/same.py").write_text(
        "from auscult import plugin\n\n\n@plugin.train_step('same')\n"
        "def same(model, inputs, targets, loss):\n    return loss(model(inputs), targets)\n"
    )
    values = setup.job.model_dump(mode="json")
    steps = ({}, {"train_step": {"name": "same"}})
    for number, step in enumerate(steps):
        of_step = JobSettings.model_validate({**values, "train": {**values["train"], "epochs": 1, **step}})
        folder = tmp_path / str(number)
        training.train(**{**setup.inputs, "job": of_step}, device="cpu", threads=1, output_dir=folder)
    weights = [load_model(tmp_path / str(number)).module.state_dict() for number in range(2)]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_a_loss_knows_of_no_unknown_target_and_of_no_class_weight(setup, job):
    settings = PluginLossSettings.model_validate({"name": "squared_hinge"})
    targets = np.array([[1], [0], [0], [0], [np.nan]], dtype=np.float32)
    loss = build_loss(targets, setup.task, settings, torch.device("cpu"))
    logits = torch.tensor([[0.5], [0.5], [0.0], [-2.0], [9.0]], requires_grad=True)
    found = loss(logits, torch.from_numpy(targets))
    # Positives weigh 4 / (2 x 1), negatives 4 / (2 x 3).
    expected = 2 * 0.25 + (1.5**2 + 1 + 0) * 2 / 3
    assert (found.n_known.item(), found.total.item()) == (4, pytest.approx(expected))
    found.total.backward()
    assert logits.grad[4] == 0 != logits.grad[0]
