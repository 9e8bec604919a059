"""Which optimizers and learning-rate schedules an experiment may name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from auscult.config.base import Settings, without_none

TorchOptimizer = Literal["adam", "adamw", "sgd"]
TimmOptimizer = Literal[
    "adabelief", "adadelta", "adafactor", "adafactorbv", "adagrad", "adamax", "adamp", "adan", "adanw", "adopt",
    "adoptw", "lamb", "lambw", "laprop", "larc", "lars", "lion", "madgrad", "mars", "muon", "nadam", "nadamw",
    "novograd", "radam", "radamw", "rmsprop", "rmsproptf", "sgdp", "sgdw",
]  # fmt: skip
"""Of timm's factory, those that need no other package and no second derivative."""

DECOUPLED = {"adam": "adamw", "sgd": "sgdw", "nadam": "nadamw", "radam": "radamw", "lamb": "lambw", "adopt": "adoptw"}
"""What an optimizer becomes when its weight decay is decoupled."""


class GroupSettings(Settings):
    """What differs for one part of the model."""

    lr: float | None = Field(default=None, gt=0, description="instead of the optimizer's lr")
    weight_decay: float | None = Field(default=None, ge=0, description="instead of the optimizer's")


class GroupsSettings(Settings):
    """Parts of a model: what comes before the backbone, the backbone, the head."""

    frontend: GroupSettings = GroupSettings()
    backbone: GroupSettings = GroupSettings()
    head: GroupSettings = GroupSettings()


class OptimizerSettings(Settings):
    """An optimizer of torch (adam, adamw, sgd) or of timm (lamb, lion, nadamw, ...)."""

    name: TorchOptimizer | TimmOptimizer = "adam"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decoupled_weight_decay: bool = Field(
        default=False, description="weights shrink by lr x weight_decay beside the step, not through the gradient"
    )
    decay_norms_and_biases: bool = Field(default=True, description="false: weight decay leaves vectors alone")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="where the optimizer has one")
    nesterov: bool = Field(default=False, description="of sgd and its relatives")
    dampening: float | None = Field(
        default=None, ge=0, lt=1, description="sgd only: share of the gradient kept from its momentum; null: 0"
    )
    maximize: bool | None = Field(
        default=None, description="adam, adamw and sgd: climb, for a loss that is to be high; null: false"
    )
    betas: tuple[float, float] | None = Field(default=None, description="adam's and its relatives'; null: their own")
    eps: float | None = Field(default=None, gt=0, description="null: the optimizer's own")
    groups: GroupsSettings = GroupsSettings()
    layer_decay: float | None = Field(
        default=None, gt=0, le=1, description="the lr of each layer of the backbone is that of the next one times this"
    )

    @model_serializer(mode="wrap")
    def _without_later_ones(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was trained before there were these settings stays what it is.
        return without_none(to_dict(self), ("dampening", "maximize"))

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if self.nesterov and (self.name not in {"sgd", "sgdw", "sgdp"} or self.momentum == 0):
            raise ValueError("nesterov: true needs name: sgd, sgdw or sgdp, and a momentum")
        if self.dampening and (self.name != "sgd" or self.decoupled_weight_decay or self.nesterov):
            raise ValueError("dampening belongs to name: sgd, without nesterov and without decoupled_weight_decay")
        is_of_torch = self.name in get_args(TorchOptimizer) and not (self.name == "sgd" and self.decoupled_weight_decay)
        if self.maximize and not is_of_torch:
            raise ValueError("maximize belongs to adam, adamw and sgd, the last without decoupled_weight_decay")
        if self.decoupled_weight_decay and self.name not in DECOUPLED and self.name not in DECOUPLED.values():
            raise ValueError(
                f"decoupled_weight_decay is known for {', '.join(DECOUPLED)}; {self.name} has its own way, leave it out"
            )
        return self


class _LastingSchedule(Settings):
    by: Literal["step", "epoch"] = Field(default="epoch", description="what is counted, and when the rate changes")
    length: int | None = Field(default=None, ge=1, description="steps or epochs that it lasts; null: to the end")


class StepSchedule(_LastingSchedule):
    """Multiply by `gamma` every so many steps or epochs."""

    name: Literal["step"]
    every: int = Field(default=10, ge=1)
    gamma: float = Field(default=0.1, gt=0)


class MultiStepSchedule(_LastingSchedule):
    """Multiply by `gamma` at each milestone."""

    name: Literal["multi_step"]
    milestones: tuple[int, ...] = Field(min_length=1)
    gamma: float = Field(default=0.1, gt=0)


class ExponentialSchedule(_LastingSchedule):
    """Multiply by `gamma` at every step or epoch."""

    name: Literal["exponential"]
    gamma: float = Field(default=0.95, gt=0)


class CosineSchedule(_LastingSchedule):
    """From 1 down to `min_factor` along half a cosine (Loshchilov & Hutter 2017, without restarts)."""

    name: Literal["cosine"]
    min_factor: float = Field(default=0.0, ge=0, le=1)


class OneCycleSchedule(_LastingSchedule):
    """Up from 1 / `div_factor` to 1, then down to 1 / (`div_factor` x `final_div_factor`) (Smith & Topin 2018)."""

    name: Literal["one_cycle"]
    by: Literal["step", "epoch"] = "step"
    rising_share: float = Field(default=0.3, gt=0, lt=1)
    div_factor: float = Field(default=25.0, ge=1)
    final_div_factor: float = Field(default=1e4, ge=1)


class LinearWarmup(_LastingSchedule):
    """From `start_factor` up to 1 along a line; 1 from then on."""

    name: Literal["linear_warmup"]
    by: Literal["step", "epoch"] = "step"
    start_factor: float = Field(default=0.01, gt=0, le=1)
    length: int | None = Field(default=None, ge=1, description="steps or epochs that it lasts; null: one epoch")


class ReduceOnPlateau(Settings):
    """Multiply by `factor` when the monitored metric has not become better for more than `patience` evaluations."""

    name: Literal["reduce_on_plateau"]
    by: Literal["epoch"] = "epoch"
    length: int | None = Field(default=None, ge=1, description="epochs that it lasts; null: to the end")
    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=10, ge=0)
    min_delta: float = Field(default=0.0, ge=0, description="what less than this is, is no gain")
    min_factor: float = Field(default=0.0, ge=0, lt=1, description="never below this share of the lr")


ScheduleSettings = Annotated[
    StepSchedule
    | MultiStepSchedule
    | ExponentialSchedule
    | CosineSchedule
    | OneCycleSchedule
    | LinearWarmup
    | ReduceOnPlateau,
    Field(discriminator="name"),
]
