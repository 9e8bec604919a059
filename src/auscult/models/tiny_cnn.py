"""A tiny network for fast tests: it learns what is easy in a few steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auscult.config.model import TestCnnSettings
from auscult.models.classifier import Backbone

_CHANNELS = 8
_STRIDE = 4


class TestCnn(nn.Module):
    """A strided convolution, batch norm, ReLU, and the mean and maximum over frequency and time."""

    __test__ = False

    def __init__(self, *, keeps_time: bool = False, n_channels: int = 1) -> None:
        super().__init__()
        self.keeps_time = keeps_time
        self.convolution = nn.Conv2d(n_channels, _CHANNELS, kernel_size=5, stride=_STRIDE, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(_CHANNELS)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame], or [batch, channel, height, width], into [batch, 16], or [batch, step, 16]."""
        given = spectrograms if spectrograms.ndim == 4 else spectrograms.unsqueeze(1)
        maps = torch.relu(self.norm(self.convolution(given)))
        if self.keeps_time:
            return torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1).transpose(1, 2)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def build(settings: TestCnnSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build the backbone; any input will do."""
    n_channels = input_shape[0] if len(input_shape) == 3 else 1
    module = TestCnn(keeps_time=settings.over_time is not None, n_channels=n_channels)
    return Backbone(module, 2 * _CHANNELS, least_shape=(1, 1), frames_per_step=_STRIDE)
