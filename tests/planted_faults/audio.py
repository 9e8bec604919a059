"""Faults of the sound files themselves, the same in all layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from scipy.io import wavfile
from tests.planted_faults.tree import PlantedFault, Tree, is_wav


def plant_audio_faults(tree: Tree) -> list[PlantedFault]:
    """Damage five sounds: cut short, a text, empty, without samples, with samples that are no numbers."""
    return [_truncate(tree), _write_text(tree), _empty(tree), _without_samples(tree), _not_finite(tree)]


def truncate_each_format(tree: Tree) -> list[PlantedFault]:
    """Cut a FLAC, an Ogg and an MP3 short, for layouts that have them."""
    faults: list[PlantedFault] = []
    for suffix, reason in ((".flac", "unreadable"), (".ogg", "truncated"), (".mp3", "truncated")):
        path = tree.victim(lambda path, suffix=suffix: path.suffix == suffix)
        _cut(tree, path)
        faults.append(tree.fault(path, f"truncated {suffix[1:]}", reason))
    return faults


def _cut(tree: Tree, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * tree.rng.uniform(0.3, 0.9))])


def _truncate(tree: Tree) -> PlantedFault:
    path = tree.victim(is_wav)
    _cut(tree, path)
    return tree.fault(path, "truncated wav", "truncated")


def _write_text(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.write_text("The recording was moved to the other disk.\n" * 20, encoding="utf-8")
    return tree.fault(path, "text named as a sound", "no sound file")


def _empty(tree: Tree) -> PlantedFault:
    path = tree.victim()
    path.write_bytes(b"")
    return tree.fault(path, "empty file", "empty")


def _without_samples(tree: Tree) -> PlantedFault:
    path = tree.victim(is_wav)
    soundfile.write(path, np.zeros(0), 4000, subtype="PCM_16")
    return tree.fault(path, "wav without samples", "empty")


def _not_finite(tree: Tree) -> PlantedFault:
    path = tree.victim(is_wav)
    waveform, sample_rate_hz = soundfile.read(path)
    waveform[len(waveform) // 2] = np.nan
    # Not through libsndfile: beside floating-point samples it writes the time of day.
    wavfile.write(path, sample_rate_hz, waveform.astype(np.float32))
    return tree.fault(path, "samples not finite", "not finite")
