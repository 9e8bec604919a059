"""InceptionResidual: an Inception stem, then stages of inverted residual blocks.

The stem's towers follow Szegedy et al. 2015 (arXiv:1409.4842), the blocks Sandler et al. 2018 (arXiv:1801.04381).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auscult.config.model import InceptionResidualSettings
from auscult.models.classifier import Backbone, as_maps, require_size, steps_of_maps


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True)]


class Stem(nn.Module):
    """Three towers side by side, each halving the maps: 1x1 then 3x3, 1x1 then 5x5, maximum pooling then 1x1."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.towers = nn.ModuleList(
            [
                *(
                    nn.Sequential(
                        *_normed(nn.Conv2d(1, n_channels, kernel_size=1, bias=False)),
                        *_normed(
                            nn.Conv2d(n_channels, n_channels, kernel_size=size, stride=2, padding=size // 2, bias=False)
                        ),
                    )
                    for size in (3, 5)
                ),
                nn.Sequential(
                    nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
                    *_normed(nn.Conv2d(1, n_channels, kernel_size=1, bias=False)),
                ),
            ]
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Turn [batch, 1, height, width] into [batch, 3 x n_channels, height / 2, width / 2], rounded up."""
        return torch.cat([tower(maps) for tower in self.towers], dim=1)


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, convolve depth-wise, narrow by a linear 1x1 convolution.

    Added to its input where the channels agree. Height and width stay as they are, for an even kernel too.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, expansion: int) -> None:
        super().__init__()
        n_inside = n_in * expansion
        before, after = (kernel_size - 1) // 2, kernel_size // 2
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(n_in, n_inside, kernel_size=1, bias=False)),
            nn.ZeroPad2d((before, after, before, after)),
            *_normed(nn.Conv2d(n_inside, n_inside, kernel_size, groups=n_inside, bias=False)),
            nn.Conv2d(n_inside, n_out, kernel_size=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.is_residual = n_in == n_out

    def forward(self, maps: Tensor) -> Tensor:
        """Turn [batch, n_in, height, width] into [batch, n_out, height, width]."""
        return maps + self.layers(maps) if self.is_residual else self.layers(maps)


class InceptionResidual(nn.Module):
    """The stem; for each width two blocks, 2x2 average pooling, batch norm and dropout; the mean of the maps."""

    def __init__(self, settings: InceptionResidualSettings) -> None:
        super().__init__()
        self.keeps_time = settings.over_time is not None
        self.stem = Stem(settings.stem_channels)
        incoming = [3 * settings.stem_channels, *settings.channels[:-1]]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    InvertedResidual(n_in, n_out, settings.kernel_size, settings.expansion),
                    InvertedResidual(n_out, n_out, settings.kernel_size, settings.expansion),
                    nn.AvgPool2d(2),
                    nn.BatchNorm2d(n_out),
                    nn.Dropout2d(settings.stage_dropout),
                )
                for n_in, n_out in zip(incoming, settings.channels, strict=True)
            )
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, channels[-1]], or [batch, step, channels[-1]] to decide over time."""
        maps = self.stages(self.stem(as_maps(spectrograms)))
        return steps_of_maps(maps) if self.keeps_time else maps.mean(dim=(2, 3))


def build(settings: InceptionResidualSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of the input.
    """
    n_halvings = 1 + len(settings.channels)
    # The stem rounds up: one less than a power of two is enough.
    least = (2**n_halvings - 1, 2**n_halvings - 1)
    require_size("inception_residual", input_shape, least, f"halves its input {n_halvings} times")
    return Backbone(
        InceptionResidual(settings), settings.channels[-1], least_shape=least, frames_per_step=2**n_halvings
    )
