"""How a model is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from auscult.config.base import Settings, scalar_to_text, without_none
from auscult.config.optimizer import OptimizerSettings, ScheduleSettings
from auscult.config.plugins import OrPlugin, PluginSettings, plugin_kind, plugin_names
from auscult.config.task import TaskSettings
from auscult.errors import unknown_name

__all__ = ["LossSettings", "OptimizerSettings", "TrainSettings", "monitors_for"]


LiveLog = Literal["tensorboard"]


Precision = Annotated[
    Literal["32", "bf16-mixed", "16-mixed"],
    BeforeValidator(scalar_to_text),
    WithJsonSchema({"enum": ["32", 32, "bf16-mixed", "16-mixed"], "default": "32"}),
]


_OfObjects = Annotated[float, Field(ge=0, description="tasks that find events: of the maps of objects")]
_OfBoundaries = Annotated[float, Field(ge=0, description="tasks that find events: of the maps of boundaries")]


class AnyLossSettings(Settings):
    """What every loss has."""

    name: Any = "auto"
    class_weights: Literal["none", "balanced", "effective_number"] = "balanced"
    beta: float = Field(default=0.999, ge=0, lt=1, description="effective_number only: near 1 is like balanced")


def _require_weight(loss: LossSettings | PluginLossSettings) -> None:
    if loss.obj_weight == loss.bnd_weight == 0:
        raise ValueError("obj_weight and bnd_weight are both 0: nothing would be learned")


class LossSettings(AnyLossSettings):
    """`auto` takes cross-entropy for multi-class, binary cross-entropy for all other targets and for maps of events."""

    name: Literal["auto", "bce", "cross_entropy", "mse", "focal", "asymmetric", "dice"] = "auto"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of bce and cross_entropy")
    gamma: float = Field(default=2.0, ge=0, description="focal only: how little an easy clip counts")
    gamma_positive: float = Field(default=1.0, ge=0, description="asymmetric only: of positive targets")
    gamma_negative: float = Field(default=4.0, ge=0, description="asymmetric only: of negative targets")
    margin: float = Field(
        default=0.05, ge=0, lt=1, description="asymmetric only: a negative below this probability counts for nothing"
    )

    obj_weight: _OfObjects = 1.0
    bnd_weight: _OfBoundaries = 1.0

    @model_validator(mode="after")
    def _check_map_weights(self) -> Self:
        _require_weight(self)
        return self

    @field_validator("name", mode="before")
    @classmethod
    def _check_name(cls, name: Any) -> Any:
        if isinstance(name, str) and name not in OWN_LOSSES and (plugins := plugin_names("loss")):
            message = unknown_name("loss", name, [*OWN_LOSSES, *plugins])
            raise PydanticCustomError("named", "{message}", {"message": message})
        return name

    @model_validator(mode="after")
    def _check_smoothing(self) -> Self:
        if self.label_smoothing and self.name not in {"auto", "bce", "cross_entropy"}:
            raise ValueError(f"label_smoothing belongs to bce and cross_entropy, not to {self.name}")
        return self


OWN_LOSSES: tuple[str, ...] = get_args(LossSettings.model_fields["name"].annotation)


@plugin_kind("loss", lambda: OWN_LOSSES)
class PluginLossSettings(PluginSettings, AnyLossSettings, extra="allow"):
    """A loss of a file in `plugins/`."""

    obj_weight: _OfObjects = 1.0
    bnd_weight: _OfBoundaries = 1.0

    @model_validator(mode="after")
    def _check_map_weights(self) -> Self:
        _require_weight(self)
        return self


@plugin_kind("train_step")
class TrainStepSettings(PluginSettings):
    """What is minimised on a batch, by a file in `plugins/`."""

    name: str


@plugin_kind("test_step")
class TestStepSettings(PluginSettings):
    """How the trained model decides, by a file in `plugins/`."""

    __test__ = False

    name: str


class SaveSettings(Settings):
    """When the state is saved, to resume from; it changes no result. It is also saved at the end and on a signal."""

    every_s: float = Field(default=300.0, gt=0)
    every_steps: int | None = Field(default=None, ge=1)
    every_epochs: int = Field(default=1, ge=1)


class ClipGradientSettings(Settings):
    """Clipping of large gradients before a step."""

    norm: float | None = Field(
        default=None, gt=0, description="largest norm of the gradient of all parameters together"
    )
    value: float | None = Field(default=None, gt=0, description="largest value of each parameter's gradient")


class EmaSettings(Settings):
    """An exponential moving average of the weights; with it the average is validated and kept, not the last weights."""

    decay: float = Field(default=0.999, gt=0, lt=1)
    is_warmed_up: bool = Field(
        default=True, description="after n steps the decay is at most (1 + n) / (10 + n): early weights are forgotten"
    )


class EarlyStoppingSettings(Settings):
    """Stop when the monitored metric has not improved for more than `patience` validations."""

    patience: int = Field(default=10, ge=0)
    min_delta: float = Field(default=0.0, ge=0, description="a smaller improvement is none")


class BatchesSettings(Settings):
    """Where batches come from. Streamed ones come in another order, so `place` and `window_clips` change a result."""

    frontend: Literal["auto", "stored", "online"] = Field(
        default="auto",
        description="stored: spectrograms are read; online: clips are read, and their spectrograms computed on the "
        "device; auto: online where waveforms are augmented",
    )

    place: Literal["auto", "device", "host", "stream"] = Field(
        default="auto",
        description="auto: in memory (the device's, else the host's) when they fit host_budget_mb, else streamed",
    )
    host_budget_mb: int = Field(
        default=4000, ge=1, description="largest size of all spectrograms (online: clips) in memory"
    )
    device_share: float = Field(
        default=0.5, gt=0, le=1, description="share of the free device memory that they may take"
    )
    workers: int = Field(default=2, ge=0, le=64, description="processes that read; stream only")
    window_clips: int = Field(default=4096, ge=1, description="clips that are shuffled together; stream only")


PRETRAINED_SOURCES = ("result", "weights", "timm", "published")


class PretrainedSettings(Settings):
    """Pretrained weights to start with instead of random ones; from one of four sources."""

    result: str | None = Field(default=None, description="folder of a trained job: model.safetensors and model.json")
    weights: str | None = Field(default=None, description="a safetensors file of a model of this project")
    timm: str | None = Field(
        default=None, description="a file with timm's pretrained weights, or `hub` to download them"
    )
    published: str | None = Field(
        default=None, description="a file with the published weights of the encoder of a model `published`"
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="of the file: any other is refused, one with a tensor transposed or values changed too",
    )
    parts: Literal["all", "backbone"] = Field(
        default="all", description="backbone: the head starts with random weights"
    )
    state: bool = Field(
        default=False,
        description="with result: go on where that training ended, with its last weights, optimizer, schedules and "
        "epoch; `epochs` counts its epochs too",
    )

    @model_serializer(mode="wrap")
    def _without_no_state(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was trained before there was this setting stays what it is.
        values: dict[str, Any] = to_dict(self)
        return values if self.state else {name: value for name, value in values.items() if name != "state"}

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [name for name in PRETRAINED_SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"pretrained takes one of result, weights, timm and published; found {given or 'none'}")
        if self.sha256 is not None and (self.result is not None or self.timm == "hub"):
            raise ValueError("sha256 is of a file: give it with weights, timm or published, not with a result or hub")
        if self.state and (self.result is None or self.parts != "all"):
            raise ValueError("state: true goes on with a whole training: give it with result, and leave parts out")
        return self


class PictureStandard(Settings):
    """What pictures are standardised by, as torchvision states it: brightness from 0 to 1, one number a channel."""

    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(min_length=1)
    std: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)


class DebugSettings(Settings):
    """For finding a fault, not for training."""

    overfit_one_batch: bool = Field(default=False, description="train and validate on the first batch alone")
    limit_batches: int | None = Field(
        default=None, ge=1, description="batches of each epoch, in training and in validation"
    )
    profile_batches: int = Field(
        default=0, ge=0, le=1000, description="so many batches are traced, to profile/ of the run"
    )


class TrainSettings(Settings):
    """One training."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=32, ge=1)
    eval_batch_size: int | None = Field(
        default=None, ge=1, description="clips at a time in validation and evaluation; null: batch_size"
    )
    accumulate_batches: int = Field(default=1, ge=1, description="batches whose gradients make one step")
    clip_gradient: ClipGradientSettings = ClipGradientSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedules: tuple[ScheduleSettings, ...] = ()
    schedules_apply: Literal["together", "in_turn"] = Field(
        default="together", description="their factors multiplied, or one after the other, each for its length"
    )
    loss: Annotated[LossSettings | PluginLossSettings, OrPlugin(LossSettings, PluginLossSettings, OWN_LOSSES)] = (
        LossSettings()
    )
    train_step: TrainStepSettings | None = Field(
        default=None, description="a function of plugins/ that runs the model on a batch, and gives what is minimised"
    )
    test_step: TestStepSettings | None = Field(
        default=None, description="a function of plugins/ by which the trained model decides, from validation on"
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        default="shuffle",
        description="balanced: every combination of labels is seen equally often in an epoch, rare ones repeatedly",
    )
    ema: EmaSettings | None = None
    monitor: str = Field(
        default="val/auroc",
        pattern=r"^val/[a-z0-9_]+$",
        description="the validation metric that picks the best epoch; checked against the task's metrics",
    )
    mode: Literal["max", "min"] = "max"
    eval_every: int = Field(
        default=1, ge=1, description="epochs between two validations; the last epoch is always validated"
    )
    metric_over: Literal["epoch", "batch"] = Field(
        default="epoch",
        description="epoch: each validation metric is computed once, over all predictions; batch: the mean over the "
        "batches of validation",
    )
    early_stopping: EarlyStoppingSettings | None = None
    pretrained: PretrainedSettings | None = None
    normalise: Literal["training", "pretrained"] | PictureStandard | None = Field(
        default=None,
        description="of pictures, what each channel is standardised by: null or training: mean and deviation of the "
        "training pictures; pretrained: those of the timm model's own pretrained weights; or given ones",
    )
    freeze: Literal["frontend", "backbone", "all_but_head"] | None = Field(
        default=None, description="a part that is not trained; all_but_head: the head alone is"
    )
    thaw_epoch: int | None = Field(
        default=None, ge=2, description="the epoch from which the frozen part is trained too"
    )
    seed: int = Field(default=0, ge=0)
    precision: Precision = "32"
    devices: int = Field(
        default=1, ge=1, le=64, description="processes that share each batch, on a GPU each or on the CPU (DDP)"
    )
    channels_last: bool = Field(default=True, description="feature maps lie in memory with the channel innermost")
    compile: bool = Field(default=False, description="torch.compile: slow to start, faster on a GPU")
    deterministic: bool = Field(default=False, description="refuse operations whose results differ from run to run")
    batches: BatchesSettings = BatchesSettings()
    save: SaveSettings = SaveSettings()
    live_logs: tuple[LiveLog, ...] = Field(
        default=(), description="written epoch by epoch in the run folder, beside metrics.jsonl"
    )
    live_examples: int = Field(
        default=0,
        ge=0,
        le=64,
        description="validation clips whose probabilities are logged: metrics.jsonl, history.csv, TensorBoard; of "
        "events also their maps, as pictures",
    )
    debug: DebugSettings = DebugSettings()

    @model_serializer(mode="wrap")
    def _without_later_ones(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was trained before there were these settings stays what it is.
        return without_none(to_dict(self), ("eval_batch_size", "normalise", "train_step", "test_step"))

    @property
    def n_at_once(self) -> int:
        """Clips at a time in validation and evaluation."""
        return self.eval_batch_size or self.batch_size

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and "start" in value:
            raise ValueError("`start` is now called `pretrained`: write train.pretrained, with the same keys below it")
        return value

    @field_validator("live_logs", mode="before")
    @classmethod
    def _refuse_csv(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and "csv" in value:
            raise ValueError(
                "csv is no longer a log of its own: history.csv holds the learning rates of all groups, and with "
                "`live_examples` the probabilities of followed clips; remove csv"
            )
        return value

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if (self.monitor == "val/loss") != (self.mode == "min"):
            fitting = "min" if self.monitor == "val/loss" else "max"
            raise ValueError(f"mode {self.mode!r} would keep the worst epoch by {self.monitor}; use mode: {fitting}")
        return self

    @model_validator(mode="after")
    def _check_freezing(self) -> Self:
        if self.thaw_epoch is not None and self.freeze is None:
            raise ValueError("thaw_epoch says when a frozen part is trained, and nothing is frozen: add `freeze`")
        if self.thaw_epoch is not None and self.devices > 1:
            raise ValueError(
                "thaw_epoch needs devices: 1; on several devices a part stays frozen or is trained throughout"
            )
        return self

    @model_validator(mode="after")
    def _check_balance(self) -> Self:
        if self.sampler == "balanced" and self.loss.class_weights != "none":
            raise ValueError(
                f"sampler: balanced and loss.class_weights: {self.loss.class_weights} would balance twice; "
                "with this sampler use class_weights: none"
            )
        return self

    @model_validator(mode="after")
    def _check_schedules(self) -> Self:
        if self.schedules_apply == "in_turn":
            endless = [schedule.name for schedule in self.schedules[:-1] if _is_endless(schedule)]
            if endless:
                raise ValueError(f"schedules_apply: in_turn: {endless} need a `length`, for others come after them")
        return self

    def shaping(self) -> dict[str, Any]:
        """Return all settings that shape the weights, as JSON-like values.

        When the state is saved does not, nor do the means by which batches come; the order in which they come does. How
        many clips are validated at a time does where metrics are of batches.
        """
        shapeless = {"save", "batches", "live_logs", "live_examples"}
        if self.metric_over == "epoch":
            shapeless.add("eval_batch_size")
        return self.model_dump(mode="json", exclude=shapeless)


def _is_endless(schedule: ScheduleSettings) -> bool:
    return schedule.length is None and schedule.name != "linear_warmup"


def losses_for(task: TaskSettings) -> tuple[str, ...]:
    """Return our losses that fit a task; those of plugins say nothing of tasks."""
    if task.type == "multi_class":
        return ("auto", "cross_entropy", "mse", "focal")
    return ("auto", "bce", "mse", "focal", "asymmetric", *(["dice"] if task.learns_maps else []))


NORMAL_CLASS_MONITORS = ("average_score", "challenge_score")
"""What a training of a task with a normal class may go by: `metrics.icbhi.normal_class_scores`."""


EXACT_MATCH = "exact_match"
"""The share of clips, recordings or patients with all targets right (subset accuracy), of those known throughout."""


EVENT_MONITORS = ("event_f1", "segment_f1")
"""What a training that finds events may go by: `metrics.event_decoding.validation_scores`."""


OBJECT_MONITORS = ("object_iou", "boundary_iou", "object_f1")
"""What a training that finds objects may go by: `metrics.objects.validation_scores`."""


def monitors_for(task: TaskSettings) -> tuple[str, ...]:
    """Return the validation metrics that a training of `task` writes every epoch."""
    names = ["loss", "auroc", "auprc", "balanced_accuracy"]
    if task.type == "multi_class":
        names += ["accuracy"]
    if task.type == "multi_label" and len(task.targets) > 1:
        names += [EXACT_MATCH]
    if task.normal_class is not None:
        names += NORMAL_CLASS_MONITORS
    if task.finds_events:
        names += EVENT_MONITORS
    if task.finds_objects:
        names += OBJECT_MONITORS
    if task.four_class is not None:
        names += ["icbhi_score"]
    return tuple(f"val/{name}" for name in names)
