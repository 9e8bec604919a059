import hashlib
import json
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.errors import DataError
from auscult.ops.verify import result_changes, verify_result

FILES = {"report.html": b"<html>", "1/metrics.json": b"{}", "1/figures/a b.svg": b"<svg/>", "empty.txt": b""}


@pytest.fixture
def result(tmp_path):
    folder = tmp_path / "results" / "pneumonia" / "tiny"
    provenance = json.dumps({"data": {"md5": "aaaa.dir"}}).encode()
    lines = []
    for name, content in {**FILES, "provenance.json": provenance}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / "checksums.txt").write_text("".join(lines))
    return folder


def pin(folder, md5):
    (folder / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  path: data\n")


def test_a_whole_result_is_whole(result, tmp_path):
    found = verify_result(result, tmp_path)
    assert (found.is_whole, found.n_files, found.notices) == (True, 5, ())


def test_each_fault_is_named(result, tmp_path):
    (result / "1" / "figures" / "a b.svg").write_bytes(b"<svg>")
    (result / "empty.txt").unlink()
    (result / "1" / "notes.txt").write_text("mine")
    found = verify_result(result, tmp_path)
    assert (found.damaged, found.missing, found.extra) == (("1/figures/a b.svg",), ("empty.txt",), ("1/notes.txt",))


def test_a_result_of_other_data_says_so(result, tmp_path):
    pin(tmp_path, "aaaa.dir")
    assert verify_result(result, tmp_path).notices == ()
    pin(tmp_path, "bbbb.dir")
    found = verify_result(result, tmp_path)
    assert found.is_whole
    assert "made from the data aaaa.dir; data.dvc pins bbbb.dir now" in found.notices[0]


@pytest.mark.parametrize("line", ["not a checksum", f"{'0' * 64}  ../../outside", f"{'0' * 64}  /etc/passwd"])
def test_a_list_that_is_none_is_refused(result, line):
    (result / "checksums.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"checksums.txt:1: found"):
        verify_result(result)


def test_what_is_no_result_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match="Run the workflow"):
        verify_result(tmp_path)


def test_the_command_names_every_fault_and_fails(result, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good"
    shutil.copytree(result, good)
    (result / "report.html").write_bytes(b"<html")
    done = CliRunner().invoke(app, ["verify", "good", str(result)])
    assert done.exit_code == 1
    assert "good: 5 files, all as published" in done.output
    assert f"damaged: {result / 'report.html'}" in done.output.replace("\n", "")
    assert CliRunner().invoke(app, ["verify", "good"]).exit_code == 0


# --- what has changed since ---


@pytest.fixture
def project(project_dir, tmp_path):
    (tmp_path / "config").symlink_to(project_dir / "config")
    return tmp_path


def test_what_changed_since_a_result_was_published(project, project_dir, tmp_path):
    result = tmp_path / "results" / "pneumonia" / "train2356"
    result.mkdir(parents=True)
    shown = subprocess.run(
        ["auscult", "experiment", "show", "pneumonia/train2356"],
        cwd=project_dir,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (result / "experiment.yaml").write_text(shown.replace("batch_size: 32", "batch_size: 16", 1))
    git = {"commit": "unknown"}
    (result / "provenance.json").write_text(json.dumps({"data": {"md5": "a.dir"}, "git": git}))
    (tmp_path / "data.dvc").write_text("outs:\n- md5: b.dir\n  path: data\n")
    changes = result_changes(result, "pneumonia", "train2356", config_dir=project / "config", project_dir=tmp_path)
    assert changes[0].startswith("settings: jobs.1.train.batch_size: 16 -> 32")
    assert changes[-1].startswith("data: made from the data a.dir; data.dvc pins b.dir now")
    assert len(changes) == 2


def test_modules_that_changed_since_are_told(project, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    module = tmp_path / "src" / "auscult" / "io.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    git("init", "-q")
    git("add", "src")
    git("commit", "-q", "-m", "first")
    result = tmp_path / "results" / "pneumonia" / "tiny"
    result.mkdir(parents=True)
    commit = git("rev-parse", "HEAD")
    (result / "provenance.json").write_text(json.dumps({"data": {"md5": "unknown"}, "git": {"commit": commit}}))
    paths = {"config_dir": project / "config", "project_dir": tmp_path}
    assert result_changes(result, "pneumonia", "tiny", **paths) == []
    module.write_text("x = 2\n")
    (change,) = result_changes(result, "pneumonia", "tiny", **paths)
    assert change.startswith(f"code: 1 files of src/auscult differ from commit {commit[:12]}")
