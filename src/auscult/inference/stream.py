"""From audio files of any length to the clips that a model takes, as the workflow would cut them, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auscult.audio.clip_store import to_int16
from auscult.audio.cut import Cut, cut_recording, cut_windows, pad
from auscult.audio.decode import decode
from auscult.audio.probe import AudioFacts, probe
from auscult.audio.resample import band_pass, resample_blocks
from auscult.config.clips import BandPass, ClipSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.datasets.folder import AUDIO_SUFFIXES, files_of, is_audio, looks_like_audio, say_unread
from auscult.errors import DataError
from auscult.models import SavedModel
from auscult.spectrograms.log_mel import LogMel

_BLOCK_SAMPLES = 1 << 24
_FILTER_SAMPLES = 1 << 20
"""Recordings up to this length are filtered whole, as in the workflow."""
_SETTLED = 1e-7
"""Rest of the impulse response that is cut off: far below one int16 step."""


class ClipBlock(NamedTuple):
    """Some consecutive clips of one file.

    Attributes:
        cuts: Where each lies.
        waveforms: Padded as in training, int16 [clip, sample].
    """

    cuts: list[Cut]
    waveforms: NDArray[np.int16]


def clips_without_annotations(settings: ClipSettings) -> tuple[ClipSettings, str]:
    """Return how to cut audio without annotations, and a note where that differs from training.

    Breathing cycles need annotations: windows of a clip's length replace them.
    """
    if settings.unit != "cycle":
        return settings, ""
    note = (
        f"the model was trained on breathing cycles, which need annotations: windows of {settings.length_s:g} s "
        "are used instead"
    )
    return settings.model_copy(update={"unit": "window"}), note


def stream_clips(
    path: Path,
    facts: AudioFacts,
    settings: ClipSettings,
    *,
    channel: int | Literal["mean"] = "mean",
    block_clips: int = 64,
) -> Generator[ClipBlock]:
    """Yield the clips of an audio file, block by block; they are those that `audio.clips` cuts.

    Memory holds a few blocks, however long the file is. A file too long to be filtered at once is filtered in pieces,
    each with enough sound around it for the filter to settle.

    Args:
        path: The audio file.
        facts: What `audio.probe` found in it.
        settings: What a clip is; `unit` is `window` or `recording`.
        channel: Channel of multi-channel audio, or `mean`.
        block_clips: Clips in a block, at most.

    Raises:
        DataError: The file cannot be decoded, has no such channel, or leaves no sample at the clips' rate.
    """
    if settings.unit == "cycle":
        raise ValueError("cycles need annotations; see clips_without_annotations")
    at_once = max(1, min(block_clips, _BLOCK_SAMPLES // settings.n_samples))
    cuts: list[Cut] = []
    sounds: list[NDArray[np.int16]] = []
    for cut, sound in _cut(_samples(path, facts, settings, channel), settings, path):
        cuts.append(cut)
        sounds.append(pad(sound, settings.n_samples, settings.pad))
        if len(cuts) == at_once:
            yield ClipBlock(cuts, np.stack(sounds))
            cuts, sounds = [], []
    if cuts:
        yield ClipBlock(cuts, np.stack(sounds))


def _samples(
    path: Path, facts: AudioFacts, settings: ClipSettings, channel: int | Literal["mean"]
) -> Iterator[NDArray[np.float32]]:
    blocks = decode(
        path, channel, sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples, decoder=settings.decoder
    )
    resampled = resample_blocks(blocks, facts.sample_rate_hz, settings.sample_rate_hz)
    return resampled if settings.band_pass is None else _filtered(resampled, settings.band_pass, settings)


def _filtered(
    blocks: Iterable[NDArray[np.float32]], settings: BandPass, clips: ClipSettings
) -> Generator[NDArray[np.float32]]:
    margin = _settling_samples(settings, clips.sample_rate_hz)
    held, n_given = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        if len(held) >= n_given + _FILTER_SAMPLES + margin:
            end = len(held) - margin
            yield band_pass(held, settings, clips.sample_rate_hz)[n_given:end]
            begin = max(0, end - margin)
            held, n_given = held[begin:], end - begin
    if len(held) > n_given:
        yield band_pass(held, settings, clips.sample_rate_hz)[n_given:]


def _settling_samples(settings: BandPass, sample_rate_hz: int) -> int:
    from scipy import signal  # noqa: PLC0415 (takes over a second, and most models filter nothing)

    edges = [settings.low_hz, settings.high_hz]
    sections = np.asarray(signal.butter(settings.order, edges, btype="bandpass", output="sos", fs=sample_rate_hz))
    slowest = max(float(np.abs(np.roots(section[3:])).max()) for section in sections)
    return min(_FILTER_SAMPLES, math.ceil(2 * math.log(_SETTLED) / math.log(slowest)))


def _cut(
    blocks: Iterable[NDArray[np.float32]], settings: ClipSettings, path: Path
) -> Generator[tuple[Cut, NDArray[np.int16]]]:
    """Yield each clip's place and true sound as soon as it is known not to be the last; the last ones at the end."""
    rate, length = settings.sample_rate_hz, settings.n_samples
    held, held_from, n_seen, n_cut = np.zeros(0, np.int16), 0, 0, 0
    for block in blocks:
        held = np.concatenate([held, to_int16(block)])
        n_seen += len(block)
        if settings.unit == "recording":
            if n_seen >= length:
                break
            continue
        while (start := n_cut * settings.hop_samples) + length < n_seen:
            yield Cut(start, length, start / rate, (start + length) / rate), held[start - held_from :][:length]
            n_cut += 1
        kept_from = min(start, n_seen)
        held, held_from = held[kept_from - held_from :], kept_from
    if n_seen == 0:
        raise DataError(f"{path}: too short, not one sample is left at {rate} Hz")
    cuts = cut_recording(n_seen, settings) if settings.unit == "recording" else cut_windows(n_seen, settings)
    for cut in cuts[n_cut:]:
        yield cut, held[cut.start_sample - held_from :][: cut.n_valid]


class ClipReader:
    """Reads audio as a model was trained on it.

    Args:
        model: With the settings of its clips and spectrograms.
        channel: Channel of multi-channel audio, or `mean`.

    Attributes:
        clips: How files are cut.
        channel: Of multi-channel audio, or `mean`.
        note: How that differs from training; empty where it does not.
        log_mel: Makes the model's spectrograms.
    """

    def __init__(self, model: SavedModel, channel: int | Literal["mean"] = "mean") -> None:
        self.clips, self.note = clips_without_annotations(ClipSettings.model_validate(model.meta["clips"]))
        self.log_mel = LogMel(SpectrogramSettings.model_validate(model.meta["spectrogram"]), self.clips.sample_rate_hz)
        self._takes = model.takes
        self.channel: int | Literal["mean"] = channel

    def blocks(self, path: Path, facts: AudioFacts, block_clips: int) -> Generator[ClipBlock]:
        """Yield the clips of a file, at most `block_clips` at a time; see `stream_clips`.

        Raises:
            DataError: The file has no such channel, or cannot be decoded.
        """
        if self.channel != "mean" and self.channel >= facts.n_channels:
            raise DataError(f"{path}: there is no channel {self.channel}, it has {facts.n_channels} (counted from 0)")
        return stream_clips(path, facts, self.clips, channel=self.channel, block_clips=block_clips)

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
    if looks_like_audio(path.name):
        raise DataError(say_unread(path.name))
    return probe(path)


def find_audio(sources: Sequence[Path]) -> list[Path]:
    """Return the files to read: those named, whatever they are called, and the audio files below folders.

    Files below folders whose names say that they are sound of a kind that is not read are among them: each is answered
    with its fault.

    Raises:
        DataError: A folder holds no audio file.
    """
    return files_of(sources, lambda name: is_audio(name) or looks_like_audio(name), "audio files", AUDIO_SUFFIXES)
