"""Logits that must not change: a stored model has to answer as it did when it was published.

The weights are a formula, not draws, so that the values hold for any version of torch. To renew the file after a wanted
change: `AUSCULT_RENEW_GOLDEN=1 pytest tests/golden/test_models_golden.py`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from auscult.config.model import MODELS
from auscult.models import build_model, count_parameters

GOLDEN = Path(__file__).with_name("models.json")
SHAPE = (64, 144)
DECLARED = {
    "layers": [
        {"layer": "Conv2d", "out_channels": 6, "kernel_size": [3, 5], "padding": "same"},
        {"layer": "BatchNorm2d"},
        {"layer": "ELU"},
        {"layer": "MaxPool2d", "kernel_size": 4},
        {"layer": "Conv2d", "out_channels": 8, "kernel_size": 3, "stride": 2, "groups": 2},
        {"layer": "GELU"},
        {"layer": "AvgPool2d", "kernel_size": 2},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 12},
        {"layer": "LayerNorm"},
    ]
}
"""A network of the model `layers`, which is nothing without its list."""

NEEDED = {"layers": DECLARED, "published": {"encoder": "test_ast"}}

SHIPPED = sorted(MODELS)


def with_formula_weights(model):
    for number, (_, tensor) in enumerate(sorted(model.state_dict().items())):
        if tensor.is_floating_point():
            steps = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
            # The fractional part of a large sine scatters like noise, and is the same everywhere.
            values = 2 * torch.frac(torch.sin(12.9898 * (steps + 1) + 78.233 * number) * 43758.5453).abs() - 1
            # Kernels keep the size of what they read; running variances, among the vectors, must be positive.
            fan_in = tensor.numel() / len(tensor) if tensor.ndim else 1
            tensor.copy_(0.2 * values.abs() + 0.5 if tensor.ndim == 1 else values * (6 / fan_in) ** 0.5)
    return model.eval()


def answers(name):
    settings = MODELS[name].model_validate({"name": name, **NEEDED.get(name, {})})
    model = with_formula_weights(build_model(settings, 3, SHAPE))
    mel, frame = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    spectrograms = np.stack([np.sin(0.31 * mel + 0.17 * frame), np.cos(0.05 * mel * (frame % 11))])
    with torch.no_grad():
        logits = model(torch.from_numpy(spectrograms.astype(np.float32)))
    return {"n_parameters": count_parameters(model), "logits": logits.double().tolist()}


@pytest.mark.parametrize("name", SHIPPED)
def test_answers_and_sizes_are_those_on_file(name):
    found = answers(name)
    if os.environ.get("AUSCULT_RENEW_GOLDEN"):
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps({**known, name: found}, indent=1, sort_keys=True) + "\n")
    expected = json.loads(GOLDEN.read_text())[name]
    first, second = np.asarray(found["logits"])
    assert np.abs(first - second).max() > 0.01, "answers that hardly depend on the input would prove nothing"
    assert found["n_parameters"] == expected["n_parameters"]
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=2e-4, atol=1e-5)
