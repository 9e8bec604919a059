"""Losses: an unknown target counts for nothing, neither in the value nor in the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from auscult.config.task import TaskSettings
from auscult.config.train import AnyLossSettings, LossSettings, PluginLossSettings
from auscult.errors import ConfigError, InfeasibleError

Kind = Literal["bce", "cross_entropy", "mse", "focal", "asymmetric", "dice", "plugin"]


@dataclass(frozen=True)
class LossSum:
    """A loss summed over what is known, and the number of known cells: sums of batches add up to the whole's."""

    total: Tensor
    n_known: Tensor

    def mean(self) -> Tensor:
        """Return the mean over the known cells; 0 where nothing is known."""
        return self.total / self.n_known.clamp(min=1)


@dataclass(frozen=True)
class Loss:
    """A weighted loss of logits against targets with unknowns.

    Attributes:
        kind: Which loss.
        weights: As `class_weights` returns them.
        is_exclusive: One class a clip, the logits' softmax; else each target by itself, the logits' sigmoid.
        settings: Of the kind.
        plugin: What computes a loss of kind `plugin`.
    """

    kind: Kind
    weights: Tensor
    is_exclusive: bool = False
    settings: LossSettings = field(default_factory=LossSettings)
    plugin: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> LossSum:
        """Return the weighted loss over the known cells; unknown ones add nothing, neither value nor gradient.

        Args:
            logits: Shape [clip, target]; where not `is_exclusive`, any shape [..., target].
            targets: The same shape: from 0 to 1, or NaN; where `is_exclusive`, rows that add up to 1 or rows of
                NaN, and a known row counts as one cell.
        """
        logits = logits.float()
        known = ~targets.isnan()
        # NaN must be replaced before it is multiplied: 0 x NaN is NaN, in the gradient too.
        filled = torch.where(known, targets, 0.0)
        if self.is_exclusive:
            rows = known.all(dim=1)
            return LossSum((self._of_rows(logits, filled) * rows).sum(), rows.sum())
        weights = torch.lerp(self.weights[0], self.weights[1], filled) * known
        return LossSum((self._of_cells(logits, filled) * weights).sum(), known.sum())

    def count_known(self, targets: NDArray[np.float32]) -> int:
        """Return what `n_known` of these targets, shape [clip, target], would be."""
        known = ~np.isnan(targets)
        return int(known.all(axis=1).sum() if self.is_exclusive else known.sum())

    def _of_cells(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the unweighted loss of each target, shape [..., target]."""
        if self.plugin is not None:
            return _of_shape(self.plugin(logits, targets), targets.shape)
        if self.kind == "bce":
            smoothing = self.settings.label_smoothing
            if smoothing:
                targets = targets * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        probability = logits.sigmoid()
        if self.kind == "mse":
            return (probability - targets) ** 2
        if self.kind == "focal":
            positive = (1 - probability) ** self.settings.gamma * functional.softplus(-logits)
            negative = probability**self.settings.gamma * functional.softplus(logits)
        else:
            shifted = (probability - self.settings.margin).clamp(min=0)
            positive = (1 - probability) ** self.settings.gamma_positive * functional.softplus(-logits)
            negative = -(shifted**self.settings.gamma_negative) * torch.log1p(-shifted.clamp(max=_NEARLY_ONE))
        return targets * positive + (1 - targets) * negative

    def _of_rows(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted loss of each clip, shape [clip]."""
        if self.plugin is not None or self.kind == "mse":
            weights = (targets * self.weights).sum(dim=1)
            if self.plugin is not None:
                return weights * _of_shape(self.plugin(logits, targets), targets.shape[:1])
            return weights * ((logits.softmax(dim=1) - targets) ** 2).sum(dim=1)
        log_probabilities = functional.log_softmax(logits, dim=1)
        if self.kind == "focal":
            log_probabilities = (1 - log_probabilities.exp()) ** self.settings.gamma * log_probabilities
        elif self.settings.label_smoothing:
            smoothing = self.settings.label_smoothing
            targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
        return -(log_probabilities * targets * self.weights).sum(dim=1)


def _of_shape(losses: Tensor, shape: torch.Size) -> Tensor:
    if losses.shape != shape:
        raise ConfigError(
            f"train.loss: its plugin returned losses of shape {list(losses.shape)}, expected {list(shape)}: one for "
            "each target, or, of a multi-class task, for each clip"
        )
    return losses


@dataclass(frozen=True)
class MapLoss:
    """A weighted loss of maps of objects and boundaries, in which unknown frames or pixels count for nothing.

    Attributes:
        cells: The loss of each frame; its class weights hold those of the channels too.
        channels: The weight of each channel, for a loss of whole maps.
    """

    cells: Loss
    channels: Tensor

    def __call__(self, logits: Tensor, targets: Tensor) -> LossSum:
        """Return the weighted loss over the known frames; of `dice` over the maps that have a known frame.

        Args:
            logits: Shape [clip, channel, frame], [clip, channel, band, frame], or, of pictures, [clip, channel, height,
                width].
            targets: The same shape: 1, 0 or -1 for unknown.
        """
        if self.cells.kind == "dice":
            return self._dice(logits.float(), targets)
        values = targets.float().masked_fill(targets < 0, float("nan"))
        return self.cells(logits.movedim(1, -1), values.movedim(1, -1))

    def count_known(self, targets: NDArray[np.int8]) -> int:
        """Return what `n_known` of these targets, shape as of a call, would be."""
        known = targets >= 0
        return int(known.reshape(*known.shape[:2], -1).any(axis=2).sum() if self.cells.kind == "dice" else known.sum())

    def _dice(self, logits: Tensor, targets: Tensor) -> LossSum:
        """Return one minus Dice's coefficient of each map, softened by 1 (Milletari, Navab and Ahmadi 2016)."""
        logits, targets = logits.flatten(2), targets.flatten(2)
        known = targets >= 0
        predicted = torch.where(known, logits, 0.0).sigmoid() * known
        true = (targets == 1).float()
        shared, together = (predicted * true).sum(dim=2), (predicted + true).sum(dim=2)
        has_known = known.any(dim=2)
        loss = (1 - (2 * shared + 1) / (together + 1)) * self.channels * has_known
        return LossSum(loss.sum(), has_known.sum())


_NEARLY_ONE = 1 - 2.0**-24
"""The logarithm of 1 - probability stays finite in float32."""


def build_loss(
    targets: NDArray[np.float32], task: TaskSettings, settings: AnyLossSettings, device: torch.device
) -> Loss:
    """Build the loss of a task, its class weights from `targets` (the training subset's).

    - `bce`, `cross_entropy`: with label smoothing as in Szegedy et al. 2016.
    - `mse`: squared error of the probabilities; over all classes of a clip it is Brier's score (1950).
    - `focal`: cross-entropy x (1 - probability of the truth)^gamma (Lin et al. 2017).
    - `asymmetric`: the same with other gammas for positives and negatives, and a margin below which a negative counts
      for nothing (Ridnik et al. 2021).
    """
    is_exclusive = task.type == "multi_class"
    weights = torch.from_numpy(class_weights(targets, task, settings)).to(device)
    return _loss(settings, weights, "cross_entropy" if is_exclusive else "bce", is_exclusive=is_exclusive)


def _loss(settings: AnyLossSettings, weights: Tensor, auto: Kind, *, is_exclusive: bool = False) -> Loss:
    if isinstance(settings, LossSettings):
        return Loss(auto if settings.name == "auto" else settings.name, weights, is_exclusive, settings)
    if not isinstance(settings, PluginLossSettings):
        raise TypeError(f"no loss: {settings!r}")
    return Loss("plugin", weights, is_exclusive, plugin=settings.implementation())


def build_map_loss(
    maps: NDArray[np.int8], task: TaskSettings, settings: LossSettings | PluginLossSettings, device: torch.device
) -> MapLoss:
    """Build the loss of a task that learns maps, its class weights from the maps of the training subset.

    `dice` has no class weights: it is a share of what is positive. The others are those of `build_loss`, by frames or
    pixels.

    Args:
        maps: Shape [clip, channel, frame], [clip, channel, band, frame] or, of pictures, [clip, channel, height,
            width]: 1, 0 or -1 for unknown.
        task: Names the channels: objects of each target, then boundaries of each.
        settings: Which loss, and the weights of objects and boundaries.
        device: Of the training.

    Raises:
        InfeasibleError: A class to weight never occurs in training.
    """
    n_targets = len(task.targets)
    channels = np.repeat([settings.obj_weight, settings.bnd_weight], n_targets).astype(np.float32)
    positive, negative = (_by_channel(maps == value) for value in (1, 0))
    names = [f"{name} ({part})" for part in ("objects", "boundaries") for name in task.targets]
    is_weighted = settings.name != "dice" and settings.class_weights != "none"
    if is_weighted and (positive * negative == 0).any():
        cells = "pixels" if task.finds_objects else "cells of frame and band" if maps.ndim == 4 else "frames"
        raise _lacks_a_class(cells, names, positive, positive + negative)
    counts = np.stack([negative, positive])
    weights = _weights(counts, settings) if is_weighted else np.ones_like(counts, dtype=np.float32)
    cells = _loss(settings, torch.from_numpy(weights * channels).to(device), "bce")
    return MapLoss(cells, torch.from_numpy(channels).to(device))


def _by_channel(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many cells of maps are true, shape [channel]."""
    return np.moveaxis(cells, 1, -1).reshape(-1, cells.shape[1]).sum(axis=0, dtype=np.float64)


def class_weights(targets: NDArray[np.float32], task: TaskSettings, settings: AnyLossSettings) -> NDArray[np.float32]:
    """Return the weight of each class: positive and negative of each target, or each class of a task.

    - `balanced`: number of known cells / (number of classes x cells of that class). So every class has the same total
      weight, and the mean weight is one (scikit-learn's).
    - `effective_number`: (1 - beta) / (1 - beta^cells), scaled so that the mean over the classes is one (Cui et al.
      2019).
    - `none`: ones.

    Args:
        targets: Of the training subset, shape [clip, target]: 1, 0 or NaN.
        task: Its type says what the classes are.
        settings: Which of these.

    Returns:
        Binary and multi-label: shape [2, target], the weights of 0 and of 1. Multi-class: shape [class].

    Raises:
        InfeasibleError: A class never occurs in training; the error gives the counts.
    """
    known = ~np.isnan(targets)
    n_positive = np.where(known, targets, 0).sum(axis=0, dtype=np.float64)
    is_exclusive = task.type == "multi_class"
    counts = n_positive if is_exclusive else np.stack([known.sum(axis=0) - n_positive, n_positive])
    if settings.class_weights == "none":
        return np.ones_like(counts, dtype=np.float32)
    if (counts == 0).any():
        raise _lacks_a_class("clips", task.targets, n_positive, known.sum(axis=0))
    return _weights(counts, settings)


def _lacks_a_class(
    what: str, names: Sequence[str], n_positive: NDArray[np.float64], n_known: NDArray[Any]
) -> InfeasibleError:
    found = [
        f"{name}: {positive:.0f} of {known:.0f} known {what} are positive"
        for name, positive, known in zip(names, n_positive, n_known, strict=True)
    ]
    return InfeasibleError(
        f"the training subset lacks a class to weight ({'; '.join(found)}); "
        "take another split, more data, or train.loss.class_weights: none"
    )


def _weights(counts: NDArray[np.float64], settings: AnyLossSettings) -> NDArray[np.float32]:
    """Return the weights of classes that occur so often, shape [class] or [class, target]."""
    if settings.class_weights == "effective_number":
        weights = (1 - settings.beta) / (1 - settings.beta**counts)
        return (weights / weights.mean(axis=0)).astype(np.float32)
    total = counts.sum(axis=0)
    return (total / (len(counts) * counts)).astype(np.float32)
