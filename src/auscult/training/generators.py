"""The generators that layers draw from (dropout, drop path): seeded by epoch, saved within one, given back after it."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_NUMPY_SEEDS = 2**32


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch (with `device`), Python and numpy's legacy generator, which a layer of any library may draw from."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % _NUMPY_SEEDS)  # noqa: NPY002 (the legacy one is meant)


def generator_state(device: torch.device) -> dict[str, Any]:
    """Return the state of all of them, in types that `torch.load(weights_only=True)` takes."""
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
    }


def set_generator_state(state: dict[str, Any], device: torch.device) -> None:
    """Put `generator_state` back."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    legacy = state["numpy"]
    key = legacy["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, legacy["pos"], legacy["has_gauss"], legacy["gauss"]))  # noqa: NPY002


@contextmanager
def kept_generators(device: torch.device) -> Generator[None]:
    """Give the caller's generators back after the block."""
    before = generator_state(device)
    try:
        yield
    finally:
        set_generator_state(before, device)
