"""Sentences of a methods section on data, labels and their division into parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from auscult.config import Experiment, JobSettings, TaskSettings
from auscult.config.matrix import MatrixSettings
from auscult.config.split import (
    ColumnSplit,
    LeaveDatasetOutSplit,
    LeaveDeviceOutSplit,
    LeaveSiteOutSplit,
    OfficialSplit,
    PatientSplit,
    SplitSettings,
)
from auscult.formatting.numbers import plural, plural_of
from auscult.formatting.text import join_words, listed
from auscult.metrics.heterogeneity import MIN_STUDIES
from auscult.reports.data_tables import label_rules

_TYPES = {
    "binary": "one target is present or absent",
    "multi_label": "each target is present or absent, independently of the others",
    "multi_class": "exactly one of several classes applies",
    "events": "each kind of event is found in time, with onset and offset, and is present or absent",
    "objects": "objects are found in pictures, each with its outline, and are present or absent in a picture",
}
_PARTS = {"train": "training", "val": "validation", "calibration": "calibration", "test": "test"}
_MOST_SHOWN = 6


def data_text(settings: Sequence[JobSettings], summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which recordings they are, of how many patients, and by which devices."""
    names = list(dict.fromkeys(name for job in settings for name in job.datasets))
    found = {name: summaries[name] for name in names if name in summaries}
    texts = [
        f"{name} ({plural(one['recordings'], 'recording')} of {plural(one['patients'], 'patient')})"
        for name, one in found.items()
    ]
    simulated = [name for name, one in found.items() if "simulated" in one["notices"]]
    parts = [f"The data were {join_words(texts or names)}."]
    if simulated:
        parts.append(f"The sounds of {join_words(simulated)} are simulated: no patient was recorded for them.")
    return " ".join([*parts, _devices_text(found)]).strip()


def states_devices(summaries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any dataset says what recorded it."""
    return any(one["devices"] for one in summaries.values())


def _devices_text(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    if not states_devices(summaries):
        return ""
    stated = _same(
        (name, listed(list(one["devices"]), _MOST_SHOWN)) for name, one in summaries.items() if one["devices"]
    )
    unstated = [name for name, one in summaries.items() if not one["devices"]]
    rest = f"; those of {join_words(unstated)} are not stated" if unstated else ""
    return f"The recording devices were {'; '.join(f'{what} in {of}' for what, of in stated)}{rest}."


def _same(stated: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (text, the names that it is said of, joined) for pairs of name and text.

    >>> _same([("a", "long"), ("b", "short"), ("c", "long")])
    [('long', 'a and c'), ('short', 'b')]
    """
    names: dict[str, list[str]] = {}
    for name, text in stated:
        names.setdefault(text, []).append(name)
    return [(text, join_words(of)) for text, of in names.items()]


def task_text(task: TaskSettings) -> str:
    """Return the question, and of which kind it is."""
    kinds = {"events": "an event-detection", "objects": "an object-segmentation"}
    kind = kinds[task.type] if task.type in kinds else f"a {task.type.replace('_', '-')}"
    what = "classes" if task.type == "multi_class" else "target" if len(task.targets) == 1 else "targets"
    asked = task.description.rstrip(".")
    question = f"The question was: {asked}{'' if asked.endswith('?') else '.'} " if asked else ""
    return (
        f"{question}This is {kind} task, where {_TYPES[task.type]} ({what}: {', '.join(task.targets)}), judged by "
        f"{task.level}."
    )


def labels_text(task: TaskSettings, experiment: Experiment) -> str:
    """Return the reference standard as the task's rules take it from the data, a sentence a dataset."""
    stated = [
        (dataset, join_words([f"{'the class' if name == 'class' else name} ({rule})" for _, name, rule in rules]))
        for dataset, rules in groupby(label_rules(task, experiment), key=lambda rule: rule[0])
    ]
    text = " ".join(f"In {names}, labels were taken as follows: {rules}." for rules, names in _same(stated))
    return text.replace("`", "")


SIZE_TEXT = (
    "The size of the study is that of these data. Recordings without a known label were left out, and no value was "
    "imputed."
)
"""How the size came about, and what became of missing values."""


def split_text(job: JobSettings) -> str:
    """Return how the data were divided, and how the parts differ."""
    if job.evaluate_only is not None:
        return "The model had been trained before; nothing here took part in its training."
    split = job.split
    if job.matrix is not None and isinstance(split, PatientSplit):
        return _matrix_text(job.matrix, split, job)
    if isinstance(split, PatientSplit):
        return f"{_patients_text(split, job)}{_calibration_text(split)} {_SAME_SOURCES}"
    differs = _SAME_SOURCES
    validation = (
        f"{split.val_fraction:.0%} of the other patients, drawn at random (seed {split.seed}), were the validation part"
    )
    validation = _val_folds_text(job) or validation
    if isinstance(split, ColumnSplit):
        test = f"Recordings whose {split.column} is {listed(list(split.test_values), _MOST_SHOWN)} were the test part"
        if split.val:
            validation = f"those with {listed(list(split.val), _MOST_SHOWN)} were the validation part"
        differs = f"The parts thus differ in {split.column}; label rules and preparation were the same."
    elif isinstance(split, LeaveDatasetOutSplit):
        test = f"All of the dataset {split.dataset} was the test part"
        differs = (
            "The test part thus comes from another dataset than training and validation, with label rules of its own; "
            "it was prepared in the same way."
        )
    elif isinstance(split, LeaveSiteOutSplit):
        of = "" if split.dataset is None else f" of {split.dataset}"
        test = f"All patients of the site {split.site}{of} were the test part"
        differs = "The test part thus comes from another site than the others; it was prepared in the same way."
    elif isinstance(split, LeaveDeviceOutSplit):
        of = "" if split.dataset is None else f" of {split.dataset}"
        test = f"All patients recorded with the device {split.device}{of} were the test part"
        differs = "The test part thus comes from another device than the others; it was prepared in the same way."
    elif isinstance(split, OfficialSplit):
        test = "The dataset's own list gave the test part"
    else:
        test = f"Fold {split.fold} of {split.n_folds} was the test part"
    return f"{test}; {validation}.{_calibration_text(split)} {differs}"


_SAME_SOURCES = "All parts come from the same datasets, with the same label rules and the same preparation."


def _matrix_text(matrix: MatrixSettings, split: PatientSplit, job: JobSettings) -> str:
    """Return which values took turns as the test part."""
    values, by = matrix.values or job.datasets, matrix.leave_out
    others = {
        "dataset": "",
        "site": " What its patients recorded elsewhere, and recordings of unknown site, took no part.",
        "device": " What its patients recorded with another device, and recordings of unknown device, took no part.",
    }[by]
    rules = ", with label rules of its own" if by == "dataset" else ""
    return (
        f"Each {by} was left out in turn ({listed(list(values), _MOST_SHOWN)}): it was the test part of one training, "
        f"and in no other part of it.{others} {split.fractions.val_share:.0%} of the other patients, drawn at random "
        f"(seed {split.seed}), were the validation part.{_calibration_text(split)} The test part thus comes from "
        f"another {by} than training and validation{rules}; it was prepared in the same way. Where {MIN_STUDIES} or "
        f"more {plural_of(by)} had an interval, areas under the curve were pooled over them by random effects "
        "(Paule-Mandel variance, Hartung-Knapp interval)."
    )


def _val_folds_text(job: JobSettings) -> str:
    """Return how parts take turns as validation; empty where validation is drawn once."""
    one = job.split.val_fold
    if job.val_folds is not None:
        turns = "and each was the validation part of one training and in the training part of the others"
    elif one is not None and one.fold is not None:
        turns = f"and part {one.fold} was the validation part"
    else:
        return ""
    n_parts = job.val_folds if one is None else one.n_folds
    return (
        f"the other patients were divided into {n_parts} equal parts at random, stratified by dataset and target (seed "
        f"{job.split.seed}), {turns}"
    )


def _calibration_text(split: SplitSettings) -> str:
    """Return a sentence on the calibration part, after a blank; empty where there is none."""
    if not split.calibration_fraction:
        return ""
    return (
        f" Of the patients of the validation part {split.calibration_fraction:.0%}, drawn at random and stratified "
        "alike, were set apart as a calibration part, which took no part in the choice of the epoch."
    )


def _patients_text(split: PatientSplit, job: JobSettings) -> str:
    shares, folds = split.fractions, job.folds
    parts = _val_folds_text(job)
    if parts:
        return (
            f"{shares.test:.0%} of the patients, drawn at random and stratified by dataset and target, were the test "
            f"part; {parts}."
        )
    if folds is not None:
        return (
            f"Patients were divided into {folds} folds at random, stratified by dataset and target (seed "
            f"{split.seed}). Each fold was the test part once; {shares.val_share:.0%} of the "
            "other patients were the validation part."
        )
    return (
        f"Patients were divided at random, stratified by dataset and target, into training ({shares.train:.0%}), "
        f"validation ({shares.val:.0%}) and test ({shares.test:.0%}) parts (seed {split.seed})."
    )


def sizes_text(audit: Mapping[str, Any], job: JobSettings) -> str:
    """Return how many patients and recordings each part held, and how many patients had each target."""
    used = _PARTS if job.evaluate_only is None else {"test": "test"}
    texts = [
        f"the {used[part]} part held {plural(counts['patients'], 'patient')} "
        f"({plural(counts['recordings'], 'recording')}{_positives(counts)})"
        for part, counts in audit["total"].items()
        if part in used and counts["patients"]
    ]
    if not texts:
        return ""
    first = "in the first fold, " if job.folds is not None else ""
    first = "in the first training, " if job.val_folds is not None or job.matrix is not None else first
    text = f"{first}{join_words(texts)}."
    return f"{text[:1].upper()}{text[1:]}"


def _positives(counts: Mapping[str, Any]) -> str:
    """Return how many patients have each target; empty for a task of classes, whose parts are counted elsewhere."""
    found = counts["targets"]
    texts = [
        f"{name} in {one['patients_with_positive']:,}"
        for name, one in found.items()
        if one.get("patients_with_positive") is not None
    ]
    return f"; {', '.join(texts)}" if texts and len(texts) <= _MOST_SHOWN else ""


def overlap_text(job: JobSettings) -> str:
    """Return whether patients are in one part alone."""
    if job.evaluate_only is not None:
        return ""
    if getattr(job.split, "allow_patient_overlap", False):
        return "Patients may be in more than one part, as declared: the results are optimistic for new patients."
    searched = (
        "pictures were searched for equal files and for pictures that look the same"
        if job.clips.is_image
        else "recordings were searched for the same or nearly the same sound"
    )
    return f"No patient was in more than one part, and {searched} in two parts."
