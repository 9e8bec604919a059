"""PERCH, the Pneumonia Etiology Research for Child Health study: auscultation of children, with breathing cycles.

Origin: McCollum et al., "Listening panel agreement and characteristics of lung sounds digitally recorded from
children aged 1-59 months enrolled in the PERCH case-control study", BMJ Open Respiratory Research 4 (2017).
Terms of use: those that the study's owners set when they give a copy; the data is not public.

Layout, in any folder below the root: `<site letter><5 digits>-<2 digits>.wav_F.wav` (`Z02666-08.wav_F.wav`) and, with
the same stem, a cycle file in ICBHI's four columns (`Z02666-08.wav_F.txt`). What stands before `-` is the patient,
its letter the site, what stands after it the chest position.

Attributes: `position`. Events: cycle, crackle, wheeze. The name holds no label.

Known dirt: the doubled suffix; cycle files with blanks for tabs; recordings without cycles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.datasets.folder import split_name, walk_files
from auscult.datasets.readers.annotations import read_cycle_folder
from auscult.datasets.readers.reading import Item, MalformedError
from auscult.storage.tables import Recording

_STEM = re.compile(r"(?P<patient>(?P<site>[A-Z])[0-9]{5})-(?P<position>[0-9]{2})\.wav_F")


@dataclass(frozen=True)
class PerchName:
    """The parts of a stem."""

    patient: str
    site: str
    position: str


def parse_name(stem: str) -> PerchName:
    """Read a file's stem.

    Raises:
        MalformedError: It is not like `Z02666-08.wav_F`.

    >>> parse_name("Z02666-08.wav_F")
    PerchName(patient='Z02666', site='Z', position='08')
    """
    match = _STEM.fullmatch(stem)
    if match is None:
        raise MalformedError(f"name: {stem!r} is not like Z02666-08.wav_F (site letter, 5 digits, -, 2 digits, .wav_F)")
    return PerchName(match["patient"], match["site"], match["position"])


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events and rejections of PERCH."""

    def describe(file: str) -> Recording:
        stem, _ = split_name(file)
        name = parse_name(stem)
        return Recording(
            recording_id=f"{dataset}/{stem}",
            patient_id=f"{dataset}/{name.patient}",
            path=file,
            site=name.site,
            attributes={"position": name.position},
        )

    yield from read_cycle_folder(root, walk_files(root), describe, "perch")
