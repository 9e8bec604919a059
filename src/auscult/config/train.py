"""How a model is trained and how its answers are judged."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from auscult.config.base import Settings
from auscult.config.task import TaskSettings


class OptimizerSettings(Settings):
    """Names as in torch.optim."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="sgd only")


class LossSettings(Settings):
    """`auto` takes binary cross-entropy for binary and multi-label targets, cross-entropy for multi-class."""

    name: Literal["auto", "bce", "cross_entropy"] = "auto"
    class_weights: Literal["none", "balanced"] = "balanced"


class TrainSettings(Settings):
    """One training."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=32, ge=1)
    optimizer: OptimizerSettings = OptimizerSettings()
    loss: LossSettings = LossSettings()
    monitor: str = Field(
        default="val/auroc",
        pattern=r"^val/[a-z0-9_]+$",
        description="the validation metric that picks the best epoch; checked against the task's metrics",
    )
    mode: Literal["max", "min"] = "max"
    seed: int = Field(default=0, ge=0)
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if (self.monitor == "val/loss") != (self.mode == "min"):
            fitting = "min" if self.monitor == "val/loss" else "max"
            raise ValueError(f"mode {self.mode!r} would keep the worst epoch by {self.monitor}; use mode: {fitting}")
        return self


class EvaluateSettings(Settings):
    """The operating point, always chosen on validation, and what is drawn."""

    threshold: Literal["youden", "f1", "icbhi_score"] = "youden"
    bootstrap_draws: int = Field(default=2000, ge=0, le=100_000, description="0: no intervals")
    seed: int = Field(default=0, ge=0, description="of the bootstrap")
    n_examples: int = Field(default=8, ge=0, le=64, description="example spectrograms in the report")


def monitors_for(task: TaskSettings) -> tuple[str, ...]:
    """Return the validation metrics that a training of `task` writes every epoch."""
    names = ["loss", "auroc", "auprc", "balanced_accuracy"]
    if task.type == "multi_class":
        names += ["accuracy"]
    if task.four_class is not None:
        names += ["icbhi_score"]
    return tuple(f"val/{name}" for name in names)
