"""CRNN (Cakir et al. 2017, arXiv:1702.06286): convolutions that pool over frequency, then GRUs over time."""

from __future__ import annotations

from torch import Tensor, nn

from auscult.config.model import CrnnSettings
from auscult.models.classifier import Backbone, as_maps, require_size, steps_of_maps


class Crnn(nn.Module):
    """A 3x3 convolution, batch norm, ReLU, maximum pooling over frequency and dropout for each width; then the GRUs."""

    def __init__(self, settings: CrnnSettings) -> None:
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
        self.gru = nn.GRU(
            settings.channels[-1], settings.gru_size, settings.gru_layers, batch_first=True, bidirectional=True
        )

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into features [batch, feature], or [batch, step, feature]."""
        states, _ = self.gru(steps_of_maps(self.cnn(as_maps(spectrograms))))
        return states if self.keeps_time else states.mean(dim=1)


def build(settings: CrnnSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of the input.
    """
    least = (2 ** len(settings.channels), settings.time_pool)
    require_size("crnn", input_shape, least, f"halves the bands {len(settings.channels)} times")
    return Backbone(Crnn(settings), 2 * settings.gru_size, least_shape=least, frames_per_step=float(settings.time_pool))
