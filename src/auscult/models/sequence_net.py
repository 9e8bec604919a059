"""SequenceNet: the clip in pieces, one CNN for all of them, and bidirectional LSTMs over the pieces."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from auscult.config.model import SequenceNetSettings
from auscult.models.classifier import Backbone, as_maps, require_size


class SequenceNet(nn.Module):
    """Pieces along time, a CNN on each, LSTMs over them.

    The frames are filled up with zeros (the training mean) at the end, so that all pieces are of equal length. The CNN
    is a 3x3 convolution, batch norm, ReLU and 2x2 maximum pooling for each number of channels, then the mean of the
    maps. What is passed on is the last state of each direction: each has then read the whole clip.
    """

    def __init__(self, settings: SequenceNetSettings) -> None:
        super().__init__()
        self.n_sequences = settings.n_sequences
        layers: list[nn.Module] = []
        for n_in, n_out in zip([1, *settings.channels[:-1]], settings.channels, strict=True):
            layers += [
                nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.cnn = nn.Sequential(*layers)
        self.lstm = nn.LSTM(
            settings.channels[-1], settings.lstm_size, settings.lstm_layers, batch_first=True, bidirectional=True
        )

    def pieces(self, spectrograms: Tensor) -> Tensor:
        """Cut [batch, mel, frame] into [batch x n_sequences, mel, frames of a piece], the pieces of a clip in a row."""
        n_clips, n_mels, n_frames = spectrograms.shape
        length = -(-n_frames // self.n_sequences)
        filled = functional.pad(spectrograms, (0, length * self.n_sequences - n_frames))
        cut = filled.reshape(n_clips, n_mels, self.n_sequences, length).transpose(1, 2)
        return cut.reshape(n_clips * self.n_sequences, n_mels, length)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Turn [batch, mel, frame] into [batch, 2 x lstm_size]."""
        seen = self.cnn(as_maps(self.pieces(spectrograms))).mean(dim=(2, 3))
        _, (last_states, _) = self.lstm(seen.reshape(spectrograms.shape[0], self.n_sequences, -1))
        return torch.cat([last_states[-2], last_states[-1]], dim=1)


def build(settings: SequenceNetSettings, input_shape: tuple[int, int]) -> Backbone:
    """Build the backbone.

    Raises:
        ConfigError: The poolings would leave nothing of a piece.
    """
    n_stages = len(settings.channels)
    least = (2**n_stages, (2**n_stages - 1) * settings.n_sequences + 1)
    reason = f"cuts the clip into {settings.n_sequences} pieces, halves each {n_stages} times"
    require_size("sequence_net", input_shape, least, reason)
    return Backbone(SequenceNet(settings), 2 * settings.lstm_size, least_shape=least)
