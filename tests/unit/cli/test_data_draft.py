"""`auscult data draft`: what it prints, asks, writes and refuses."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auscult.cli import main
from auscult.reports import dataset_draft

Call = Callable[..., tuple[int, str, str]]
N_PATIENTS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Ward 7"
    root.mkdir()
    rows = ["file,patient,label,place"]
    for number in range(N_PATIENTS):
        soundfile.write(root / f"{number}.wav", np.random.default_rng(number).uniform(-0.5, 0.5, 4000), 4000)
        rows.append(f"{number}.wav,P{number},{('wheeze', 'normal')[number % 2]},{('left', 'right')[number % 3 > 0]}")
    (root / "list.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `auscult data draft ...` in an empty project; its status, what it printed, and its errors."""
    project = tmp_path / "project"
    (project / "config").mkdir(parents=True)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "argv", ["auscult", "data", "draft", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run


def test_the_guesses_and_the_next_commands_are_printed(call: Call, folder: Path, tmp_path: Path) -> None:
    status, out, err = call(str(folder), "--yes")
    assert (status, err) == (0, "")
    rows = ("recordings", "table", "joined", "patient", "labels", "events", "sex", "age", "task", "split")
    assert [line.split()[0] for line in out.splitlines()[4:14]] == list(rows)
    assert "auscult data verify ward_7" in out
    assert "snakemake --cores all results/wheeze/ward_7" in out
    text = (tmp_path / "project/config/experiments/wheeze/ward_7.yaml").read_text()
    assert "patient: patient  # 12 patients in 12 rows" in text


def test_what_must_be_changed_before_anything_can_be_trained_is_said_at_the_end(call: Call, folder: Path) -> None:
    rows = [f"{number}.wav,P{number},{number % 2}" for number in range(N_PATIENTS)]
    (folder / "list.csv").write_text("\n".join(["file,patient,heard___1", *rows]))
    status, out, _ = call(str(folder), "--yes")
    assert status == 0
    last = out.splitlines()[-5:]
    assert last[0] == "First, in config/experiments/1/ward_7.yaml:"
    assert "no clip is known to be without 1" in last[1]
    assert "write `none: none` in place of `none: null` below `heard`" in out[out.index(last[0]) :]
    assert "snakemake --cores all results/1/ward_7" in last[-1]


def test_a_file_that_is_there_stays_without_force(call: Call, folder: Path, tmp_path: Path) -> None:
    assert call(str(folder), "--yes")[0] == 0
    path = tmp_path / "project/config/experiments/wheeze/ward_7.yaml"
    path.write_text(path.read_text() + "# mine\n")
    status, _, err = call(str(folder), "--yes")
    assert status == 1
    assert "wheeze/ward_7.yaml is there already; --force replaces it" in err
    assert path.read_text().endswith("# mine\n")
    assert call(str(folder), "--yes", "--force")[0] == 0
    assert not path.read_text().endswith("# mine\n")


def test_out_names_another_file_and_does_not_replace_it(call: Call, folder: Path, tmp_path: Path) -> None:
    out_path = tmp_path / "draft.yaml"
    status, out, _ = call(str(folder), "--yes", "--out", str(out_path), "--name", "mine", "--task", "heard")
    assert status == 0
    assert "The workflow looks for it at config/experiments/heard/mine.yaml" in out
    assert out_path.is_file()
    assert "--force" in call(str(folder), "--yes", "--out", str(out_path))[2]


def test_a_folder_that_cannot_be_drafted_is_said_in_words(call: Call, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/list.csv").write_text("file,label\n")
    status, _, err = call(str(tmp_path / "gone"))
    assert (status, "there is no such folder" in err) == (1, True)
    status, _, err = call(str(empty))
    assert (status, "no recording that can be read in 0 files" in err) == (1, True)
    status, _, err = call(str(tmp_path / "notes"))
    assert (status, "no recording that can be read in 1 file;" in err) == (1, True)
    assert "suffixes: .csv" in err


@pytest.mark.parametrize("name", ["a/b", "..", "two words"])
def test_a_name_that_is_no_folder_is_refused(call: Call, folder: Path, name: str) -> None:
    status, _, err = call(str(folder), "--yes", "--name", name)
    assert (status, "it becomes a folder's name" in err) == (1, True)


def test_a_terminal_is_asked_unless_yes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert dataset_draft.asker(yes=True) is None
    ask = dataset_draft.asker(yes=False)
    assert ask is not None
    typed = iter(["3", "2"])
    monkeypatch.setattr("builtins.input", lambda *_: next(typed))
    assert ask("Which?", ["one", "two"], "one") == "two"

    def end(*_: object) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert ask("Which?", ["one", "two"], "two") == "two"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert dataset_draft.asker(yes=False) is None
