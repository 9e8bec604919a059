"""CRNN (Cakir et al. 2017, arXiv:1702.06286): convolutions that pool over frequency, then GRUs over time."""

from __future__ import annotations

from torch import Tensor, nn

from auscult.config.model import CrnnSettings
from auscult.models.classifier import Backbone, as_maps, require_size


class Crnn(nn.Module):
    """A 3x3 convolution, batch norm, ReLU, maximum pooling over frequency and dropout for each width; then the GRUs.

    The bands that are left stand side by side, as published: a mean over them would forget in which one a sound is.

    Args:
        settings: Its size, and whether features keep time.
        n_bands: Of the spectrograms.
    """

    def __init__(self, settings: CrnnSettings, n_bands: int) -> None:
        super().__init__()
        self.keeps_time = settings.over_time is not None
        layers: list[nn.Module] = []
        for number, (n_in, n_out) in enumerate(zip([1, *settings.channels[:-1]], settings.channels, strict=True)):
            layers += [
                nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(inplace=True),
                nn.MaxPool2d((2, settings.time_pool if number == 0 else 1)),
                nn.Dropout2d(settings.block_dropout),
            ]
        self.cnn = nn.Sequential(*layers)
        width = settings.channels[-1] * (n_bands // 2 ** len(settings.channels))
        self.gru = nn.GRU(width, settings.gru_size, settings.gru_layers, batch_first=True, bidirectional=True)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into features [batch, feature], or [batch, step, feature]."""
        maps: Tensor = self.cnn(as_maps(spectrograms))
        states, _ = self.gru(maps.flatten(1, 2).transpose(1, 2))
        return states if self.keeps_time else states.mean(dim=1)


def build(settings: CrnnSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of the input.
    """
    least = (2 ** len(settings.channels), settings.time_pool)
    require_size("crnn", input_shape, least, f"halves the bands {len(settings.channels)} times")
    return Backbone(
        Crnn(settings, input_shape[0]),
        2 * settings.gru_size,
        least_shape=least,
        frames_per_step=float(settings.time_pool),
    )
