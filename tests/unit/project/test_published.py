import hashlib
import json
import shutil

import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.errors import DataError
from auscult.project.published import verify_result

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
