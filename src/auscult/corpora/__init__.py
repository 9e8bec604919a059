"""Readers of raw datasets, one module a layout: raw folder -> recordings and events, and what could not be placed."""

from __future__ import annotations

from auscult.corpora import antwerp, antwerp_sim, bd, icbhi, jordan, manifest, perch
from auscult.corpora.reading import Item, Reader

READERS: dict[str, Reader] = {
    "icbhi": icbhi.read,
    "jordan": jordan.read,
    "perch": perch.read,
    "antwerp": antwerp.read,
    "antwerp_sim": antwerp_sim.read,
    "bd": bd.read,
    "manifest": manifest.read,
}
"""Layout -> reader; the layouts of `config.dataset`."""

__all__ = ["READERS", "Item", "Reader"]
