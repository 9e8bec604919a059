"""Names and shapes of the tensors of a safetensors file, read from its header alone; torch is not needed."""

from __future__ import annotations

import json
from pathlib import Path

from auscult.errors import DataError

_LARGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor.

    Raises:
        DataError: It is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            n_bytes = int.from_bytes(file.read(8), "little")
            if n_bytes > _LARGEST_HEADER:
                raise ValueError(f"its header would have {n_bytes} bytes")
            header = json.loads(file.read(n_bytes))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(f"{path}: no readable safetensors file ({error}); take it again from its source") from error
