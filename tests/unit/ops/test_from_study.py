"""What a study chose as an experiment of its own, and what `watch` says of a study."""

import io
import shutil
from pathlib import Path

import pytest
import yaml
from tests.unit.ops.planted import NAME, SEARCH, study_of, write_experiment

from auscult.config import load_experiment
from auscult.errors import ConfigError
from auscult.formatting.terminal import Console
from auscult.ops.from_study import create_from_study
from auscult.ops.study_status import find_studies
from auscult.reports.workflow_text import watched_tables
from auscult.storage.files import read_json, write_json
from auscult.training.lock import RunLock


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", tmp_path / "config")
    return Path("config")


def test_what_was_chosen_becomes_an_experiment_with_the_reason(config_dir: Path) -> None:
    search = SEARCH | {
        "spectrogram.n_fft": {"choice": [512, 1024]},
        "augment.waveform.1.quantity": {"uniform": [0.1, 1]},
    }
    write_experiment(config_dir, search=search, trials=6)
    path = config_dir / "experiments/pneumonia/tuned.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["jobs"] = [{"train": {"batch_size": 8}, "note": "the one", "clips": {"preset": "window_10s_8khz"}}]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=r"found no finished study in work/tune/pneumonia/tuned; auscult tune run"):
        create_from_study(config_dir, *NAME, "chosen")

    chosen = study_of(config_dir).run()
    made = create_from_study(config_dir, *NAME, "chosen")
    (job,) = load_experiment(config_dir, "pneumonia", "chosen").jobs
    assert job.train.optimizer.lr == chosen.values["train.optimizer.lr"]
    assert job.spectrogram.n_fft == chosen.values["spectrogram.n_fft"]
    assert (job.train.batch_size, job.note) == (8, "the one")
    text = made.read_text()
    assert text.startswith("# Chosen by the study pneumonia/tuned, on validation alone:\n# trial ")
    assert "preset: mel128" in text and "tune:" not in text
    with pytest.raises(ConfigError, match=r"chosen.yaml: is there already"):
        create_from_study(config_dir, *NAME, "chosen")
    create_from_study(config_dir, *NAME, "chosen", is_forced=True)


def shown() -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(watched_tables([], find_studies(everything=True)))
    return console.file.getvalue()


def test_a_study_is_watched(config_dir: Path) -> None:
    write_experiment(config_dir, trials=6)
    chosen = study_of(config_dir).run()
    assert find_studies() == []
    assert f"val/auroc {chosen.value:.4f}, trial {chosen.trial}" in shown() and "6/6" in shown()
    status = Path("work/tune/pneumonia/tuned/status.json")
    write_json(status, read_json(status) | {"status": "step 3"})
    assert find_studies()[0].is_dead and "dead; auscult tune run pneumonia/tuned goes on" in shown()
    with RunLock(status.parent / "state").held():
        assert not find_studies()[0].is_dead and "step 3" in shown()
