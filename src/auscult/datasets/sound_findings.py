"""What is odd about how a recording sounds: facts of its file, turned into notices for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from auscult.audio.levels import holds_float_samples
from auscult.audio.probe import AudioFacts
from auscult.datasets.folder import split_name
from auscult.storage.tables import Notice

MIN_CLIPPED_SHARE = 0.001
"""One sample in a thousand: what a knock on the chest piece clips stays below."""
MAX_DC = 0.05
"""An offset of 5% of full scale takes room from the sound; converters stay far below 1%."""
CANCELLED_DB = -40.0
"""The mean of channels that differ in nothing but their noise loses 3 dB for two, 12 dB for sixteen."""
MAX_BAND_SHARE = 0.25
"""Below a quarter of what its rate can hold, a file was recorded at a lower rate, or filtered, and written anew."""
MAX_FULL_SCALE = 1.001
"""Coders overshoot, by rounding, what was full scale."""
MARKED_KINDS = frozenset({"no_sound", "over_full_scale", "clipped", "dead_channel", "dc_offset", "trailing_bytes"})
"""Findings that an answer is marked with; the others change no answer."""
_RIFF_SUFFIXES = (".wav", ".wave")
_RIFF_CONTAINERS = ("WAV/", "RF64/")


def sound_findings(
    facts: AudioFacts, subject: str, *, channel: int | Literal["mean"] = "mean", full_scale: float = 1.0
) -> Iterator[Notice]:
    """Yield what is odd about one recording.

    Args:
        facts: Of its file; a fact that nobody measured gives no finding.
        subject: Its file, as the notices name it.
        channel: Channel that clips are cut of, or `mean`.
        full_scale: Level of float samples that stands for full scale.
    """
    silence = _say_no_sound(facts, channel)
    if silence is not None:
        yield Notice("no_sound", subject, f"no sound: {silence}")
    scale = full_scale if holds_float_samples(facts.encoding) else 1.0
    if facts.peak is not None and holds_float_samples(facts.encoding) and facts.peak > scale * MAX_FULL_SCALE:
        text = f"over full scale: samples reach {facts.peak:.4g}, clips are cut off at {scale:g}"
        yield Notice("over_full_scale", subject, f"{text}; say `full_scale: NUMBER` in the dataset's YAML")
    if facts.clipped_share is not None and facts.clipped_share >= MIN_CLIPPED_SHARE:
        yield Notice("clipped", subject, f"clipped {facts.clipped_share:.1%}: so many samples stand at full scale")
    if silence is None:
        yield from _channel_findings(facts, subject, scale)
    if facts.trailing_bytes:
        text = f"{facts.trailing_bytes} bytes follow the sound that was read"
        yield Notice("trailing_bytes", subject, f"{text}; if they are sound too, split the file or join it anew")
    if facts.placeholder_size is not None:
        text = f"the header says {facts.placeholder_size:#x} bytes, as a recorder leaves it that never finished"
        yield Notice("placeholder_size", subject, f"{text}: all that is there was read")
    suffix = split_name(subject)[1]
    if suffix in _RIFF_SUFFIXES and "/" in facts.encoding and not facts.encoding.startswith(_RIFF_CONTAINERS):
        yield Notice("misnamed", subject, f"named {suffix}, and is {facts.encoding}: it was read as that")


def _say_no_sound(facts: AudioFacts, channel: int | Literal["mean"]) -> str | None:
    """Return why clips of this recording hold no sound; None where they do, or nobody knows."""
    if facts.peak is None or facts.dead_channels is None:
        return None
    if facts.peak == 0:
        return "every sample is 0"
    if facts.dead_channels == facts.n_channels:
        return f"nothing but a constant of {facts.dc:.3g}"
    if channel == "mean" and facts.mean_loss_db is not None and facts.mean_loss_db <= CANCELLED_DB:
        return "the channels cancel each other in their mean; set `channel` in the dataset's YAML to one of them"
    if str(channel) in (facts.dead_which or "").split("+"):
        return f"channel {channel} is dead; set `channel` in the dataset's YAML to another"
    return None


def _channel_findings(facts: AudioFacts, subject: str, full_scale: float) -> Iterator[Notice]:
    if facts.dead_which is not None:
        yield Notice("dead_channel", subject, f"dead channel: {facts.dead_which} of {facts.n_channels} (from 0)")
    if facts.dc is not None and abs(facts.dc) > MAX_DC * full_scale:
        yield Notice("dc_offset", subject, f"offset: its mean is {facts.dc:.3g}, far from 0")
    if facts.band_limit_hz is not None and facts.band_limit_hz < MAX_BAND_SHARE * facts.sample_rate_hz / 2:
        text = f"nothing above {facts.band_limit_hz:.0f} Hz, at a rate that holds {facts.sample_rate_hz / 2:.0f} Hz"
        yield Notice("band_limited", subject, text)


def sound_marks(facts: AudioFacts, file: str, channel: int | Literal["mean"] = "mean") -> list[str]:
    """Return in a few words each what an answer about this file has to be read with: `no sound`, `clipped 12.0%`.

    Args:
        facts: Of the file.
        file: Its name.
        channel: Channel that clips are cut of, or `mean`.
    """
    found = sound_findings(facts, file, channel=channel)
    return [re.split("[:;]", notice.text)[0] for notice in found if notice.kind in MARKED_KINDS]
