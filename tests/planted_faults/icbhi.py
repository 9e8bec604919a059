"""Faults of ICBHI: those of cycle files, and lines of the files about patients and the official split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.planted_faults.cycles import plant_cycle_faults
from tests.planted_faults.tree import PlantedFault, Tree

from auscult.errors import DataError

_DIAGNOSIS_FILES = ("patient_diagnosis.csv", "ICBHI_Challenge_diagnosis.txt")
_DEMOGRAPHIC_FILES = ("demographic_info.txt",)
_OFFICIAL_FILES = ("ICBHI_challenge_train_test.txt",)

Damage = Callable[[bytes], bytes]
"""Of one line."""


def plant_icbhi_faults(tree: Tree) -> list[PlantedFault]:
    """Damage pairs of files, and lines of the diagnoses, the demographics and the official list."""
    return [
        *plant_cycle_faults(tree),
        _other_device(tree),
        *_damage_lines(tree, _DIAGNOSIS_FILES, _DIAGNOSES, ("patient diagnosed twice", "duplicate patient")),
        *_damage_lines(tree, _DEMOGRAPHIC_FILES, _DEMOGRAPHICS, ("patient described twice", "duplicate patient")),
        *_damage_lines(tree, _OFFICIAL_FILES, _LISTED, ("recording listed twice", "duplicate recording")),
    ]


_DIAGNOSES: dict[str, tuple[str, Damage]] = {
    "diagnosis line not UTF-8": ("not UTF-8", lambda line: line + b" (s\xe9v\xe8re)"),
    "unknown diagnosis": ("unknown diagnosis", lambda line: line[:4] + b"Flu"),
    "patient without a diagnosis": ("columns", lambda line: line[:3]),
}
"""Kind -> reason, what becomes of a line; patients have three digits."""

_DEMOGRAPHICS: dict[str, tuple[str, Damage]] = {
    "demographics cut short": ("columns", lambda line: line[: line.rindex(_separator(line))]),
}

_LISTED: dict[str, tuple[str, Damage]] = {
    "unknown subset": ("unknown subset", lambda line: _with_field(line, 1, b"validation")),
    "listed name outside of the layout": ("name", lambda line: line.replace(b"_", b"-", 1)),
    "listed without a side": ("columns", lambda line: _with_field(line, 1, b"").strip()),
}


def _separator(line: bytes) -> bytes:
    return b"\t" if b"\t" in line else b" "


def _with_field(line: bytes, index: int, value: bytes) -> bytes:
    separator = _separator(line)
    fields = line.split(separator)
    fields[index] = value
    return separator.join(fields)


def _damage_lines(
    tree: Tree, names: tuple[str, ...], damages: dict[str, tuple[str, Damage]], twice: tuple[str, str]
) -> list[PlantedFault]:
    """Damage one line for each kind, and say one of the others again at the end."""
    path = _find(tree.root, names)
    content = path.read_bytes()
    end = b"\r\n" if b"\r\n" in content else b"\n"
    lines = content.removesuffix(end).split(end)
    filled = [index for index, line in enumerate(lines) if line]
    chosen = [int(index) for index in tree.rng.choice(filled, len(damages) + 1, replace=False)]
    faults: list[PlantedFault] = []
    for index, (kind, (reason, damage)) in zip(chosen, damages.items(), strict=False):
        lines[index] = damage(lines[index])
        faults.append(tree.fault(path, kind, reason, index + 1))
    lines.append(lines[chosen[-1]])
    faults.append(tree.fault(path, *twice, len(lines)))
    path.write_bytes(end.join(lines) + (end if content.endswith(end) else b""))
    return faults


def _find(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).exists():
            return root / name
    raise DataError(f"{root}: there is none of {', '.join(names)}; write the dataset anew")


def _other_device(tree: Tree) -> PlantedFault:
    """Copy a recording with its cycles under another device: one id twice, and the later in the alphabet is it."""
    path = tree.victim()
    fields, _, device = path.stem.rpartition("_")
    copied = path.with_name(f"{fields}_{'Meditron' if device != 'Meditron' else 'AKGC417L'}.wav")
    shutil.copyfile(path, copied)
    shutil.copyfile(path.with_suffix(".txt"), copied.with_suffix(".txt"))
    return tree.fault(max(path, copied), "one recording under two devices", "duplicate id")
