"""MixedNet: stages of mixed depth-wise convolutions (MixConv, Tan & Le 2019, arXiv:1907.09595)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from auscult.config.model import MixedNetSettings
from auscult.models.classifier import Backbone, as_maps, require_size, steps_of_maps


class MixedConv2d(nn.Module):
    """Depth-wise convolution whose kernel size differs by group of channels; height and width stay as they are.

    The channels are divided into as many groups as there are kernel sizes, as evenly as possible, the smaller kernels
    first. Computed as one convolution with the largest size, the smaller kernels framed by zeros: the same function as
    a convolution for each group, and faster than splitting and joining the channels.

    Args:
        n_channels: Channels out, and in unless `from_one`.
        kernel_sizes: Odd, one a group.
        from_one: The input has a single channel, which every kernel reads.
    """

    def __init__(self, n_channels: int, kernel_sizes: Sequence[int], *, from_one: bool = False) -> None:
        super().__init__()
        n_groups = len(kernel_sizes)
        sizes = [n_channels // n_groups + (group < n_channels % n_groups) for group in range(n_groups)]
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.empty(size, 1, kernel, kernel)) for size, kernel in zip(sizes, kernel_sizes, strict=True)
        )
        for kernel in self.kernels:
            nn.init.kaiming_uniform_(kernel, a=5**0.5)  # as nn.Conv2d draws its weights
        self.largest = max(kernel_sizes)
        self.n_conv_groups = 1 if from_one else n_channels

    def weight(self) -> Tensor:
        """Return all kernels, framed by zeros to the largest, shape [channel, 1, kernel, kernel]."""
        frames = [(self.largest - kernel.shape[-1]) // 2 for kernel in self.kernels]
        return torch.cat(
            [functional.pad(kernel, [frame] * 4) for kernel, frame in zip(self.kernels, frames, strict=True)]
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve [batch, channel, height, width]."""
        return functional.conv2d(maps, self.weight(), padding=self.largest // 2, groups=self.n_conv_groups)


class MixedStage(nn.Sequential):
    """Mixed depth-wise convolution, 1x1 convolution, ReLU, 2x2 average pooling, batch norm.

    The first stage reads a single channel: there the mixed convolution itself gives the stage's channels, and a 1x1
    convolution after it would add nothing.
    """

    def __init__(self, n_in: int, n_out: int, kernel_sizes: Sequence[int]) -> None:
        if n_in == 1:
            convolutions: list[nn.Module] = [MixedConv2d(n_out, kernel_sizes, from_one=True)]
        else:
            convolutions = [MixedConv2d(n_in, kernel_sizes), nn.Conv2d(n_in, n_out, kernel_size=1, bias=False)]
        super().__init__(*convolutions, nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.BatchNorm2d(n_out))


class MixedNet(nn.Module):
    """The stages one after another, then the mean over frequency and time.

    Args:
        channels: Channels of each stage.
        kernel_sizes: Of every stage's groups of channels.
        keeps_time: Features of each step of time are returned.
    """

    def __init__(self, channels: Sequence[int], kernel_sizes: Sequence[int], *, keeps_time: bool = False) -> None:
        super().__init__()
        self.keeps_time = keeps_time
        self.stages = nn.Sequential(
            *(MixedStage(n_in, n_out, kernel_sizes) for n_in, n_out in zip([1, *channels[:-1]], channels, strict=True))
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, channels[-1]], or [batch, step, channels[-1]]."""
        maps = self.stages(as_maps(spectrograms))
        return steps_of_maps(maps) if self.keeps_time else maps.mean(dim=(2, 3))


def build(settings: MixedNetSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of the input.
    """
    n_stages = len(settings.channels)
    least = (2**n_stages, 2**n_stages)
    require_size("mixednet", input_shape, least, f"halves its input {n_stages} times")
    module = MixedNet(settings.channels, settings.kernel_sizes, keeps_time=settings.over_time is not None)
    return Backbone(module, settings.channels[-1], least_shape=least, frames_per_step=2**n_stages)
