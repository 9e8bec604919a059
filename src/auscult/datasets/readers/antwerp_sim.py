"""ANTWERP SIM: simulated auscultation, in the layout of ANTWERP.

Origin: the companion of ANTWERP, given to its users by its owners; there is no public description to cite.
Terms of use: those that the owners set when they give a copy; the data is not public.

Layout, events, attributes: as `antwerp`. What stands for the patient is the simulated case: all recordings of one case
stay in one subset of a split.

Known dirt: as `antwerp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.datasets.readers.antwerp import name_reader
from auscult.datasets.readers.icbhi import read_layout
from auscult.datasets.readers.reading import Item


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events, rejections and notices of ANTWERP SIM."""
    yield from read_layout(root, dataset, name_reader(settings), source="antwerp_sim", is_icbhi=False)
