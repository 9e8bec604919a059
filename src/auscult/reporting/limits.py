"""Limits of use: what a reader may not conclude, stated from the numbers at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import TaskSettings
from auscult.presentation import plural
from auscult.reporting.job import JobResult

FEW_PATIENTS = 50
"""Test parts below this size get a warning of their own."""


def model_card(jobs: Sequence[JobResult], task: TaskSettings) -> list[tuple[str, str]]:
    """Return (heading, text): what the models are for, what they take and what they give."""
    clips = [f"{job.settings.clips.length_s:g} s at {job.settings.clips.sample_rate_hz / 1000:g} kHz" for job in jobs]
    datasets = dict.fromkeys(name for job in jobs for name in job.settings.datasets)
    given = "one class out of" if task.type == "multi_class" else "the probability of"
    calibrated = [job.id for job in jobs if job.metrics.get("temperature", 1.0) != 1.0]
    rules = dict.fromkeys(job.metrics.get("threshold_rule") or job.settings.evaluate.threshold for job in jobs)
    point = "the class of highest probability" if task.type == "multi_class" else f"thresholds by {', '.join(rules)}"
    return [
        ("made for", "research on methods: comparing models, data and settings on one split"),
        ("question", task.description or "not stated"),
        ("takes", f"clips of {' or '.join(dict.fromkeys(clips))}, mono"),
        ("gives", f"{given} {', '.join(task.targets)}; combined by {task.aggregate.method} up to {task.level} level"),
        ("trained on", ", ".join(datasets)),
        ("operating point", f"{point}, chosen on validation"),
        ("calibration", f"temperature scaling, job {', '.join(calibrated)}" if calibrated else "none"),
    ]


def limits(jobs: Sequence[JobResult], task: TaskSettings, summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return sentences, the gravest first."""
    found = ["A research result. It is no medical device, and no diagnosis may rest on it."]
    fewest = min(_test_patients(job, task) for job in jobs)
    if fewest < FEW_PATIENTS:
        found.append(
            f"The test part holds {plural(fewest, 'patient')}: intervals are wide, and differences between jobs that "
            "lie within them mean nothing."
        )
    found += [
        "Intervals are the 95% percentile bootstrap over patients. They hold the chance of which patients were drawn, "
        "not that of training again with another seed or split.",
        *_no_width(jobs),
        "Epoch and thresholds were chosen on validation; the test part was read once, after that. To compare many jobs "
        "on one test part and keep the best would still be optimistic.",
        _population(summaries),
    ]
    clips = [f"{job.settings.clips.length_s:g} s at {job.settings.clips.sample_rate_hz / 1000:g} kHz" for job in jobs]
    found.append(
        f"The models heard clips of {' or '.join(dict.fromkeys(clips))}, so nothing above half that rate. "
        "Other devices, sites and noise were not tried."
    )
    if task.type != "multi_class":
        found.append(
            "The thresholds fit the share of positives in this validation part. Where the condition is rarer or more "
            "frequent, predictive values differ and thresholds should be chosen anew."
        )
    return found


def _no_width(jobs: Sequence[JobResult]) -> list[str]:
    numbers = [number for job in jobs for number in job.headline.values()]
    if not any(number.low is not None and number.low == number.high for number in numbers):
        return []
    return [
        "An interval without width (1.000–1.000, say) is no certainty: without a single error in the sample the "
        "bootstrap sees none. With n cases and no error the true rate may still be 3 / n (rule of three, 95%)."
    ]


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
    sentence = f"The patients are those of {', '.join(summaries)}; nothing is known of other populations."
    return sentence + (f" Not stated in the data: {', '.join(unstated)}." if unstated else "")
