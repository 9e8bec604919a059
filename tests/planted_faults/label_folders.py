"""Faults of `label_folders`: folders that are no label sets, names that say no patient, strange files."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.planted_faults.audio import truncate_each_format
from tests.planted_faults.tables import OUTSIDE
from tests.planted_faults.tree import PlantedFault, Tree


def plant_label_folders_faults(tree: Tree) -> list[PlantedFault]:
    """Damage folders and names."""
    faults = truncate_each_format(tree)
    faults += [_move(tree, kind, reason, folder) for kind, (reason, folder) in _FOLDERS.items()]
    faults += [_unreadable_name(tree), _deep(tree), _twin_in_another_format(tree), _link_out(tree)]
    return [*faults, _notes_beside(tree), tree.add_foreign_file()]


_FOLDERS: dict[str, tuple[str, str]] = {
    "beside the folders": ("folder", ""),
    "folder with an empty part": ("folder", "crackle+"),
    "folder that says a label twice": ("folder", "wheeze+wheeze"),
    "misspelt label": ("unknown label", "crackel"),
    "label in capitals": ("unknown label", "Wheeze"),
    "folder of no label": ("unknown label", "unsorted"),
}
"""Kind -> reason, the folder that the sound is moved to."""


def _move(tree: Tree, kind: str, reason: str, folder: str) -> PlantedFault:
    path = tree.victim()
    target = tree.root / folder / path.name
    target.parent.mkdir(exist_ok=True)
    return tree.fault(path.rename(target), kind, reason)


def _unreadable_name(tree: Tree) -> PlantedFault:
    path = tree.victim()
    renamed = path.rename(path.with_name(f"new recording (2){path.suffix}"))
    return tree.fault(renamed, "name outside of the pattern", "name")


def _deep(tree: Tree) -> PlantedFault:
    path = tree.victim()
    target = path.parent / "left lung" / path.name
    target.parent.mkdir()
    return tree.fault(path.rename(target), "folder in a folder", "folder")


def _twin_in_another_format(tree: Tree) -> PlantedFault:
    """Copy a sound under another format's name: one id twice, and the later in the alphabet is it."""
    path = tree.victim()
    twin = path.with_suffix(".wav" if path.suffix != ".wav" else ".flac")
    shutil.copyfile(path, twin)
    return tree.fault(max(path, twin), "one name in two formats", "duplicate id")


def _link_out(tree: Tree) -> PlantedFault:
    path = tree.victim()
    link = path.with_name(f"{path.stem}000{path.suffix}")
    link.symlink_to(OUTSIDE)
    return tree.fault(link, "link out of the root", "path")


def _notes_beside(tree: Tree) -> PlantedFault:
    notes: Path = tree.victim().parent / "notes.txt"
    notes.write_text("Listened to by two.\n", encoding="utf-8")
    return tree.fault(notes, "notes among the sounds", "not part of the layout")
