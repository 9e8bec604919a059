"""HF_Lung_V1: 9,765 recordings of 15 s at 4 kHz, with breath phases and adventitious sounds, Taiwan.

Origin: Hsu et al., "Benchmarking of eight recurrent neural network variants for breath phase and adventitious sound
detection on a self-developed open-access lung sound database, HF_Lung_V1", PLOS ONE 16 (2021);
gitlab.com/techsupportHF/HF_Lung_V1.
Terms of use: those of that repository (CC BY 4.0).

Layout, in any folders below the root: `<device>_<time>.wav` (`steth_20180814_09_37_11`, and for pieces of longer
recordings `trunc_2019-07-31-11-20-43-L8_12` with channel and number) and, with the same stem, `_label.txt`: rows of
kind, start and end such as `I 00:00:00.000 00:00:02.000`.

There is no patient id: device and time of the recording stand in, so that all channels and pieces of one recording
stay together. Two recordings of one person, minutes apart, still count as two patients; where that matters, split by
the attribute `date`. Attributes: `date` (yyyymmdd), `channel` and `official_split` (train, test: the folder's name).
Events: inhalation (I), exhalation (E), crackle (D), wheeze, rhonchus, stridor; they overlap, and a gap between them
is not a normal sound: there is no `cycle`.

Known dirt: 58 label files are empty; they are noticed, not rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auscult.config import DatasetSettings
from auscult.datasets.folder import split_name, walk_files
from auscult.datasets.readers.annotations import Placed, check_interval, read_pairs
from auscult.datasets.readers.reading import Fault, Item, MalformedError, parse_code, parse_lines, read_file
from auscult.storage.tables import Event, Notice, Recording, Rejection

KINDS = {
    "I": "inhalation",
    "E": "exhalation",
    "D": "crackle",
    "Wheeze": "wheeze",
    "Rhonchi": "rhonchus",
    "Stridor": "stridor",
}
_STETH = re.compile(r"(?P<device>steth)_(?P<date>[0-9]{8})(?P<time>(?:_[0-9]{2}){3})")
_TRUNC = re.compile(
    r"(?P<device>trunc)_(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?P<time>(?:-[0-9]{2}){3})-(?P<channel>[A-Za-z0-9-]+)_[0-9]{1,4}"
)
_BLANKS = re.compile(r"[ \t]+")
_CLOCK = re.compile(r"([0-9]{2}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]{1,6})?)")


@dataclass(frozen=True)
class HfName:
    """The parts of a stem; `patient` is device and time, `date` is yyyymmdd."""

    patient: str
    device: str
    date: str
    channel: str | None


@dataclass(frozen=True)
class MarkedEvent:
    """One row of a label file."""

    line: int
    start_s: float
    end_s: float
    kind: str


def parse_name(stem: str) -> HfName:
    """Read a file's stem.

    Raises:
        MalformedError: It is of neither kind.

    >>> parse_name("trunc_2019-07-31-11-20-43-L8_12")
    HfName(patient='trunc_2019-07-31-11-20-43', device='trunc', date='20190731', channel='L8')
    """
    match = _STETH.fullmatch(stem) or _TRUNC.fullmatch(stem)
    if match is None:
        raise MalformedError(
            f"name: {stem!r} is neither like steth_20180814_09_37_11 nor like trunc_2019-07-31-11-20-43-L8_12"
        )
    parts = match.groupdict()
    patient = f"{parts['device']}_{parts['date']}{parts['time']}"
    return HfName(patient, parts["device"], parts["date"].replace("-", ""), parts.get("channel"))


def parse_labels(data: bytes) -> tuple[list[MarkedEvent], list[Fault]]:
    """Read a label file; every row that is not blank is placed or a fault.

    >>> parse_labels(b"D 00:00:01.500 00:00:02.250")[0]
    [MarkedEvent(line=1, start_s=1.5, end_s=2.25, kind='crackle')]
    """
    return parse_lines(data, _parse_row)


def _parse_row(number: int, text: str) -> MarkedEvent:
    fields = _BLANKS.split(text)
    if len(fields) != 3:
        raise MalformedError(f"columns: found {len(fields)}, expected 3 (kind, start, end)")
    kind = parse_code(fields[0], KINDS, "event")
    start_s, end_s = parse_clock(fields[1]), parse_clock(fields[2])
    check_interval(start_s, end_s)
    return MarkedEvent(number, start_s, end_s, kind)


def parse_clock(text: str) -> float:
    """Read hours, minutes and seconds as seconds.

    Raises:
        MalformedError: It is not like `00:00:02.000`.

    >>> parse_clock("00:01:02.5")
    62.5
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise MalformedError(f"not a time: {text!r} is not like 00:00:02.000")
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def read(root: Path, dataset: str, settings: DatasetSettings) -> Iterator[Item]:
    """Yield the recordings, events, rejections and notices of HF_Lung_V1."""

    def place(file: str, label_file: str | None) -> Placed:
        stem, _ = split_name(file)
        name = parse_name(stem)
        recording = Recording(
            recording_id=f"{dataset}/{stem}",
            patient_id=f"{dataset}/{name.patient}",
            path=file,
            device=name.device,
            attributes={"date": name.date, "channel": name.channel, "official_split": _side(file)},
        )
        return Placed(recording, () if label_file is None else _events(root, recording.recording_id, label_file))

    yield from read_pairs(walk_files(root), "_label.txt", "label file", place)


def _side(file: str) -> str | None:
    """Return the official subset: a recording lies in a folder `train` or `test`, never in both."""
    sides = {folder for folder in file.split("/")[:-1] if folder in ("train", "test")}
    return sides.pop() if len(sides) == 1 else None


def _events(root: Path, recording_id: str, file: str) -> Iterator[Item]:
    try:
        events, faults = parse_labels(read_file(root / file))
    except MalformedError as error:
        yield Rejection(file, None, str(error))
        return
    for fault in faults:
        yield Rejection(file, fault.line, fault.reason)
    if not events and not faults:
        yield Notice("empty_label_file", file, "the label file holds no row; what the recording holds is unknown")
    for event in events:
        yield Event(recording_id, event.start_s, event.end_s, event.kind, "hf_lung", file, event.line)
