"""Copies of a sound are found whatever became of the file; other sounds of the same patient or disease are not."""

import io
import itertools
from functools import cache

import numpy as np
import pytest
import soundfile
import soxr

from auscult.audio.fingerprint import Fingerprinter
from auscult.splits.near_duplicates import groups_of_copies
from auscult_simulate.patients import draw_patient
from auscult_simulate.recording import simulate_source

RATE_HZ = 8000
N_PATIENTS, N_RECORDINGS = 6, 3


@cache
def recordings() -> list[np.ndarray]:
    """Recordings of 8 s, three of each of six patients who all have the same disease."""
    sounds = []
    for number in range(N_PATIENTS):
        rng = np.random.default_rng(number)
        patient = draw_patient(f"p{number}", "pneumonia", (20, 60), rng)
        for site in ("Al", "Pr", "Ll")[:N_RECORDINGS]:
            source = simulate_source(patient, site, 8.0, RATE_HZ, rng)
            sounds.append((0.05 * source.waveform / source.waveform.std()).astype(np.float32))
    return sounds


def fingerprint(sound: np.ndarray, rate_hz: int = RATE_HZ) -> str | None:
    made = Fingerprinter(rate_hz, 1)
    made.add(sound.astype(np.float32).reshape(-1, 1))
    return made.text()


@cache
def library() -> list[str | None]:
    return [fingerprint(sound) for sound in recordings()]


def encoded(sound, rate_hz, container, subtype):
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format=container, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def resampled(sound, to_hz):
    return soxr.resample(sound, RATE_HZ, to_hz), to_hz


CHANGES = {
    "flac": lambda sound: encoded(sound, RATE_HZ, "FLAC", "PCM_16"),
    "24 bit": lambda sound: encoded(sound, RATE_HZ, "WAV", "PCM_24"),
    "mp3": lambda sound: encoded(sound, RATE_HZ, "MP3", "MPEG_LAYER_III"),
    "ogg": lambda sound: encoded(sound, RATE_HZ, "OGG", "VORBIS"),
    "4 kHz": lambda sound: resampled(sound, 4000),
    "44.1 kHz": lambda sound: resampled(sound, 44_100),
    "quieter": lambda sound: encoded(0.1 * sound, RATE_HZ, "WAV", "PCM_16"),
    "start trimmed": lambda sound: (sound[round(0.731 * RATE_HZ) :], RATE_HZ),
    "ends trimmed": lambda sound: (sound[round(1.9 * RATE_HZ) : -round(0.45 * RATE_HZ)], RATE_HZ),
    "first half": lambda sound: (sound[: len(sound) // 2], RATE_HZ),
    "second half": lambda sound: (sound[len(sound) // 2 + 100 :], RATE_HZ),
    "silence before": lambda sound: (np.concatenate([np.zeros(12_345), sound]), RATE_HZ),
    "trimmed, quieter, mp3": lambda sound: encoded(0.3 * sound[7000:], RATE_HZ, "MP3", "MPEG_LAYER_III"),
    "trimmed, 4 kHz, ogg": lambda sound: encoded(*resampled(sound[5000:-9000], 4000), "OGG", "VORBIS"),
}


def test_no_two_recordings_are_taken_for_one():
    assert None not in library()
    assert len(set(groups_of_copies(library()).tolist())) == N_PATIENTS * N_RECORDINGS


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change):
    copies = [fingerprint(*CHANGES[change](sound)) for sound in recordings()]
    assert None not in copies
    groups = groups_of_copies([*library(), *copies])
    assert groups.tolist() == 2 * list(range(len(copies)))


def test_copies_chain():
    """The halves of a recording share nothing, yet both are parts of the whole."""
    sound = recordings()[0]
    halves = [fingerprint(half) for half in np.split(sound, 2)]
    assert groups_of_copies(halves).tolist() == [0, 1]
    assert groups_of_copies([*halves, library()[1], library()[0]]).tolist() == [0, 0, 2, 0]


def test_what_has_no_fingerprint_is_like_nothing():
    assert groups_of_copies([]).tolist() == []
    assert groups_of_copies([None, None]).tolist() == [0, 1]
    assert groups_of_copies([None, library()[0], None, library()[0]]).tolist() == [0, 1, 2, 1]


def test_hundreds_of_copies_of_one_sound_are_one_group():
    rng = np.random.default_rng(0)
    sound = recordings()[3]
    copies = [fingerprint(sound[rng.integers(RATE_HZ) :] * rng.uniform(0.1, 1)) for _ in range(300)]
    groups = groups_of_copies([*library(), *copies])
    assert set(groups[len(library()) :].tolist()) == {3}
    assert len(set(groups.tolist())) == len(library())


def test_a_second_in_common_is_too_little():
    one, other = recordings()[:2]
    joined = np.concatenate([one[:RATE_HZ], other[RATE_HZ:]])
    assert groups_of_copies([fingerprint(one), fingerprint(joined)]).tolist() == [0, 1]


def test_real_recordings_are_told_apart_and_found_again(real_data):
    paths = sorted((real_data / "icbhi_sample").glob("*.wav"))
    sounds = [soundfile.read(path, dtype="float32") for path in paths]
    prints = [fingerprint(sound, rate_hz) for sound, rate_hz in sounds]
    assert len(set(groups_of_copies(prints).tolist())) == len(paths)
    copies = []
    for sound, rate_hz in sounds:
        at_8k = soxr.resample(sound[round(1.2 * rate_hz) :], rate_hz, 8000)
        copies.append(fingerprint(*encoded(at_8k, 8000, "MP3", "MPEG_LAYER_III")))
    assert groups_of_copies([*prints, *copies]).tolist() == 2 * list(range(len(paths)))


def test_the_demos_recordings_are_told_apart(project_dir):
    """Five of its six datasets; in the sixth every sound is there through three filters."""
    paths = [path for path in sorted((project_dir / "data").glob("**/*.wav")) if "jordan" not in path.parts]
    if not paths:
        pytest.skip("the demo data are not there; run: dvc pull")
    prints = [fingerprint(*soundfile.read(path, dtype="float32")) for path in paths]
    assert None not in prints
    groups = groups_of_copies(prints)
    alike = [pair for pair in itertools.combinations(range(len(paths)), 2) if groups[pair[0]] == groups[pair[1]]]
    assert [(paths[one].name, paths[other].name) for one, other in alike] == []
