"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597): features of every frame or pixel, or pooled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auscult.config.clips import Trim
from auscult.config.model import HalvingSettings, UNetSettings
from auscult.models.classifier import Backbone, as_maps, require_size
from auscult.models.trim import fitted_size, restore, trim


def block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    """Return two 3x3 convolutions with batch norm and ReLU, and dropout of whole maps."""
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [nn.Conv2d(channels, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Dropout2d(dropout))


class Descent(nn.Module):
    """The way down: a block on each level, between two levels 2x2 maximum pooling.

    Args:
        widths: Channels of each level, from the largest maps on.
        dropout: Of whole maps, in each block.
        n_channels: Of what comes in.
    """

    def __init__(self, widths: list[int], dropout: float, n_channels: int = 1) -> None:
        super().__init__()
        pairs = zip([n_channels, *widths[:-1]], widths, strict=True)
        self.blocks = nn.ModuleList(block(n_in, n_out, dropout) for n_in, n_out in pairs)
        self.pool = nn.MaxPool2d(2)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Return the maps of each level."""
        levels: list[Tensor] = []
        for number, of_level in enumerate(self.blocks):
            maps = of_level(maps if number == 0 else self.pool(maps))
            levels.append(maps)
        return levels


class BandReadout(nn.Module):
    """Features of each frame, from all its bands: a mean over bands would forget in which one a sound is.

    Args:
        channels: Of the maps.
        n_bands: Of the maps.
        n_features: Of each frame.
    """

    def __init__(self, channels: int, n_bands: int, n_features: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels * n_bands, n_features, 1, bias=False)
        self.norm = nn.BatchNorm1d(n_features)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn maps [batch, channel, band, frame] into features [batch, frame, feature]."""
        return torch.relu(self.norm(self.linear(maps.flatten(1, 2)))).transpose(1, 2)


class PixelReadout(nn.Module):
    """Features of each pixel of a picture: the channels of the maps there."""

    def forward(self, maps: Tensor) -> Tensor:
        """Turn maps [batch, channel, height, width] into features [batch, height, width, channel]."""
        return maps.movedim(1, -1)


class Pooled(nn.Module):
    """Features of a whole clip: the mean of the maps."""

    def forward(self, maps: Tensor) -> Tensor:
        """Turn maps [batch, channel, height, width] into features [batch, channel]."""
        return maps.mean(dim=(2, 3))


class HalvingNet(nn.Module):
    """What comes before all that U-Net and DCAN differ in: the spectrogram or picture fitted, and the way down.

    Args:
        settings: Its size, and whether features keep time, or of pictures the places of pixels.
        input_shape: Of a spectrogram [mel, frame], of a picture [channel, height, width].
    """

    def __init__(self, settings: HalvingSettings, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.is_pooled = settings.over_time is None
        n_channels = input_shape[0] if len(input_shape) == 3 else 1
        self.trim: Trim = settings.trim
        self.multiple = 2**settings.depth
        self.descent = Descent(widths_of(settings), settings.block_dropout, n_channels)

    def readout_of(self, settings: HalvingSettings, input_shape: tuple[int, ...]) -> nn.Module:
        """Return what turns maps [batch, channel, height, width] into features, as the settings and the input ask."""
        if self.is_pooled:
            return Pooled()
        if len(input_shape) == 3:
            return PixelReadout()
        return BandReadout(settings.channels, input_shape[0], n_features_of(settings, input_shape))

    def levels(self, spectrograms: Tensor) -> list[Tensor]:
        """Return the maps of each level, of spectrograms [batch, mel, frame] or pictures."""
        return self.descent(trim(as_maps(spectrograms), self.multiple, self.trim))

    def restored(self, maps: Tensor, spectrograms: Tensor) -> Tensor:
        """Return maps of the first level at the size of the spectrograms."""
        return restore(maps, (spectrograms.shape[-2], spectrograms.shape[-1]), self.trim)


class UNet(HalvingNet):
    """The way down, and the way up: each level is doubled, joined with its own size, and goes through a block.

    Args:
        settings: Its size, and whether features keep time.
        input_shape: Of a spectrogram [mel, frame], of a picture [channel, height, width].
    """

    def __init__(self, settings: UNetSettings, input_shape: tuple[int, ...]) -> None:
        super().__init__(settings, input_shape)
        widths = widths_of(settings)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.doubled = nn.ModuleList(nn.ConvTranspose2d(n_in, n_out, 2, stride=2) for n_in, n_out in pairs)
        self.blocks = nn.ModuleList(block(2 * n_out, n_out, settings.block_dropout) for _, n_out in pairs)
        self.readout = self.readout_of(settings, input_shape)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into features [batch, feature], or [batch, frame, feature]; pictures likewise."""
        *levels, maps = self.levels(spectrograms)
        for double, of_level, level in zip(self.doubled, self.blocks, reversed(levels), strict=True):
            maps = of_level(torch.cat([level, double(maps)], dim=1))
        return self.readout(self.restored(maps, spectrograms))


def n_features_of(settings: HalvingSettings, input_shape: tuple[int, ...]) -> int:
    """Return the features of a frame or pixel, or of a clip where they are pooled; of each branch."""
    return settings.channels if settings.over_time is None or len(input_shape) == 3 else 4 * settings.channels


def widths_of(settings: HalvingSettings) -> list[int]:
    """Return the channels of each level."""
    return [settings.channels * 2**level for level in range(settings.depth + 1)]


def input_note(settings: HalvingSettings, input_shape: tuple[int, ...]) -> str:
    """Return how the input is fitted; empty when it is taken as it is.

    Raises:
        ConfigError: There is not even one band and two frames.
    """
    plane = (input_shape[-2], input_shape[-1])
    require_size(settings.name, plane, (1, 2), "makes maps")
    size = fitted_size(plane, 2**settings.depth)
    ways = {"resize": "resized (bilinear)", "padding": "padded with zeros", "reflect": "padded by reflection"}
    if size == plane:
        return ""
    return f"{ways[settings.trim]} from [{plane[0]}, {plane[1]}] to [{size[0]}, {size[1]}] and back"


def build(settings: UNetSettings, input_shape: tuple[int, ...]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: There is hardly any input.
    """
    note = input_note(settings, input_shape)
    return Backbone(UNet(settings, input_shape), n_features_of(settings, input_shape), note, least_shape=(1, 2))
