"""The methods of an experiment in plain English, from its settings: paragraphs to copy into a paper."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auscult.config import Experiment, JobSettings, TaskSettings
from auscult.config.evaluate import NORMAL_CLASS_RULES
from auscult.formatting.metric_tables import blocks
from auscult.formatting.numbers import METRIC_NAMES, in_sentence
from auscult.formatting.operating_points import CALIBRATIONS, calibration_text
from auscult.formatting.text import join_words
from auscult.metrics.intervals import BOOTSTRAP
from auscult.reports.jobs import JobResult
from auscult.reports.methods_data import (
    SIZE_TEXT,
    data_text,
    labels_text,
    overlap_text,
    sizes_text,
    split_text,
    task_text,
)
from auscult.reports.methods_training import (
    augment_text,
    choice_text,
    clips_text,
    imbalance_text,
    input_text,
    model_text,
    repeats_text,
    spectrogram_text,
    training_text,
)

_WIDTH = 100
_RULES = {
    "youden": "maximises Youden's index",
    "f1": "maximises F1",
    "icbhi_score": "maximises the ICBHI score",
    "average_score": "maximises the average score",
    "challenge_score": "maximises the challenge score",
}
_CITED = ("torch", "timm", "scikit-learn", "scipy", "numpy", "soundfile", "soxr")


def methods_paragraphs(
    experiment: Experiment,
    task: TaskSettings,
    jobs: Sequence[JobResult],
    *,
    audits: Sequence[Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    protocol: str,
) -> dict[str, str]:
    """Return subject -> paragraph: data, split, input, model, evaluation, groups, software.

    Args:
        experiment: What was run.
        task: What was predicted.
        jobs: The results of its runs, in order.
        audits: One a run: the audit of its split.
        summaries: Dataset -> `summary.json`.
        provenance: Nested facts.
        protocol: What was prespecified, in one sentence.
    """
    settings = list(experiment.jobs)
    first = {job.number: job for job in reversed(jobs)}
    of_jobs = [first[number] for number in sorted(first)]
    first_audits = [next(audit for run, audit in zip(jobs, audits, strict=True) if run is job) for job in of_jobs]

    def each(text: Callable[[JobSettings], str]) -> str:
        return _each([text(job) for job in settings])

    def each_result(text: Callable[[JobResult], str]) -> str:
        return _each([text(job) for job in of_jobs])

    found = {
        "data": [
            data_text(settings, summaries),
            task_text(task),
            labels_text(task, experiment),
            SIZE_TEXT,
            _jobs_text(len(settings)),
        ],
        "split": [
            each(split_text),
            _each([sizes_text(audit, job) for audit, job in zip(first_audits, settings, strict=True)]),
            each(overlap_text),
        ],
        "input": [each(clips_text), each(spectrogram_text), each(input_text)],
        "model": [
            each_result(model_text),
            each(augment_text),
            each(lambda job: training_text(job, task)),
            each(imbalance_text),
            each(choice_text),
            each(repeats_text),
        ],
        "evaluation": [
            each_result(_shifts_text),
            each(lambda job: _aggregate_text(job, task)),
            each_result(lambda job: _decision_text(job, task)),
            each_result(_calibration_text),
            each(_doubt_text),
            each_result(_test_text),
            _metrics_text(jobs, task),
            _CLINICAL,
            _comparison_text(settings),
            protocol,
        ],
        "groups": [_groups_text(jobs), _between_text(jobs)],
        "software": [_software_text(provenance)],
    }
    return {subject: " ".join(filter(None, sentences)) for subject, sentences in found.items()}


def methods_text(paragraphs: Mapping[str, str]) -> str:
    """Return `methods.txt`: the paragraphs, wrapped, with blank lines between."""
    return "\n\n".join(textwrap.fill(text, _WIDTH) for text in paragraphs.values()) + "\n"


def _each(texts: Sequence[str]) -> str:
    """Return what is said of each job: once where it is the same of all.

    >>> _each(["It has two layers.", "It has two layers."]), _each(["It has two layers.", "It has three.", ""])
    ('It has two layers.', 'In job 1, it has two layers. In job 2, it has three.')
    """
    if len(set(texts)) == 1:
        return texts[0]
    groups: dict[str, list[str]] = {}
    for number, text in enumerate(texts, start=1):
        if text:
            groups.setdefault(text, []).append(str(number))
    return " ".join(
        f"In {'job' if len(numbers) == 1 else 'jobs'} {join_words(numbers)}, {_continued(text)}"
        for text, numbers in groups.items()
    )


def _continued(text: str) -> str:
    """Return a sentence as it goes on after a comma; figures and short forms stay as they are."""
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def _jobs_text(n_jobs: int) -> str:
    if n_jobs == 1:
        return ""
    return f"The configurations compared are job 1 {'and job 2' if n_jobs == 2 else f'to job {n_jobs}'}."


def _shifts_text(result: JobResult) -> str:
    shifts_s = result.metrics.get("shifts_s")
    if not shifts_s:
        return ""
    shown = join_words([f"{shift:g}" for shift in shifts_s])
    return f"The probability of a clip was the mean over copies of it, rolled along time by {shown} s."


def _aggregate_text(job: JobSettings, task: TaskSettings) -> str:
    if job.clips.is_image and task.level == "recording":
        return "Each picture was judged by itself."
    if task.level == "clip":
        return "Each clip was judged by itself; probabilities of a recording or patient combine those of its clips."
    how = {"mean": "averaged", "max": "combined by their maximum", "noisy_or": "combined by noisy-or"}[
        task.aggregate.method
    ]
    return f"The probabilities of {job.clips.noun}s were {how} for each {task.level}."


def _decision_text(result: JobResult, task: TaskSettings) -> str:
    metrics, evaluate = result.metrics, result.settings.evaluate
    rule = str(metrics.get("threshold_rule") or evaluate.threshold)
    own = _chosen_on(metrics, "the model's own " if result.settings.evaluate_only is not None else "the ")
    has_levels = bool(metrics.get("operating_points"))
    if task.type == "multi_class":
        if not metrics.get("normal_offset") and rule not in NORMAL_CLASS_RULES:
            return "The class of highest probability was predicted."
        levels = "; clips, recordings and patients have a weight each" if has_levels else ""
        return (
            f"The class of highest probability was predicted, with the weight of {task.normal_class} that "
            f"{_RULES[rule]} on {own}{levels}."
        )
    if rule in _RULES:
        chosen = _RULES[rule]
    else:
        kept, other = rule.removeprefix("target_"), "specificity" if rule == "target_sensitivity" else "sensitivity"
        goal = float(metrics.get("threshold_target") or evaluate.threshold_target)
        chosen = f"keeps a {kept} of at least {goal:g} at the highest {other}"
    which = "The threshold" if len(task.targets) == 1 else "The threshold of each target"
    levels = "; clips, recordings and patients have thresholds of their own" if has_levels else ""
    return f"{which} was the one that {chosen} on {own}{levels}."


def _chosen_on(metrics: Mapping[str, Any], before: str = "the ") -> str:
    """Return what calibration and thresholds were chosen on."""
    if metrics.get("chosen_on") == "out_of_fold":
        return "the validation parts, out of fold"
    if metrics.get("chosen_on") == "recalibration":
        return "the recalibration part"
    return f"{before}{'calibration' if metrics.get('chosen_on') == 'calibration' else 'validation'} part"


def _calibration_text(result: JobResult) -> str:
    if not calibration_text(result.metrics):
        return "Probabilities were not recalibrated."
    found = result.metrics.get("calibration") or {}
    method = CALIBRATIONS[found.get("method", "temperature")]
    by_target = " for each target" if len(found.get("maps", ())) > 1 else ""
    return f"Probabilities were calibrated by {method}{by_target}, fitted on {_chosen_on(result.metrics)}."


def _doubt_text(job: JobSettings) -> str:
    if job.evaluate.conformal is None:
        return "Every recording had a result; none was called indeterminate."
    part = "calibration" if job.split.calibration_fraction else "validation"
    return (
        f"Class-conditional conformal sets (alpha {job.evaluate.conformal.alpha:g}) were calibrated by patient on the "
        f"{part} part; a set without exactly one class was called unsure."
    )


def _test_text(result: JobResult) -> str:
    text = "The test part took no part in training or in any choice; no model was updated or recalibrated on it."
    found = result.metrics.get("recalibration")
    if found is not None:
        text += (
            f" Of the patients of {found['dataset']} {found['n_refit']}, drawn at random (share {found['fraction']:g}, "
            f"seed {found['seed']}) and stratified by label, were set apart as a recalibration part: calibration and "
            "operating points were fitted anew on them, the weights of the network were not."
        )
    if result.settings.evaluate.best_on_test:
        text += " The epoch that is best on the test part is reported beside the result, as an optimistic figure."
    return text


def _metrics_text(jobs: Sequence[JobResult], task: TaskSettings) -> str:
    names: dict[str, None] = {}
    by_method: dict[str, dict[str, None]] = {}
    lacks = False
    for job in jobs:
        for block in blocks(job.metrics["test"], task, task.level):
            names |= dict.fromkeys(block.numbers)
            for name, number in block.numbers.items():
                lacks |= bool(number.no_interval)
                if number.method:
                    what = _MEANS if block.key == "macro" else _metric(name)
                    by_method.setdefault(number.method, {})[what] = None
    text = f"Performance on the test part was measured by {join_words([_metric(name) for name in names])}."
    if not by_method:
        return f"{text} No intervals were computed."
    draws = jobs[0].metrics["bootstrap_draws"]
    methods = [
        f"for {join_words(list(of))}: {method}{f' ({draws:,} resamples)' if method.startswith(BOOTSTRAP) else ''}"
        for method, of in by_method.items()
    ]
    few = " Where patients were too few, no interval was computed." if lacks else ""
    return f"{text} The 95% intervals take patients as units; {'; '.join(methods)}.{few}"


_MEANS = "means over targets"
_CLINICAL = (
    "Calibration was judged by a curve with intercept and slope (intervals by the jackknife over patients), clinical "
    "usefulness by decision curves of the net benefit."
)


def _metric(name: str) -> str:
    """Return a metric as it stands in a list of several: what it is of, in brackets.

    >>> _metric("sensitivity"), _metric("macro_f1")
    ('sensitivity', 'F1 (mean of classes)')
    """
    plain, _, of = METRIC_NAMES[name].partition(", ")
    return f"{in_sentence(plain)} ({of})" if of else in_sentence(plain)


def _between_text(jobs: Sequence[JobResult]) -> str:
    """Return how subgroups were compared and results pooled, where they were."""
    found: list[str] = []
    if any(job.metrics["clinical"]["subgroups"] for job in jobs):
        found.append(
            "Each group was compared with the other patients by the difference of AUROC, sensitivity and specificity "
            "(MOVER intervals of both sides), with p-values corrected by Holm."
        )
    pooled = {one["by"]: None for job in jobs for one in job.metrics["clinical"]["heterogeneity"] if one["pooled"]}
    if pooled:
        found.append(
            f"AUROC was pooled over {join_words([f'{by}s' for by in pooled])} by random effects on the logit scale "
            "(variance by Paule and Mandel, interval by Hartung and Knapp), with a 95% prediction interval."
        )
    return " ".join(found)


def _groups_text(jobs: Sequence[JobResult]) -> str:
    """Return by what performance was computed in groups, whether or not a group was large enough."""
    by = list(dict.fromkeys(entry["by"] for job in jobs for entry in job.metrics["slices"]))
    kept = "Nothing was done to make performance more equal between groups of people."
    if not by:
        return f"Performance was not computed in groups: nothing that was recorded tells the test part apart. {kept}"
    return (
        f"Performance was also computed in groups by {join_words(by)}, for groups of at least 5 patients of the test "
        f"part. {kept}"
    )


def _comparison_text(settings: Sequence[JobSettings]) -> str:
    if len(settings) < 2:
        return ""
    return (
        "Pairs of jobs were compared by a paired bootstrap over patients, with p-values corrected by the "
        "step-down maximum statistic (Westfall and Young 1993)."
    )


def _software_text(provenance: Mapping[str, Any]) -> str:
    packages = provenance.get("packages", {})
    versions = [f"{name} {packages[name]}" for name in _CITED if packages.get(name, "not installed") != "not installed"]
    own = f"auscult {packages['auscult']}" if "auscult" in packages else "auscult"
    commit = str(provenance.get("git", {}).get("commit", "unknown"))
    at = "" if commit == "unknown" else f" (project at commit {commit[:12]})"
    python = f" in Python {provenance['python']}" if "python" in provenance else ""
    gpus = provenance.get("gpus") or []
    machine = f" on {join_words(list(dict.fromkeys(map(str, gpus))))}" if gpus else ""
    using = f", using {join_words(versions)}" if versions else ""
    return f"All steps were run with {own}{at}{python}{using}{machine}."
