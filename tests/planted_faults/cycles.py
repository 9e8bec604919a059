"""Faults of PERCH, ANTWERP and ANTWERP SIM, and the first of ICBHI: names, pairs of files, lines of cycle files."""

from __future__ import annotations

from collections.abc import Callable

import soundfile
from tests.planted_faults.tree import PlantedFault, Tree

Fields = list[str]


def plant_cycle_faults(tree: Tree) -> list[PlantedFault]:
    """Damage pairs of files and lines of cycle files."""
    faults = [_without_cycles(tree), _without_wav(tree), _unreadable_name(tree), _duplicate(tree)]
    faults.append(tree.add_foreign_file())
    faults += [_damage_line(tree, kind, reason, damage) for kind, (reason, damage) in _LINE_DAMAGES.items()]
    return [*faults, _beyond_end(tree), _not_utf8_cycle(tree)]


def _without_cycles(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.with_suffix(".txt").unlink()
    return tree.fault(path, "missing cycle file", "missing cycle file")


def _without_wav(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.unlink()
    return tree.fault(path.with_suffix(".txt"), "cycle file without wav", "missing wav")


def _unreadable_name(tree: Tree) -> PlantedFault:
    path = tree.victim()
    renamed = path.with_name("new recording (2).wav")
    path.with_suffix(".txt").rename(renamed.with_suffix(".txt"))
    path.rename(renamed)
    return tree.fault(renamed, "name outside of the layout", "name")


def _duplicate(tree: Tree) -> PlantedFault:
    return tree.fault(tree.copy_beside(tree.victim()), "duplicate id", "duplicate id")


def _swap_times(fields: Fields) -> Fields:
    return [fields[1], fields[0], *fields[2:]]


def _drop_column(fields: Fields) -> Fields:
    return fields[:3]


def _comma_number(fields: Fields) -> Fields:
    return [fields[0], "3,14", *fields[2:]]


def _flag_out_of_range(fields: Fields) -> Fields:
    return [*fields[:3], "2"]


def _negative_start(fields: Fields) -> Fields:
    return ["-0.5", *fields[1:]]


_LINE_DAMAGES: dict[str, tuple[str, Callable[[Fields], Fields]]] = {
    "cycle ends before it starts": ("reversed", _swap_times),
    "cycle line without a column": ("columns", _drop_column),
    "cycle time not a number": ("not a number", _comma_number),
    "cycle flag neither 0 nor 1": ("flag", _flag_out_of_range),
    "cycle starts before 0": ("negative time", _negative_start),
}


def _damage_line(tree: Tree, kind: str, reason: str, damage: Callable[[Fields], Fields]) -> PlantedFault:
    path = tree.victim().with_suffix(".txt")
    lines = path.read_text(encoding="ascii").splitlines()
    index = int(tree.rng.integers(len(lines)))
    lines[index] = "\t".join(damage(lines[index].split("\t")))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="\n")
    return tree.fault(path, kind, reason, index + 1)


def _beyond_end(tree: Tree) -> PlantedFault:
    path = tree.victim()
    duration_s = soundfile.info(path).duration
    cycles = path.with_suffix(".txt")
    lines = cycles.read_text(encoding="ascii").splitlines()
    fields = lines[-1].split("\t")
    lines[-1] = "\t".join([fields[0], f"{duration_s + 1.5:.3f}", *fields[2:]])
    cycles.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="\n")
    return tree.fault(cycles, "cycle beyond the end", "beyond the end", len(lines))


def _not_utf8_cycle(tree: Tree) -> PlantedFault:
    path = tree.victim().with_suffix(".txt")
    lines = path.read_bytes().splitlines()
    lines[0] += b"\tr\xe2le"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return tree.fault(path, "cycle line not UTF-8", "not UTF-8", 1)
