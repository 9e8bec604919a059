import itertools
import logging

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import timm
import torch
from tests.unit.training.test_train import TIMING, results, train
from timm.layers import resample_abs_pos_embed

from auscult.config import TestCnnSettings
from auscult.config.model import HeadSettings, TimmSettings
from auscult.config.train import PretrainedSettings, TrainSettings
from auscult.errors import ConfigError, DataError
from auscult.models import build_model, load_model
from auscult.storage.files import sha256_file
from auscult.training.checkpoint import read_finished
from auscult.training.pretrained import load_pretrained, pretrained_digest
from auscult.training.validation import BestEpoch

SHAPE = (64, 96)
TIMM = TimmSettings(name="timm/test_convnext")
CNN = TestCnnSettings(name="test_cnn")


def weights_of(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def changed(before, after):
    """The parts in which anything changed."""
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def weights_by_epoch(monkeypatch):
    seen = []
    original = BestEpoch.take

    def take(self, epoch, metrics, module):
        seen.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
        original(self, epoch, metrics, module)

    monkeypatch.setattr(BestEpoch, "take", take)
    return seen


def test_a_frozen_backbone_stays_as_it_is_statistics_too_until_it_thaws(setup, tmp_path, monkeypatch):
    seen = weights_by_epoch(monkeypatch)
    train(setup, tmp_path, setup.with_train(epochs=4, freeze="backbone", thaw_epoch=3))
    assert [changed(old, new) for old, new in itertools.pairwise(seen)] == [
        {"head"},
        {"backbone", "head"},
        {"backbone", "head"},
    ]
    assert load_model(tmp_path).meta["n_parameters"] == sum(
        parameter.numel() for parameter in build_model(setup.job.model, 1, (32, 40)).parameters()
    )


def test_what_cannot_be_frozen_is_refused(setup, tmp_path):
    with pytest.raises(ConfigError, match="no part 'frontend'; it has backbone, head"):
        train(setup, tmp_path, setup.with_train(freeze="frontend"))
    with pytest.raises(ValueError, match="nothing is frozen"):
        TrainSettings(thaw_epoch=3)


def test_a_training_starts_from_an_earlier_result(setup, tmp_path, monkeypatch):
    train(setup, tmp_path / "first", setup.with_train(epochs=2))
    first = weights_of(tmp_path / "first")
    start = {"result": str(tmp_path / "first")}
    tiny = {"lr": 1e-12}
    seen = weights_by_epoch(monkeypatch)
    train(setup, tmp_path / "all", setup.with_train(epochs=1, pretrained=start, optimizer=tiny))
    for name in ("backbone.convolution.weight", "head.linear.weight"):
        torch.testing.assert_close(seen[0][name], first[name])
    backbone = {**start, "parts": "backbone"}
    train(setup, tmp_path / "part", setup.with_train(epochs=1, pretrained=backbone, optimizer=tiny))
    torch.testing.assert_close(seen[1]["backbone.convolution.weight"], first["backbone.convolution.weight"])
    assert not torch.allclose(seen[1]["head.linear.weight"], first["head.linear.weight"])
    # The file is part of what the state is bound to: another one is another training.
    train(setup, tmp_path / "first", setup.with_train(epochs=3))
    before = results(tmp_path / "all")[0]
    train(setup, tmp_path / "all", setup.with_train(epochs=1, pretrained=start, optimizer=tiny))
    assert results(tmp_path / "all")[0] != before


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    module = build_model(CNN, 1, SHAPE)
    other = build_model(CNN, 3, SHAPE, seed=1)
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(other.state_dict(), path)
    with pytest.raises(DataError, match=r"head.linear.weight is \[3, 16\], expected \[1, 16\].*parts: backbone"):
        load_pretrained(module, PretrainedSettings(weights=str(path)), CNN, SHAPE)
    load_pretrained(module, PretrainedSettings(weights=str(path), parts="backbone"), CNN, SHAPE)
    assert torch.equal(module.backbone.convolution.weight, other.backbone.convolution.weight)
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match="no readable weights"):
        load_pretrained(module, PretrainedSettings(weights=str(path)), CNN, SHAPE)
    with pytest.raises(ValueError, match="one of result, weights, timm and published; found none"):
        PretrainedSettings()


def test_a_missing_file_is_reported_before_anything_is_trained(setup, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        train(setup, tmp_path, setup.with_train(pretrained={"weights": str(tmp_path / "absent.safetensors")}))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_pretrained_weights_of_timm_are_fitted_to_one_channel(tmp_path, suffix):
    colours = timm.create_model("test_convnext", pretrained=False, num_classes=5)
    path = tmp_path / f"pretrained{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": colours.state_dict()}, path)
    else:
        safetensors.torch.save_file(colours.state_dict(), path)
    module = build_model(TIMM, 1, SHAPE)
    load_pretrained(module, PretrainedSettings(timm=str(path)), TIMM, SHAPE)
    # A grey picture gives the features of the same picture in three equal colours.
    grey = torch.randn(2, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    colours.reset_classifier(0)
    with torch.no_grad():
        expected = colours.eval()(grey.expand(-1, 3, -1, -1))
        found = module.eval().backbone(grey[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "n_as_is", "resampled"),
    [
        ("vit_tiny_patch16_224", 148, ["pos_embed [1, 197, 192] resampled to [1, 161, 192]"]),
        ("deit_tiny_patch16_224", 148, ["pos_embed [1, 197, 192] resampled to [1, 161, 192]"]),
        (
            "swin_tiny_patch4_window7_224",
            168,
            [
                f"layers.3.blocks.{block}.attn.relative_position_bias_table [169, 24] resampled to [91, 24]"
                for block in (0, 1)
            ],
        ),
        ("eva02_tiny_patch14_224", 160, ["pos_embed [1, 257, 192] resampled to [1, 231, 192]"]),
    ],
)
def test_timms_weights_are_loaded_at_the_spectrograms_size_and_the_log_says_what_was_resampled(
    tmp_path, caplog, name, n_as_is, resampled
):
    path = tmp_path / "weights.safetensors"
    weights = timm.create_model(name, pretrained=False).state_dict()
    safetensors.torch.save_file(weights, path)
    settings = TimmSettings(name=f"timm/{name}")
    module = build_model(settings, 1, (128, 311))
    with caplog.at_level(logging.INFO, "auscult"):
        load_pretrained(module, PretrainedSettings(timm=str(path)), settings, (128, 311))
    assert f"{n_as_is} tensors arrived as they are, {1 + len(resampled)} changed" in caplog.text
    assert "self-test: features of loaded weights differ from those of random ones by" in caplog.text
    for change in [*resampled, "summed over its colour channels"]:
        assert change in caplog.text
    assert caplog.text.count("resampled to") == len(resampled)
    # Independent of the loader's own account: each tensor is the file's, the resampled ones excepted.
    loaded = module.backbone.model.state_dict()
    other = {name for name in loaded if loaded[name].shape != weights[name].shape}
    assert len(other) == 1 + len(resampled)
    assert all(torch.equal(loaded[name], weights[name]) for name in loaded.keys() - other)
    if "pos_embed" in other:
        grid = module.backbone.model.patch_embed.grid_size
        table = resample_abs_pos_embed(weights["pos_embed"], list(grid))
        assert torch.equal(loaded["pos_embed"], table)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w.pop("blocks.1.attn.qkv.weight"), r"1 missing \(blocks.1.attn.qkv.weight\)$"),
        (
            lambda w: w.update({"blocks.1.attn.QKV.weight": w.pop("blocks.1.attn.qkv.weight")}),
            r'Missing key\(s\).*"blocks.1.attn.qkv.weight".*Unexpected key\(s\).*"blocks.1.attn.QKV.weight"',
        ),
        (
            lambda w: w.update({"blocks.1.attn.qkv.weight": w["blocks.1.attn.qkv.weight"].T.contiguous()}),
            "size mismatch for blocks.1.attn.qkv.weight",
        ),
        (lambda w: w.update({"blocks.9.norm1.weight": torch.ones(64)}), 'Unexpected.*"blocks.9.norm1.weight"'),
    ],
)
def test_a_missing_a_renamed_and_a_transposed_tensor_of_timms_are_refused_by_name(tmp_path, spoil, said):
    path = tmp_path / "spoilt.safetensors"
    weights = timm.create_model("test_vit", pretrained=False).state_dict()
    spoil(weights)
    safetensors.torch.save_file(weights, path)
    settings = TimmSettings(name="timm/test_vit")
    module = build_model(settings, 1, SHAPE)
    with pytest.raises(DataError, match=said):
        load_pretrained(module, PretrainedSettings(timm=str(path)), settings, SHAPE)


def test_a_square_tensor_that_was_transposed_is_refused_by_the_digest_of_the_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = timm.create_model("test_vit", pretrained=False).state_dict()
    safetensors.torch.save_file(weights, path)
    settings = PretrainedSettings(timm=str(path), sha256=sha256_file(path))
    assert pretrained_digest(settings) == settings.sha256
    square = weights["blocks.1.attn.proj.weight"]
    assert square.shape[0] == square.shape[1]
    safetensors.torch.save_file({**weights, "blocks.1.attn.proj.weight": square.T.contiguous()}, path)
    with pytest.raises(DataError, match=rf"another file than .*expected {settings.sha256}"):
        pretrained_digest(settings)
    with pytest.raises(ValueError, match="sha256 is of a file"):
        PretrainedSettings(result="results/a/b/1", sha256="0" * 64)


def test_timms_weights_belong_to_timms_models(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit", pretrained=False).state_dict(), path)
    with pytest.raises(ConfigError, match="test_cnn is not from timm"):
        load_pretrained(build_model(CNN, 1, SHAPE), PretrainedSettings(timm=str(path)), CNN, SHAPE)
    with pytest.raises(DataError, match="of another architecture than timm/test_convnext"):
        load_pretrained(build_model(TIMM, 1, SHAPE), PretrainedSettings(timm=str(path)), TIMM, SHAPE)


def test_a_hub_that_is_out_of_reach_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    module = build_model(TIMM, 1, SHAPE)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(DataError, match=r"could not be downloaded \(OSError: no network\); download them elsewhere"):
        load_pretrained(module, PretrainedSettings(timm="hub"), TIMM, SHAPE)


def test_weights_with_which_a_model_answers_as_with_random_ones_are_refused(tmp_path):
    path = tmp_path / "untrained.safetensors"
    safetensors.torch.save_file(build_model(CNN, 1, SHAPE, seed=7).state_dict(), path)
    with pytest.raises(DataError, match="features of loaded weights are those of random ones"):
        load_pretrained(build_model(CNN, 1, SHAPE, seed=7), PretrainedSettings(weights=str(path)), CNN, SHAPE)
    spoilt = build_model(CNN, 1, SHAPE).state_dict()
    spoilt["backbone.convolution.weight"].fill_(torch.nan)
    safetensors.torch.save_file(spoilt, path)
    with pytest.raises(DataError, match="NaN or infinite"):
        load_pretrained(build_model(CNN, 1, SHAPE), PretrainedSettings(weights=str(path)), CNN, SHAPE)


def test_a_file_that_does_not_fit_is_refused_before_any_data_are_read(setup, tmp_path, monkeypatch):
    path = tmp_path / "other.pth"
    torch.save({"model": {"backbone.other": torch.zeros(3)}}, path)
    monkeypatch.setattr("auscult.training.train.load_clip_dataset", lambda *_, **__: pytest.fail("data were read"))
    with pytest.raises(DataError, match="weights of another model than test_cnn"):
        train(setup, tmp_path / "run", setup.with_train(pretrained={"weights": str(path)}))
    torch.save({"model": {"backbone.other": 3}}, path)
    with pytest.raises(DataError, match="expected tensors by their names"):
        train(setup, tmp_path / "run", setup.with_train(pretrained={"weights": str(path)}))


GOING_ON = {
    "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9},
    "schedules": [{"name": "exponential", "gamma": 0.8}, {"name": "reduce_on_plateau", "factor": 0.5, "patience": 0}],
    "ema": {"decay": 0.9},
}


@pytest.fixture(scope="module")
def two_epochs(setup, tmp_path_factory):
    """A training that ended after two epochs."""
    folder = tmp_path_factory.mktemp("two")
    train(setup, folder, setup.with_train(epochs=2, **GOING_ON))
    return folder


def test_two_epochs_and_two_more_are_four(setup, two_epochs, tmp_path):
    train(setup, tmp_path / "four", setup.with_train(epochs=4, **GOING_ON))
    state = {"result": str(two_epochs), "state": True}
    job = setup.with_train(epochs=4, pretrained=state, **GOING_ON)
    train(setup, tmp_path / "more", job)
    whole, more = (pd.read_csv(tmp_path / name / "history.csv").drop(columns=TIMING) for name in ("four", "more"))
    assert more["epoch"].tolist() == [3, 4]
    pd.testing.assert_frame_equal(more, whole.iloc[2:].reset_index(drop=True), check_exact=True)
    ends = [read_finished(tmp_path / name / "state").checkpoint.state for name in ("four", "more")]
    for name, tensor in ends[0]["model"].items():
        assert torch.equal(tensor, ends[1]["model"][name]), name
    assert ends[0]["optimization"]["n_steps"] == ends[1]["optimization"]["n_steps"]
    # Without the state it is another training, and the best weights are where it starts.
    train(setup, tmp_path / "anew", setup.with_train(epochs=2, pretrained={"result": str(two_epochs)}, **GOING_ON))
    assert pd.read_csv(tmp_path / "anew" / "history.csv")["train/loss"].tolist() != more["train/loss"].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"name": "adam"}}, r"its state does not fit.*optimizer.name: sgd -> adam"),
        ({"schedules": [], "ema": None}, r"does not fit.*ema: True -> False"),
        ({"epochs": 2}, "found 2, and .* was trained for 2 epochs, which count too: name more"),
        (
            {"optimizer": {"layer_decay": 0.5, **GOING_ON["optimizer"]}},
            r"optimizer's groups held \[\d.*give train.optim",
        ),
        ({"batch_size": 4}, "2 epochs took .* steps, and here they would take"),
    ],
)
def test_a_state_that_does_not_fit_says_what_differs(setup, two_epochs, tmp_path, changes, message):
    state = {"result": str(two_epochs), "state": True}
    with pytest.raises(ConfigError, match=message):
        train(setup, tmp_path, setup.with_train(**{"epochs": 4, "pretrained": state, **GOING_ON, **changes}))


def test_a_state_is_of_the_same_model_of_a_whole_training_that_ended(setup, two_epochs, tmp_path):
    state = {"result": str(two_epochs), "state": True}
    wider = setup.with_train(epochs=4, pretrained=state, **GOING_ON)
    wider = wider.model_copy(update={"model": wider.model.model_copy(update={"head": HeadSettings(hidden_size=4)})})
    with pytest.raises(DataError, match=r"holds weights of another model than test_cnn: .*head.hidden"):
        train(setup, tmp_path, wider)
    with pytest.raises(DataError, match=r"found the state of 0 finished trainings, expected one; train that job"):
        read_finished(tmp_path / "state")
    with pytest.raises(ValueError, match="state: true goes on with a whole training: give it with result"):
        PretrainedSettings(result="r", state=True, parts="backbone")
    assert "state" not in PretrainedSettings(result="r").model_dump()
