"""From audio files to what a model takes: the one way from sound to input, shared by all that use a stored model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from auscult.audio.probe import AudioFacts, probe
from auscult.config.clips import ClipSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.corpora.folder import AUDIO_SUFFIXES, is_audio, walk_files
from auscult.errors import DataError
from auscult.features.spectrogram import LogMel
from auscult.inference.stream import ClipBlock, clips_without_annotations, stream_clips
from auscult.models import SavedModel


class ClipReader:
    """Reads audio as a model was trained on it.

    Args:
        model: Its description says what a clip and a spectrogram are.
        channel: Channel of multi-channel audio, or `mean`.

    Attributes:
        clips: How files are cut.
        note: What has to be said about that; empty where they are cut as in training.
        log_mel: Makes the model's spectrograms.
    """

    def __init__(self, model: SavedModel, channel: int | Literal["mean"] = "mean") -> None:
        self.clips, self.note = clips_without_annotations(ClipSettings.model_validate(model.meta["clips"]))
        self.log_mel = LogMel(SpectrogramSettings.model_validate(model.meta["spectrogram"]), self.clips.sample_rate_hz)
        self._takes = model.takes
        self._channel: int | Literal["mean"] = channel

    def blocks(self, path: Path, facts: AudioFacts, block_clips: int) -> Generator[ClipBlock]:
        """Yield the clips of a file, at most `block_clips` at a time; see `stream_clips`.

        Raises:
            DataError: The file has no such channel, or cannot be decoded.
        """
        if self._channel != "mean" and self._channel >= facts.n_channels:
            raise DataError(f"{path}: there is no channel {self._channel}, it has {facts.n_channels} (counted from 0)")
        return stream_clips(path, facts, self.clips, channel=self._channel, block_clips=block_clips)

    def model_input(self, block: ClipBlock) -> NDArray[Any]:
        """Return what `SavedModel` takes of some clips: spectrograms in dB [clip, mel, frame], or the clips."""
        if self._takes == "waveform":
            return block.waveforms
        return self.spectrograms(block)

    def spectrograms(self, block: ClipBlock) -> NDArray[np.float16]:
        """Return spectrograms in dB, rounded as the feature store rounds them, shape [clip, mel, frame]."""
        n_sound = np.array([cut.n_valid for cut in block.cuts])
        if self.clips.pad != "zero":
            n_sound[:] = block.waveforms.shape[1]
        return self.log_mel(block.waveforms, n_sound, np.float16).astype(np.float16, copy=False)


def read_facts(path: Path) -> AudioFacts:
    """Decode a file once and return what it holds.

    Raises:
        DataError: It is missing, damaged or no audio; the message does not name it.
    """
    if path.is_dir():
        raise DataError("unreadable: is a folder, expected an audio file")
    return probe(path)


def find_audio(sources: Sequence[Path]) -> list[Path]:
    """Return the files to read: those named, whatever they are called, and the audio files below folders.

    Raises:
        DataError: A folder holds no audio file.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.is_dir():
            found[source] = None
            continue
        below = [source / name for name in walk_files(source) if is_audio(name)]
        if not below:
            raise DataError(f"{source}: no audio files in this folder; looked for {', '.join(AUDIO_SUFFIXES)}")
        found |= dict.fromkeys(below)
    return list(found)
