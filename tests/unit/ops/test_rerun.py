"""An experiment again from the settings that a result left: the same jobs, or with values replaced."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import load_experiment, load_task
from auscult.config.resolve import list_experiments
from auscult.errors import ConfigError
from auscult.ops.rerun import write_rerun
from auscult.reports.result_page import experiment_yaml


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", tmp_path / "config")
    return Path("config")


def publish(config_dir: Path, group: str, name: str) -> Path:
    """What a result says of its settings and its task."""
    experiment = load_experiment(config_dir, group, name)
    folder = Path("results") / group / name
    (folder / "1").mkdir(parents=True)
    (folder / "experiment.yaml").write_text(experiment_yaml(experiment))
    task = load_task(config_dir, experiment.task).model_dump(mode="json")
    (folder / "1" / "model.json").write_text(json.dumps({"task": task}))
    return folder / "experiment.yaml"


def rerun(*words: object):
    return CliRunner().invoke(app, ["experiment", "rerun", *map(str, words)])


def test_every_experiment_comes_back_as_it_was(config_dir: Path) -> None:
    names = list_experiments(config_dir)
    assert len(names) > 5
    for group, name in names:
        made = write_rerun(config_dir, publish(config_dir, group, name), {}, "again")
        assert (made.task_path, made.notes) == (None, ())
        again, before = load_experiment(config_dir, group, "again"), load_experiment(config_dir, group, name)
        assert again.jobs == before.jobs
        assert (again.task, again.description) == (before.task, before.description)
        assert [run.id for run in again.runs] == [run.id for run in before.runs]
        made.path.unlink()


def test_values_are_replaced_in_every_job_and_nothing_is_overwritten(config_dir: Path) -> None:
    path = publish(config_dir, "pneumonia", "train2356")
    before = load_experiment(config_dir, "pneumonia", "train2356")
    done = rerun(path.parent, "--set", "train.epochs=5", "--set", "augment.spectrogram=[]", "--set", "seeds=[3, 4]")
    assert done.exit_code == 0, done.output
    target = "config/experiments/pneumonia/train2356_rerun.yaml"
    assert done.stdout == f"{target}: written; snakemake --cores all results/pneumonia/train2356_rerun\n"
    text = Path(target).read_text()
    assert text.startswith(f"# Written by `auscult experiment rerun` from {path}, with\n#   train.epochs: 5\n")
    for job, old in zip(load_experiment(config_dir, "pneumonia", "train2356_rerun").jobs, before.jobs, strict=True):
        assert (job.train.epochs, job.augment.spectrogram, job.seeds) == (5, (), (3, 4))
        assert job.train.model_copy(update={"epochs": old.train.epochs}) == old.train
        assert (job.model, job.split, job.augment.waveform) == (old.model, old.split, old.augment.waveform)
    refused = rerun(path)
    assert isinstance(refused.exception, ConfigError)
    assert f"{target}: is there already; take another name with --name" in str(refused.exception)
    assert Path(target).read_text() == text


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.epoch=5", "job 1: train: unknown key 'epoch', did you mean 'epochs'?"),
        ("trains.epochs=5", "--set trains.epochs=5: unknown key 'trains'; did you mean 'train'?"),
        ("train.epochs=many", "job 1: train.epochs: found 'many'"),
        ("train.epochs", "--set train.epochs: expected KEY=VALUE, such as train.epochs=5"),
        ("task=sprsound", "--set task=sprsound: unknown key 'task'"),
        ("datasets=[nowhere]", "job 1: datasets: unknown dataset 'nowhere'"),
        (
            "augment.spectrogram.9.probability=1",
            "job 1: augment.spectrogram.9.probability: 9: the list has the entries",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_nothing_is_written(config_dir: Path, word: str, message: str) -> None:
    path = publish(config_dir, "pneumonia", "train2356")
    before = sorted(config_dir.rglob("*.yaml"))
    refused = rerun(path, "--set", word, "--name", "other")
    assert isinstance(refused.exception, ConfigError), refused.exception
    assert message in str(refused.exception)
    assert sorted(config_dir.rglob("*.yaml")) == before


def test_a_result_from_elsewhere_brings_its_task(config_dir: Path) -> None:
    path = publish(config_dir, "sprsound", "event_times")
    before, task = load_experiment(config_dir, "sprsound", "event_times"), load_task(config_dir, "sprsound_event_times")
    for one in ("experiments/sprsound/event_times.yaml", "tasks/sprsound_event_times.yaml"):
        (config_dir / one).unlink()
    done = rerun(path)
    assert done.exit_code == 0, done.exception
    assert "config/tasks/sprsound_event_times.yaml: written" in done.stdout
    assert load_task(config_dir, "sprsound_event_times") == task
    assert load_experiment(config_dir, "sprsound", "event_times").jobs == before.jobs
    # Another task of that name is kept, and said.
    written = config_dir / "tasks" / "sprsound_event_times.yaml"
    written.write_text(written.read_text().replace("boundary_s: 0.1", "boundary_s: 0.2"))
    (config_dir / "experiments/sprsound/event_times.yaml").unlink()
    again = rerun(path)
    if "boundary_s" in written.read_text():
        assert "events.boundary_s: 0.1 -> 0.2" in again.stderr
    shutil.rmtree(path.parent / "1")
    written.unlink()
    (config_dir / "experiments/sprsound/event_times.yaml").unlink()
    lost = rerun(path)
    assert "task 'sprsound_event_times' is not defined in config, and no model.json" in str(lost.exception)


def test_it_is_run_at_once_where_that_is_asked(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish(config_dir, "pneumonia", "train2356")
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    done = rerun(path, "--name", "again", "--run")
    assert done.exit_code == 3
    assert asked[0][2:] == ["snakemake", "--cores", "all", "results/pneumonia/again"]
    assert "no such file" in str(rerun("results/none").exception)
