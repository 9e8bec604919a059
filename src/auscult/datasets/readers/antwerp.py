"""ANTWERP: lung sounds with breathing cycles, in ICBHI's layout.

Origin: a clinical collection that goes by this name, given to its users by its owners; there is no public description
to cite.
Terms of use: those that the owners set when they give a copy; the data is not public.

Layout: `<patient>_<recording>_<location>_<mode>_<device>.wav` with a four-column cycle file `.txt` of the same stem,
in any folder below the root; the device may be any. Where a copy names its files otherwise, `pattern` in the
dataset's YAML reads the stem: a regular expression with the named group `patient`, and `location`, `mode` and
`device` where the name says them.

Attributes: `chest_location`, `acquisition`. Events: cycle, crackle, wheeze. Labels: `diagnosis` where a diagnosis
file lies beside.

Known dirt: none is described. The reader is ready for ICBHI's: several sample rates and widths, cycle files that end a
few samples after their recording, devices that one copy names otherwise than another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from auscult.config import DatasetSettings, NativeDataset
from auscult.datasets.readers.icbhi import read_layout
from auscult.datasets.readers.icbhi_files import IcbhiName, parse_name
from auscult.datasets.readers.reading import Item, MalformedError


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events, rejections and notices of ANTWERP."""
    yield from read_layout(root, dataset, name_reader(settings), source="antwerp", is_icbhi=False)


def name_reader(settings: DatasetSettings) -> Callable[[str], IcbhiName]:
    """Return the reader of stems that the settings ask for."""
    pattern = settings.pattern if isinstance(settings, NativeDataset) else None
    if pattern is None:
        return lambda stem: parse_name(stem, any_device=True)
    expression = re.compile(pattern)
    return lambda stem: parse_by_pattern(stem, expression)


def parse_by_pattern(stem: str, pattern: re.Pattern[str]) -> IcbhiName:
    """Read a stem by a regular expression that matches all of it.

    Raises:
        MalformedError: It does not match, or its patient is empty.

    >>> parse_by_pattern("P07-left-2", re.compile(r"(?P<patient>P[0-9]+)-(?P<location>[a-z]+)-[0-9]+")).patient
    'P07'
    """
    match = pattern.fullmatch(stem)
    if match is None:
        raise MalformedError(f"name: {stem!r} does not match the pattern {pattern.pattern!r}")
    parts = match.groupdict()
    if not parts["patient"]:
        raise MalformedError(f"name: the pattern {pattern.pattern!r} finds no patient in {stem!r}")
    return IcbhiName(stem, parts["patient"], parts.get("location"), parts.get("mode"), parts.get("device"))
