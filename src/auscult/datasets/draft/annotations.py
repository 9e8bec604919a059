"""Annotation files beside the recordings: where they lie, and what their labels are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auscult.config.annotations import AnnotationSettings
from auscult.datasets.draft.proposal import Proposal
from auscult.datasets.draft.survey import Survey
from auscult.datasets.draft.words import is_normal
from auscult.datasets.folder import split_name
from auscult.datasets.readers.annotation_events import parse_annotation
from auscult.datasets.readers.reading import MalformedError

MIN_SHARE = 0.6
"""Fewer recordings with a file are too few for the files to be what the collection is about."""
MIN_SHARE_BESIDE_LABELS = 0.95
N_READ = 400
MIN_READ = 0.8
"""Of the files that are not empty, so many must give events."""
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"start": "start", "end": "end", "kind": "label"},
    {"kind": None, "every": "event"},
)


def guess_annotations(survey: Survey, proposal: Proposal, *, has_labels: bool) -> None:
    """Add `annotations` where most recordings have a file of the same form.

    Args:
        survey: Of the folder.
        proposal: What to add it to.
        has_labels: Whether a table gives labels already: files beside a part of the recordings are then left alone.
    """
    forms: dict[str, dict[str, str]] = {}
    for file, recording in survey.beside.items():
        forms.setdefault(_template(file, recording), {})[file] = recording
    if not forms:
        return
    template = max(forms, key=lambda form: len(forms[form]))
    n_audio = len(survey.audio)
    for form, files in forms.items():
        shown = f"{len(files)} files like {next(iter(files))}"
        if form != template:
            proposal.unused.append(shown)
        elif len(files) < n_audio * (MIN_SHARE_BESIDE_LABELS if has_labels else MIN_SHARE):
            said = "the table has labels already" if has_labels else "most recordings have none"
            proposal.unused.append(f"{shown} beside {n_audio} recordings: {said}")
        else:
            found = _read(survey.root, template, files)
            if found is None:
                proposal.unused.append(f"{shown}: start, end and label were not found in them")
            else:
                _propose(proposal, *found, f"{len(files)} of {n_audio} recordings have one")


def _propose(proposal: Proposal, settings: dict[str, Any], kinds: Counter[str], n_empty: int, said: str) -> None:
    if not any(is_normal(kind) for kind in kinds):
        absence, switch = "it is absent", "write `listened: whole` in place of `listened: events`"
        is_whole = proposal.means_absence("What does it say of a sound that a file does not mark?", absence, switch)
        settings["listened"] = "whole" if is_whole else "events"
        note = "what a file does not mark is unknown; `whole`: it is absent, for its writer listened to all"
        proposal.say(note, "annotations", "listened")
        if n_empty:
            absence, switch = "nothing was heard", "write `empty_file: listened` in place of `empty_file: unknown` too"
            question = f"What do the {n_empty} annotation files say that are empty?"
            is_heard = is_whole and proposal.means_absence(question, absence, switch)
            settings["empty_file"] = "listened" if is_heard else "unknown"
            note = f"{n_empty} files are empty; `listened`, with `listened: whole`: nothing was heard"
            proposal.say(note, "annotations", "empty_file")
    proposal.settings["annotations"] = settings
    names = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(8))
    proposal.say(f"{said}: {names}", "annotations")


def _template(file: str, recording: str) -> str:
    """Return a template that leads from the recording to the file, in the plainest words."""
    folder, stem = recording.rpartition("/")[0], split_name(recording)[0]
    at, _, name = file.rpartition("/")
    name = "{stem}" + re.sub(re.escape(stem), "", name, count=1, flags=re.IGNORECASE)
    if at == folder:
        return f"{{folder}}/{name}"
    if folder and at.rpartition("/")[0] == folder.rpartition("/")[0]:
        return f"{{parent}}/{at.rpartition('/')[2]}/{name}"
    return f"{at}/{name}" if at else name


def _read(root: Path, template: str, files: Mapping[str, str]) -> tuple[dict[str, Any], Counter[str], int] | None:
    """Return the first settings with which nearly all of the files are read, their kinds, and how many are empty."""
    contents = [(root / file).read_bytes() for file in list(files)[:N_READ]]
    n_empty = sum(not content.strip() for content in contents)
    for form in FORMS:
        settings = {"files": template, **form}
        parsed = AnnotationSettings.model_validate(settings)
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
