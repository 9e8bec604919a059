"""What can be learnt from the labels and events that were read: a task, and coarser ones where it asks too much."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from auscult.config.task import fold_label
from auscult.datasets.draft.proposal import Proposal, TaskGuess
from auscult.datasets.draft.words import POSITIVE, STRUCTURE, fold, is_normal, is_unknown
from auscult.storage.tables import ANNOTATED, LABEL_PREFIX, UNPLACED

MIN_PATIENTS = 3
"""Each of the three subsets needs one."""
MAX_TARGETS = 8


def propose_tasks(
    dataset: str, recordings: pd.DataFrame, events: pd.DataFrame, proposal: Proposal
) -> Iterator[TaskGuess]:
    """Yield the tasks that the labels allow, the best first; none where there is nothing to learn.

    What one kind of task leaves open is asked when it is its turn, so that nobody answers for a task that is not taken.

    Args:
        dataset: Its name.
        recordings: As they were read.
        events: As they were read.
        proposal: Which label was asked for, and whom to ask what is positive.
    """
    labels = [str(name) for name in recordings.columns if str(name).startswith(LABEL_PREFIX)]
    for column in labels:
        yield from _from_label(dataset, column.removeprefix(LABEL_PREFIX), column, recordings, proposal)
    yield from _from_events(dataset, events, recordings, proposal)


def _from_label(dataset: str, name: str, column: str, recordings: pd.DataFrame, proposal: Proposal) -> list[TaskGuess]:
    known = recordings.dropna(subset=[column])
    patients: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    settings = proposal.settings.get("columns", {}).get("labels", {}).get(name)
    is_boxes = isinstance(settings, dict) and "checkboxes" in settings
    is_mixed = False
    for value, patient in zip(known[column].astype(str), known["patient_id"].astype(str), strict=True):
        parts = [part.strip() for part in value.split("+")]
        is_mixed |= len(parts) > 1
        for part in parts:
            counts[fold_label(part)] += 1
            patients.setdefault(fold_label(part), set()).add(patient)
    values = [value for value, _ in counts.most_common() if not is_unknown(value)]
    unknown = [value for value in counts if is_unknown(value)]
    if len(values) < (1 if is_boxes else 2):
        return []
    level, reason = _level(known, column)
    # Among several codes, and among boxes, 0 is one of them; beside one or two others it is the absence of them.
    is_coded = (is_boxes or len(values) > 3) and all(re.fullmatch(r"\d+|none", value) for value in values)
    normal = [value for value in values if is_normal(value) and not (is_coded and value.isdigit())]
    if len(values) == 2 and len(normal) == 2:
        normal = [value for value in values if fold(value) not in POSITIVE][:1]
    # All that is heard is ticked: any two boxes may stand together.
    is_mixed |= is_boxes and not normal
    shown = ", ".join(f"{value} {len(patients[value])}" for value in values[:8])
    rule = _Rule(dataset, name, level, unknown, values, f"patients with each value of {name}: {shown}", reason)
    others = [value for value in values if value not in normal]
    tasks: list[TaskGuess] = []
    many = [value for value in others if len(patients[value]) >= MIN_PATIENTS][:MAX_TARGETS]
    if is_mixed and (len(many) > 1 or (is_boxes and not normal)):
        tasks.append(rule.multi_label(many or values, "several values may stand together"))
    if normal and others:
        tasks.append(rule.binary(_target_name(others), others, normal, f"normal: {', '.join(normal)}"))
    elif len(values) == 2 and not is_mixed:
        rare = values[1]
        positive = proposal.choose("Which value is positive?", values, rare, is_sure=fold(rare) in POSITIVE)
        tasks.append(rule.binary(positive, [positive], [value for value in values if value != positive], "two values"))
    elif not is_mixed:
        classes = [value for value in values if len(patients[value]) >= MIN_PATIENTS]
        if 2 < len(classes) <= 60:
            tasks.append(rule.multi_class(sorted(classes), "several values that exclude each other"))
    for value in others:
        if len(patients[value]) >= MIN_PATIENTS and len(values) > 2:
            tasks.append(rule.multi_label([value], "coarser: one value against all others"))
    return tasks


def _level(known: pd.DataFrame, column: str) -> tuple[str, str]:
    values = known.groupby("patient_id", observed=True)[column].nunique().tolist()
    if len(known) > len(values) and max(values) == 1:
        return "patient", "all recordings of a patient have the same label"
    return "recording", "labels differ between recordings of a patient, or each patient has one"


def _target_name(others: Sequence[str]) -> str:
    plain = others[0] if len(others) == 1 else "abnormal"
    return "positive" if fold(plain) in ("1", "yes", "ja", "pos") else plain


@dataclass(frozen=True)
class _Rule:
    dataset: str
    column: str
    level: str
    unknown: list[str]
    values: list[str]
    note: str
    level_reason: str

    def _made(self, kind: str, targets: list[str], description: str, body: dict[str, Any], reason: str) -> TaskGuess:
        settings = {"description": description, "type": kind, "targets": targets, "level": self.level, **body}
        return TaskGuess(settings, reason, {("type",): reason, ("targets",): self.note, ("level",): self.level_reason})

    def binary(self, target: str, positive: list[str], negative: list[str], reason: str) -> TaskGuess:
        """Return one target; a value of neither list is unknown."""
        rule = {"column": self.column, "positive": positive, "negative": negative}
        body = {"datasets": {self.dataset: {target: rule}}}
        return self._made("binary", [target], f"Is it {target}, by {self.column}?", body, reason)

    def multi_label(self, targets: list[str], reason: str) -> TaskGuess:
        """Return a target for each value, or the only one; all other known values are its negatives."""
        rules: dict[str, Any] = {}
        for target in targets:
            rules[target] = {"column": self.column, "positive": [target], "negative": "others"}
            unknown = [*self.unknown, *nearly_called(target, self.values)]
            if unknown:
                rules[target]["unknown"] = unknown
        is_one = len(targets) == 1
        description = f"{'Is it' if is_one else 'Which of'} {', '.join(targets)}, by {self.column}?"
        kind = "binary" if is_one else "multi_label"
        return self._made(kind, targets, description, {"datasets": {self.dataset: rules}}, reason)

    def multi_class(self, classes: list[str], reason: str) -> TaskGuess:
        """Return a class for each value."""
        body = {"classes_from": {self.dataset: {"column": self.column, "classes": {name: name for name in classes}}}}
        return self._made("multi_class", classes, f"Which {self.column}?", body, reason)


def _from_events(dataset: str, events: pd.DataFrame, recordings: pd.DataFrame, proposal: Proposal) -> list[TaskGuess]:
    counts = Counter(events["kind"].astype(str).tolist())
    patient_of = dict(zip(recordings["recording_id"], recordings["patient_id"], strict=True))
    by_kind = events.groupby("kind", observed=True)
    patients = {str(kind): {patient_of[name] for name in rows["recording_id"]} for kind, rows in by_kind}
    kinds = [kind for kind, _ in counts.most_common() if kind not in (ANNOTATED, UNPLACED) and kind not in STRUCTURE]
    kinds = [kind for kind in kinds if not is_unknown(kind)]
    normal = [kind for kind in kinds if is_normal(kind)]
    heard = [kind for kind in kinds if kind not in normal]
    by, why = _listened_to(counts, normal, heard, proposal)
    # Where nothing else was listened to, nothing is known to be without any of the kinds.
    has_negatives = not set(by) <= {*heard, ANNOTATED} or ANNOTATED in counts
    many = [kind for kind in heard if len(patients[kind]) >= MIN_PATIENTS][:MAX_TARGETS]
    shown = ", ".join(f"{kind} {len(patients[kind])}" for kind in kinds[:8])
    comments = {("targets",): f"patients with each kind of event: {shown}", ("level",): "events have a time"}

    def task(names: dict[str, list[str]], reason: str) -> TaskGuess:
        rules: dict[str, Any] = {}
        for name, found in names.items():
            near = {other for kind in found for other in nearly_called(kind, kinds)} - set(found)
            rules[name] = {"events": found, "annotated_by": by} | ({"unknown": sorted(near)} if near else {})
        settings = {
            "description": f"Is there {' or '.join(names)} in this clip?",
            "type": "binary" if len(names) == 1 else "multi_label",
            "targets": list(names),
            "level": "clip",
            "datasets": {dataset: rules},
        }
        return TaskGuess(settings, reason, {**comments, ("type",): f"{reason}; {why}"})

    tasks: list[TaskGuess] = []
    if len(many) > 1:
        tasks.append(task({kind: [kind] for kind in many}, "several kinds of events"))
    if heard and ((has_negatives and len(heard) > 1) or not many):
        tasks.append(task({"abnormal": heard}, "any of the kinds"))
    return tasks + [task({kind: [kind]}, "one kind of event") for kind in many]


def _listened_to(
    counts: Counter[str], normal: list[str], heard: list[str], proposal: Proposal
) -> tuple[list[str], str]:
    """Return the kinds of event whose stretches were listened to, and why: silence elsewhere is unknown."""
    if ANNOTATED in counts:
        return [ANNOTATED], "who wrote a file listened to all of its recording"
    if normal:
        return [*normal, *heard], "only what was marked was listened to"
    structure = [kind for kind in counts if kind in STRUCTURE]
    why = "what is not marked is unknown, except where another kind is marked"
    if "annotations" in proposal.settings:
        return [ANNOTATED, *heard], why
    if structure and heard:
        named = ", ".join(structure)
        question = f"What does it say of a sound that none is marked in a stretch of {named}?"
        switch = f"write `annotated_by: [{named}]` in the rule of the target"
        is_own = proposal.settings["layout"] != "manifest"
        if is_own or proposal.means_absence(question, "it is absent", switch):
            return structure, "these stretches were listened to"
    return heard, why


def nearly_called(value: str, values: Sequence[str]) -> list[str]:
    """Return the other values that may be this one, misspelt: where they stand, it is not known to be absent.

    >>> nearly_called("wheeze", ["wheeze", "wheez", "crackle"])
    ['wheez']
    """
    return difflib.get_close_matches(value, [other for other in values if other != value], n=5, cutoff=0.85)


def task_name(guess: TaskGuess) -> str:
    """Return a folder's name for a task."""
    targets: list[str] = guess.settings["targets"]
    text = "_".join(targets) if len(targets) <= 2 else f"{targets[0]}_and_{len(targets) - 1}_more"
    if guess.settings["type"] == "multi_class":
        text = next(iter(guess.settings["classes_from"].values()))["column"]
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()[:40] or "labels"
