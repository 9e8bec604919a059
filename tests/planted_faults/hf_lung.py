"""Faults of HF_Lung_V1: names, pairs of files, rows of label files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import soundfile
from tests.planted_faults.tree import PlantedFault, Tree

Fields = list[str]


def plant_hf_lung_faults(tree: Tree) -> list[PlantedFault]:
    """Damage names, pairs of files and rows of label files."""
    faults = [_without_labels(tree), _without_wav(tree), _unreadable_name(tree), _other_name(tree)]
    faults.append(tree.fault(tree.copy_beside(tree.victim()), "duplicate id", "duplicate id"))
    twin = tree.copy_beside(_labels_of(tree.victim()))
    faults += [tree.fault(twin, "label file said twice", "duplicate label file"), tree.add_foreign_file()]
    faults += [_damage_row(tree, kind, reason, damage) for kind, (reason, damage) in _ROWS.items()]
    return [*faults, _beyond_end(tree), _not_utf8(tree)]


_ROWS: dict[str, tuple[str, Callable[[Fields], Fields]]] = {
    "unknown kind": ("unknown event", lambda fields: ["C", *fields[1:]]),
    "kind in lower case": ("unknown event", lambda fields: [fields[0].lower(), *fields[1:]]),
    "row without an end": ("columns", lambda fields: fields[:2]),
    "row with a remark": ("columns", lambda fields: [*fields, "weak"]),
    "time in seconds": ("not a time", lambda fields: [fields[0], "0.5", fields[2]]),
    "minute of more than 60 seconds": ("not a time", lambda fields: [*fields[:2], "00:00:75.000"]),
    "event ends before it starts": ("reversed", lambda fields: [fields[0], fields[2], fields[1]]),
    "event without length": ("zero length", lambda fields: [*fields[:2], fields[1]]),
}


def _labels_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_label.txt")


def _has_rows(path: Path) -> bool:
    return _labels_of(path).stat().st_size > 0


def _without_labels(tree: Tree) -> PlantedFault:
    path = tree.victim()
    _labels_of(path).unlink()
    return tree.fault(path, "missing label file", "missing label file")


def _without_wav(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.unlink()
    return tree.fault(_labels_of(path), "label file without wav", "missing wav")


def _unreadable_name(tree: Tree) -> PlantedFault:
    return _rename(tree, tree.victim(), "name outside of the layout", "new recording (2)")


def _other_name(tree: Tree) -> PlantedFault:
    path = tree.victim()
    return _rename(tree, path, "device of no known kind", f"phone_{path.stem.partition('_')[2]}")


def _rename(tree: Tree, path: Path, kind: str, stem: str) -> PlantedFault:
    labels = _labels_of(path)
    renamed = path.rename(path.with_name(f"{stem}.wav"))
    labels.rename(_labels_of(renamed))
    return tree.fault(renamed, kind, "name")


def _damage_row(tree: Tree, kind: str, reason: str, damage: Callable[[Fields], Fields]) -> PlantedFault:
    labels = _labels_of(tree.victim(_has_rows))
    rows = labels.read_text(encoding="ascii").splitlines()
    index = int(tree.rng.integers(len(rows)))
    rows[index] = " ".join(damage(rows[index].split(" ")))
    labels.write_text("".join(f"{row}\n" for row in rows), encoding="ascii", newline="\n")
    return tree.fault(labels, kind, reason, index + 1)


def _beyond_end(tree: Tree) -> PlantedFault:
    path = tree.victim(_has_rows)
    late_s = int(soundfile.info(path).duration) + 2
    labels = _labels_of(path)
    rows = labels.read_text(encoding="ascii").splitlines()
    rows.append(f"Wheeze 00:00:00.500 00:{late_s // 60:02d}:{late_s % 60:02d}.000")
    labels.write_text("".join(f"{row}\n" for row in rows), encoding="ascii", newline="\n")
    return tree.fault(labels, "event beyond the end", "beyond the end", len(rows))


def _not_utf8(tree: Tree) -> PlantedFault:
    labels = _labels_of(tree.victim(_has_rows))
    rows = labels.read_bytes().splitlines()
    rows[0] += b" r\xe2le"
    labels.write_bytes(b"\n".join(rows) + b"\n")
    return tree.fault(labels, "row not UTF-8", "not UTF-8", 1)
