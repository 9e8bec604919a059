"""Settings and implementations cannot drift apart, and a model or an augmentation is added by one file."""

import inspect
import subprocess
import sys
import textwrap
import typing
from typing import Literal

import pytest

import auscult.plugins
from auscult.augment.mixing import Mixer
from auscult.augment.waveform import WaveformStep
from auscult.config.augment import MIXINGS, PICTURE, SPECTROGRAM, SPECTROGRAM_FUNCTIONS
from auscult.config.base import Settings
from auscult.config.layers import LAYERS, LayerSettings
from auscult.config.model import MODELS, BaseModelSettings, TimmSettings
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
    is_untyped_plugin = declared is None and "plugins" in implementation.__module__
    assert is_untyped_plugin or registry[name] in (typing.get_args(declared) or (declared,))


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
        assert named == registered
    # First, for this imports the modules whose classes are then looked for.
    used = {registry.implementation(name) for registry in (WAVEFORM, MIXINGS) for name in registry}
    steps = {kind for kind in descendants(WaveformStep) | descendants(Mixer) if not inspect.isabstract(kind)}
    assert {kind for kind in steps if not kind.__name__.startswith("_")} == used


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


def examples() -> list[str]:
    """The files that the docstring of `auscult.plugins` shows."""
    model, augmentation = (auscult.plugins.__doc__ or "").split("An augmentation of spectrograms:")
    indented = [
        "\n".join(line for line in part.splitlines() if line.startswith("    ") or not line)
        for part in (model, augmentation)
    ]
    return [textwrap.dedent(part).strip() + "\n" for part in indented]


USE = """
import sys, auscult.plugins
auscult.plugins.__path__.append(sys.argv[1])
from auscult.config import JobSettings
from auscult.config.schema import experiment_schema
job = JobSettings.model_validate({
    "task": "toy", "datasets": ["toy"], "clips": {}, "spectrogram": {}, "split": {"kind": "patients"},
    "model": {"name": "band_means", "dropout": 0.1},
    "augment": {"spectrogram": [{"name": "turn_round", "probability": 0.5}, {"name": "mixup"}]},
})
assert JobSettings.model_validate(job.model_dump(mode="json")) == job
assert {"BandMeansSettings", "TurnRound"} <= set(experiment_schema()["$defs"])
assert not {"torch", "numpy"} & set(sys.modules)

import torch
from auscult.augment import ClipRandom, augment_spectrograms
from auscult.models import build_model, model_names
assert "band_means" in model_names()
rng = torch.Generator().manual_seed(0)
targets = (torch.arange(64) % 2).float()
spectrograms = torch.randn(64, 8, 20, generator=rng) + targets[:, None, None]
model = build_model(job.model, 1, (8, 20), seed=1)
optimizer = torch.optim.Adam(model.parameters(), 0.05)
losses = []
for epoch in range(1, 40):
    batch = augment_spectrograms(spectrograms, job.augment.spectrogram[:1], ClipRandom(1, epoch, torch.arange(64)))
    is_turned = (batch != spectrograms).flatten(1).any(1)
    assert torch.equal(batch[is_turned], spectrograms[is_turned].flip(2)) and 10 < is_turned.sum() < 54
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch)[:, 0], targets)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    losses.append(loss.item())
assert losses[-1] < 0.3 * losses[0], losses
"""


def test_one_file_adds_a_model_and_one_an_augmentation(tmp_path):
    for name, text in zip(("band_means", "turn_round"), examples(), strict=True):
        (tmp_path / f"{name}.py").write_text(text)
    finished = subprocess.run([sys.executable, "-c", USE, tmp_path], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
