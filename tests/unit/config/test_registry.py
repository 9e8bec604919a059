"""Settings and implementations cannot drift apart."""

import inspect
import typing
from typing import Literal

import pytest

from auscult.augment.mixing import Mixer
from auscult.augment.waveform import PluginStep, WaveformStep
from auscult.config.augment import MIXINGS, PICTURE, SPECTROGRAM, SPECTROGRAM_FUNCTIONS
from auscult.config.base import Settings
from auscult.config.layers import LAYERS, LayerSettings
from auscult.config.model import MODELS, BaseModelSettings, TimmSettings
from auscult.config.plugins import PluginSettings
from auscult.config.registry import Registry
from auscult.config.waveform_augment import WAVEFORM, Augmentation

PARAMETERS = (
    (WAVEFORM, ["settings", "sample_rate_hz", "device"]),
    (SPECTROGRAM_FUNCTIONS, ["spectrograms", "settings", "rng", "picked"]),
    (MIXINGS, ["settings"]),
    (MODELS, ["settings", "input_shape"]),
)
EVERY = [(registry, name, expected) for registry, expected in PARAMETERS for name in registry]


def descendants(kind: type) -> set[type]:
    below = set(kind.__subclasses__())
    return below.union(*(descendants(child) for child in below))


@pytest.mark.parametrize(("registry", "name", "expected"), EVERY, ids=[f"{name}" for _, name, _ in EVERY])
def test_an_implementation_takes_the_settings_it_is_registered_with(registry, name, expected):
    implementation = registry.implementation(name)
    assert list(inspect.signature(implementation).parameters) == expected
    function = implementation.__init__ if inspect.isclass(implementation) else implementation
    declared = typing.get_type_hints(function).get("settings")
    assert registry[name] in (typing.get_args(declared) or (declared,))


@pytest.mark.parametrize("name", LAYERS)
def test_torchs_layer_has_every_setting_of_ours(name):
    settings = LAYERS[name]
    first, *_ = parameters = list(inspect.signature(LAYERS.implementation(name)).parameters)
    own = set(settings.model_fields) - {"layer"}
    assert own <= set(parameters)
    assert settings.is_told_input == (first.startswith(("in_", "num_", "normalized_")))


def test_what_is_written_is_registered():
    for base, registered in (
        (Augmentation, {*WAVEFORM.values(), *SPECTROGRAM.values(), *PICTURE.values()}),
        (BaseModelSettings, {*MODELS.values(), TimmSettings}),
        (LayerSettings, set(LAYERS.values())),
    ):
        named = {kind for kind in descendants(base) if {"name", "layer"} & set(kind.model_fields)}
        named = {kind for kind in named if not issubclass(kind, PluginSettings)}
        assert named == registered
    # First, for this imports the modules whose classes are then looked for.
    used = {registry.implementation(name) for registry in (WAVEFORM, MIXINGS) for name in registry}
    steps = {kind for kind in descendants(WaveformStep) | descendants(Mixer) if not inspect.isabstract(kind)}
    assert {kind for kind in steps if not kind.__name__.startswith("_")} == {*used, PluginStep}


def test_a_name_is_registered_once_and_is_one_word():
    class Toy(Settings):
        name: Literal["toy"]

    class Vague(Settings):
        name: Literal["toy", "other"]

    below = Registry[Settings]("toy")
    registry = Registry[Settings]("toy", below)
    assert below.register("json:dumps")(Toy) is Toy
    assert (dict(registry), len(registry), registry.implementation("toy")({})) == ({"toy": Toy}, 1, "{}")
    for refused in (Toy, Vague):
        with pytest.raises(ValueError, match=rf"{refused.__name__}: expected `name: Literal\[<a new name>\]`, found"):
            registry.register("json:dumps")(refused)
    with pytest.raises(KeyError, match="nothing"):
        registry.location("nothing")
