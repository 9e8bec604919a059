"""Metrics by name, and numbers with their intervals, the same in the terminal, in text and on every page."""

from __future__ import annotations

from dataclasses import dataclass

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
    "score": "ICBHI score",
    "harmonic_score": "Harmonic score",
    "two_class_sensitivity": "Sensitivity, two classes",
    "two_class_score": "ICBHI score, two classes",
    "two_class_harmonic_score": "Harmonic score, two classes",
}
"""How a metric is called in print; the order is that of the tables.

The two-class specificity is not among them: it equals the strict one.
"""

LOWER_IS_BETTER = frozenset({"brier", "ece"})
LEVELS = ("clip", "recording", "patient")
UNDEFINED = "undefined"


@dataclass(frozen=True)
class Number:
    """One metric with its 95% interval.

    Attributes:
        value: None where undefined.
        low: Lower end of the interval, None without one.
        high: Upper end.
        reason: Why `value` is None.
        is_percent: In per cent, shown with one decimal; else with three.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    is_percent: bool = False

    @property
    def value_text(self) -> str:
        """The value alone.

        >>> Number(0.91234).value_text, Number(None).value_text, Number(51.26, is_percent=True).value_text
        ('0.912', 'undefined', '51.3')
        """
        return UNDEFINED if self.value is None else self._text(self.value)

    @property
    def interval_text(self) -> str:
        """The interval alone, empty where there is none.

        >>> Number(0.9, 0.85, 0.96).interval_text
        '0.850–0.960'
        """
        return "" if self.low is None or self.high is None else f"{self._text(self.low)}–{self._text(self.high)}"

    def _text(self, number: float) -> str:
        text = f"{number:.1f}" if self.is_percent else f"{number:.3f}"
        return text.replace("-", "−")

    def __str__(self) -> str:
        """Value and interval in one line.

        >>> str(Number(0.9, 0.85, 0.96)), str(Number(0.9)), str(Number(None, reason="no positive patient"))
        ('0.900 (0.850–0.960)', '0.900', 'undefined (no positive patient)')
        """
        bracket = self.reason if self.value is None else self.interval_text
        return f"{self.value_text} ({bracket})" if bracket else self.value_text


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
