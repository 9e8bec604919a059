"""The model card of a result: what the models are for, and what a reader may not conclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import TaskSettings
from auscult.config.task import LEVELS
from auscult.formatting.numbers import plural
from auscult.formatting.operating_points import (
    CALIBRATIONS,
    calibration_text,
    chosen_on_text,
    decision_text,
    is_shared,
    point_rows,
    shared_note,
)
from auscult.formatting.text import listed
from auscult.reports.job_text import rule_text
from auscult.reports.jobs import JobResult

_MOST_FOLDERS = 6
FEW_PATIENTS = 50
"""Test sets with fewer patients get a warning."""


def model_card(jobs: Sequence[JobResult], task: TaskSettings) -> list[tuple[str, str]]:
    """Return (heading, text): purpose, input, output, files, training data, operating point, calibration."""
    datasets = dict.fromkeys(name for job in jobs for name in job.settings.datasets)
    output = "the probabilities of the classes" if task.type == "multi_class" else "the probability of"
    return [
        ("purpose", "research on methods: comparing models, data and settings on one split"),
        ("question", task.description or "not stated"),
        ("input", _inputs(jobs)),
        (
            "output",
            f"{output} {', '.join(task.targets)}; clips are combined by {task.aggregate.method} to {task.level} level",
        ),
        ("poor or missing input", _poor_input(jobs)),
        ("the model itself", _files(jobs)),
        ("training data", ", ".join(datasets)),
        ("operating point", _operating_point(jobs, task)),
        ("calibration", _calibration(jobs)),
    ]


def _inputs(jobs: Sequence[JobResult]) -> str:
    of_jobs = [job.settings.clips for job in jobs]
    clips = [
        f"{one.size[1]} x {one.size[0]} pixels, {plural(one.channels, 'channel')}"
        if one.is_image
        else f"{one.length_s:g} s at {one.sample_rate_hz / 1000:g} kHz"
        for one in of_jobs
    ]
    sizes = " or ".join(dict.fromkeys(clips))
    return f"pictures of {sizes}" if of_jobs[0].is_image else f"clips of {sizes}, mono"


def _poor_input(jobs: Sequence[JobResult]) -> str:
    refused = "auscult predict gives no result for a file that it cannot read and says why"
    if jobs[0].settings.clips.is_image:
        return f"{refused}; it does not judge whether a picture is fit for the question"
    return (
        f"{refused}, marks a sound that is silent or clipped, and pads a short one; it does not judge whether a sound "
        "is fit for the question"
    )


def _calibration(jobs: Sequence[JobResult]) -> str:
    by_method: dict[str, list[str]] = {}
    for job in jobs:
        if calibration_text(job.metrics):
            method = (job.metrics.get("calibration") or {}).get("method", "temperature")
            by_method.setdefault(CALIBRATIONS[method], []).append(job.id)
    return "; ".join(f"{method}, job {', '.join(ids)}" for method, ids in by_method.items()) or "none"


def _files(jobs: Sequence[JobResult]) -> str:
    folders = listed([job.id for job in jobs], _MOST_FOLDERS)
    where = f"folder {folders}" if len(jobs) == 1 else f"folders {folders}"
    return (
        f"weights in model.safetensors, all else that a prediction needs in model.json, {where} beside this page; "
        f"auscult predict applies them to other {'pictures' if jobs[0].settings.clips.is_image else 'sounds'}"
    )


def _operating_point(jobs: Sequence[JobResult], task: TaskSettings) -> str:
    rules = ", ".join(dict.fromkeys(rule_text(job.metrics, job.settings) for job in jobs))
    if not any(point_rows(job.metrics, task) for job in jobs):
        return "the class of highest probability"
    what = f"the weight of {task.normal_class}" if task.type == "multi_class" else "thresholds"
    chosen_on = " or ".join(dict.fromkeys(chosen_on_text(job.metrics) for job in jobs))
    shared = [job.id for job in jobs if is_shared(job.metrics)]
    if len(shared) == len(jobs):
        return f"{what} by {rules} on {chosen_on}, {shared_note(task)}"
    values = [
        f"{level}: {decision_text(jobs[0].metrics, task, level, task.targets)}" if len(jobs) == 1 else level
        for level in LEVELS
    ]
    text = f"{what} by {rules}, chosen on {chosen_on} for each level ({'; '.join(values)})"
    return f"{text}; of job {', '.join(shared)} {shared_note(task)}" if shared else text


def limits(jobs: Sequence[JobResult], task: TaskSettings, summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the limits of use as sentences, the gravest first."""
    found = ["This is a research result, not a medical device. Do not base a diagnosis on it."]
    fewest = min(_test_patients(job, task) for job in jobs)
    if fewest < FEW_PATIENTS:
        found.append(
            f"The test set has {plural(fewest, 'patient')}. Intervals are wide, and differences between jobs that lie "
            "within them are not evidence."
        )
    found += [
        "Intervals are 95%, over patients. They cover which patients were sampled, not the "
        "variation between trainings with other seeds or splits.",
        f"{_choices(jobs)}; the test set was read after that. Choosing the best of many jobs by their test "
        "metrics would still be optimistic.",
        _population(summaries),
    ]
    lost = "finer detail is" if jobs[0].settings.clips.is_image else "frequencies above half that rate are"
    found.append(
        f"The models take {_inputs(jobs).removesuffix(', mono')}; {lost} absent. Other devices, sites and noise were "
        "not tested."
    )
    if task.type != "multi_class":
        found.append(
            "The thresholds suit the prevalence where they were chosen. At another prevalence the predictive values "
            "differ; choose the thresholds again."
        )
    return found


def _choices(jobs: Sequence[JobResult]) -> str:
    chosen_on = list(dict.fromkeys(chosen_on_text(job.metrics) for job in jobs))
    if chosen_on == ["validation"]:
        return "Epoch and thresholds were chosen on validation"
    return f"The epoch was chosen on validation, thresholds on {' or '.join(chosen_on)}"


def _test_patients(job: JobResult, task: TaskSettings) -> int:
    section = job.metrics["test"][task.level]
    views = section.values() if task.type == "multi_class" else (section[target] for target in task.targets)
    return min(int(view["n"]["patients"]) for view in views)


def _population(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    unstated = [
        f"{name} ({word})"
        for name, summary in summaries.items()
        for key, word in (("sexes", "sex"), ("devices", "device"), ("sites", "site"))
        if summary["missing"][key] == summary["recordings"]
    ]
    sentence = f"All patients come from {', '.join(summaries)}; other populations were not tested."
    return sentence + (f" Not stated in the data: {', '.join(unstated)}." if unstated else "")
