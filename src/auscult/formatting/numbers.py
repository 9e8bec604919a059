"""How numbers are written: metrics, intervals, probabilities, durations, sizes, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRIC_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "exact_match": "All targets right",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "MCC",
    "brier": "Brier score",
    "ece": "Calibration error",
    "macro_f1": "F1, mean of classes",
    "macro_auroc": "AUROC, mean of classes",
    "macro_auprc": "AUPRC, mean of classes",
    "macro_specificity": "Specificity, mean of classes",
    "macro_ppv": "PPV, mean of classes",
    "macro_npv": "NPV, mean of classes",
    "average_score": "Average score",
    "challenge_score": "Challenge score",
    "score": "ICBHI score",
    "harmonic_score": "Harmonic score",
    "two_class_sensitivity": "Sensitivity, two classes",
    "two_class_average_score": "Average score, two classes",
    "two_class_challenge_score": "Challenge score, two classes",
    "two_class_score": "ICBHI score, two classes",
    "two_class_harmonic_score": "Harmonic score, two classes",
}
"""How a metric is called in print; the order is that of the tables.

The two-class specificity is not among them: it equals the strict one.
"""

_PROPER_NAMES = ("Brier",)


def in_sentence(name: str) -> str:
    """Return a metric's name as it stands within a sentence.

    >>> [in_sentence(name) for name in ("Sensitivity", "AUROC", "F1, mean of classes", "Brier score")]
    ['sensitivity', 'AUROC', 'F1, mean of classes', 'Brier score']
    """
    stays = name.startswith(_PROPER_NAMES) or not name[1:2].islower()
    return name if stays else f"{name[:1].lower()}{name[1:]}"


LOWER_IS_BETTER = frozenset({"brier", "ece"})
OUTCOME_NAMES = {"tp": "true positive", "tn": "true negative", "fp": "false positive", "fn": "false negative"}
UNDEFINED = "undefined"


def metric_text(value: float, *, is_percent: bool = False) -> str:
    """Return a metric or a threshold: three decimals, in per cent one.

    >>> metric_text(0.91234), metric_text(-0.5), metric_text(51.26, is_percent=True)
    ('0.912', '−0.500', '51.3')
    """
    return f"{value:.{1 if is_percent else 3}f}".replace("-", "−")


def probability_text(value: float) -> str:
    """Return the probability of a single clip or recording: two decimals.

    >>> probability_text(0.974)
    '0.97'
    """
    return f"{value:.2f}"


def p_text(p: float) -> str:
    """Return a p-value.

    >>> p_text(0.0432), p_text(2e-5)
    ('0.043', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration_text(seconds: float) -> str:
    """Return a length of time in its two largest units.

    >>> duration_text(4.2), duration_text(75), duration_text(7300), duration_text(200_000)
    ('4 s', '1 min 15 s', '2 h 1 min', '55 h 33 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def size_text(n_bytes: float) -> str:
    """Return a size in memory or on disk.

    >>> size_text(3_400_000), size_text(800_000_000), size_text(12_340_000_000)
    ('3.4 MB', '800 MB', '12.3 GB')
    """
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:,.1f} GB"
    megabytes = n_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes < 10 else f"{megabytes:.0f} MB"


@dataclass(frozen=True)
class Number:
    """One metric with its 95% interval.

    Attributes:
        value: None where undefined.
        low: Lower end of the interval, None without one.
        high: Upper end.
        reason: Why `value` is None.
        is_percent: In per cent, shown with one decimal; else with three.
        method: How the interval was made; empty without one.
        no_interval: Why there is none; empty where there is one, or where nobody said.
        people: On how many patients it rests, in words; empty where nobody counted.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    is_percent: bool = False
    method: str = ""
    no_interval: str = ""
    people: str = ""

    @property
    def value_text(self) -> str:
        """The value alone.

        >>> Number(0.91234).value_text, Number(None).value_text
        ('0.912', 'undefined')
        """
        return UNDEFINED if self.value is None else self._text(self.value)

    @property
    def interval_text(self) -> str:
        """The interval alone, empty where there is none.

        >>> Number(0.9, 0.85, 0.96).interval_text
        '0.850–0.960'
        """
        return "" if self.low is None or self.high is None else f"{self._text(self.low)}–{self._text(self.high)}"

    @property
    def text(self) -> str:
        """Value and interval in one line.

        >>> Number(0.9, 0.85, 0.96).text, Number(0.9).text
        ('0.900 (0.850–0.960)', '0.900')
        """
        return f"{self.value_text} ({self.interval_text})" if self.interval_text else self.value_text

    @property
    def span_text(self) -> str:
        """Value and interval on an open scale, such as the logit's, in one line.

        >>> Number(-0.1, -0.42, 0.2).span_text, Number(1.0).span_text, Number(None).span_text
        ('−0.10 (−0.42 to 0.20)', '1.00', 'undefined')
        """
        if self.value is None:
            return UNDEFINED
        value, *ends = (f"{x:.2f}".replace("-", "−") for x in (self.value, self.low, self.high) if x is not None)
        return f"{value} ({' to '.join(ends)})" if len(ends) == 2 else value

    @property
    def signed_text(self) -> str:
        """The value of a difference, with its sign.

        >>> Number(0.0312).signed_text, Number(-1.25, is_percent=True).signed_text, Number(None).signed_text
        ('+0.031', '−1.2', 'undefined')
        """
        return UNDEFINED if self.value is None else self._signed(self.value)

    @property
    def signed_interval_text(self) -> str:
        """The interval of a difference, empty where there is none.

        >>> Number(0.1, -0.02, 0.22).signed_interval_text
        '−0.020 to +0.220'
        """
        return "" if self.low is None or self.high is None else f"{self._signed(self.low)} to {self._signed(self.high)}"

    def _text(self, value: float) -> str:
        return metric_text(value, is_percent=self.is_percent)

    def _signed(self, value: float) -> str:
        return ("+" if value >= 0 else "") + self._text(value)


def number_of(found: Mapping[str, Any], reason: str = "", *, is_percent: bool = False, people: str = "") -> Number:
    """Return an estimate of `metrics.json` for print.

    Args:
        found: `value`, `low`, `high`, and unless it was written by an earlier version `method` and `reason`.
        reason: Why the value is None, where it is.
        is_percent: As in `Number`.
        people: As in `Number`.
    """
    value, low, high = found["value"], found["low"], found["high"]
    method, no_interval = str(found.get("method", "")), str(found.get("reason", ""))
    return Number(value, low, high, reason if value is None else "", is_percent, method, no_interval, people)


def people_text(patients: int, positive: int | None, negative: int | None) -> str:
    """Return how many patients there are, and how many of them have a positive case and a negative one.

    >>> people_text(9, 4, 5), people_text(1, None, None)
    ('9 patients (4 +, 5 −)', '1 patient')
    """
    text = plural(patients, "patient")
    return text if positive is None or negative is None else f"{text} ({positive:,} +, {negative:,} −)"


def enough_digits(values: Sequence[float], threshold: float, least: int = 3, most: int = 9) -> int:
    """Return with how many decimals no value looks like the threshold that is not equal to it.

    >>> enough_digits([0.47381, 0.47412, 0.9], 0.474)
    4
    >>> enough_digits([0.47381, 0.474], 0.474), enough_digits([], 0.5)
    (4, 3)
    """
    for digits in range(least, most):
        mark = f"{threshold:.{digits}f}"
        if all(f"{value:.{digits}f}" != mark for value in values if value != threshold):
            return digits
    return most


def plural(count: int, unit: str) -> str:
    """Return the count with its unit.

    >>> plural(1, "patient"), plural(3, "class"), plural(1200, "clip")
    ('1 patient', '3 classes', '1,200 clips')
    """
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {plural_of(unit)}"


def plural_of(unit: str) -> str:
    """Return the plural of a unit.

    >>> plural_of("class"), plural_of("patient")
    ('classes', 'patients')
    """
    return f"{unit}es" if unit.endswith("s") else f"{unit}s"


def recordings_text(counts: Mapping[Any, Any]) -> str:
    """Return how many recordings, of how many patients, and how many of patients that nobody knows.

    >>> recordings_text({"recordings": 5, "patients": 2, "patients_unknown": 1})
    '5 recordings of 2 patients, 1 without a known patient'
    >>> recordings_text({"recordings": 1, "patients": 0, "patients_unknown": 1})
    '1 recording, 1 without a known patient'
    """
    text = plural(counts["recordings"], "recording")
    text += f" of {plural(counts['patients'], 'patient')}" if counts["patients"] else ""
    unknown = counts["patients_unknown"]
    return f"{text}, {unknown:,} without a known patient" if unknown else text
