import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import load_experiment
from auscult.errors import ConfigError


def auscult(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    code = "import sys; from auscult.cli import main; sys.argv[0] = 'auscult'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_list_names_every_experiment_with_its_jobs(project_dir: Path) -> None:
    finished = auscult("experiment", "list", folder=project_dir)
    assert finished.returncode == 0, finished.stderr
    rows = {line.split()[0]: line.split()[1] for line in finished.stdout.splitlines()[1:] if "/" in line.split()[0]}
    assert rows["pneumonia/train2356"] == "2"
    assert "digits/fsdd" in rows


def test_show_prints_what_runs_with_nothing_left_to_look_up(project_dir: Path) -> None:
    finished = auscult("experiment", "show", "pneumonia/train2356", "--job", "2", folder=project_dir)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("# snakemake --cores all results/pneumonia/train2356\n")
    job = load_experiment(project_dir / "config", "pneumonia", "train2356").job(2)
    assert yaml.safe_load(finished.stdout) == job.model_dump(mode="json")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("experiment", "show", "pneumonia/train2355"), "did you mean 'train2356'"),
        (("experiment", "show", "train2356"), "expected <folder>/<name>"),
        (("experiment", "show", "pneumonia/train2356", "--job", "7"), "has 2 jobs; job 7 was asked for"),
        (("simulate", "demo", "--out", "config"), "is not empty"),
    ],
)
def test_a_mistake_ends_with_one_message_and_status_1(project_dir: Path, arguments: tuple[str, ...], part: str) -> None:
    finished = auscult(*arguments, folder=project_dir)
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert part in finished.stderr
    assert "Traceback" not in finished.stderr


def test_schema_writes_what_stands_in_the_repository(project_dir: Path, tmp_path: Path) -> None:
    finished = auscult("schema", "--out", str(tmp_path), folder=project_dir)
    assert finished.returncode == 0, finished.stderr
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in (project_dir / "config" / "schema").iterdir()}


def test_commands_print_utf8_whatever_the_locale_says(tmp_path):
    (tmp_path / "config" / "datasets").mkdir(parents=True)
    text = "description: L\u00fcbeck\nlayout: manifest\nroot: /nowhere/L\u00fcbeck\n"
    (tmp_path / "config" / "datasets" / "ward.yaml").write_text(text, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "auscult", "data", "verify", "ward"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert "root /nowhere/L\u00fcbeck: there is no such folder" in done.stderr.decode("utf-8")


def test_labels_and_bars_are_printed_whatever_the_locale_says(tmp_path):
    """Bars of a histogram have no byte in ASCII or Latin-1: the command ended in a traceback."""
    (tmp_path / "config" / "datasets").mkdir(parents=True)
    (tmp_path / "config" / "tasks").mkdir()
    (tmp_path / "raw" / "\u00dcblich").mkdir(parents=True)
    soundfile.write(tmp_path / "raw" / "\u00dcblich" / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 4000)
    (tmp_path / "config" / "datasets" / "ward.yaml").write_text("description: d\nlayout: label_folders\nroot: raw\n")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "auscult", "data", "describe", "ward"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\u00fcblich" in done.stdout.decode("utf-8").casefold()
    assert "\u2588" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(
    ("ending", "said"),
    [("> /dev/full", "No space left on device; make room there"), (">&-", "standard output is closed")],
)
def test_an_output_that_takes_nothing_ends_with_a_message(project_dir: Path, ending: str, said: str) -> None:
    finished = subprocess.run(  # (no input of a user)
        ["sh", "-c", f"'{sys.executable}' -m auscult data list {ending}"],
        cwd=project_dir, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr.count("\n")) == (1, 1)
    assert finished.stderr.startswith("error: ") and said in finished.stderr


def test_a_folder_of_runs_that_is_not_there_is_no_empty_table(
    project_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_dir)
    for words in (["watch", "nope", "--once"], ["sync", "--runs", "nope"]):
        found = CliRunner().invoke(app, words)
        assert isinstance(found.exception, ConfigError) and str(found.exception).startswith("nope: no such folder")
    for words in (["tune", "lr", "pneumonia/train2356", "--out", "Snakefile"], ["schema", "--out", "config"]):
        assert "there already" in str(CliRunner().invoke(app, words).exception)
