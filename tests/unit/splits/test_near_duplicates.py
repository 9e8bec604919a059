"""Copies of a sound are found whatever became of the file; other sounds of the same patient or disease are not."""

import base64
import io
import itertools
import math
from functools import cache

import numpy as np
import pytest
import soundfile
import soxr

from auscult.audio.fingerprint import MIN_WORDS, WORD_BITS, Fingerprinter
from auscult.splits.near_duplicates import (
    MAX_WRONG_SHARE,
    MAX_WRONG_SHARE_SHORT,
    SHORT_WORDS,
    groups_of_copies,
)
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


def test_many_equal_fingerprints_hide_no_changed_copy():
    sound, other = recordings()[3], recordings()[4]
    whole, cut = fingerprint(sound), fingerprint(sound[3333:40_000])
    groups = groups_of_copies([whole, cut, fingerprint(other)] * 40)
    assert groups.tolist() == [0, 0, 2] * 40


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


def as_text(words: np.ndarray) -> str:
    return base64.b64encode(words.astype("<u4").tobytes()).decode("ascii")


def all_pairs(prints: list[np.ndarray]) -> set[tuple[int, int]]:
    """Pairs that agree at any shift, by comparing every word of one with every word of the other."""
    found = set()
    for (one, first), (other, second) in itertools.combinations(enumerate(prints), 2):
        for shift in range(-len(second) + 1, len(first)):
            begin, end = max(0, shift), min(len(first), len(second) + shift)
            left, right = first[begin:end], second[begin - shift : end - shift]
            both = (left != 0) & (right != 0)
            n_words = int(both.sum())
            allowed = MAX_WRONG_SHARE_SHORT if n_words < SHORT_WORDS else MAX_WRONG_SHARE
            wrong = sum(int(word).bit_count() for word in left[both] ^ right[both])
            if n_words >= MIN_WORDS and wrong <= allowed * WORD_BITS * n_words:
                found.add((one, other))
                break
    return found


def chained(n_prints: int, pairs: set[tuple[int, int]]) -> list[int]:
    groups = list(range(n_prints))
    for _ in range(n_prints):
        for one, other in pairs:
            groups[one] = groups[other] = min(groups[one], groups[other])
    return groups


def random_words(rng: np.random.Generator, n_words: int) -> np.ndarray:
    return rng.integers(1, 1 << 32, n_words, dtype=np.uint64).astype(np.uint32)


def with_wrong_bits(words: np.ndarray, n_wrong: int, rng: np.random.Generator) -> np.ndarray:
    """Flip so many bits, the same number in each word but the middle one, by which the search finds the place."""
    changed = words.copy()
    others = np.delete(np.arange(len(words)), len(words) // 2)
    for number, at in enumerate(others):
        n_here = n_wrong // len(others) + (number < n_wrong % len(others))
        for bit in rng.choice(WORD_BITS, n_here, replace=False):
            changed[at] ^= np.uint32(1 << int(bit))
    return changed


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_what_a_comparison_of_all_pairs_finds(seed):
    """Unlike sounds, copies with noise, cut copies, silence within, and sounds that share single words."""
    rng = np.random.default_rng(seed)
    prints = [random_words(rng, int(rng.integers(10, 70))) for _ in range(10)]
    for of in range(4):
        words = prints[of]
        noise = np.zeros(len(words), dtype=np.uint32)
        for bit in range(WORD_BITS):
            noise |= (rng.random(len(words)) < 0.1).astype(np.uint32) << np.uint32(bit)
        copy = np.where(words ^ noise, words ^ noise, 1).astype(np.uint32)
        copy[rng.random(len(copy)) < 0.1] = 0
        begin = int(rng.integers(len(copy) // 4 + 1))
        prints += [copy, copy[begin:], np.concatenate([random_words(rng, 7), copy])]
    sharing = random_words(rng, 40)
    sharing[5:10] = next(words for words in prints if len(words) >= 15)[5:10]
    prints += [sharing, np.zeros(30, dtype=np.uint32), np.full(5, 7, dtype=np.uint32)]
    order = rng.permutation(len(prints))
    prints = [prints[at] for at in order]
    pairs = all_pairs(prints)
    assert len(pairs) >= 4
    assert groups_of_copies([as_text(words) for words in prints]).tolist() == chained(len(prints), pairs)


@pytest.mark.parametrize(
    ("n_words", "share"),
    [(MIN_WORDS, MAX_WRONG_SHARE_SHORT), (SHORT_WORDS - 1, MAX_WRONG_SHARE_SHORT), (SHORT_WORDS, MAX_WRONG_SHARE)]
    + [(n_words, MAX_WRONG_SHARE) for n_words in (40, 200)],
)
def test_the_share_of_wrong_bits_decides_to_the_bit(n_words, share):
    rng = np.random.default_rng(n_words)
    words = random_words(rng, n_words)
    most = math.floor(share * WORD_BITS * n_words)
    for n_wrong, is_copy in ((most, True), (most + 1, False)):
        prints = [words, with_wrong_bits(words, n_wrong, rng)]
        assert (all_pairs(prints) == {(0, 1)}) is is_copy
        assert groups_of_copies([as_text(of) for of in prints]).tolist() == [0, 0 if is_copy else 1]


def test_a_word_less_than_is_compared_at_least_is_no_copy():
    words = random_words(np.random.default_rng(0), MIN_WORDS)
    assert groups_of_copies([as_text(words), as_text(words)]).tolist() == [0, 0]
    assert groups_of_copies([as_text(words[1:]), as_text(words[1:])]).tolist() == [0, 1]
