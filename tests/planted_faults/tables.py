"""Faults of `manifest` and `files_csv`: rows that do not fit, paths that lead nowhere or out of the root."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import soundfile
from tests.planted_faults.audio import truncate_each_format
from tests.planted_faults.row_files import Cells, RowFile
from tests.planted_faults.tree import PlantedFault, Tree

from auscult.errors import DataError
from auscult_simulate.layouts import files_csv, manifest

OUTSIDE = "/dev/null"
"""What a planted link points to: a file that is on every machine, and in no dataset."""


class _Rows:
    """The table of a collection and its columns, to be damaged at the rows of one recording after the other."""

    def __init__(self, tree: Tree, table: RowFile, path_column: str, folder: str) -> None:
        self.tree = tree
        self.table = table
        self.path_column = path_column
        self._folder = tree.root / folder

    def victim(self) -> tuple[Path, int]:
        """Return a sound that no fault has touched, and one of its lines."""
        path = self.tree.victim()
        lines = self.table.lines_of(self.path_column, path.relative_to(self._folder).as_posix())
        if not lines:
            raise DataError(f"{self.table.path}: no row says {path}; write the dataset anew")
        return path, lines[int(self.tree.rng.integers(len(lines)))]

    def first_line(self, path: Path) -> int:
        """Return the first line of a sound."""
        return self.table.lines_of(self.path_column, path.relative_to(self._folder).as_posix())[0]

    def change(self, kind: str, reason: str, changes: Callable[[Cells], Cells]) -> PlantedFault:
        """Change cells of one row."""
        _, line = self.victim()
        cells = self.table.cells(line)
        self.table.write(line, {**cells, **changes(cells)})
        return self.fault(kind, reason, line)

    def change_raw(self, kind: str, reason: str, damage: Callable[[bytes], bytes]) -> PlantedFault:
        """Change the bytes of one row."""
        _, line = self.victim()
        self.table.write_raw(line, damage(self.table.raw(line)))
        return self.fault(kind, reason, line)

    def append(self, kind: str, reason: str, line: int, changes: Cells) -> PlantedFault:
        """Add a row that is like another but for some cells."""
        return self.fault(kind, reason, self.table.append({**self.table.cells(line), **changes}))

    def fault(self, kind: str, reason: str, line: int) -> PlantedFault:
        """Return the record of a damage to the table."""
        return self.tree.fault(self.table.path, kind, reason, line)


def plant_manifest_faults(tree: Tree) -> list[PlantedFault]:
    """Damage rows of the manifest, also those of events."""
    path = next(tree.root / name for name in manifest.TABLES.values() if (tree.root / name).exists())
    rows = _Rows(tree, RowFile(path), "file", "")
    faults = [*truncate_each_format(tree), *_plant_table_faults(rows)]
    faults.append(rows.change("no patient", "patient", lambda _: {"patient": " "}))
    _, line = rows.victim()
    faults.append(rows.append("other patient on another row", "contradiction", line, {"patient": "P999"}))
    sound, line = rows.victim()
    late = f"{soundfile.info(sound).duration + 1.5:.3f}"
    faults.append(
        rows.append("event beyond the end", "beyond the end", line, {"start": "0.5", "end": late, "event": "cycle"})
    )
    for kind, (reason, times) in _EVENTS.items():
        _, line = rows.victim()
        faults.append(rows.append(kind, reason, line, times))
    rows.table.save()
    return faults


def plant_files_csv_faults(tree: Tree) -> list[PlantedFault]:
    """Damage rows of `info.csv`."""
    rows = _Rows(tree, RowFile(tree.root / files_csv.TABLE), "files", files_csv.FOLDER)
    faults = [*truncate_each_format(tree), *_plant_table_faults(rows)]
    sound, line = rows.victim()
    renamed = sound.rename(sound.with_name(f"new recording (2){sound.suffix}"))
    rows.table.write(line, {**rows.table.cells(line), "files": renamed.name})
    faults.append(rows.fault("name outside of the pattern", "name", line))
    rows.table.save()
    return faults


_EVENTS: dict[str, tuple[str, Cells]] = {
    "event ends before it starts": ("reversed", {"start": "2", "end": "1", "event": "wheeze"}),
    "event without length": ("zero length", {"start": "1", "end": "1.0", "event": "wheeze"}),
    "event starts before 0": ("negative time", {"start": "-0.5", "end": "1", "event": "wheeze"}),
    "event time not a number": ("not a number", {"start": "1", "end": "1:30", "event": "wheeze"}),
    "event without a kind": ("event", {"start": "1", "end": "2", "event": ""}),
}


def _plant_table_faults(rows: _Rows) -> list[PlantedFault]:
    column = rows.path_column
    return [
        # A row of nothing at all is blank, and no fault.
        rows.change("no path", "path", lambda cells: {column: "", **({"type": "Normal"} if "type" in cells else {})}),
        rows.change("absolute path", "path", lambda cells: {column: f"/data/{cells[column]}"}),
        rows.change("path out of the root", "path", lambda cells: {column: f"../../{cells[column]}"}),
        rows.change_raw("row cut short", "columns", lambda content: content[:9]),
        rows.change_raw("row not UTF-8", "not UTF-8", lambda content: content + b"\x81\x8d"),
        rows.change_raw("row with a null character", "not text", lambda content: content + b"\0"),
        _stray_quote(rows),
        _absent_file(rows),
        _link_out(rows),
        _twin_in_another_format(rows),
    ]


def _stray_quote(rows: _Rows) -> PlantedFault:
    _, line = rows.victim()
    cells = rows.table.cells(line)
    delimiter = b"\t" if rows.table.path.suffix == ".tsv" else b","
    quoted = [f'"{value}"'.encode() for value in cells.values()]
    rows.table.write_raw(line, delimiter.join([quoted[0] + b"x", *quoted[1:]]))
    return rows.fault("quote in the middle of a cell", "not a row", line)


def _absent_file(rows: _Rows) -> PlantedFault:
    """Take a recording away: every row of it speaks of it, the first is refused."""
    path, _ = rows.victim()
    first = rows.first_line(path)
    path.unlink()
    return rows.fault("row without a file", "missing", first)


def _link_out(rows: _Rows) -> PlantedFault:
    path, line = rows.victim()
    link = path.with_name(f"{path.stem}000{path.suffix}")
    link.symlink_to(OUTSIDE)
    spelt = rows.table.cells(line)[rows.path_column].replace(path.name, link.name)
    return rows.append("link out of the root", "path", line, {rows.path_column: spelt})


def _twin_in_another_format(rows: _Rows) -> PlantedFault:
    path, line = rows.victim()
    twin = path.with_suffix(".aiff")
    shutil.copyfile(path, twin)
    cells = rows.table.cells(line)
    spelt = cells[rows.path_column].replace(path.suffix, twin.suffix)
    return rows.append("one name in two formats", "duplicate id", line, {rows.path_column: spelt})
