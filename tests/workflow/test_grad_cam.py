"""Grad-CAM of the trained demo model looks where the wheeze is."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from auscult.audio.clip_store import to_int16
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.evaluation.saliency import Explainer
from auscult.models import load_model
from auscult.plots.spectrograms import mel_axis
from auscult.spectrograms.log_mel import LogMel
from auscult_simulate.signals import add_at, from_db
from auscult_simulate.sounds import BreathingPattern, breath_noise, breathe, flow_at, room_noise, wheeze

pytestmark = [pytest.mark.slow, pytest.mark.soak]

RATE_HZ, DURATION_S, N_CLIPS = 8000, 4.0, 8
LEAST_RATIO = 3.0


def one_wheeze(clips: ClipSettings, rng: np.random.Generator) -> tuple[np.ndarray, float, float, float]:
    """A breathing chest with a single wheeze: int16 clip, start s, end s, pitch Hz."""
    start_s, length_s, pitch_hz = rng.uniform(0.5, 2.5), rng.uniform(0.6, 1.2), rng.uniform(250, 600)
    n = int(DURATION_S * RATE_HZ)
    breaths = breathe(BreathingPattern(rate_per_min=15, expiration_ratio=1.8), DURATION_S, rng)
    chest = breath_noise(flow_at(breaths, np.arange(n) / RATE_HZ), RATE_HZ, rng, bronchial=0.0)
    add_at(chest, start_s, RATE_HZ, wheeze(pitch_hz, length_s, RATE_HZ, rng))
    chest += from_db(-20) * room_noise(DURATION_S, RATE_HZ, rng)
    heard = resample_poly(chest, 1, RATE_HZ // clips.sample_rate_hz)
    padded = np.zeros(clips.n_samples)
    padded[: len(heard)] = 0.06 * heard / np.sqrt(np.mean(heard**2))
    return to_int16(padded.astype(np.float32)), start_s, start_s + length_s, pitch_hz


def test_the_evidence_for_a_wheeze_lies_within_its_box(snakemake, workflow_dir: Path) -> None:
    folder = workflow_dir / "work/runs/crackles_wheezes/train2356/1"
    run = snakemake(str((folder / "model.safetensors").relative_to(workflow_dir)))
    assert run.returncode == 0, run.stdout
    model = load_model(folder)
    clips = ClipSettings.model_validate(model.meta["clips"])
    settings = SpectrogramSettings.model_validate(model.meta["spectrogram"])
    axis = mel_axis(settings, clips.sample_rate_hz)
    explainer = Explainer(model)
    column = model.targets.index("wheeze")
    ratios = []
    for seed in range(N_CLIPS):
        waveform, start_s, end_s, pitch_hz = one_wheeze(clips, np.random.default_rng(seed))
        levels_db = LogMel(settings, clips.sample_rate_hz)(waveform[None], np.array([int(DURATION_S * 4000)]))
        levels_db = levels_db.astype(np.float16)
        assert model.predict_proba(levels_db)[0, column] > 0.5
        (evidence,) = explainer.explain(levels_db, [column]).maps
        times_s = axis.first_s + axis.hop_s * np.arange(evidence.shape[1])
        in_time = (times_s >= start_s) & (times_s <= end_s)
        # The fundamental, which glides and wavers by about a fifth.
        in_pitch = (axis.mel_centres_hz > 0.8 * pitch_hz) & (axis.mel_centres_hz < 1.25 * pitch_hz)
        box = np.outer(in_pitch, in_time)
        ratios.append(evidence[box].mean() / evidence[~box].mean())
    assert explainer.method == "grad_cam"
    assert np.median(ratios) >= LEAST_RATIO, ratios
    assert np.mean(np.array(ratios) >= LEAST_RATIO) >= 0.75, ratios
