"""Faults of SPRSound: pairs of files, annotations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile
from tests.planted_faults.tree import PlantedFault, Tree

from auscult.errors import DataError

Document = dict[str, Any]


def plant_sprsound_faults(tree: Tree) -> list[PlantedFault]:
    """Damage pairs of files and annotations."""
    faults = [_damage_text(tree, kind, reason, damage) for kind, (reason, damage) in _TEXTS.items()]
    faults += [_damage_document(tree, kind, reason, damage) for kind, (reason, damage) in _DOCUMENTS.items()]
    faults += [_damage_event(tree, kind, reason, change) for kind, (reason, change) in _EVENTS.items()]
    faults += [_without_annotation(tree), _without_wav(tree), _beyond_end(tree)]
    faults.append(tree.fault(tree.copy_beside(tree.victim()), "duplicate id", "duplicate id"))
    twin = tree.copy_beside(_annotation_of(tree, tree.victim()))
    faults.append(tree.fault(twin, "annotation said twice", "duplicate annotation file"))
    return [*faults, tree.add_foreign_file()]


_TEXTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "annotation cut short": ("not JSON", lambda content: content[: len(content) // 2]),
    "annotation empty": ("not JSON", lambda _: b""),
    "annotation not UTF-8": ("not UTF-8", lambda content: content.replace(b'"record', b'"r\xe9cord', 1)),
    "key said twice": ("not JSON", lambda content: content.replace(b"{", b'{"event_annotation": [], ', 1)),
}

_DOCUMENTS: dict[str, tuple[str, Callable[[Document], Document]]] = {
    "unknown record label": ("unknown label", lambda document: {**document, _record_key(document): "Fine"}),
    "unknown key": ("columns", lambda document: {**document, "annotator": 3}),
    "events not a list": ("columns", lambda document: {**document, "event_annotation": {}}),
}

_EVENTS: dict[str, tuple[str, Callable[[Document], Document]]] = {
    "unknown event": ("unknown event", lambda event: {**event, "type": "Squeak"}),
    "event ends before it starts": ("reversed", lambda event: {**event, "start": event["end"], "end": event["start"]}),
    "event without length": ("zero length", lambda event: {**event, "end": event["start"]}),
    "event time in seconds": ("not a number", lambda event: {**event, "end": f"{int(event['end']) / 1000:.3f}"}),
    "event starts before 0": ("not a number", lambda event: {**event, "start": "-500"}),
    "event without a type": ("columns", lambda event: {name: event[name] for name in ("start", "end")}),
}


def _record_key(document: Document) -> str:
    return next(key for key in document if key != "event_annotation")


def _annotation_of(tree: Tree, path: Path) -> Path:
    found = sorted(tree.root.rglob(f"{path.stem}.json"))
    if not found:
        raise DataError(f"{path}: there is no {path.stem}.json below {tree.root}; write the dataset anew")
    return found[0]


def _has_events(tree: Tree) -> Callable[[Path], bool]:
    # A recording of poor quality has none that could be damaged.
    return lambda path: bool(json.loads(_annotation_of(tree, path).read_bytes())["event_annotation"])


def _damage_text(tree: Tree, kind: str, reason: str, damage: Callable[[bytes], bytes]) -> PlantedFault:
    annotation = _annotation_of(tree, tree.victim())
    annotation.write_bytes(damage(annotation.read_bytes()))
    return tree.fault(annotation, kind, reason)


def _damage_document(tree: Tree, kind: str, reason: str, damage: Callable[[Document], Document]) -> PlantedFault:
    annotation = _annotation_of(tree, tree.victim())
    annotation.write_text(json.dumps(damage(json.loads(annotation.read_bytes()))), encoding="ascii")
    return tree.fault(annotation, kind, reason)


def _damage_event(tree: Tree, kind: str, reason: str, change: Callable[[Document], Document]) -> PlantedFault:
    path = tree.victim(_has_events(tree))
    return _change_an_event(tree, path, kind, reason, change)


def _beyond_end(tree: Tree) -> PlantedFault:
    path = tree.victim(_has_events(tree))
    late = round((soundfile.info(path).duration + 1.5) * 1000)
    return _change_an_event(
        tree, path, "event beyond the end", "beyond the end", lambda event: {**event, "end": str(late)}
    )


def _change_an_event(
    tree: Tree, path: Path, kind: str, reason: str, change: Callable[[Document], Document]
) -> PlantedFault:
    annotation = _annotation_of(tree, path)
    document = json.loads(annotation.read_bytes())
    events = document["event_annotation"]
    index = int(tree.rng.integers(len(events)))
    events[index] = change(events[index])
    annotation.write_text(json.dumps(document), encoding="ascii")
    return tree.fault(annotation, kind, reason)


def _without_annotation(tree: Tree) -> PlantedFault:
    path = tree.victim()
    _annotation_of(tree, path).unlink()
    return tree.fault(path, "missing annotation", "missing annotation file")


def _without_wav(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.unlink()
    return tree.fault(_annotation_of(tree, path), "annotation without wav", "missing wav")
