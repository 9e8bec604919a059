"""Clips of one dataset become spectrograms."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from auscult.audio.clip_store import ClipStore
from auscult.config.clips import ClipSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from auscult.spectrograms.store import SummedSpectrograms, create_features, sum_spectrograms
from auscult.storage.parallel import ordered_map

logger = logging.getLogger(__name__)

_BLOCK_CLIPS = 16
_BLOCK_SAMPLES = 1 << 22


def make_spectrograms(
    *,
    clips: Path,
    settings: SpectrogramSettings,
    output: Path,
    full_settings: dict[str, Any],
    dataset: str | None = None,
    threads: int = 1,
) -> None:
    """Turn every clip of a store into a spectrogram and write the feature store.

    The spectrograms do not depend on `threads`. Memory holds a few blocks of clips, however many there are.

    Args:
        clips: A clip store; its settings hold `clips`.
        settings: What a spectrogram is.
        output: The feature store to write.
        full_settings: All settings that shape the spectrograms, kept in the store.
        dataset: Whose clips these must be; default: anyone's.
        threads: Blocks of clips transformed at once.

    Raises:
        ConfigError: If the settings do not fit the clips.
        DataError: If the clip store is missing, damaged or another dataset's, or the output cannot be written.
    """
    begin = time.perf_counter()
    with ClipStore(clips) as store:
        if dataset is not None:
            store.require_dataset(dataset)
        clip_settings = ClipSettings.model_validate(store.settings["clips"])
        log_mel = LogMel(settings, clip_settings.sample_rate_hz)
        if log_mel.n_empty_bands:
            logger.warning(
                "%d of %d mel bands hold no FFT bin and stay at %g dB: fewer n_mels or a larger n_fft avoids that",
                log_mel.n_empty_bands, settings.n_mels, settings.floor_db,
            )  # fmt: skip
        n_samples = store.n_samples
        # Padding by reflection or repetition is sound; only silence would distort a mean.
        n_sound = store.n_valid if clip_settings.pad == "zero" else np.full(len(store), n_samples)
        n_frames_valid = log_mel.n_frames_valid(n_sound, n_samples)
        block_clips = max(1, min(_BLOCK_CLIPS, _BLOCK_SAMPLES // n_samples))

        def transform(block: slice) -> SummedSpectrograms:
            waveforms = store.read(np.arange(block.start, block.stop))
            return sum_spectrograms(log_mel(waveforms, n_sound[block], np.float16), n_frames_valid[block])

        blocks = (slice(start, min(start + block_clips, len(store))) for start in range(0, len(store), block_clips))
        n_frames = log_mel.n_frames(n_samples)
        shape = (settings.n_mels, n_frames)
        with create_features(output, store.table, shape=shape, settings=full_settings) as writer:
            for spectrograms in ordered_map(transform, blocks, threads):
                writer.append(spectrograms)
        elapsed_s = time.perf_counter() - begin
        sound_s = len(store) * n_samples / clip_settings.sample_rate_hz
        logger.info(
            "%d spectrograms of %d bands and %d frames in %.1f s (%.0f times real time)",
            len(store), settings.n_mels, n_frames, elapsed_s, sound_s / elapsed_s,
        )  # fmt: skip
