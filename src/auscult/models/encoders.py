"""Published pretrained encoders (`config.encoder`): built as they were, and loaded tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import TypeAdapter
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from auscult.config.encoder import Encoder, load_encoder
from auscult.config.model import ModelSettings, PublishedSettings
from auscult.errors import DataError, some
from auscult.models import registry
from auscult.models.arrival import Arrival
from auscult.models.classifier import Backbone, Classifier

_ARCHITECTURE = TypeAdapter(ModelSettings)
_HEAD = "head."


def build(settings: PublishedSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the encoder's architecture for spectrograms of any length.

    Raises:
        ConfigError: The architecture cannot take spectrograms of this shape.
    """
    architecture = _ARCHITECTURE.validate_python(load_encoder(settings.encoder).architecture)
    return registry.build_backbone(architecture, input_shape)


def load_published_weights(
    module: Classifier, encoder: Encoder, weights: Mapping[str, Tensor], what: str, *, with_head: bool = True
) -> Arrival:
    """Load weights under their published names.

    Args:
        module: Of the encoder's architecture, for any number of frames.
        encoder: Says where each tensor belongs.
        weights: Tensors of the file.
        what: The setting and the file, for errors.
        with_head: Take those of the head's that fit it, too.

    Raises:
        DataError: A tensor is missing, unknown or of another shape, by its name.
    """
    placement = encoder.place({name: tuple(tensor.shape) for name, tensor in weights.items()})
    if placement.faults:
        raise DataError(f"{what} does not hold the weights of this encoder: {some(placement.faults)}")
    wanted = module.state_dict()
    arrived: dict[str, Tensor] = {}
    changed: list[str] = []
    unused = list(placement.unused)
    for name, parts in placement.parts.items():
        tensor, steps = _fitted(module, name, [weights[part] for part in parts], encoder)
        if name.startswith(_HEAD) and not (with_head and name in wanted and wanted[name].shape == tensor.shape):
            unused.append(f"{parts[0]} (the head is another one)")
            continue
        arrived[name] = tensor
        changed += [f"{name} {' and '.join(steps)}"] if steps else []
    new = sorted(name for name in wanted.keys() - arrived.keys() if name.startswith(_HEAD))
    try:
        module.load_state_dict({**{name: wanted[name] for name in new}, **arrived})
    except RuntimeError as error:
        raise DataError(f"{what} does not fit the model as it was built: {error}") from error
    return Arrival(len(arrived) - len(changed), tuple(changed), tuple(unused), tuple(new))


def _fitted(module: Classifier, name: str, parts: list[Tensor], encoder: Encoder) -> tuple[Tensor, list[str]]:
    """Return a tensor as the model has it, and what was done to it."""
    steps = [f"joined of {len(parts)}"] if len(parts) > 1 else []
    tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
    is_turned = encoder.orientation == "frame_mel"
    table = encoder.positions().get(name)
    if is_turned and tensor.ndim == 4:
        return tensor.transpose(2, 3), [*steps, "transposed"]
    if table is None:
        return tensor, steps
    network: Any = module.get_submodule(name.rpartition(".")[0])
    grid: tuple[int, int] = network.patch_embed.grid_size
    old = table.grid
    if is_turned:
        prefix, places = tensor[:, : table.n_prefix], tensor[:, table.n_prefix :]
        tensor = torch.cat([prefix, places.unflatten(1, old).transpose(1, 2).flatten(1, 2)], dim=1)
        old = (old[1], old[0])
        steps.append("transposed")
    if grid != old:
        tensor = resample_abs_pos_embed(tensor, list(grid), list(old), num_prefix_tokens=table.n_prefix)
        steps.append(f"resampled from {list(old)} patches to {list(grid)}")
    return tensor, steps
