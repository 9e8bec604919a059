import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import MixedNetSettings, TestCnnSettings, TimmSettings
from auscult.config.model import MODELS, HeadSettings, timm_names
from auscult.errors import ConfigError
from auscult.models import build_model, count_parameters, model_facts, model_names, registry
from auscult.models.classifier import Backbone, Head
from auscult.models.registry import list_models, matching_names

TINY = TestCnnSettings(name="test_cnn")
CNN14 = 79_675_969
NEEDED = {
    "layers": {"layers": [{"layer": "MaxPool2d", "kernel_size": 4}, {"layer": "Flatten"}]},
    "published": {"encoder": "test_ast"},
}
"""Settings without which a model is nothing."""


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_own_model_builds_and_gives_logits(name):
    model = build_model(MODELS[name].model_validate({"name": name, **NEEDED.get(name, {})}), 3, (64, 144))
    assert model(torch.zeros(2, 64, 144)).shape == (2, 3)
    assert model.training
    assert count_parameters(model) > 0


def test_names_are_listed_by_pattern():
    assert model_names("*_cnn") == ["test_cnn"]
    assert "timm/efficientnet_b0" in model_names("timm/efficientnet*")
    assert model_names()[: len(MODELS)] == sorted(MODELS)


def test_weights_come_from_the_seed_and_no_generator_is_touched():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, again, other = (build_model(TINY, 1, (32, 40), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.convolution.weight"], other["backbone.convolution.weight"])


def test_a_head_with_a_dense_layer_and_its_embeddings():
    head = HeadSettings(hidden_size=10, activation="gelu", layer_norm=True, dropout=0.5)
    model = build_model(TestCnnSettings(name="test_cnn", head=head), 2, (32, 40)).eval()
    spectrograms = torch.randn(3, 32, 40)
    pooled, dense = model.embed(spectrograms), model.embed(spectrograms, "head")
    assert (pooled.shape, dense.shape) == ((3, 16), (3, 10))
    torch.testing.assert_close(dense, model.head.hidden(pooled))
    by_hand = model.head.linear(torch.nn.functional.gelu(torch.nn.functional.layer_norm(dense, (10,))))
    torch.testing.assert_close(model(spectrograms), by_hand)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"layers", "cnn14"}))
def test_every_own_model_gives_embeddings_of_both_layers(name):
    settings = MODELS[name](name=name, head=HeadSettings(hidden_size=7), **NEEDED.get(name, {}))
    model = build_model(settings, 2, (64, 144)).eval()
    spectrograms = torch.randn(2, 64, 144, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooled, dense = model.embed(spectrograms, "backbone"), model.embed(spectrograms, "head")
        assert dense.shape == (2, 7)
        torch.testing.assert_close(dense, model.head.hidden(pooled))
        torch.testing.assert_close(model(spectrograms), model.head.linear(dense.relu()))


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "elu", "tanh"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_parts_of_a_head_stand_in_the_stated_order(activation, layer_norm):
    settings = HeadSettings(hidden_size=6, activation=activation, dropout=0.3, layer_norm=layer_norm)
    head = Head(4, 3, settings, dropout=0.2)
    names = [type(layer).__name__.lower() for layer in head.after_hidden]
    assert names == [*(["layernorm"] if layer_norm else []), activation, "dropout"]
    assert (head.dropout.p, head.after_hidden[-1].p) == (0.2, 0.3)
    features = torch.randn(5, 4)
    dense = head.eval().embed(features)
    normed = functional.layer_norm(dense, (6,)) if layer_norm else dense
    torch.testing.assert_close(head(features), head.linear(getattr(functional, activation)(normed)))


def test_an_unknown_layer_of_embeddings_is_refused():
    model = build_model(TINY, 1, (32, 40))
    with pytest.raises(ConfigError, match=r"unknown layer of embeddings 'backbon'; did you mean 'backbone'\? allowed"):
        model.embed(torch.zeros(1, 32, 40), "backbon")


def test_settings_of_a_dense_layer_that_is_not_there_are_refused():
    for values in ({"dropout": 0.2}, {"layer_norm": True}, {"activation": "gelu"}):
        with pytest.raises(ValidationError, match="of the head need its hidden_size"):
            HeadSettings(**values)


def test_without_a_dense_layer_the_head_embeds_its_logits():
    model = build_model(TINY, 2, (32, 40)).eval()
    spectrograms = torch.randn(3, 32, 40)
    torch.testing.assert_close(model.embed(spectrograms, "head"), model(spectrograms))


def test_dropout_acts_on_the_pooled_features_in_training_only():
    model = build_model(MixedNetSettings(name="mixednet", dropout=0.5), 1, (32, 32))
    assert model.head.dropout.p == 0.5
    model.eval()
    spectrograms = torch.randn(2, 32, 32)
    assert torch.equal(model(spectrograms), model(spectrograms))


def test_a_backbone_whose_width_is_misstated_is_an_error(monkeypatch):
    monkeypatch.setattr(registry, "_build", lambda *_: Backbone(torch.nn.Flatten(), 7))
    with pytest.raises(ConfigError, match=r"shape \(1, 12\).*expected \(1, 7\)"):
        build_model(TINY, 1, (3, 4))


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("resnet10t", ""),
        ("mobilenetv3_small_050", ""),
        ("vit_tiny_patch16_224", "padded with zeros from [64, 101] to [64, 128]"),
        ("nest_tiny", "resized (bilinear) from [64, 101] to [224, 224]"),
    ],
)
def test_timm_models_take_one_channel_of_any_size(name, note):
    model = build_model(TimmSettings(name=f"timm/{name}", dropout=0.2), 2, (64, 101), seed=5)
    assert model.input_note == note
    assert model.training
    assert model.head.dropout.p == 0.2
    logits = model(torch.randn(2, 64, 101))
    logits.sum().backward()
    assert logits.shape == (2, 2)
    first = next(model.backbone.parameters())
    assert first.grad is not None


def test_the_last_frames_are_not_cut_off_in_silence():
    model = build_model(TimmSettings(name="timm/vit_tiny_patch16_224"), 1, (64, 101)).eval()
    spectrograms = torch.zeros(2, 64, 101)
    spectrograms[1, :, 100] = 5.0
    logits = model(spectrograms)
    assert logits[0] != logits[1]


def listed(*arguments):
    found = CliRunner().invoke(app, ["models", "list", *arguments])
    assert found.exit_code == 0, found.output
    return found.stdout.splitlines()


def test_without_a_pattern_the_own_models_are_listed_and_timm_is_pointed_to():
    header, *rows, blank, pointer = listed()
    assert header.split() == ["model", "family", "parameters", "input", "[1,", "128,", "311]"]
    assert [row.split()[0] for row in rows] == sorted(MODELS)
    assert "cnn14 panns 79,675,969 as it is; any size from [32, 32]" in [" ".join(row.split()) for row in rows]
    assert "layers layers what the experiment declares, layer by layer" in [" ".join(row.split()) for row in rows]
    assert (blank, f"{len(timm_names()):,} architectures of timm" in pointer) == ("", True)


def test_a_pattern_looks_through_timm_too_with_or_without_its_prefix():
    assert matching_names("*mixednet*") == ["mixednet"]
    assert matching_names("resnet1?") == matching_names("timm/resnet1?") == ["timm/resnet18"]
    both = matching_names("*net*")
    assert both[:2] == ["mixednet", "sequence_net"]
    assert "timm/efficientnet_b0" in both[2:]
    assert len(matching_names(None, with_timm=True)) == len(MODELS) + len(timm_names())


def test_timm_rows_state_family_count_and_how_the_input_is_fitted():
    rows = [" ".join(row.split()) for row in listed("vit_tiny_patch16_224")[1:]]
    assert rows == [
        "timm/vit_tiny_patch16_224 vision_transformer 5,419,393 padded with zeros from [128, 311] to [128, 320]"
    ]


def test_counts_can_be_left_out():
    assert [row.split() for row in listed("cnn1*", "--no-counts")] == [
        ["model", "family"],
        ["cnn10", "panns"],
        ["cnn14", "panns"],
    ]


def test_another_size_can_be_asked_for():
    row = listed("mixednet", "--mels", "20", "--frames", "40")[1]
    assert "not this input: mixednet halves its input 5 times and needs at least [32 mel, 32 frames]" in row


def test_a_model_is_counted_only_when_its_line_is_asked_for(monkeypatch):
    counted = []
    real = model_facts
    monkeypatch.setattr("auscult.models.registry.model_facts", lambda *given: counted.append(given) or real(*given))
    lines = list_models(["test_cnn", "mixednet", "cnn14"])
    assert counted == []
    next(lines)
    assert len(counted) == 1
    assert [model.n_parameters for model in lines] == [14_945, CNN14]
    counted.clear()
    assert [model.n_parameters for model in list_models(["cnn14"], with_counts=False)] == [None]
    assert counted == []


def test_a_pattern_without_match_names_what_is_near():
    with pytest.raises(
        ConfigError, match=r"no model is called 'mixdnet\*'; did you mean mixednet, .*own models: ast, cnn10"
    ):
        matching_names("mixdnet*")
    with pytest.raises(ConfigError, match=r"no model is called 'zzzzzz'; own models: ast, cnn10"):
        matching_names("zzzzzz")


@pytest.mark.parametrize("name", ["mixednet", "sequence_net", "test_cnn", "timm/mobilenetv3_small_050", "timm/dla34"])
def test_facts_without_weights_are_those_of_the_model_in_earnest(name):
    settings = MODELS[name](name=name) if name in MODELS else TimmSettings(name=name)
    facts = model_facts(settings, 3, (64, 144))
    model = build_model(settings, 3, (64, 144))
    assert facts.n_parameters == count_parameters(model)
    assert facts.input_note == model.input_note


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom auscult.cli import app\n"
        "found = CliRunner().invoke(app, ['models', 'list', '--help'])\n"
        "assert found.exit_code == 0 and '--no-counts' in found.output, found.output\n"
        "assert not {'torch', 'timm', 'numpy'} & set(sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
