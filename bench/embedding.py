"""Embeddings: clips in batches, as `auscult embed` asks for them, beside one clip at a time.

Five times is asked of a GPU, which one clip cannot fill. A processor is busy with one clip already: there batches must
only not be much slower.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from auscult.config.model import ModelSettings
from auscult.inference.loaded_model import BATCH_CLIPS
from auscult.models import Normalisation, SavedModel, build_model
from bench.measure import Comparison, Options

LEAST = {"cuda": 5.0, "cpu": 0.8}
MODELS = ("mixednet", "timm/mobilenetv3_small_050")
SHAPE = (128, 311)


@contextmanager
def comparisons(options: Options) -> Generator[list[Comparison]]:
    """Yield one comparison for each model."""
    yield [_comparison(name, options) for name in MODELS]


def _comparison(name: str, options: Options) -> Comparison:
    n_clips = 4 if options.is_tiny else 256
    model = _model(name, options.device)
    noise = np.random.default_rng(0).standard_normal((n_clips, *SHAPE), np.float32)
    spectrograms = (-50 + 8 * noise).astype(np.float16)

    def batched() -> Any:
        return model.embed(spectrograms, batch_size=BATCH_CLIPS[options.device])

    def single() -> Any:
        return np.concatenate([model.embed(clip[None], batch_size=1) for clip in spectrograms])

    def check() -> None:
        np.testing.assert_allclose(batched(), single(), rtol=1e-3, atol=1e-4)

    return Comparison(f"embedding/{name}", "one at a time", batched, single, check, LEAST[options.device])


def _model(name: str, device: str) -> SavedModel:
    settings = TypeAdapter[Any](ModelSettings).validate_python({"name": name})
    module: Any = build_model(settings, 1, SHAPE)
    module = module.to(device=device, memory_format=torch.channels_last).eval()
    normalisation = Normalisation.from_bands(np.full(SHAPE[0], -50.0), np.full(SHAPE[0], 8.0))
    meta = {"input_shape": list(SHAPE), "task": {"type": "binary"}}
    return SavedModel(module, normalisation.to(torch.device(device)), meta)
