"""Faults of `uid_json`: folders without a part, metadata that is none or not true, rows of the tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.planted_faults.audio import truncate_each_format
from tests.planted_faults.row_files import RowFile
from tests.planted_faults.tree import PlantedFault, Tree

from auscult.errors import DataError
from auscult_simulate.layouts.uid_json import TABLES, TARGETS_FILE

Document = dict[str, Any]


def plant_uid_json_faults(tree: Tree) -> list[PlantedFault]:
    """Damage folders, metadata, tables and the names of the targets."""
    faults = [*truncate_each_format(tree), _without_metadata(tree), _without_waveform(tree), _second_waveform(tree)]
    faults += [_damage_metadata(tree, kind, reason, change) for kind, (reason, change) in _METADATA.items()]
    return [*faults, _cut_metadata(tree), *_damage_tables(tree), _repeat_target(tree), tree.add_foreign_file()]


_METADATA: dict[str, tuple[str, Callable[[Document], Document]]] = {
    "sample rate not the file's": ("sample rate", lambda it: {**it, "sample_rate_hz": 2 * it["sample_rate_hz"]}),
    "sample rate as text": ("not a number", lambda it: {**it, "sample_rate_hz": str(it["sample_rate_hz"])}),
    "no sample rate": ("not a number", lambda it: {"encoding": it["encoding"]}),
    "unknown encoding": ("unknown encoding", lambda it: {**it, "encoding": "MIDI"}),
    "encoding in lower case": ("unknown encoding", lambda it: {**it, "encoding": it["encoding"].lower()}),
}


def _metadata_of(path: Path) -> Path:
    return path.parent / "metadata.json"


def _without_metadata(tree: Tree) -> PlantedFault:
    metadata = _metadata_of(tree.victim())
    metadata.unlink()
    return tree.fault(metadata, "missing metadata", "missing metadata")


def _without_waveform(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.unlink()
    return tree.fault(_metadata_of(path), "metadata without a waveform", "missing waveform")


def _second_waveform(tree: Tree) -> PlantedFault:
    path = tree.victim()
    other = path.with_name(f"waveform (2){path.suffix}")
    shutil.copyfile(path, other)
    return tree.fault(other, "second waveform", "not part of the layout")


def _damage_metadata(tree: Tree, kind: str, reason: str, change: Callable[[Document], Document]) -> PlantedFault:
    metadata = _metadata_of(tree.victim())
    metadata.write_text(json.dumps(change(json.loads(metadata.read_bytes()))), encoding="utf-8")
    return tree.fault(metadata, kind, reason)


def _cut_metadata(tree: Tree) -> PlantedFault:
    metadata = _metadata_of(tree.victim())
    content = metadata.read_bytes()
    metadata.write_bytes(content[: len(content) // 2])
    return tree.fault(metadata, "metadata cut short", "not JSON")


def _damage_tables(tree: Tree) -> list[PlantedFault]:
    train, test = (RowFile(tree.root / TABLES[side]) for side in ("train", "test"))
    lines = {cells["uid"]: line for line, cells in train.rows()}

    def victim() -> int:
        path = tree.victim(lambda path: path.parent.name in lines)
        return lines[path.parent.name]

    faults: list[PlantedFault] = []
    line = victim()
    faults.append(tree.fault(test.path, "on both sides", "duplicate uid", test.append(train.cells(line))))
    again = train.append(train.cells(victim()))
    faults.append(tree.fault(train.path, "row said twice", "duplicate uid", again))
    absent = train.append({**train.cells(victim()), "uid": "000000000000"})
    faults.append(tree.fault(train.path, "row without a folder", "missing folder", absent))
    for kind, reason, changes in (
        ("no uid", "uid", {"uid": ""}),
        ("uid with a slash", "uid", {"uid": "train/1"}),
        ("no patient", "patient", {"patient": ""}),
    ):
        line = victim()
        train.write(line, {**train.cells(line), **changes})
        faults.append(tree.fault(train.path, kind, reason, line))
    line = victim()
    train.write_raw(line, train.raw(line).split(b",")[0])
    faults.append(tree.fault(train.path, "row cut short", "columns", line))
    line = victim()
    train.write_raw(line, train.raw(line) + b"\x81\x8d")
    faults.append(tree.fault(train.path, "row not UTF-8", "not UTF-8", line))
    train.save()
    test.save()
    return faults


def _repeat_target(tree: Tree) -> PlantedFault:
    path = tree.root / TARGETS_FILE
    names = path.read_text(encoding="utf-8").splitlines()
    if not names:
        raise DataError(f"{path}: it names no target; write the dataset anew")
    path.write_text("".join(f"{name}\n" for name in [*names, names[0]]), encoding="utf-8")
    return tree.fault(path, "target named twice", "duplicate target", len(names) + 1)
