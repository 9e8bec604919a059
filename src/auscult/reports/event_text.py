"""Events found in audio files as CSV, JSON, an Audacity label track or a Praat TextGrid."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from auscult.errors import ConfigError
from auscult.storage.spreadsheets import to_csv

Text = Callable[[pd.DataFrame, Sequence[str], Mapping[str, float]], str]


def events_text(path: Path, events: pd.DataFrame, kinds: Sequence[str], durations_s: Mapping[str, float]) -> str:
    """Return the content of a file of events, in the format that its ending names.

    Args:
        path: Ends in `.csv`, `.json`, `.txt` (Audacity) or `.TextGrid`.
        events: Columns `file`, `kind`, `start_s`, `end_s`, `probability`.
        kinds: All that the model finds.
        durations_s: File -> its length; all that were read.

    Raises:
        ConfigError: Another ending, or a label track or TextGrid for several files.
    """
    require_format(path, len(durations_s))
    return _FORMATS[path.suffix.lower()](events, kinds, durations_s)


def require_format(path: Path, n_files: int) -> None:
    """Refuse an ending that names no format, or one of a single file.

    Raises:
        ConfigError: It says which endings there are.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ConfigError(f"--events {path}: ends in {suffix!r}, expected {', '.join(_FORMATS)}")
    if suffix in _OF_ONE_FILE and n_files > 1:
        raise ConfigError(
            f"--events {path}: {suffix} holds the events of one file, found {n_files}; take .csv or .json"
        )


def _csv(events: pd.DataFrame, _: Sequence[str], __: Mapping[str, float]) -> str:
    return to_csv(events, "%.6g")


def _json(events: pd.DataFrame, kinds: Sequence[str], durations_s: Mapping[str, float]) -> str:
    by_file: dict[str, list[dict[str, object]]] = {file: [] for file in durations_s}
    for row in events.to_dict("records"):
        by_file[row.pop("file")].append({str(key): value for key, value in row.items()})
    files = [{"file": file, "duration_s": durations_s[file], "events": found} for file, found in by_file.items()]
    return json.dumps({"kinds": list(kinds), "files": files}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _audacity(events: pd.DataFrame, _: Sequence[str], __: Mapping[str, float]) -> str:
    rows = zip(events["start_s"], events["end_s"], events["kind"], strict=True)
    return "".join(f"{start_s:.6f}\t{end_s:.6f}\t{kind}\n" for start_s, end_s, kind in rows)


def _textgrid(events: pd.DataFrame, kinds: Sequence[str], durations_s: Mapping[str, float]) -> str:
    """Return a TextGrid with a tier for each kind; between events stand empty intervals."""
    (end_s,) = durations_s.values() or (0.0,)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end_s:.6f}",
        "tiers? <exists>",
        f"size = {len(kinds)}",
        "item []:",
    ]
    for number, kind in enumerate(kinds, start=1):
        found = events.loc[events["kind"] == kind]
        intervals: list[tuple[float, float, str]] = []
        at_s = 0.0
        for start_s, stop_s in zip(found["start_s"], found["end_s"], strict=True):
            intervals += [(at_s, start_s, "")] if start_s > at_s else []
            intervals.append((start_s, stop_s, kind))
            at_s = stop_s
        intervals += [(at_s, end_s, "")] if end_s > at_s else []
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{_quoted(kind)}"',
            "        xmin = 0",
            f"        xmax = {end_s:.6f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for place, (start_s, stop_s, text) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start_s:.6f}",
                f"            xmax = {stop_s:.6f}",
                f'            text = "{_quoted(text)}"',
            ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', '""')


_FORMATS: dict[str, Text] = {".csv": _csv, ".json": _json, ".txt": _audacity, ".textgrid": _textgrid}
_OF_ONE_FILE = (".txt", ".textgrid")
