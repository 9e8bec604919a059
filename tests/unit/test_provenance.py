import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from auscult import provenance
from auscult.errors import DataError
from auscult.storage.files import sha256_file


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-b", "main")
    (root / "code.py").write_text("x = 1\n")
    git(root, "add", "code.py")
    git(root, "commit", "-m", "first")
    return root


def test_git_state_of_a_clean_repository(repository):
    state = provenance.git_state(repository)
    assert state == {"commit": git(repository, "rev-parse", "HEAD"), "branch": "main", "dirty": False}


@pytest.mark.parametrize("name", ["code.py", "new_module.py"])
def test_changed_and_untracked_files_are_dirty(repository, name):
    (repository / name).write_text("x = 2\n")
    assert provenance.git_state(repository)["dirty"] is True


def test_detached_head_is_named_so(repository):
    git(repository, "checkout", "--detach")
    assert provenance.git_state(repository)["branch"] == "(detached)"


def test_without_a_repository_git_is_unknown_with_a_reason(tmp_path):
    state = provenance.git_state(tmp_path)
    assert {state[key] for key in ("commit", "branch", "dirty")} == {"unknown"}
    assert "not a git repository" in state["reason"]


def test_without_git_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path)["reason"] == "git is not installed"


def test_repository_without_a_commit_is_unknown(tmp_path):
    git(tmp_path, "init")
    assert provenance.git_state(tmp_path)["commit"] == "unknown"


def test_folder_inside_a_foreign_repository_is_unknown(repository):
    inner = repository / "unpacked"
    inner.mkdir()
    (inner / "code.py").write_text("")
    assert provenance.git_state(inner)["commit"] == "unknown"


def test_data_version(tmp_path):
    assert provenance.data_version(tmp_path) == {"tracked_by": None, "md5": "unknown"}
    pointer = tmp_path / "data.dvc"
    pointer.write_text("outs:\n- md5: 0123abc.dir\n  size: 7\n  nfiles: 2\n  hash: md5\n  path: data\n")
    assert provenance.data_version(tmp_path) == {
        "tracked_by": "data.dvc",
        "md5": "0123abc.dir",
        "size": 7,
        "nfiles": 2,
    }
    pointer.write_text("outs: []\n")
    with pytest.raises(DataError, match="dvc add data"):
        provenance.data_version(tmp_path)


def test_collect_is_json_and_complete(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    table = repository / "code.py"
    record = provenance.collect("snakemake results/a/b", {"table": table, "folder": repository}, repository)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["command"] == "snakemake results/a/b"
    assert record["inputs"]["table"] == sha256_file(table)
    assert len(record["inputs"]["folder"]) == 64
    assert record["packages"]["numpy"][0].isdigit()
    assert record["python"] == ".".join(str(part) for part in sys.version_info[:3])
    created = datetime.fromisoformat(record["created_utc"])
    assert created.utcoffset() == timedelta(0)


def test_folder_digest_changes_with_names_and_content(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"1")
    digests = [provenance.collect("x", {"raw": folder}, tmp_path)["inputs"]["raw"]]
    (folder / "a.wav").rename(folder / "b.wav")
    digests.append(provenance.collect("x", {"raw": folder}, tmp_path)["inputs"]["raw"])
    (folder / "b.wav").write_bytes(b"2")
    digests.append(provenance.collect("x", {"raw": folder}, tmp_path)["inputs"]["raw"])
    assert len(set(digests)) == 3


def test_missing_input_is_named(tmp_path):
    with pytest.raises(DataError, match=r"'table'.*gone\.csv"):
        provenance.collect("x", {"table": tmp_path / "gone.csv"}, tmp_path)


def test_gpu_names_come_from_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200'\necho 'NVIDIA H200'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert provenance.collect("x", {}, tmp_path)["gpus"] == ["NVIDIA H200", "NVIDIA H200"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert provenance.collect("x", {}, tmp_path)["gpus"] == ["unknown (nvidia-smi: CalledProcessError)"]


def test_neither_user_nor_host_nor_path_nor_secret(tmp_path, monkeypatch):
    home = tmp_path / "home" / "alice"
    project = home / "project"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "alice")
    command = (
        f"snakemake --directory {project}/sub --config roots='{{fsdd: {home}/fsdd, icbhi: /mnt/raid9/icbhi}}' "
        f"uri=http://alice:pw123@tracker:5000 store=sqlite:///{project}/mlflow.db api_key=s3cr3t "
        "\"tracking={'password': 'hunter2'}\" results/pneumonia/train2356"
    )
    record = provenance.collect(command, {}, project)
    text = json.dumps(record)
    for hidden in ("alice", "pw123", "s3cr3t", "hunter2", "raid9", str(tmp_path)):
        assert hidden not in text
    assert record["command"] == (
        "snakemake --directory sub --config roots='{fsdd: ~/fsdd, icbhi: .../icbhi}' "
        "uri=http://***@tracker:5000 store=sqlite:///mlflow.db api_key=*** "
        "\"tracking={'password': '***'}\" results/pneumonia/train2356"
    )


def test_nothing_heavy_is_imported():
    code = (
        "import sys, auscult.provenance; print([m for m in ('torch', 'pandas', 'mlflow', 'numpy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_data_that_dvc_does_not_track_are_named_by_their_content(repository):
    (repository / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
    assert provenance.collect("x", {}, repository)["data"]["md5"] == "abc.dir"
    found = provenance.collect("x", {}, repository, contents={"ward": "5e1f"}, uses_pointer=False)["data"]
    assert found == {"tracked_by": None, "md5": "unknown", "content_sha256": {"ward": "5e1f"}}
    both = provenance.collect("x", {}, repository, contents={"ward": "5e1f"})["data"]
    assert both == {"tracked_by": "data.dvc", "md5": "abc.dir", "content_sha256": {"ward": "5e1f"}}


def test_a_result_without_a_commit_is_warned_of(tmp_path, caplog):
    provenance.collect("x", {}, tmp_path)
    assert "names no commit" in caplog.text


def test_a_repository_of_another_user_gives_no_commit_with_gits_reason_and_a_warning(repository, monkeypatch, caplog):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    state = provenance.git_state(repository)
    assert state["commit"] == "unknown"
    assert "dubious ownership" in state["reason"]
    provenance.collect("x", {}, repository)
    assert "dubious ownership" in caplog.text
