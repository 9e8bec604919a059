"""Which architecture of timm a weights file is of, by the names and widths of its tensors; needs no timm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

_CLASSIFIERS = frozenset(
    {"aux_head", "classif", "classifier", "fc", "head", "head_dist", "heads", "heads_dist", "last_linear"}
)
"""Where timm's classifiers are; files have any number of classes, or none."""


def fingerprint(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return the same for all files of one architecture, whatever their classes, channels and size of input.

    >>> own = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "head.weight": (10, 8)}
    >>> fingerprint(own) == fingerprint({"conv.weight": (8, 1, 3, 3), "conv.bias": (8,)})
    True
    >>> fingerprint(own) == fingerprint({"conv.weight": (9, 1, 3, 3), "conv.bias": (9,)})
    False
    """
    # Kernels and tables depend on channels and size of the input; the vectors beside them tell the widths.
    rows = (
        f"{name} {list(shape) if len(shape) == 1 else ''}"
        for name, shape in sorted(shapes.items())
        if name.partition(".")[0] not in _CLASSIFIERS
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]


def timm_architectures(shapes: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Return the architectures of the pinned timm whose tensors these are; several may be built alike."""
    return _known().get(fingerprint(shapes), ())


@cache
def _known() -> dict[str, tuple[str, ...]]:
    """Return fingerprint -> architectures, from a generated list."""
    text = resources.files("auscult.config").joinpath("timm_fingerprints.txt").read_text(encoding="utf-8")
    known: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        found, name = line.split()
        known[found] = (*known.get(found, ()), name)
    return known
