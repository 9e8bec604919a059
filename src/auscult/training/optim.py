"""What changes the weights: the optimizer over groups of parameters, gradient clipping, freezing and averaging."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from auscult.config.optimizer import DECOUPLED, OptimizerSettings
from auscult.config.train import EmaSettings, TrainSettings
from auscult.errors import ConfigError
from auscult.models.classifier import Classifier
from auscult.training.schedules import Schedules

PARTS = ("frontend", "backbone", "head")
_BLOCK = re.compile(r"^(.*?\.\d+)(\.|$)")


class Optimization:
    """Turns gradients into new weights.

    Args:
        fabric: Device, precision and processes.
        module: The network; it is moved to the device.
        settings: Of the training.
        steps_per_epoch: Optimizer steps.

    Attributes:
        model: The network as the fabric set it up, compiled where that is asked for.
        n_steps: Done so far.
    """

    def __init__(self, fabric: Fabric, module: Classifier, settings: TrainSettings, steps_per_epoch: int) -> None:
        self.n_steps = 0
        self._fabric = fabric
        self._clip = settings.clip_gradient
        if settings.channels_last:
            # Weights and maps with channels innermost: twice as fast on a CPU, and what tensor cores want.
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._frozen = FrozenPart(module, settings)
        self._frozen.apply(epoch=1)
        self._optimizer = build_optimizer(module, settings.optimizer)
        self.model: Any
        self.model, self._fabric_optimizer = fabric.setup(
            _compiled(module) if settings.compile else module, self._optimizer
        )
        self._schedules = Schedules(
            settings.schedules,
            settings.schedules_apply,
            self._optimizer,
            steps_per_epoch=steps_per_epoch,
            epochs=settings.epochs,
            mode=settings.mode,
        )
        self._ema = None if settings.ema is None else Ema(module, settings.ema)

    def start_epoch(self, epoch: int) -> None:
        """Put the model into training mode, and freeze what is frozen in this epoch."""
        self.model.train()
        self._frozen.apply(epoch)

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        self._fabric_optimizer.zero_grad()

    def step(self) -> None:
        """Clip the gradients, set the learning rates, step, and average."""
        clip = self._clip
        if clip.value is not None:
            self._fabric.clip_gradients(self.model, self._fabric_optimizer, clip_val=clip.value)
        if clip.norm is not None:
            self._fabric.clip_gradients(
                self.model, self._fabric_optimizer, max_norm=clip.norm, error_if_nonfinite=False
            )
        self._schedules.set_lrs(self.n_steps)
        self._fabric_optimizer.step()
        self.n_steps += 1
        if self._ema is not None:
            self._ema.update()

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Put the average of the weights into the model while the block runs, where there is one."""
        if self._ema is None:
            yield
            return
        with self._ema.applied():
            yield

    def take_metric(self, value: float | None) -> None:
        """Pass the monitored metric of a validation to the schedules; None: it is undefined."""
        self._schedules.take_metric(value, self.n_steps)

    def lrs(self) -> dict[str, float]:
        """Return the learning rate of the last group as `lr`; where the groups' differ, that of each as `lr/<group>`.

        Of groups of one name the highest counts.
        """
        groups = self._optimizer.param_groups
        found = {"lr": float(groups[-1]["lr"])}
        if self._schedules.has_one_lr:
            return found
        for group in groups:
            name = f"lr/{group.get('name', 'all')}"
            found[name] = max(found.get(name, 0.0), float(group["lr"]))
        return found

    def finish(self) -> None:
        """Leave the model as if nothing had been frozen."""
        self._frozen.thaw()

    def _stateful(self) -> dict[str, Any]:
        parts = {
            "optimizer": self._optimizer,
            "precision": self._fabric.strategy.precision,
            "schedules": self._schedules,
            "ema": self._ema,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, but the weights."""
        return {"n_steps": self.n_steps} | {name: part.state_dict() for name, part in self._stateful().items()}

    def continue_from(self, state: dict[str, Any], n_epochs: int) -> None:
        """Go on from the end of a training: its steps, momenta, averages and what its schedules follow.

        Rates, weight decay and all other settings stay those of this training.

        Args:
            state: `state_dict` of an optimization with the same optimizer, schedules and average.
            n_epochs: That were trained.

        Raises:
            ConfigError: Its groups hold other parameters, or its epochs other steps, which schedules count.
        """
        found, own = state["optimizer"], self._optimizer.state_dict()
        sizes = [[len(group["params"]) for group in each["param_groups"]] for each in (found, own)]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"train.pretrained.state: the optimizer's groups held {sizes[0]} tensors, and here they hold "
                f"{sizes[1]}; give train.optimizer the settings of that training"
            )
        expected = n_epochs * self._schedules.steps_per_epoch
        if self._schedules.names and state["n_steps"] != expected:
            raise ConfigError(
                f"train.pretrained.state: {n_epochs} epochs took {state['n_steps']} steps, and here they would take "
                f"{expected}, so that schedules would not go on where they were; take its data and batch size, or no "
                "schedules"
            )
        self._optimizer.load_state_dict({**found, "param_groups": own["param_groups"]})
        self.n_steps = state["n_steps"]
        self._schedules.load_state_dict(state["schedules"])
        if self._ema is not None:
            self._ema.load_state_dict(state["ema"])
        if state["precision"]:
            self._fabric.strategy.precision.load_state_dict(state["precision"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.n_steps = state["n_steps"]
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])


def _compiled(module: Classifier) -> Any:
    """Compile a model; one that makes its spectrograms itself is augmented between its parts, so they are compiled."""
    if not module.takes_waveforms:
        return torch.compile(module)
    module.backbone.compile()
    return module


def build_optimizer(module: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Build the optimizer that `settings` name over the groups of a model, its own defaults for all they do not say.

    Raises:
        ConfigError: The optimizer takes no such setting.
    """
    groups = parameter_groups(module, settings)
    name = DECOUPLED.get(settings.name, settings.name) if settings.decoupled_weight_decay else settings.name
    given = {key: getattr(settings, key) for key in ("betas", "eps", "dampening", "maximize")}
    extra: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if name.startswith("sgd"):
        extra["nesterov"] = settings.nesterov  # timm's default is another one than torch's
    try:
        if name == "adam":
            return torch.optim.Adam(groups, lr=settings.lr, **extra)
        if name == "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr, **extra)
        if name == "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, **extra)
        from timm.optim._optim_factory import create_optimizer_v2  # noqa: PLC0415 (slow to import, and rarely needed)

        return create_optimizer_v2(groups, opt=name, lr=settings.lr, momentum=settings.momentum, **extra)
    except TypeError as error:
        raise ConfigError(
            f"train.optimizer: {settings.name} takes not all of {sorted(extra.keys() - {'nesterov'})}: {error}"
        ) from error


def part_of(name: str) -> str:
    """Return the part of the model that a parameter belongs to.

    >>> part_of("backbone.stages.0.weight"), part_of("head.linear.bias")
    ('backbone', 'head')
    """
    part = name.partition(".")[0]
    if part not in PARTS:
        raise ValueError(f"parameter {name!r} belongs to none of {PARTS}")
    return part


def parameter_groups(module: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Return groups for an optimizer, in the order of the model.

    Args:
        module: With the children `backbone` and `head`, and perhaps `frontend`.
        settings: Learning rates, weight decay and layer decay.

    Returns:
        Dicts with `params`, `lr`, `weight_decay` and `name` (`<part>` and, under layer decay, the layer's number).
    """
    layers = _backbone_layers(module) if settings.layer_decay is not None else {}
    n_layers = max(layers.values(), default=0) + 1
    groups: dict[tuple[str, float, float], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        part = part_of(name)
        of_part = getattr(settings.groups, part)
        lr = settings.lr if of_part.lr is None else of_part.lr
        weight_decay = settings.weight_decay if of_part.weight_decay is None else of_part.weight_decay
        if parameter.ndim <= 1 and not settings.decay_norms_and_biases:
            weight_decay = 0.0
        label = part
        if settings.layer_decay is not None:
            # The head is above all layers; a front end lies below the first.
            above = {"head": 0, "frontend": n_layers + 1}.get(part, n_layers - layers.get(name, 0))
            lr *= settings.layer_decay**above
            label = f"{part}/{layers[name]}" if part == "backbone" else part
        key = (label, lr, weight_decay)
        group = groups.setdefault(key, {"params": [], "lr": lr, "weight_decay": weight_decay, "name": label})
        group["params"].append(parameter)
    return list(groups.values())


def _backbone_layers(module: nn.Module) -> dict[str, int]:
    """Return the layer, from 0 at the input, of each parameter of the backbone.

    timm's architectures say themselves what a layer is. In others each numbered block of a list is one, as is what
    stands beside them, in the order of the model.
    """
    names = [name for name, _ in module.named_parameters() if part_of(name) == "backbone"]
    inner: Any = getattr(getattr(module, "backbone", None), "model", None)
    if inner is not None and hasattr(inner, "group_matcher"):
        from timm.models import group_parameters  # noqa: PLC0415 (loaded already where there is such a model)

        numbers = sorted(group_parameters(inner, inner.group_matcher(coarse=False)).items())
        found = {f"backbone.model.{name}": number for number, group in numbers for name in group}
        order = {number: index for index, number in enumerate(sorted(set(found.values())))}
        return {name: order[found[name]] for name in names}
    blocks: dict[str, int] = {}
    layers: dict[str, int] = {}
    for name in names:
        match = _BLOCK.match(name)
        block = match.group(1) if match else name.rpartition(".")[0]
        layers[name] = blocks.setdefault(block, len(blocks))
    return layers


class FrozenPart:
    """The parts of a model that are not trained, for some epochs or throughout: weights and batch statistics stay.

    Args:
        module: With the parts as children.
        settings: `freeze` and `thaw_epoch`.

    Raises:
        ConfigError: The model has no such part.
    """

    def __init__(self, module: nn.Module, settings: TrainSettings) -> None:
        self._thaw_epoch = settings.thaw_epoch
        children = {name: child for name, child in module.named_children() if name in PARTS}
        if settings.freeze == "all_but_head":
            self._frozen = [child for name, child in children.items() if name != "head"]
            return
        if settings.freeze is not None and settings.freeze not in children:
            raise ConfigError(
                f"train.freeze: the model has no part {settings.freeze!r}; it has {', '.join(sorted(children))}"
            )
        self._frozen = [] if settings.freeze is None else [children[settings.freeze]]

    def apply(self, epoch: int) -> None:
        """Freeze or thaw for an epoch; call it after the model was put into training mode."""
        is_frozen = self._thaw_epoch is None or epoch < self._thaw_epoch
        for part in self._frozen:
            part.requires_grad_(not is_frozen)
            if is_frozen:
                part.eval()

    def thaw(self) -> None:
        """Make the parts trainable again."""
        for part in self._frozen:
            part.requires_grad_(requires_grad=True)


class Ema:
    """Averages all weights and the statistics of batch norms; integers are copied.

    Args:
        module: The model as it stands is the first average.
        settings: The decay.
    """

    def __init__(self, module: nn.Module, settings: EmaSettings) -> None:
        self._module = module
        self._settings = settings
        self._n_updates = 0
        self._average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights: average = decay x average + (1 - decay) x weight."""
        self._n_updates += 1
        decay = self._settings.decay
        if self._settings.is_warmed_up:
            decay = min(decay, (1 + self._n_updates) / (10 + self._n_updates))
        for name, tensor in self._module.state_dict().items():
            if tensor.is_floating_point():
                self._average[name].lerp_(tensor, 1 - decay)
            else:
                self._average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Put the average into the model while the block runs."""
        weights = {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}
        self._module.load_state_dict(self._average)
        try:
            yield
        finally:
            self._module.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return {"n_updates": self._n_updates, "average": dict[str, Tensor](self._average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self._n_updates = int(state["n_updates"])
        for name, tensor in state["average"].items():
            self._average[name].copy_(tensor)
