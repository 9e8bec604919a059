"""The tensors of a weights file, safetensors or PyTorch's, and what it is; nothing in it is executed."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from auscult.config.pretrained import how_to_use, what_it_holds
from auscult.errors import DataError
from auscult.storage.files import sha256_file
from auscult.storage.tensor_names import safetensors_shapes

_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError)
_INSIDE = ("state_dict", "model")
"""Where training scripts keep the tensors, beside the state of their optimizers."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by their names.

    Raises:
        DataError: It cannot be read, asks for code to be run, or holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise DataError(f"{path}: no readable weights ({error})") from error
    for key in _INSIDE:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    tensors = (
        {name: value for name, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    )
    if not tensors:
        raise DataError(f"{path}: no readable weights: expected tensors by their names, found {type(state).__name__}")
    return tensors


def inspection_lines(path: Path) -> Iterator[str]:
    """Yield what a weights file is, and how an experiment names it.

    Raises:
        DataError: There is no such file, or it holds no tensors.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        shapes = safetensors_shapes(path)
    else:
        shapes = {name: tuple(tensor.shape) for name, tensor in read_tensors(path).items()}
    yield f"{path}: {what_it_holds(shapes)}"
    yield f"{len(shapes)} tensors, {sum(map(math.prod, shapes.values())):,} values, {path.stat().st_size / 1e6:.1f} MB"
    yield f"SHA-256 {sha256_file(path)}; as `sha256:` beside the path, an experiment refuses any other file"
    yield from how_to_use(path, shapes)
