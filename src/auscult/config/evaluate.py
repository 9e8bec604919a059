"""How the predictions of a trained model are evaluated: the operating point, the protocol, and what is drawn."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Settings

ThresholdRule = Literal[
    "youden", "f1", "icbhi_score", "target_sensitivity", "target_specificity", "average_score", "challenge_score"
]
NORMAL_CLASS_RULES = ("average_score", "challenge_score")
"""Of a multi-class task with a normal class: they weigh that class against all others."""


class OutcomeSettings(Settings):
    """Which clips of the test set stand in `outcomes/{tp,tn,fp,fn}/`, each as one picture."""

    max_clips: int = Field(default=6, ge=0, le=1000, description="of each of the four folders")
    sample: Literal["extreme", "random"] = Field(
        default="extreme", description="extreme: the surest hits and the worst errors; random: drawn with `seed`"
    )


class ConformalSettings(Settings):
    """Conformal sets by patient: which classes a probability does not rule out (`metrics.conformal`)."""

    alpha: float = Field(
        default=0.1, gt=0, lt=0.5, description="the share of patients of a class whose sets may lack their class"
    )


class EvaluateSettings(Settings):
    """The operating point, always chosen on validation, and what is drawn."""

    threshold: ThresholdRule = Field(default="youden", description="the rule that chooses the operating point")
    threshold_target: float = Field(
        default=0.9, gt=0, lt=1, description="what target_sensitivity and target_specificity ask for, on validation"
    )
    calibration: Literal["none", "temperature", "platt", "isotonic"] = Field(
        default="none",
        description="fitted on validation. temperature: logits are divided by one number (Guo 2017); platt: a slope "
        "and an intercept for the logit of each target; isotonic: a rising curve for each target. The last two are "
        "not for multi-class tasks",
    )
    conformal: ConformalSettings | None = Field(
        default=None,
        description="calibrate conformal sets on validation, judge them on test; `auscult predict` says "
        "`unsure` where a set has not one class",
    )
    shifts_s: tuple[Annotated[float, Field(ge=-60, le=60)], ...] = Field(
        default=(),
        description="each clip is rolled along time by each of these, and the mean of the probabilities is its own: "
        "[-0.5, 0, 0.5]; on validation, on test and in `auscult predict` alike",
    )
    best_on_test: bool = Field(
        default=False,
        description="evaluate the epoch that is best on the test set too, beside the one validation chose; training "
        "then keeps the weights of every validated epoch",
    )
    bootstrap_draws: int = Field(default=2000, ge=0, le=100_000, description="0: no intervals")
    baselines: bool = Field(
        default=True,
        description="judge metadata alone beside the model, and probe whether its embeddings tell device, site and "
        "dataset",
    )
    seed: int = Field(default=0, ge=0, description="of the bootstrap and of sampled outcomes")
    n_examples: int = Field(default=8, ge=0, le=64, description="example spectrograms in the report")
    example_sounds: bool = Field(default=True, description="the sound of each example, to play in the report")
    outcomes: OutcomeSettings = OutcomeSettings()

    def frozen(self) -> dict[str, Any]:
        """Return what a training depends on, as JSON-like values; all else only changes how it is evaluated."""
        found = self.model_dump(mode="json", include={"threshold", "threshold_target", "calibration", "best_on_test"})
        # Named only where they are set, so that trainings without them are not made again.
        of_doubt = {} if self.conformal is None else {"conformal": self.conformal.model_dump(mode="json")}
        of_shifts = {"shifts_s": list(self.shifts_s)} if self.shifts_s else {}
        return {**found, **of_doubt, **of_shifts}

    @model_validator(mode="after")
    def _check_shifts(self) -> Self:
        if len(set(self.shifts_s)) < len(self.shifts_s):
            raise ValueError(f"shifts_s {list(self.shifts_s)} names one twice")
        if set(self.shifts_s) == {0.0}:
            raise ValueError("shifts_s [0] shifts nothing; leave it out")
        return self
