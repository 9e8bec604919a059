"""Names and shapes of the tensors of a safetensors file, read from its header alone; torch is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from auscult.errors import DataError

_LARGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor.

    Raises:
        DataError: It is no safetensors file.
    """
    try:
        return {name: tuple(entry["shape"]) for name, entry in _header(path).items() if name != "__metadata__"}
    except (AttributeError, TypeError, KeyError) as error:
        raise _unreadable(path, error) from error


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return what the header says beside the tensors; nothing where it says nothing.

    Raises:
        DataError: It is no safetensors file.
    """
    found = _header(path).get("__metadata__", {})
    if not isinstance(found, dict):
        raise _unreadable(path, f"__metadata__ is {type(found).__name__}")
    return found


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            n_bytes = int.from_bytes(file.read(8), "little")
            if n_bytes > _LARGEST_HEADER:
                raise ValueError(f"its header would have {n_bytes} bytes")
            header = json.loads(file.read(n_bytes))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(header, dict):
        raise _unreadable(path, f"its header is {type(header).__name__}")
    return header


def _unreadable(path: Path, reason: object) -> DataError:
    return DataError(f"{path}: no readable safetensors file ({reason}); take it again from its source")
