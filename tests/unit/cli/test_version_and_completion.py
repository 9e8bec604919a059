"""`auscult --version`, and what the shell asks when a user presses the tabulator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import auscult

CODE = "import sys; from auscult.__main__ import main; sys.argv[0] = 'auscult'; main()"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-c", CODE, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def imported(finished: subprocess.CompletedProcess) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines() if line.startswith("import time:")}


def completed(*words: str) -> subprocess.CompletedProcess:
    """What bash is told for a line whose last word is being written."""
    asked = {"_AUSCULT_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return run(**asked)


def test_version_is_the_package_s_own() -> None:
    finished = run("--version")
    assert finished.returncode == 0
    assert finished.stdout == f"auscult {auscult.__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("auscult", "exp"), ["experiment", "explain", "export"]),
        (("auscult", "data", "ver"), ["verify"]),
        (("auscult", "data", "verify", "--ro"), ["--root"]),
    ],
)
def test_the_shell_completes_commands_and_options_without_torch(words: tuple[str, ...], expected: list[str]) -> None:
    finished = completed(*words)
    assert sorted(finished.stdout.split()) == expected
    assert "auscult.cli" in imported(finished)
    assert not {"torch", "pandas", "librosa", "mlflow"} & imported(finished)


def test_completion_is_installed_in_the_user_s_home(tmp_path: Path) -> None:
    finished = run("--install-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert finished.returncode == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert "_AUSCULT_COMPLETE=complete_bash" in script.read_text()
