"""Recordings with an annotation file beside each, matched by stem wherever in the tree the two lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from auscult.corpora.folder import is_document, split_name
from auscult.corpora.reading import Item, MalformedError
from auscult.tables import Recording, Rejection


@dataclass(frozen=True)
class Placed:
    """A recording, and what its annotation file gave."""

    recording: Recording
    annotations: Iterable[Item]


def read_pairs(
    files: Iterable[str], annotation_ending: str, noun: str, place: Callable[[str, str | None], Placed]
) -> Iterator[Item]:
    """Yield the recordings among `files` with what their annotation files hold; each file is placed or rejected.

    Args:
        files: Relative paths.
        annotation_ending: What follows the recording's stem in its annotation file's name (`.txt`, `_label.txt`).
        noun: What such a file is called in messages.
        place: Makes the recording of a wav file and its annotation file (None where there is none), or raises
            MalformedError with the reason why it cannot.
    """
    sounds: list[str] = []
    annotations: dict[str, str] = {}
    for file in files:
        name = file.rsplit("/", 1)[-1]
        if is_document(file):
            continue
        if split_name(file)[1] == ".wav":
            sounds.append(file)
        elif not name.lower().endswith(annotation_ending):
            yield Rejection(file, None, f"not part of the layout: expected .wav and {annotation_ending}")
        elif (stem := name[: -len(annotation_ending)]) in annotations:
            yield Rejection(file, None, f"duplicate {noun}: {annotations[stem]} has the same name and was read")
        else:
            annotations[stem] = file
    seen: dict[str, str] = {}
    for file in sounds:
        stem, _ = split_name(file)
        try:
            placed = place(file, annotations.get(stem))
            recording_id = placed.recording.recording_id
            if recording_id in seen:
                raise MalformedError(f"duplicate id: {recording_id} is {seen[recording_id]} already")
        except MalformedError as error:
            yield Rejection(file, None, str(error))
            continue
        seen[recording_id] = file
        yield placed.recording
        yield from placed.annotations
        if stem not in annotations:
            reason = f"missing {noun}: no {stem}{annotation_ending}; the recording stays, what it holds is unknown"
            yield Rejection(file, None, reason)
    stems = {split_name(file)[0] for file in sounds}
    for stem, file in annotations.items():
        if stem not in stems:
            yield Rejection(file, None, f"missing wav: no {stem}.wav for this {noun}")
