"""Cnn6, Cnn10 and Cnn14 of PANNs (Kong et al. 2020, arXiv:1912.10211), from the log-mel spectrogram on.

Batch norm of each mel band; blocks of convolutions with batch norm and ReLU, 2x2 average pooling and dropout; the mean
over frequency, then the sum of mean and maximum over time. Their dense layer before the classifier is the head's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from auscult.config.model import Cnn6Settings, Cnn10Settings, Cnn14Settings
from auscult.models.classifier import Backbone, as_maps, require_size, steps_of_maps

_CHANNELS = (64, 128, 256, 512)
_CNN14_CHANNELS = (64, 128, 256, 512, 1024, 2048)


def _convolution(n_in: int, n_out: int, kernel_size: int) -> list[nn.Module]:
    convolution = nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.xavier_uniform_(convolution.weight)
    return [convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]


class Panns(nn.Module):
    """The backbone of the family.

    Args:
        n_mels: Mel bands.
        channels: Of each block.
        kernel_size: 5 with one convolution a block (Cnn6), 3 with two (Cnn10, Cnn14).
        n_pooled: How many blocks end in a pooling; the others keep their size.
        dropout: After each block.
        keeps_time: Features of each step of time are returned.
    """

    def __init__(
        self,
        n_mels: int,
        channels: Sequence[int],
        *,
        kernel_size: int,
        n_pooled: int,
        dropout: float,
        keeps_time: bool = False,
    ) -> None:
        super().__init__()
        self.keeps_time = keeps_time
        self.band_norm = nn.BatchNorm1d(n_mels)
        blocks: list[nn.Module] = []
        for number, (n_in, n_out) in enumerate(zip([1, *channels[:-1]], channels, strict=True)):
            layers = _convolution(n_in, n_out, kernel_size)
            if kernel_size == 3:
                layers += _convolution(n_out, n_out, kernel_size)
            pooling = [nn.AvgPool2d(2)] if number < n_pooled else []
            blocks.append(nn.Sequential(*layers, *pooling, nn.Dropout(dropout)))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, channels[-1]], or [batch, step, channels[-1]]."""
        maps = self.blocks(as_maps(self.band_norm(spectrograms)))
        if self.keeps_time:
            return steps_of_maps(maps)
        over_time = maps.mean(dim=2)
        return over_time.mean(dim=2) + over_time.amax(dim=2)


def build(settings: Cnn6Settings | Cnn10Settings | Cnn14Settings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of the input.
    """
    channels = _CNN14_CHANNELS if isinstance(settings, Cnn14Settings) else _CHANNELS
    # As published, the last block of Cnn14 does not pool.
    n_pooled = len(channels) - isinstance(settings, Cnn14Settings)
    least = (2**n_pooled, 2**n_pooled)
    require_size(settings.name, input_shape, least, f"halves its input {n_pooled} times")
    module = Panns(
        input_shape[0],
        channels,
        kernel_size=5 if isinstance(settings, Cnn6Settings) else 3,
        n_pooled=n_pooled,
        dropout=settings.block_dropout,
        keeps_time=settings.over_time is not None,
    )
    return Backbone(module, channels[-1], least_shape=least, frames_per_step=2**n_pooled)
