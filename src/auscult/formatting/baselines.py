"""The baselines of a result in words and tables: what the sound adds to metadata, and what the embeddings give away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auscult.config import ClipSettings, TaskSettings
from auscult.formatting.numbers import LOWER_IS_BETTER, METRIC_NAMES, Number, number_of, plural

TOLD_ABOVE = 0.6
"""The embeddings are said to tell devices apart where the whole interval lies above this AUROC."""

_MAIN = ("macro_auroc", "auroc")
_NO_TWO_CLASSES = "one class only"


@dataclass(frozen=True)
class ShortcutRow:
    """What a probe found of device, site or dataset.

    Attributes:
        by: Which of them.
        values: Each value with its patients and the share that is positive.
        auroc: Of patients of the same label.
        any_label: Of all.
        is_told: Whether the embeddings tell its values apart.
    """

    by: str
    values: str
    auroc: Number
    any_label: Number
    is_told: bool


@dataclass(frozen=True)
class Baselines:
    """What a report says of baselines.

    Attributes:
        title: `Metadata and sound`, or of pictures `Metadata and picture`.
        verdict: On both, in one sentence.
        heads: Names of the metrics.
        rows: What was judged, and its number for each metric.
        differences: The same of differences.
        basis: What was fitted on what.
        shortcut_verdict: On the embeddings, in one sentence; empty where nothing was probed.
        shortcuts: What was probed.
    """

    title: str
    verdict: str
    heads: list[str]
    rows: list[tuple[str, list[Number]]]
    differences: list[tuple[str, list[Number]]]
    basis: str
    shortcut_verdict: str
    shortcuts: list[ShortcutRow]

    @property
    def has_warning(self) -> bool:
        """Whether the embeddings tell something that nobody asked for."""
        return any(row.is_told for row in self.shortcuts)


def baselines_of(metrics: Mapping[str, Any], task: TaskSettings, clips: ClipSettings) -> Baselines | None:
    """Return the baselines of `metrics.json`; None where they were not asked for.

    Args:
        metrics: The content of `metrics.json`.
        task: What was predicted.
        clips: Of sound, or of pictures.
    """
    what = "picture" if clips.is_image else "sound"
    found = metrics.get("baselines")
    if found is None:
        return None
    shortcuts = [_shortcut(by, entry, task) for by, entry in found["shortcuts"].items()]
    metadata = found["metadata"]
    if metadata["reason"]:
        verdict = f"What metadata alone would tell is not known: {metadata['reason']}."
        return Baselines(f"Metadata and {what}", verdict, [], [], [], "", _shortcut_verdict(shortcuts), shortcuts)
    names = list(metadata["metadata"])
    rows = [
        (f"metadata alone ({_listed(metadata['columns'])})", metadata["metadata"]),
        (f"{what} alone", metadata["sound"]),
    ]
    differences = [(f"{what} less metadata", metadata["sound_less_metadata"])]
    if metadata["both"] is not None:
        rows.append((f"metadata and {what}", metadata["both"]))
        differences.append((f"the {what} adds", metadata["added"]))
    return Baselines(
        title=f"Metadata and {what}",
        verdict=_verdict(metadata, what),
        heads=[METRIC_NAMES[name] + (" ↓" if name in LOWER_IS_BETTER else "") for name in names],
        rows=[(text, _numbers(section, names)) for text, section in rows],
        differences=[(text, _numbers(section, names)) for text, section in differences],
        basis=_basis(metadata, task),
        shortcut_verdict=_shortcut_verdict(shortcuts),
        shortcuts=shortcuts,
    )


def _numbers(section: Mapping[str, Mapping[str, float | None]], names: Sequence[str]) -> list[Number]:
    return [_number(section[name]) for name in names]


def _number(found: Mapping[str, Any]) -> Number:
    return number_of(found, _NO_TWO_CLASSES)


def _verdict(metadata: Mapping[str, Any], what: str) -> str:
    name = next(name for name in _MAIN if name in metadata["sound"])
    section = "sound_less_metadata" if metadata["both"] is None else "added"
    added, alone = _number(metadata[section][name]), _number(metadata["metadata"][name])
    known = f"metadata ({_listed(metadata['columns'])})"
    if added.value is None:
        return f"The test set does not tell what the {what} adds to {known}: {_NO_TWO_CLASSES}."
    figure = f"{added.signed_text} {METRIC_NAMES[name]}"
    figure += (
        f" ({added.signed_interval_text})" if added.signed_interval_text else f", no interval: {added.no_interval}"
    )
    reach = f"which alone reach {_plain(alone)}"
    is_shown = added.low is not None and added.low > 0
    if section == "added":
        sentence = f"The {what} adds {figure} to {known}, {reach}"
    else:
        sentence = f"The {what} alone is {figure} from {known}, {reach}"
    return f"{sentence}." if is_shown else f"{sentence}: that it adds anything is not shown."


def _basis(metadata: Mapping[str, Any], task: TaskSettings) -> str:
    text = (
        f"Metadata: logistic regression on {plural(metadata['n_train'], task.level)} of training, its "
        "penalty chosen on validation; what is unknown is a category of its own. "
    )
    if metadata["both"] is None:
        return f"{text}Both together are not judged: {metadata['both_reason']}."
    return (
        f"{text}Both: the logits of metadata and model, weighed by a logistic regression on validation, on which the "
        "model's epoch was chosen too. Differences are paired over the same resamples of patients."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _shortcut(by: str, entry: Mapping[str, Any], task: TaskSettings) -> ShortcutRow:
    reason = str(entry["reason"] or "")
    auroc, any_label = (
        Number(None, reason=reason) if entry[key] is None else _number(entry[key])
        for key in ("auroc", "auroc_any_label")
    )
    values = "; ".join(
        f"{value} ({', '.join([plural(of['patients'], 'patient'), *_shares(of['positive'], task)])})"
        for value, of in entry["values"].items()
    )
    # An AUROC of 1 has no interval by resamples.
    lower = auroc.value if auroc.value == 1 else auroc.low
    return ShortcutRow(by, values, auroc, any_label, lower is not None and lower > TOLD_ABOVE)


def _shares(positive: Sequence[float | None], task: TaskSettings) -> list[str]:
    return [f"{share:.0%} {target}" for target, share in zip(task.targets, positive, strict=True) if share is not None]


def _plain(number: Number) -> str:
    return ", ".join(text for text in (number.value_text, number.interval_text) if text)


def _shortcut_verdict(rows: Sequence[ShortcutRow]) -> str:
    if not rows:
        return ""
    told = [f"{row.by} (AUROC {_plain(row.auroc)})" for row in rows if row.is_told]
    if told:
        return (
            f"Among patients of the same label the embeddings tell {' and '.join(told)}: wherever it goes with the "
            "label, the model can take it for the illness."
        )
    judged = [f"{row.by} (AUROC {_plain(row.auroc)})" for row in rows if row.auroc.value is not None]
    if judged:
        return f"Among patients of the same label the embeddings do not clearly tell {' or '.join(judged)}."
    return (
        "Whether the embeddings tell device, site or dataset is not known: "
        + "; ".join(f"{row.by}, {row.auroc.reason}" for row in rows)
        + "."
    )
