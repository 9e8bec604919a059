"""ANTWERP SIM: simulated auscultation (a mannequin's chest), in the layout of ANTWERP.

Layout, terms of use, events, attributes and known dirt: see `antwerp`. What stands for the patient is the simulated
case: all recordings of one case stay on one side of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.corpora.antwerp import name_reader
from auscult.corpora.icbhi import read_layout
from auscult.corpora.reading import Item


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events, rejections and notices of ANTWERP SIM."""
    yield from read_layout(root, dataset, name_reader(settings), source="antwerp_sim", is_icbhi=False)
