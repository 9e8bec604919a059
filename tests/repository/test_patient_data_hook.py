"""No recording and no table of patients gets into git unnoticed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from auscult.datasets.folder import AUDIO_SUFFIXES, UNREAD_AUDIO_SUFFIXES

Tool = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def hook(tool: Tool) -> ModuleType:
    return tool("refuse_patient_data.py")


@pytest.mark.parametrize(
    ("name", "head", "what"),
    [
        ("a/101_1b1_Al_sc_Meditron.WAV", b"", "a recording"),
        ("renamed.txt", b"RIFF\x24\x00\x00\x00WAVEfmt ", "a recording"),
        ("renamed", b"fLaC\x00\x00", "a recording"),
        ("renamed", b"OggS\x00", "a recording"),
        ("renamed", b"\xff\xfb\x90\x64", "a recording"),
        ("work/predictions.parquet", b"PAR1", "a table"),
        ("renamed", b"PAR1\x15", "a table"),
        ("ward/cough.M4A", b"", "a recording"),
        ("renamed", b"\x00\x00\x00\x20ftypM4A ", "a recording"),
        ("patients.csv", b"", "a table"),
        ("list.txt", b"recording;patient;age\n1;101;7\n", "a table with a column of patients"),
        ("list.txt", b"Subject ID\tage\n1\t101\n", "a table with a column of patients"),
        ("clips.h5", b"\x89HDF\r\n", "arrays"),
        ("run/state.pt", b"PK", "arrays"),
        ("phone/P1.m4a", b"", "a recording"),
        ("phone/P1.OPUS", b"", "a recording"),
        ("P1.amr", b"", "a recording"),
        ("P1.wma", b"", "a recording"),
        ("P1.3gp", b"", "a recording"),
        ("P1.ds2", b"", "a recording"),
        ("renamed", b"\x00\x00\x00\x1cftypM4A ", "a recording"),
        ("renamed", b"#!AMR\n", "a recording"),
        ("renamed", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a recording"),
        ("renamed", b"\x1a\x45\xdf\xa3", "a recording"),
        ("renamed.bin", b"PK\x03\x04\x14\x00\x06\x00xl/workbook.xml", "a table"),
        ("renamed.bak", b"patient_id,age\n101,7\n", "a table with a column of patients"),
        ("renamed.bak", "patient_id,age\n101,7\n".encode("utf-16"), "a table with a column of patients"),
        ("renamed.bak", b"age;patient\n7;101\n", "a table with a column of patients"),
        ("export", b"record_id,redcap_event_name\n1,visit\n", "a table with a column of patients"),
        ("renamed.bak", b"Patienten-ID;Alter\n7;20\n", "a table with a column of patients"),
        ("renamed.bak", b"Alter\tPat.-Nr.\r\n20\t7\r\n", "a table with a column of patients"),
        ("renamed.bak", b'"MRN","age"\n"12345","20"\n', "a table with a column of patients"),
        ("renamed.bak", b"Sex,Date of Birth\nf,2000-01-01\n", "a table with a column of patients"),
        ("renamed.bak", b"Geburtsdatum|Befund\n1.1.2000|Giemen\n", "a table with a column of patients"),
        ("renamed.bak", "PATIENTEN-K\u00dcRZEL;Alter\nAB;20\n".encode(), "a table with a column of patients"),
        ("renamed.bak", b"Ward 4;;\n;;\nProband Nr;Alter;\n7;20;\n", "a table with a column of patients"),
        ("P2.json", b'{"Pat.-Nr.": 7, "age": 20}', "a table with a column of patients"),
        ("P1.json", b'{"patient_id": "101", "age": 7}', "a table with a column of patients"),
        ("P1.TextGrid", b"", "annotations of recordings"),
        ("all.zip", b"", "an archive, which may hold recordings"),
        ("renamed", b"PK\x03\x04\x14\x00", "an archive, which may hold recordings"),
    ],
)
def test_recordings_tables_and_arrays_are_told_by_name_or_content(
    hook: ModuleType, name: str, head: bytes, what: str
) -> None:
    assert hook.reason(name, head) == what


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("src/auscult/storage/tables.py", b"patient, recording = 1, 2\nx = 1, 2\n"),
        ("notes.txt", b"Each patient, young or old, is one person.\nNo second column here\n"),
        ("picture.webp", b"RIFF\x24\x00\x00\x00WEBPVP8 "),
        ("docs/report.png", b"\x89PNG\r\n"),
        ("LICENSE", b"MIT License\n"),
        ("words.txt", b"patience, subjective\nrecord, mornings\n"),
        ("words.txt", b"patient\nsubject\n"),
        ("notes.txt", b"The study, and the patient\nof whom we speak, is one\n"),
        ("docs/data.md", b"| patient, recording |\n| one, two |\n"),
        ("config/schema/dataset.json", b'{"properties": {"patient": {"type": "string"}}}'),
    ],
)
def test_code_prose_and_pictures_pass(hook: ModuleType, name: str, head: bytes) -> None:
    assert hook.reason(name, head) is None


def test_nothing_in_the_repository_is_refused(hook: ModuleType, project_dir: Path, monkeypatch) -> None:
    monkeypatch.chdir(project_dir)
    names = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(names) > 500
    assert hook.refused(names, lambda name: True) == {}


@pytest.mark.parametrize(
    "name",
    [
        "collections/clinic/P1/visit.xyz",
        "deep/within/P1.wav",
        "P1.M4A",
        "answers.csv",
        "embeddings/icbhi.parquet",
        "pictures/P1.png",
        "predictions.json",
        "compared.html",
    ],
)
def test_git_passes_over_where_recordings_lie_and_what_is_made_of_them(
    project_dir: Path, tmp_path: Path, name: str
) -> None:
    """`git add --all` took the recordings that the documentation puts into `collections/`."""
    (tmp_path / ".gitignore").write_text((project_dir / ".gitignore").read_text())
    assert git(tmp_path, "init", "--quiet").returncode == 0
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"any")
    assert git(tmp_path, "add", "--all").returncode == 0
    assert git(tmp_path, "ls-files").stdout == ".gitignore\n"


def test_git_and_the_hook_know_every_kind_of_sound_file(hook: ModuleType, project_dir: Path, tmp_path: Path) -> None:
    names = [f"P1{suffix}" for suffix in (*AUDIO_SUFFIXES, *UNREAD_AUDIO_SUFFIXES)]
    names += [name.upper() for name in names]
    assert {name: hook.reason(name, b"") for name in names} == dict.fromkeys(names, "a recording")
    (tmp_path / ".gitignore").write_text((project_dir / ".gitignore").read_text())
    git(tmp_path, "init", "--quiet")
    for name in names:
        (tmp_path / name).write_bytes(b"any")
    assert git(tmp_path, "add", "--all").returncode == 0
    assert git(tmp_path, "ls-files").stdout == ".gitignore\n"


def test_a_clone_without_the_hook_is_looked_at_by_one_command(project_dir: Path, tmp_path: Path) -> None:
    program = str(project_dir / "tools" / "refuse_patient_data.py")
    assert git(tmp_path, "init", "--quiet").returncode == 0
    (tmp_path / "README.md").write_text("# A page\n")
    git(tmp_path, "add", "--all")
    assert run(tmp_path, sys.executable, program, "--tracked").returncode == 0
    (tmp_path / "Größe 1.bak").write_bytes(b"#!AMR\n")
    git(tmp_path, "add", "--all")
    refused = run(tmp_path, sys.executable, program, "--tracked")
    assert refused.returncode == 1
    assert "Größe 1.bak looks like a recording" in refused.stderr


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """A command that sees no git but that of `folder`, and none of the user's settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PRE_COMMIT_HOME": str(folder.parent / "pre-commit")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments)


@pytest.fixture
def clone(project_dir: Path, tmp_path: Path) -> Path:
    """A repository with this project's hook of patients' data installed, and a demo remote of one file."""
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".gitignore").write_text("/.venv\n")
    settings = yaml.safe_load((project_dir / ".pre-commit-config.yaml").read_text())
    settings["repos"][0]["hooks"] = [hook for hook in settings["repos"][0]["hooks"] if hook["id"] == "patient-data"]
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(settings))
    program = project_dir / "tools" / "refuse_patient_data.py"
    (folder / "tools" / program.name).write_text(program.read_text())
    (folder / ".dvc" / "demo").mkdir(parents=True)
    (folder / ".dvc" / "demo" / "simulated").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "first")):
        assert git(folder, *arguments).returncode == 0
    installed = run(folder, sys.executable, "-m", "pre_commit", "install")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return folder


def commit(folder: Path) -> subprocess.CompletedProcess:
    git(folder, "add", "--all", "--force", ":!.venv")
    return git(folder, "commit", "--message", "second")


@pytest.mark.parametrize("name", ["notes/P001", ".dvc/demo/new", "a folder/P 1.wav"])
def test_a_commit_with_a_recording_is_refused_and_says_what_to_do(clone: Path, name: str) -> None:
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    refused = commit(clone)
    assert refused.returncode == 1
    assert f"error: {name} looks like" in refused.stderr
    assert "git rm --cached FILE" in refused.stderr
    assert git(clone, "rev-list", "--count", "HEAD").stdout == "1\n"


def test_other_commits_pass_the_demo_that_is_there_among_them(clone: Path) -> None:
    (clone / "README.md").write_text("# A page\n")
    (clone / ".dvc" / "demo" / "simulated").chmod(0o755)
    done = commit(clone)
    assert done.returncode == 0, done.stderr
    assert git(clone, "rev-list", "--count", "HEAD").stdout == "2\n"
