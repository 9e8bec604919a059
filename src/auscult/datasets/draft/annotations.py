"""Annotation files beside the recordings: where they lie, and what their labels are."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auscult.config.annotations import AnnotationSettings
from auscult.datasets.draft.proposal import Proposal
from auscult.datasets.draft.survey import Survey
from auscult.datasets.draft.words import is_normal
from auscult.datasets.folder import split_name
from auscult.datasets.readers.annotation_events import parse_annotation
from auscult.datasets.readers.reading import MalformedError

MIN_SHARE = 0.6
"""Fewer recordings with a file are too few for the files to be what the collection is about."""
N_READ = 400
MIN_READ = 0.8
"""Of the files that are not empty, so many must give events."""
MISSPELT_TIMES = 8


def guess_annotations(survey: Survey, proposal: Proposal, *, has_labels: bool) -> dict[str, int]:
    """Add `annotations` where most recordings have a file of the same form; return the kinds of events it gives.

    Args:
        survey: Of the folder.
        proposal: What to add it to.
        has_labels: Whether a table gives labels already: files beside a part of the recordings are then left alone.
    """
    forms: dict[str, dict[str, str]] = {}
    for file, recording in survey.beside.items():
        forms.setdefault(_template(file, recording), {})[file] = recording
    if not forms:
        return {}
    template, files = max(forms.items(), key=lambda item: len(item[1]))
    for form, others in forms.items():
        if form != template:
            proposal.unused.append(f"{len(others)} files like {next(iter(others))}")
    n_audio = len(survey.audio)
    if len(files) < MIN_SHARE * n_audio or (has_labels and len(files) < n_audio * 0.95):
        said = "the table has labels already" if has_labels else "most recordings have none"
        proposal.unused.append(f"{len(files)} files like {next(iter(files))} beside {n_audio} recordings: {said}")
        return {}
    found = _read(survey.root, template, files)
    if found is None:
        proposal.unused.append(f"{len(files)} files like {next(iter(files))}: start, end and label were not found in them")
        return {}
    settings, kinds, n_empty = found
    if not any(is_normal(kind) for kind in kinds):
        settings["listened"] = "whole"
        proposal.doubts.append(
            "Annotation files are taken to mark all that is heard (`listened: whole`): what they do not mark is absent."
        )
    if n_empty:
        proposal.doubts.append(
            f"{n_empty} annotation files are empty, which is read as unknown; `empty_file: listened` reads it as nothing "
            "heard."
        )
    wrong = misspelt(kinds)
    if wrong:
        settings["kinds"] = wrong
        said = ", ".join(f"{kind!r} ({kinds[kind]}) as {meant!r}" for kind, meant in wrong.items())
        proposal.doubts.append(f"Misspelt labels are taken for what they are nearly called: {said}.")
    proposal.settings["annotations"] = settings
    names = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(8))
    proposal.say(f"{len(files)} of {n_audio} recordings have one: {names}", "annotations")
    return dict(kinds)


def _template(file: str, recording: str) -> str:
    """Return a template that leads from the recording to the file, in the plainest words."""
    folder, stem = recording.rpartition("/")[0], split_name(recording)[0]
    at, name = file.rpartition("/")[0], file.rpartition("/")[2]
    ending = re.sub(re.escape(stem), "", name, count=1, flags=re.IGNORECASE)
    name = f"{{stem}}{ending}"
    if at == folder:
        return f"{{folder}}/{name}"
    if at.rpartition("/")[0] == folder.rpartition("/")[0] and folder:
        return f"{{parent}}/{at.rpartition('/')[2]}/{name}"
    return f"{at}/{name}" if at else name


def _read(root: Path, template: str, files: Mapping[str, str]) -> tuple[dict[str, Any], Counter[str], int] | None:
    """Return the first form of settings with which nearly all of the files are read, their kinds, and the empty ones."""
    contents = [(root / file).read_bytes() for file in list(files)[:N_READ]]
    n_empty = sum(not content.strip() for content in contents)
    for columns in ({}, {"start": "start", "end": "end", "kind": "label"}, {"kind": None, "every": "event"}):
        settings = {"files": template, **columns}
        try:
            parsed = AnnotationSettings.model_validate(settings)
        except ValidationError:
            continue
        kinds: Counter[str] = Counter()
        n_read = 0
        for content in contents:
            try:
                events = parse_annotation(content, parsed, None, math.inf).events
            except MalformedError:
                continue
            n_read += bool(events)
            kinds.update(event.kind for event in events)
        if kinds and n_read >= MIN_READ * (len(contents) - n_empty):
            return settings, kinds, n_empty
    return None


def misspelt(kinds: Mapping[str, int]) -> dict[str, str]:
    """Return what is rare and nearly called as something frequent.

    >>> misspelt({"Wheeze": 30, "Wheez": 1, "Crackle": 25})
    {'Wheez': 'Wheeze'}
    """
    found: dict[str, str] = {}
    for rare, count in kinds.items():
        frequent = [kind for kind, other in kinds.items() if other > MISSPELT_TIMES * count and kind != rare]
        near = difflib.get_close_matches(rare.casefold(), [kind.casefold() for kind in frequent], n=1, cutoff=0.85)
        if near and near[0] != rare.casefold():
            found[rare] = next(kind for kind in frequent if kind.casefold() == near[0])
    return found
