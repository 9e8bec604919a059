"""Faults of JORDAN and BD: names, folders and cells of the sheets."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.planted_faults.tree import PlantedFault, Tree

from auscult_simulate.layouts.bd import AUDIO_FOLDER
from auscult_simulate.layouts.bd import SHEET_NAME as BD_SHEET
from auscult_simulate.layouts.jordan import N_JUNK_ROWS
from auscult_simulate.layouts.jordan import SHEET_NAME as JORDAN_SHEET
from auscult_simulate.spreadsheets import Sheet

Fields = list[str]


def plant_jordan_faults(tree: Tree) -> list[PlantedFault]:
    """Damage names of files and a row of the sheet."""
    faults = [_rename(tree, kind, reason, change) for kind, (reason, change) in _JORDAN_NAMES.items()]
    faults.append(tree.fault(tree.copy_beside(tree.victim()), "duplicate id", "duplicate id"))
    faults.append(tree.add_foreign_file())
    return [*faults, *_damage_jordan_sheet(tree)]


def plant_bd_faults(tree: Tree) -> list[PlantedFault]:
    """Damage names of files and folders and cells of the sheet."""
    return [
        _unreadable_name(tree),
        _other_childs_folder(tree),
        _unknown_folder(tree),
        _other_separator(tree),
        *_damage_bd_sheet(tree),
    ]


_JORDAN_NAMES: dict[str, tuple[str, Callable[[Fields], Fields]]] = {
    "name without a field": ("name", lambda fields: fields[:-1]),
    "unknown filter": ("name", lambda fields: ["X" + fields[0][1:], *fields[1:]]),
    "unknown diagnosis": ("unknown diagnosis", lambda fields: [f"{fields[0].split('_')[0]}_see notes", *fields[1:]]),
}


def _rename(tree: Tree, kind: str, reason: str, change: Callable[[Fields], Fields]) -> PlantedFault:
    path = tree.victim()
    renamed = path.with_name(",".join(change(path.stem.split(","))) + ".wav")
    path.rename(renamed)
    return tree.fault(renamed, kind, reason)


def _unreadable_name(tree: Tree) -> PlantedFault:
    path = tree.victim()
    renamed = path.with_name("new recording (2).wav")
    path.rename(renamed)
    return tree.fault(renamed, "name outside of the layout", "name")


def _other_childs_folder(tree: Tree) -> PlantedFault:
    path = tree.victim()
    folders = sorted(folder for folder in (tree.root / AUDIO_FOLDER).iterdir() if folder != path.parent)
    target = folders[int(tree.rng.integers(len(folders)))] / path.name
    path.rename(target)
    return tree.fault(target, "in the folder of another child", "folder")


def _unknown_folder(tree: Tree) -> PlantedFault:
    path = tree.victim()
    target = tree.root / AUDIO_FOLDER / "unsorted" / path.name
    target.parent.mkdir()
    path.rename(target)
    return tree.fault(target, "folder outside of the layout", "folder")


def _other_separator(tree: Tree) -> PlantedFault:
    """Copy a recording under its name with the other separator: one id twice, and the later in the alphabet is it."""
    path = tree.victim()
    if "_" in path.stem:
        other = path.stem.replace("_", "-")
    else:
        hospital_id, date, visit, part, end = path.stem.split("-")
        other = f"{hospital_id}_{date}_{visit}-{part}_{end}"
    copied = path.with_name(f"{other}.wav")
    shutil.copyfile(path, copied)
    return tree.fault(max(path, copied), "duplicate id", "duplicate id")


def _damage_jordan_sheet(tree: Tree) -> list[PlantedFault]:
    path = tree.root / JORDAN_SHEET
    sheet = Sheet(path)
    row = int(tree.rng.choice(range(2, sheet.n_rows + 1 - N_JUNK_ROWS)))
    sheet.write(row, "Diagnosis", "see notes")
    sheet.save()
    return [tree.fault(path, "unknown diagnosis in the sheet", "unknown diagnosis", row)]


def _damage_bd_sheet(tree: Tree) -> list[PlantedFault]:
    path = tree.root / BD_SHEET
    sheet = Sheet(path)
    usual = [row for row in range(2, sheet.n_rows + 1) if sheet.read(row, "PEP1") in (0, 1)]
    endpoint, identity, twin = (int(row) for row in tree.rng.choice(usual, 3, replace=False))
    new = sheet.n_rows + 1
    sheet.write(new, "HOSP_ID", sheet.read(twin, "HOSP_ID"))
    sheet.write(new, "PEP1", 1 - sheet.read(twin, "PEP1"))
    sheet.write(endpoint, "PEP1", "maybe")
    sheet.write(identity, "HOSP_ID", "12A45")
    sheet.save()
    return [
        tree.fault(path, "unknown endpoint", "unknown label", endpoint),
        tree.fault(path, "id not a number", "patient", identity),
        tree.fault(path, "contradicting row", "duplicate patient", new),
    ]
