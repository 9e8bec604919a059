"""`auscult augment preview`: from an experiment to a page, by the command that its own error names."""

import base64
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

BIN = Path(sys.executable).parent
STEPS = """
augment:
  waveform:
    - {name: time_shift, max_shift_s: 0.5}
    - {name: augmix, quantity: 0.2, functions: [gain, pitch_shift], weight: [0.3, 0.7]}
  spectrogram:
    - {name: mixup, quantity: 0.5, classes: [0, 1], weight: [0.3, 0.7]}
    - {name: mask_time, max_width_frames: 10}
"""


def auscult(project, *arguments):
    return subprocess.run(
        [BIN / "auscult", *arguments], cwd=project, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.soak
@pytest.mark.slow
def test_a_page_shows_clips_before_and_after_each_step(workflow_dir, snakemake, tiny_experiment):
    file = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    plain = auscult(workflow_dir, "augment", "preview", "pneumonia/tiny")
    assert (plain.returncode, "the job augments nothing" in plain.stderr) == (1, True)
    file.write_text(file.read_text() + STEPS)

    missing = auscult(workflow_dir, "augment", "preview", "pneumonia/tiny")
    assert missing.returncode == 1
    command = re.search(r"make them: snakemake (.*)$", missing.stderr.strip())
    assert command is not None, missing.stderr
    made = snakemake(*shlex.split(command.group(1)))
    assert made.returncode == 0, made.stdout

    done = auscult(workflow_dir, "augment", "preview", "pneumonia/tiny", "--clips", "1", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert "page.html: 4 steps on 1 of the training clips" in done.stdout
    page = (workflow_dir / "page.html").read_text()
    for title in ("1. waveform · time_shift", "2. waveform · augmix", "3. spectrogram · mixup", "All together"):
        assert f"<h2>{title}</h2>" in page
    assert "0 with 1" in page
    assert re.search(r"mixed with \d\d% of a clip with pneumonia 1; label: pneumonia 0\.\d+", page)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    # Five sections of a pair; what was changed as a spectrogram cannot be heard.
    assert (len(pictures), len(sounds)) == (10, 10 - 3)
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size[0] > 300
    (before, rate_hz), (after, _) = (soundfile.read(io.BytesIO(base64.b64decode(text))) for text in sounds[:2])
    assert len(before) == len(after) == 4 * rate_hz
    assert not np.array_equal(before, after)
    assert 'src="http' not in page
    words = re.sub(r'src="data:[^"]+"', "", page)
    assert not re.search(r"\.wav|bd_|patient_", words)


def test_steps_and_wrong_names_are_told(workflow_dir):
    listed = auscult(workflow_dir, "augment", "list")
    assert re.search(r"pitch_shift +Shift the pitch", listed.stdout)
    assert re.search(r"patch_mix +Take patches", listed.stdout)
    unknown = auscult(workflow_dir, "augment", "preview", "pneumonia/nothing")
    assert unknown.returncode == 1
    assert "unknown experiment" in unknown.stderr
