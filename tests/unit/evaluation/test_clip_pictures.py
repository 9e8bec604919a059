import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auscult.config import JobSettings
from auscult.config.spectrogram import frontend_bands
from auscult.evaluation.clip_pictures import draw_averages, on_mel_axis
from auscult.plots import spectrograms as figures
from auscult.plots.spectrograms import mel_axis
from auscult.spectrograms.filterbanks import constant_q_frequencies
from auscult.storage.study_ids import StudyIds
from auscult.training.dataset import load_clip_dataset


def test_outcomes_lie_in_folders_of_their_own_with_a_picture_each(judged):
    world, folder = judged
    index = json.loads((folder / "outcomes" / "index.json").read_text())
    outcomes = pd.read_csv(folder / "outcomes.csv")
    ids = StudyIds.read(world.tables)
    assert {path.name for path in (folder / "outcomes").iterdir() if path.is_dir()} == {"tp", "tn", "fp", "fn"}
    found = sorted(path.relative_to(folder / "outcomes").as_posix() for path in folder.glob("outcomes/*/*.png"))
    assert found == sorted(entry["file"] for entry in index["pictures"])
    for outcome, count in index["n"].items():
        part = [entry for entry in index["pictures"] if entry["outcome"] == outcome]
        assert count == (outcomes["outcome"] == outcome).sum()
        assert len(part) == min(count, world.job.evaluate.outcomes.max_clips)
        for entry in part:
            assert entry["file"].startswith(f"{outcome}/")
            rows = outcomes.loc[(outcomes["clip_id"].map(ids.clip) == entry["clip"]) & (outcomes["outcome"] == outcome)]
            assert entry["probability"] in rows["probability"].tolist()
            with Image.open(folder / "outcomes" / entry["file"]) as picture:
                assert min(picture.size) > 300


def test_averages_are_the_mean_over_true_sound(judged_binary, tmp_path, monkeypatch):
    world, folder = judged_binary
    outcomes = pd.read_csv(folder / "outcomes.csv")
    examples = load_clip_dataset(world.features, world.tables, world.split, world.task, ("val", "test"))
    drawn = {}
    monkeypatch.setattr(
        "auscult.evaluation.clip_pictures.averages",
        lambda panels, axis: drawn.update(panels=panels) or figures.averages(panels, axis),
    )
    draw_averages(examples, outcomes, job=world.job, task=world.task, folder=tmp_path)
    rate_hz, settings = world.job.clips.sample_rate_hz, world.job.spectrogram
    for panel, outcome in zip(drawn["panels"], ("tp", "tn", "fp", "fn"), strict=True):
        chosen = set(outcomes.loc[outcomes["outcome"] == outcome, "clip_id"])
        members = np.flatnonzero(examples.clips["clip_id"].isin(chosen))
        assert panel.n_clips == len(members)
        if not len(members):
            assert panel.levels_db is None
            continue
        columns = []
        for index in members:
            centres_s = (settings.n_fft / 2 + settings.hop_samples * np.arange(examples.shape[1])) / rate_hz
            levels_db = examples.spectrograms([index])[0].astype(float)
            levels_db[:, centres_s >= examples.clips["n_valid"].iloc[index] / rate_hz] = np.nan
            columns.append(levels_db)
        expected = np.nanmean(columns, axis=0)
        np.testing.assert_allclose(panel.levels_db[:, :10], expected[:, :10], atol=1e-3)
        assert (np.isnan(panel.levels_db) == np.isnan(expected)).all()
    (entry,) = json.loads((tmp_path / "averages.json").read_text())
    assert (tmp_path / entry["file"]).is_file()


@pytest.mark.parametrize("frontend", [{"name": "cqt", "bins_per_octave": 12}, {"name": "linear", "n_bands": 50}])
def test_evidence_of_other_bands_is_drawn_at_its_frequency(judged_binary, frontend):
    world, _ = judged_binary
    model = world.job.model.model_dump(mode="json") | {"frontend": frontend}
    job = JobSettings.model_validate(world.job.model_dump(mode="json") | {"model": model})
    axis = mel_axis(job.spectrogram, job.clips.sample_rate_hz)
    n_bands = frontend_bands(job.model.frontend, job.spectrogram, job.clips)
    if frontend["name"] == "cqt":
        centres_hz = constant_q_frequencies(f_min_hz=60.0, f_max_hz=500.0, bins_per_octave=12)
    else:
        centres_hz = np.linspace(0, 500, 50)
    found = np.zeros((n_bands, 7), dtype=np.float32)
    found[n_bands // 2, 3] = 1
    drawn = on_mel_axis(found, axis, job)
    assert drawn.shape == (job.spectrogram.n_mels, 7)
    assert not drawn[:, [0, 1, 2, 4, 5, 6]].any()
    peak_hz = axis.mel_centres_hz[drawn[:, 3].argmax()]
    assert peak_hz == pytest.approx(centres_hz[n_bands // 2], rel=0.1)
    assert on_mel_axis(found, axis, world.job) is found
