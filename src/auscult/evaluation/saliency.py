"""Which parts of a spectrogram a prediction rests on: Grad-CAM for maps, attention rollout for transformers.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): the maps of one layer, weighted by the mean gradient of a target's
logit over each map, added up, and cut at zero: what speaks *for* the target. Attention rollout (Abnar & Zuidema 2020,
arXiv:2005.00928): the attention matrices of all blocks, each averaged over its heads and mixed half with the identity
(the residual connection), multiplied: how much of every patch reaches the output. It is the same for every target.

Where attention stays within windows (Swin), the rollout is not defined; such models get Grad-CAM of their last maps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from auscult.models import SavedModel

Method = Literal["grad_cam", "attention_rollout", "none"]
Maps = NDArray[np.float32]

LEAST_CELLS = (16, 32)
"""Least rows and columns of the maps for Grad-CAM: deeper layers are coarser and cannot localise."""
BATCH_SIZE = 8
CAPTIONS: dict[Method, str] = {
    "grad_cam": "Grad-CAM",
    "attention_rollout": "Attention rollout, the same for every target",
    "none": "No evidence: the model has neither feature maps nor global attention",
}


@dataclass(frozen=True)
class Explanation:
    """Evidence for predictions.

    Attributes:
        method: How it was found; `none`: there is nothing to draw.
        maps: Shape [clip, mel, frame], of pictures [clip, height, width], in [0, 1] with a maximum of 1, or 0
            throughout where nothing speaks for the target.
        layer: Whose maps or attention it is.
    """

    method: Method
    maps: Maps
    layer: str


class Explainer:
    """Explains the predictions of one model; those of an ensemble by the mean of its members' evidence.

    Args:
        model: Any saved model; its weights stay as they are.

    Attributes:
        method: Chosen once, by running a silent clip through the model.
        layer: The module whose maps are used; the attention of all blocks for a rollout.
    """

    def __init__(self, model: SavedModel) -> None:
        self.method: Method = "none"
        self.layer = ""
        self._members = [Explainer(member) for member in model.members] if len(model.members) > 1 else []
        if self._members:
            self.method, self.layer = self._members[0].method, self._members[0].layer
            return
        self._model = model
        self._patches = _patch_grid(model)
        if self._patches is not None and _rolls_out(model, self._patches):
            self.method, self.layer = "attention_rollout", "attention of all blocks"
            return
        self.layer = _layer_of_maps(model)
        if self.layer:
            self.method = "grad_cam"

    def explain(self, stored: ArrayLike | Tensor, columns: Sequence[int]) -> Explanation:
        """Explain the predictions for some clips.

        Args:
            stored: The clips as `SavedModel.predict_proba` takes them, shape [clip, ...].
            columns: The target to explain, one a clip.

        Raises:
            ValueError: There are not as many columns as clips.
        """
        if self._members:
            found_by_each = [member.explain(stored, columns) for member in self._members]
            mean = np.mean([found.maps for found in found_by_each], axis=0)
            return Explanation(self.method, _normalised(mean), self.layer)
        values = stored if isinstance(stored, Tensor) else torch.as_tensor(np.asarray(stored))
        if len(columns) != len(values):
            raise ValueError(f"expected one column a clip, found {len(columns)} for {len(values)} clips")
        shape = self._model.input_shape[-2:]
        if self.method == "none" or not len(values):
            return Explanation(self.method, np.zeros((len(values), *shape), dtype=np.float32), self.layer)
        wanted = torch.as_tensor(list(columns))
        found: list[Tensor] = []
        for batch, of_batch in zip(values.split(BATCH_SIZE), wanted.split(BATCH_SIZE), strict=True):
            prepared = self._model.normalisation.apply(batch.to(_device(self._model)))
            maps = self._rollout(prepared) if self.method == "attention_rollout" else self._grad_cam(prepared, of_batch)
            found.append(_resized(maps, self._model).cpu())
        return Explanation(self.method, _normalised(torch.cat(found).numpy()), self.layer)

    def _grad_cam(self, prepared: Tensor, columns: Tensor) -> Tensor:
        """Return the weighted maps, shape [clip, row, column]."""
        module = self._model.classifier
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _outputs(module, [self.layer]) as seen:
            # The input requires gradients, so that maps of frozen layers have them too.
            logits = module(prepared.clone().requires_grad_() * 1.0)
            explained = logits.gather(1, columns.to(logits.device)[:, None]).sum()
            maps = seen[self.layer]
            (gradient,) = torch.autograd.grad(explained, maps)
        return grad_cam(*(_channels_first(given.detach(), module, len(prepared)) for given in (maps, gradient)))

    def _rollout(self, prepared: Tensor) -> Tensor:
        """Return the share of every patch, shape [clip, row, column]."""
        if self._patches is None:
            raise ValueError("a model without patches has no rollout")
        with torch.inference_mode():
            attention = _attention(self._model.classifier, prepared)
        return attention_rollout(attention, self._patches.n_prefix, self._patches.grid, is_pooled=self._patches.is_mean)


def grad_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum of maps, each weighted by the mean of its gradient, without what is negative.

    Args:
        maps: Shape [clip, channel, row, column].
        gradient: Of the target's logit with respect to them, of that shape.

    Returns:
        Shape [clip, row, column].

    >>> maps = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    >>> grad_cam(maps, torch.tensor([[[[3.0, 1.0]], [[-1.0, -1.0]]]])).tolist()
    [[[2.0, 0.0]]]
    """
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).clamp(min=0)


def attention_rollout(attention: Sequence[Tensor], n_prefix: int, grid: tuple[int, int], *, is_pooled: bool) -> Tensor:
    """Return how much of every patch reaches the output.

    Args:
        attention: Of each block, in order, shape [clip, head, token, token]; rows add up to one.
        n_prefix: Tokens before the patches (class token, registers).
        grid: Rows and columns of patches.
        is_pooled: The output is the mean over patches instead of the first token.

    Returns:
        Shape [clip, row, column].

    >>> even = torch.full((1, 2, 4, 4), 1 / 4)
    >>> attention_rollout([even], 2, (1, 2), is_pooled=False).tolist()
    [[[0.125, 0.125]]]
    """
    n_tokens = attention[0].shape[-1]
    identity = torch.eye(n_tokens, device=attention[0].device)
    rolled = identity.expand(len(attention[0]), -1, -1)
    for block in attention:
        mixed = (block.float().mean(dim=1) + identity) / 2
        rolled = mixed / mixed.sum(dim=-1, keepdim=True) @ rolled
    reached = rolled[:, n_prefix:].mean(dim=1) if is_pooled else rolled[:, 0]
    return reached[:, n_prefix:].unflatten(1, grid)


@dataclass(frozen=True)
class _Patches:
    grid: tuple[int, int]
    n_prefix: int
    is_mean: bool


def _patch_grid(model: SavedModel) -> _Patches | None:
    """Return the patches of a plain vision transformer of timm; None for all else."""
    backbone: Any = model.classifier.backbone
    keeps_time = getattr(backbone, "keeps_time", False)
    network: Any = getattr(backbone, "model", None)
    if keeps_time:  # timm wraps a transformer that gives maps
        network = getattr(network, "model", network)
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if not isinstance(grid, tuple) or not hasattr(network, "num_prefix_tokens"):
        return None
    is_mean = keeps_time or network.global_pool != "token"
    return _Patches((int(grid[0]), int(grid[1])), int(network.num_prefix_tokens), is_mean)


def _rolls_out(model: SavedModel, patches: _Patches) -> bool:
    """Tell whether every block attends from all tokens to all tokens."""
    with torch.inference_mode():
        attention = _attention(model.classifier, _silence(model))
    n_tokens = patches.grid[0] * patches.grid[1] + patches.n_prefix
    return bool(attention) and all(tuple(block.shape[-2:]) == (n_tokens, n_tokens) for block in attention)


def _attention(module: nn.Module, prepared: Tensor) -> list[Tensor]:
    """Return the attention matrices of all blocks, in order: what goes into the dropout behind the softmax."""
    parts: list[Any] = [part for part in module.modules() if hasattr(part, "fused_attn") and hasattr(part, "attn_drop")]
    before = [part.fused_attn for part in parts]
    seen: list[Tensor] = []
    handles = [
        part.attn_drop.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])) for part in parts
    ]
    try:
        for part in parts:
            # The fused computation never forms the matrix.
            part.fused_attn = False
        module(prepared)
    finally:
        for part, was_fused in zip(parts, before, strict=True):
            part.fused_attn = was_fused
        for handle in handles:
            handle.remove()
    return [block for block in seen if block.ndim == 4]


def _layer_of_maps(model: SavedModel) -> str:
    """Return the last module whose maps still have `LEAST_CELLS`, or the finest maps there are; empty without any."""
    module = model.classifier
    names = {name for name, _ in module.backbone.named_modules(prefix="backbone")}
    sizes: dict[str, tuple[int, int]] = {}
    with torch.inference_mode(), _outputs(module, names) as seen:
        module(_silence(model))
        for name, output in seen.items():
            rows, columns = _channels_first(output, module, 1).shape[2:]
            if rows * columns > 1:
                sizes[name] = (int(rows), int(columns))
    fine = [name for name, (rows, columns) in sizes.items() if rows >= LEAST_CELLS[0] and columns >= LEAST_CELLS[1]]
    if fine:
        return fine[-1]
    return max(sizes, key=lambda name: sizes[name][0] * sizes[name][1], default="")


@contextmanager
def _outputs(module: nn.Module, names: Sequence[str] | set[str]) -> Generator[dict[str, Tensor]]:
    """Collect the maps (four axes) that the named modules give, in the order in which they end."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                seen.pop(name, None)
                seen[name] = output

        return hook

    handles: list[RemovableHandle] = [
        part.register_forward_hook(keep(name)) for name, part in module.named_modules() if name in names
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _channels_first(maps: Tensor, module: Any, n_clips: int) -> Tensor:
    """Return maps as [clip, channel, row, column]; pieces of a clip, one after the other in the batch, side by side."""
    network = getattr(module.backbone, "model", None)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        maps = maps.permute(0, 3, 1, 2)
    n_pieces = len(maps) // n_clips
    if n_pieces == 1:
        return maps
    pieces = maps.unflatten(0, (n_clips, n_pieces))
    return pieces.permute(0, 2, 3, 1, 4).flatten(3)


def _resized(maps: Tensor, model: SavedModel) -> Tensor:
    """Return maps over the bands and frames of the spectrogram, shape [clip, mel, frame].

    What a model pads at the end of an axis is cut off again; what it resizes is resized back.
    """
    n_mels, n_frames = model.input_shape[-2:]
    backbone: Any = model.classifier.backbone
    size = (n_mels, n_frames)
    if hasattr(backbone, "size") and not getattr(backbone, "is_resized", False):
        size = backbone.size
    n_pieces = getattr(backbone, "n_sequences", 1)
    size = (size[0], -(-size[1] // n_pieces) * n_pieces)
    spread = functional.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
    return spread[:, 0, :n_mels, :n_frames]


def _normalised(maps: Maps) -> Maps:
    highest = maps.max(axis=(1, 2), keepdims=True, initial=0.0)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)


def _silence(model: SavedModel) -> Tensor:
    return torch.zeros((1, *model.stored_shape), device=_device(model))


def _device(model: SavedModel) -> torch.device:
    return next(model.module.parameters()).device
