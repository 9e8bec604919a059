import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from torch import nn

from auscult.config import load_experiment
from auscult.config.files import parse
from auscult.config.layers import LAYERS, layer_shapes
from auscult.config.model import LayersSettings, ModelSettings
from auscult.config.schema import experiment_schema
from auscult.errors import ConfigError
from auscult.models import build_model, count_parameters
from auscult.models.layers import make_layer

EXAMPLE = [
    {"layer": "Conv2d", "out_channels": 16, "kernel_size": 3},
    {"layer": "BatchNorm2d"},
    {"layer": "ReLU"},
    {"layer": "MaxPool2d", "kernel_size": 2},
    {"layer": "Flatten"},
    {"layer": "Linear", "out_features": 32},
]
SMALL = (16, 24)
ADAPTER = TypeAdapter(ModelSettings)


def declare(*layers, **more):
    return parse(ADAPTER, {"name": "layers", "layers": list(layers), **more}, "model")


def test_the_network_is_what_was_declared_with_inferred_channels_and_a_head():
    model = build_model(declare(*EXAMPLE, head={"hidden_size": 8}), 3, SMALL)
    conv, norm, relu, pool, flat, dense = model.backbone.layers
    assert [type(layer) for layer in (relu, pool, flat)] == [nn.ReLU, nn.MaxPool2d, nn.Flatten]
    assert (conv.in_channels, conv.out_channels, conv.kernel_size) == (1, 16, (3, 3))
    assert (norm.num_features, dense.in_features, dense.out_features) == (16, 16 * 7 * 11, 32)
    assert (model.head.hidden.in_features, model.head.linear.out_features) == (32, 3)
    assert model(torch.zeros(2, *SMALL)).shape == (2, 3)
    assert count_parameters(model) == 16 * 10 + 2 * 16 + (1232 * 32 + 32) + (32 * 8 + 8) + (8 * 3 + 3)
    assert not any(isinstance(layer, nn.modules.lazy.LazyModuleMixin) for layer in model.modules())


def test_the_network_computes_what_torch_computes():
    model = build_model(declare(*EXAMPLE), 2, SMALL, seed=3).eval()
    spectrograms = torch.randn(2, *SMALL)
    conv, norm, _, _, _, dense = model.backbone.layers
    maps = nn.functional.conv2d(spectrograms[:, None], conv.weight, conv.bias)
    maps = (maps - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
    features = dense(nn.functional.max_pool2d(maps.clamp(min=0), 2).flatten(1))
    torch.testing.assert_close(model.embed(spectrograms), features)
    torch.testing.assert_close(model(spectrograms), model.head.linear(features))


def test_maps_left_at_the_end_are_averaged():
    model = build_model(declare(EXAMPLE[0]), 1, SMALL).eval()
    spectrograms = torch.randn(2, *SMALL)
    maps = model.backbone.layers(spectrograms[:, None])
    assert maps.shape == (2, 16, 14, 22)
    torch.testing.assert_close(model.embed(spectrograms), maps.mean(dim=(2, 3)))


EVERY = {
    "Conv2d": {"out_channels": 6, "kernel_size": [3, 5], "stride": 2, "padding": 1, "groups": 3, "bias": False},
    "MaxPool2d": {"kernel_size": [2, 3], "stride": 1, "padding": [1, 0]},
    "AvgPool2d": {"kernel_size": 3, "padding": 1},
    "AdaptiveAvgPool2d": {"output_size": [2, 3]},
    "AdaptiveMaxPool2d": {},
    "BatchNorm2d": {"momentum": 0.2},
    "Dropout2d": {"p": 0.3},
    "Dropout": {"p": 0.2},
    "LeakyReLU": {"negative_slope": 0.2},
    "ELU": {"alpha": 0.5},
    "GELU": {"approximate": "tanh"},
    "Linear": {"out_features": 5, "bias": False},
    "LayerNorm": {"eps": 1e-3},
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_layer_reaches_torch_with_its_settings(name):
    values = EVERY.get(name, {})
    before = [{"layer": "Flatten"}] if name in {"Linear", "LayerNorm"} else [
        {"layer": "Conv2d", "out_channels": 3, "kernel_size": 1}
    ]  # fmt: skip
    declared = declare(*before, {"layer": name, **values})
    incoming, shape = layer_shapes(declared.layers, SMALL)
    layer = make_layer(declared.layers[-1], incoming)
    assert type(layer).__name__ == name
    for key, value in values.items():
        found = getattr(layer, key)
        if key == "bias":
            assert (found is not None) is value
        elif isinstance(found, tuple):
            assert found == (tuple(value) if isinstance(value, list) else (value, value))
        else:
            assert found == value
    assert layer(torch.zeros(2, *incoming)).shape == (2, *shape)


def test_the_usual_layers_are_there():
    assert {
        "Conv2d",
        "BatchNorm2d",
        "ELU",
        "ReLU",
        "GELU",
        "MaxPool2d",
        "AvgPool2d",
        "Dropout",
        "Flatten",
        "Linear",
    } <= (set(LAYERS))


pairs = st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 4), st.integers(1, 4)))
zeros = st.one_of(st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2)))
windows = st.fixed_dictionaries(
    {
        "layer": st.just("Conv2d"),
        "out_channels": st.sampled_from([1, 2, 4]),
        "kernel_size": pairs,
        "stride": pairs,
        "padding": zeros,
        "dilation": st.integers(1, 2),
        "groups": st.integers(1, 2),
    }
)
pools = st.fixed_dictionaries(
    {
        "layer": st.sampled_from(["MaxPool2d", "AvgPool2d"]),
        "kernel_size": pairs,
        "stride": st.none() | pairs,
        "padding": st.integers(0, 2),
    }
)
others = st.sampled_from([{"layer": "BatchNorm2d"}, {"layer": "Flatten"}, {"layer": "Linear", "out_features": 3}])


@settings(max_examples=60)
@given(st.lists(windows | pools | others, min_size=1, max_size=5), st.tuples(st.integers(1, 14), st.integers(1, 14)))
def test_shapes_are_torchs_and_what_torch_refuses_is_refused_before(layers, input_shape):
    declared = LayersSettings(name="layers", layers=layers)
    shapes = [(1, *input_shape)]
    for layer in declared.layers:
        is_maps = len(shapes[-1]) == 3
        takes_maps = layer.name != "Linear"
        try:
            if is_maps != takes_maps:  # torch would take some of these, and mean something else
                raise RuntimeError
            module = make_layer(layer, shapes[-1]).eval()
            with torch.no_grad():
                shapes.append(tuple(module(torch.zeros(2, *shapes[-1])).shape[1:]))
        except (RuntimeError, ValueError):
            with pytest.raises(ConfigError, match=rf"layer {len(shapes)} \({layer.name}\) cannot take"):
                layer_shapes(declared.layers, input_shape)
            return
    assert layer_shapes(declared.layers, input_shape) == shapes[1:]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [EXAMPLE[0], {"layer": "Conv2D", "out_channels": 3, "kernel_size": 3}],
            r"layer 2: unknown layer 'Conv2D', did you mean 'Conv2d'\? allowed: AdaptiveAvgPool2d, .*Tanh$",
        ),
        ([{"layer": "torch.nn.ReLU"}], r"layer 1: unknown layer 'torch.nn.ReLU'.* allowed: "),
        (
            [{"layer": "Conv2d", "out_channels": 3, "kernel": 3}],
            r"layer 1 \(Conv2d\): unknown setting 'kernel', did you mean 'kernel_size'\? "
            r"allowed: in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias$",
        ),
        ([{"layer": "ReLU", "inplace": True}], r"layer 1 \(ReLU\): unknown setting 'inplace'; it has none$"),
        ([{"layer": "Linear"}], r"layer 1 \(Linear\): out_features is missing; add it$"),
        (
            [{"layer": "MaxPool2d", "kernel_size": [2, 2, 2]}],
            r"layer 1 \(MaxPool2d\): kernel_size: found \[2, 2, 2\]; expected a whole number from 1 on, or two",
        ),
        (
            [{"layer": "Conv2d", "out_channels": 3, "kernel_size": 3, "padding": "full"}],
            r"padding: found 'full'; expected a whole number from 0 on, or two",
        ),
        ([{"layer": "Dropout", "p": 1.5}], r"layer 1 \(Dropout\): p: found 1.5; input should be less than 1$"),
        (["ReLU"], r"layer 1: found 'ReLU', expected \{layer: <name>, <its settings>\}; names: "),
        ([], r"found \[\], expected a list of \{layer: <name>, <its settings>\}"),
    ],
)
def test_a_fault_in_the_list_names_layer_setting_and_what_is_allowed(layers, message):
    with pytest.raises(ConfigError, match=message):
        declare(*layers)


def test_all_faulty_layers_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        declare({"layer": "Flaten"}, {"layer": "ReLU"}, {"layer": "Linear", "out_feature": 3})
    first, second = str(error.value).splitlines()
    assert "layer 1: unknown layer 'Flaten', did you mean 'Flatten'?" in first
    assert "layer 3 (Linear): unknown setting 'out_feature', did you mean 'out_features'?" in second


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [EXAMPLE[0], {"layer": "MaxPool2d", "kernel_size": 8}, {"layer": "MaxPool2d", "kernel_size": 2}],
            r"layer 3 \(MaxPool2d\) cannot take maps of \[16 channels, 1 mel, 2 frames\]: its window of \[2, 2\] does "
            r"not fit into \[1, 2\].*Shapes up to it: input \[1, 16, 24\], 1 Conv2d \[16, 14, 22\], "
            r"2 MaxPool2d \[16, 1, 2\]$",
        ),
        (
            [{"layer": "Linear", "out_features": 3}],
            r"layer 1 \(Linear\) cannot take maps of \[1 channels, 16 mel, 24 frames\]: it takes features; "
            r"put \{layer: Flatten\} before it",
        ),
        (
            [{"layer": "Flatten"}, EXAMPLE[0]],
            r"layer 2 \(Conv2d\) cannot take 384 features: it takes maps \[channel, mel, frame\]; move it before",
        ),
        (
            [EXAMPLE[0], {**EXAMPLE[0], "groups": 3}],
            r"layer 2 \(Conv2d\) .*the 16 channels that come in cannot be divided into 3 groups",
        ),
        (
            [EXAMPLE[0], {"layer": "Conv2d", "in_channels": 32, "out_channels": 8, "kernel_size": 3}],
            r"layer 2 \(Conv2d\) cannot take maps of \[16 channels, 14 mel, 22 frames\]: it says in_channels 32, and "
            r"16 come in; correct it or the layers before it",
        ),
        (
            [EXAMPLE[0], {"layer": "Flatten"}, {"layer": "Linear", "in_features": 1024, "out_features": 8}],
            r"layer 3 \(Linear\) cannot take 4928 features: it says in_features 1024, and 4928 come in",
        ),
        ([EXAMPLE[0], {"layer": "BatchNorm2d", "num_features": 8}], r"layer 2 \(BatchNorm2d\).*num_features 8, and 16"),
        ([{**EXAMPLE[0], "padding": "same", "stride": 2}], r"padding 'same' needs stride 1, found \[2, 2\]"),
        ([{"layer": "AvgPool2d", "kernel_size": 2, "padding": 2}], r"padding \[2, 2\] exceeds half of kernel_size"),
    ],
)
def test_a_shape_that_does_not_fit_names_layer_and_shapes(layers, message):
    declared = declare(*layers)
    with pytest.raises(ConfigError, match=message):
        layer_shapes(declared.layers, SMALL)
    with pytest.raises(ConfigError, match=message):
        build_model(declared, 1, SMALL)


@pytest.fixture
def load_with(project_dir, tmp_path):
    """Load a shipped experiment whose model is replaced."""

    def load(model):
        config = shutil.copytree(project_dir / "config", tmp_path / "config")
        path = config / "experiments" / "pneumonia" / "train2356.yaml"
        raw = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**raw, "model": model, "jobs": [{}]}))
        return load_experiment(config, "pneumonia", "train2356")

    return load


def test_an_experiment_declares_its_network(load_with):
    model = load_with({"name": "layers", "layers": EXAMPLE, "head": {"hidden_size": 8}}).job(1).model
    assert [layer.name for layer in model.layers] == [layer["layer"] for layer in EXAMPLE]


def test_an_experiment_with_a_misspelt_setting_is_refused_with_file_key_and_layer(load_with):
    layers = [*EXAMPLE, {"layer": "Linear", "out_feature": 32}]
    message = r"train2356.yaml: model.layers: layer 7 \(Linear\): unknown setting 'out_feature', did you mean 'out_feat"
    with pytest.raises(ConfigError, match=message):
        load_with({"name": "layers", "layers": layers})


def test_shapes_are_checked_when_the_experiment_is_read_before_anything_is_built(load_with):
    layers = [*EXAMPLE[:5], {"layer": "MaxPool2d", "kernel_size": 2}]
    message = r"train2356.yaml: job 1: model.layers: layer 6 \(MaxPool2d\) cannot take 155232 features"
    with pytest.raises(ConfigError, match=message):
        load_with({"name": "layers", "layers": layers})


def test_reading_the_layers_imports_no_torch():
    code = "import sys, auscult.config.layers, auscult.config.resolve\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("layers", "fits"),
    [
        (EXAMPLE, True),
        ([{**EXAMPLE[0], "kernel_size": [3, 5], "padding": "same"}], True),
        ([{"layer": "Conv2D", "out_channels": 3}], False),
        ([{**EXAMPLE[0], "kernel": 3}], False),
        ([{**EXAMPLE[0], "padding": "full"}], False),
        ([{**EXAMPLE[0], "kernel_size": [3, 3, 3]}], False),
    ],
)
def test_editors_know_the_layers_by_the_schema(layers, fits, project_dir):
    raw = yaml.safe_load((project_dir / "config/experiments/pneumonia/train2356.yaml").read_text())
    raw = {**raw, "model": {"name": "layers", "layers": layers}, "jobs": [{}]}
    assert Draft202012Validator(experiment_schema()).is_valid(raw) is fits


def test_pictures_come_with_their_channels_and_what_is_said_to_come_in_is_only_checked():
    declared = declare(
        {**EXAMPLE[0], "in_channels": 3}, *EXAMPLE[1:-1], {"layer": "Linear", "in_features": 1232, "out_features": 4}
    )
    picture = (3, *SMALL)
    model = build_model(declared, 2, picture)
    assert model.backbone.layers[0].in_channels == 3
    assert model(torch.zeros(2, *picture)).shape == (2, 2)
    assert "in_channels" not in declared.model_dump()["layers"][0]
    with pytest.raises(
        ConfigError, match=r"maps of \[3 channels, 16 high, 24 wide\]: it says in_channels 1, and 3 come"
    ):
        layer_shapes(declare({**EXAMPLE[0], "in_channels": 1}).layers, picture)
