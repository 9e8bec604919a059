"""The Audio Spectrogram Transformer (Gong, Chung and Glass 2021, arXiv:2104.01778): a distilled DeiT.

The transformer is timm's. Its patches overlap: 16 by 16, at steps of 10. The mean of the class and the distillation
token is the pooled feature.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.models.deit import VisionTransformerDistilled
from torch import Tensor, nn

from auscult.config.model import AstSettings
from auscult.models.classifier import Backbone, as_maps, require_size


class OverlappingPatches(nn.Module):
    """What timm's vision transformers ask of a patch embedding, at any step from one patch to the next.

    Args:
        img_size: Mel bands and frames.
        patch_size: Of a patch, along both axes.
        in_chans: Channels.
        embed_dim: Features of a token.
        stride: From one patch to the next, along both axes.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        *,
        stride: int,
        **_: Any,  # what timm says of bias and padding
    ) -> None:
        super().__init__()
        self.grid_size = patch_grid(img_size, patch_size, stride)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn [batch, channel, mel, frame] into tokens [batch, patch, feature], mel band after mel band."""
        return self.proj(maps).flatten(2).transpose(1, 2)


def patch_grid(shape: tuple[int, int], patch_size: int, stride: int) -> tuple[int, int]:
    """Return how many patches there are along mel bands and along frames; an incomplete last one is none.

    >>> patch_grid((128, 1024), 16, 10)
    (12, 101)
    """
    return (shape[0] - patch_size) // stride + 1, (shape[1] - patch_size) // stride + 1


class Ast(nn.Module):
    """The backbone.

    Args:
        settings: Its size.
        input_shape: Mel bands and frames.
    """

    def __init__(self, settings: AstSettings, input_shape: tuple[int, int]) -> None:
        super().__init__()
        self.model = VisionTransformerDistilled(
            img_size=input_shape,
            patch_size=settings.patch_size,
            in_chans=1,
            num_classes=0,
            embed_dim=settings.width,
            depth=settings.depth,
            num_heads=settings.heads,
            embed_layer=partial(OverlappingPatches, stride=settings.stride),
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, width]."""
        return self.model(as_maps(spectrograms))


def build(settings: AstSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The spectrogram is smaller than a patch.
    """
    least = (settings.patch_size, settings.patch_size)
    require_size("ast", input_shape, least, f"sees patches of {settings.patch_size} by {settings.patch_size}")
    grid = patch_grid(input_shape, settings.patch_size, settings.stride)
    seen = tuple(settings.patch_size + (count - 1) * settings.stride for count in grid)
    note = (
        ""
        if seen == input_shape
        else f"patches reach over [{seen[0]}, {seen[1]}] of [{input_shape[0]}, {input_shape[1]}]"
    )
    return Backbone(Ast(settings, input_shape), settings.width, note, least_shape=least)
