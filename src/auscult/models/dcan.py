"""DCAN (Chen, Qi, Yu and Heng 2016, arXiv:1604.02677): objects and their contours from one network.

What the levels of one way down see is brought to full size and added up, once for objects and once for contours. The
linear layers of the two stand in the head (`EventHead`). The auxiliary losses of the paper are not used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auscult.config.model import DcanSettings
from auscult.models.classifier import Backbone
from auscult.models.unet import HalvingNet, input_note, n_features_of, widths_of


class Branch(nn.Module):
    """All levels at full size, added up, then a convolution.

    Args:
        widths: Channels of each level.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.enlarged = nn.ModuleList(
            nn.ConvTranspose2d(n_in, widths[0], 2**level, stride=2**level) for level, n_in in enumerate(widths)
        )
        self.last = nn.Sequential(
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return maps of the size of the first level."""
        enlarged = [enlarge(level) for enlarge, level in zip(self.enlarged, levels, strict=True)]
        return self.last(torch.stack(enlarged).sum(dim=0))


class Dcan(HalvingNet):
    """The way down and the two branches; the features of objects come first.

    Args:
        settings: Its size, and whether features keep time.
        input_shape: Of a spectrogram [mel, frame], of a picture [channel, height, width].
    """

    def __init__(self, settings: DcanSettings, input_shape: tuple[int, ...]) -> None:
        super().__init__(settings, input_shape)
        widths = widths_of(settings)
        self.objects = Branch(widths)
        self.contours = Branch(widths)
        self.readouts = nn.ModuleList(self.readout_of(settings, input_shape) for _ in range(2))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into features [batch, feature], or [batch, frame, feature]; pictures likewise."""
        levels = self.levels(spectrograms)
        branches = [self.restored(branch(levels), spectrograms) for branch in (self.objects, self.contours)]
        return torch.cat([readout(maps) for readout, maps in zip(self.readouts, branches, strict=True)], dim=-1)


def build(settings: DcanSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: There is hardly any input.
    """
    return Backbone(
        Dcan(settings, input_shape),
        2 * n_features_of(settings, input_shape),
        input_note(settings, input_shape),
        least_shape=(1, 2),
        is_branched=True,
        # (1 + tanh x) / 2 is the sigmoid of 2 x.
        logit_scale=2.0 if settings.final_activation == "tanh" else 1.0,
    )
