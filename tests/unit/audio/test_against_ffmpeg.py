"""What phones write is decoded as the program `ffmpeg` decodes it, sample for sample."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.encoded import CODECS, encode, tone

from auscult.audio.decode import decode
from auscult.audio.probe import probe

# Releases differ in the order of their sums of floats; this is a thirtieth of the last bit of 16.
ROUNDING = 1e-6
# FFmpeg up to 5 gives what the coder put before the sound in Matroska too; later ones, and we, skip it.
MATROSKA_PRIMING = 1024

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not installed"),
]


def by_the_program(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-acodec", "pcm_f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")


@pytest.mark.parametrize("duration_s", [0.3, 5.0])
@pytest.mark.parametrize("suffix", CODECS)
def test_each_sample_is_that_of_the_program(tmp_path: Path, suffix: str, duration_s: float) -> None:
    codec, rate_hz = CODECS[suffix]
    sound = tone(rate_hz, duration_s)
    sound += np.random.default_rng(5).normal(0, 0.05, len(sound)).astype(np.float32)
    path = encode(tmp_path / f"a{suffix}", sound, codec, rate_hz)
    facts = probe(path)
    ours = np.concatenate(list(decode(path, 0, sample_rate_hz=facts.sample_rate_hz, n_samples=facts.n_samples)))
    theirs = by_the_program(path)
    if suffix == ".mka" and len(theirs) == len(ours) + MATROSKA_PRIMING:
        theirs = theirs[MATROSKA_PRIMING:]
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)
