"""`report.txt`: the numbers of one job as aligned text, for terminals, mails and diffs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auscult.config import JobSettings, TaskSettings
from auscult.config.task import LEVELS
from auscult.formatting.baselines import baselines_of
from auscult.formatting.conformal import never_ruled_out, promise, set_rows
from auscult.formatting.metric_tables import OPTIMISTIC, Block, blocks, interval_notes, protocol_table, slice_table
from auscult.formatting.numbers import METRIC_NAMES, Number, plural
from auscult.formatting.operating_points import (
    DECISION,
    OUT_OF_FOLD,
    calibration_text,
    chosen_on_text,
    decided_by,
    decision_text,
    is_shared,
    point_rows,
    shared_note,
)
from auscult.formatting.recalibration import recalibration_rows
from auscult.provenance import redact

SUBSETS = {"test": "TEST SET", "val": "VALIDATION SET (optimistic: {chosen} chosen on it)"}


def report_text(metrics: dict[str, Any], job: JobSettings, task: TaskSettings) -> str:
    """Return the report of one job.

    Args:
        metrics: The content of `metrics.json`.
        job: Its settings.
        task: What was predicted.
    """
    facts = [
        ("task", f"{job.task}: {task.description}".removesuffix(": ")),
        ("datasets", ", ".join(job.datasets)),
        ("model", f"{job.model.name}, {metrics['n_parameters']:,} parameters"),
        _model_fact(metrics, job),
        ("headline level", task.level),
        *_threshold_facts(metrics, job, task),
        *_calibration_fact(metrics),
        *_recalibration_facts(metrics),
        *_shifts_fact(metrics),
        ("intervals", _interval_fact(metrics)),
        *[("declared", text) for text in _declared(job)],
    ]
    if job.note:
        facts.insert(0, ("note", job.note))
    parts = [_aligned(facts, separator="  ")]
    chosen = "the epoch was" if metrics.get("chosen_on") == "calibration" else "epoch and thresholds were"
    for subset, pattern in SUBSETS.items():
        if subset not in metrics:
            continue
        title = pattern.format(chosen=chosen)
        parts += ["", title, "=" * len(title)]
        by_level = {level: blocks(metrics[subset], task, level) for level in LEVELS}
        for index, block in enumerate(by_level[task.level]):
            decisions = [decision_text(metrics, task, level, decided_by(block, task)) for level in LEVELS]
            views = {level: found[index] for level, found in by_level.items()}
            parts += ["", *_block(views, block, task.level, decisions)]
        if subset == "test" and metrics["slices"]:
            parts += ["", *_slices(metrics, task)]
        if subset == "test":
            parts += [*_baselines(metrics, job, task), *_protocols(metrics, task), *_conformal(metrics)]
    return "\n".join(parts) + "\n"


def _threshold_facts(metrics: dict[str, Any], job: JobSettings, task: TaskSettings) -> list[tuple[str, str]]:
    if task.type == "multi_class":
        return [("prediction", class_decision(metrics, job, task))]
    rule = rule_text(metrics, job)
    if is_shared(metrics):
        values = decision_text(metrics, task, task.level, task.targets)
        return [("thresholds", f"{values} ({rule}, chosen on {chosen_on_text(metrics)})")]
    facts = [("thresholds", f"by {rule}, chosen on {chosen_on_text(metrics)} at each level")]
    for row in point_rows(metrics, task):
        values = decision_text(metrics, task, row.level, task.targets)
        facts.append((f"  {row.level}", "; ".join([f"{values} (n +/− {row.chosen_on})", *row.notes])))
    return facts


def rule_text(metrics: Mapping[str, Any], job: JobSettings) -> str:
    """Return the rule that chose the operating point, with its goal."""
    rule = str(metrics.get("threshold_rule") or job.evaluate.threshold)
    goal = metrics.get("threshold_target")
    return rule if goal is None else f"{rule} {goal:g}"


def class_decision(metrics: Mapping[str, Any], job: JobSettings, task: TaskSettings) -> str:
    """Return in words how a multi-class task's prediction is taken from its probabilities."""
    rows = point_rows(metrics, task)
    if not rows:
        return "the class of highest probability"
    added = ", ".join(f"{row.level} {' '.join(row.values)}" for row in rows)
    shared = f" {shared_note(task)}" if is_shared(metrics) else f" chosen on {chosen_on_text(metrics)} at each level"
    return (
        f"the class of highest probability, after this is added to the logit of {task.normal_class}: {added} "
        f"({rule_text(metrics, job)},{shared})"
    )


def _calibration_fact(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    text = calibration_text(metrics)
    if not text:
        return []
    notes = (metrics.get("calibration") or {}).get("notes", [])
    return [("calibration", "; ".join([f"{text}, fitted on {chosen_on_text(metrics)}", *notes]))]


def _recalibration_facts(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    found = metrics.get("recalibration")
    if found is None:
        return []
    who = f"on {found['n_refit']} patients of {found['dataset']} (share {found['fraction']:g}, seed {found['seed']})"
    facts = [("recalibrated", f"{who}, judged on the other {found['n_judged']}")]
    for row in recalibration_rows(metrics):
        facts.append((f"  {row.target}", f"{row.what} {row.before} before, {row.after} after"))
    return facts


def _shifts_fact(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    shifts_s = metrics.get("shifts_s")
    return [("shifts", f"mean over clips rolled by {', '.join(f'{s:g}' for s in shifts_s)} s")] if shifts_s else []


def _declared(job: JobSettings) -> list[str]:
    """Return the exceptions from good practice that the experiment declares."""
    texts = [f"{kind} may cross subsets: {reason}" for kind, reason in job.split.allow_leaks.items()]
    if getattr(job.split, "allow_patient_overlap", False):
        texts.append("patients may be in several subsets (allow_patient_overlap)")
    texts += [
        f"{subset} may lack {', '.join(names)} (allow_absent)" for subset, names in job.split.allow_absent.items()
    ]
    if job.allow_doubtful:
        texts.append(f"the labels of {', '.join(job.allow_doubtful)} are in doubt for this task (allow_doubtful)")
    return texts


def _interval_fact(metrics: dict[str, Any]) -> str:
    resamples = metrics["bootstrap_draws"]
    how = f"{resamples:,} resamples of patients" if resamples else "without resamples (bootstrap_draws is 0)"
    return f"95%, over patients, by the method named below each table; {how}"


def _block(by_level: dict[str, Block], main: Block, level: str, decisions: Sequence[str]) -> list[str]:
    lines = [main.name, "-" * len(main.name)]
    lines += [f"  {name:<9}  {block.counts}" for name, block in by_level.items() if block.counts]
    rows = [("", *by_level), (f"  {DECISION}", *(f"{text:>9}" for text in decisions))]
    reasons: dict[str, list[str]] = {}
    for metric in main.numbers:
        numbers = {name: block.numbers[metric] for name, block in by_level.items()}
        cells = [f"{number.value_text:>9}" + number.text.removeprefix(number.value_text) for number in numbers.values()]
        rows.append((f"  {METRIC_NAMES[metric]}", *cells))
        for name, number in numbers.items():
            if number.value is None:
                reasons.setdefault(f"{name} level: {number.reason}", []).append(METRIC_NAMES[metric])
    lines += ["", *_table(rows).splitlines()]
    lines += [f"  undefined, {reason} ({', '.join(metrics)})" for reason, metrics in reasons.items()]
    lines += [f"  {note[:1].lower()}{note[1:]}" for note in interval_notes([of.numbers for of in by_level.values()])]
    if main.by_class:
        lines += ["", f"by class, {level} level", *_classes(main).splitlines()]
    if main.confusion:
        lines += [
            "",
            f"confusion matrix, {plural(sum(map(sum, main.confusion)), level)} (rows: actual, columns: predicted)",
        ]
        lines += _confusion(main).splitlines()
    return lines


def _slices(metrics: Mapping[str, Any], task: TaskSettings) -> list[str]:
    table = slice_table(metrics["slices"], task)
    decision = decision_text(metrics, task, task.level, task.targets)
    title = f"slices, {task.level} level, {DECISION.lower()} {decision}"
    rows = [("", "", "patients", *table.counts, *table.metrics)]
    for index, row in enumerate(table.rows):
        is_first = index == 0 or table.rows[index - 1].by != row.by
        cells = [*row.counts, *(number.text for number in row.numbers)]
        rows.append((f"  {row.by}" if is_first else "", row.value, row.patients, *cells))
    lines = _table(rows).splitlines() if table.rows else []
    if table.too_small:
        lines.append(f"  left out, fewer than 5 patients: {table.too_small}")
    return [title, "-" * len(title), *lines]


def _baselines(metrics: Mapping[str, Any], job: JobSettings, task: TaskSettings) -> list[str]:
    found = baselines_of(metrics, task, job.clips)
    if found is None:
        return []
    title = f"baselines, {task.level} level"
    lines = ["", title, "-" * len(title), f"  {found.verdict}"]
    if found.rows:
        rows = [("", *found.heads)]
        rows += [(f"  {name}", *(number.text for number in numbers)) for name, numbers in found.rows]
        rows += [(f"  {name}", *(_signed(number) for number in numbers)) for name, numbers in found.differences]
        lines += ["", *_table(rows).splitlines()]
    if found.shortcuts:
        rows = [("  the embeddings tell", "AUROC, same label", "AUROC, any label")]
        rows += [(f"  {row.by}", row.auroc.reason or row.auroc.text, row.any_label.text) for row in found.shortcuts]
        warning = "WARNING: " if found.has_warning else ""
        lines += ["", f"  {warning}{found.shortcut_verdict}", "", *_table(rows).splitlines()]
    return lines


def _signed(number: Number) -> str:
    return (
        f"{number.signed_text} ({number.signed_interval_text})" if number.signed_interval_text else number.signed_text
    )


def _protocols(metrics: dict[str, Any], task: TaskSettings) -> list[str]:
    table = protocol_table(metrics, task)
    if table is None:
        return []
    title = f"choice of the epoch, {task.level} level"
    best = "none" if table.best_epoch is None else f"epoch {table.best_epoch}"
    heads = (f"validation-chosen, epoch {table.chosen_epoch}", f"{OPTIMISTIC}, {best}", "gap")
    rows = [("", *heads)] + [(f"  {name}", *(number.text for number in numbers)) for name, *numbers in table.rows]
    return ["", title, "-" * len(title), *_table(rows).splitlines(), f"  {table.gap_text}"]


def _conformal(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("conformal")
    if found is None:
        return []
    title = "doubt: conformal sets"
    rows = [("", "patients covered", "one class", "several (unsure)", "none (unsure)", "calibrated on")]
    for row in set_rows(found):
        name = " ".join(filter(None, [row.view, row.name]))
        rows.append((f"  {name}", row.covered, row.one, row.several, row.none, row.calibrated_on))
    always = never_ruled_out(found)
    note = [f"  in every set, for want of patients: {', '.join(always)}"] if always else []
    return ["", title, "-" * len(title), *_table(rows).splitlines(), f"  {promise(found)}.", *note]


def _classes(block: Block) -> str:
    first = next(iter(block.by_class.values()))
    rows = [("", "n", *(METRIC_NAMES[metric] for metric in first))]
    for name, numbers in block.by_class.items():
        rows.append((f"  {name}", str(block.class_counts[name]), *(number.value_text for number in numbers.values())))
    return _table(rows, right=True)


def _confusion(block: Block) -> str:
    rows = [("", *block.classes)]
    for name, counts in zip(block.classes, block.confusion, strict=True):
        rows.append((f"  {name}", *(f"{count:,}" for count in counts)))
    return _table(rows, right=True)


def _table(rows: Sequence[tuple[str, ...]], *, right: bool = False) -> str:
    """Align columns; the first to the left, the others to the right where `right`."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _aligned(facts: Sequence[tuple[str, str]], separator: str) -> str:
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}{separator}{text}" for name, text in facts)


def _model_fact(metrics: dict[str, Any], job: JobSettings) -> tuple[str, str]:
    if job.evaluate_only is not None:
        return "not trained", f"the model of {redact(job.evaluate_only)}, epoch {metrics['best_epoch']}"
    if isinstance(job.ensemble, tuple):
        text = f"mean probability of {len(job.ensemble)} trainings: {', '.join(job.ensemble)}"
        is_out_of_fold = metrics.get("chosen_on") == "out_of_fold"
        return "ensemble", f"{text}; {OUT_OF_FOLD}" if is_out_of_fold else text
    if job.probe is not None:
        return (
            "probe",
            f"{job.probe.method}, on {redact(job.probe.encoder)}; chosen by {job.train.monitor} on validation",
        )
    return "kept epoch", f"{metrics['best_epoch']}, by {job.train.monitor} on validation"
