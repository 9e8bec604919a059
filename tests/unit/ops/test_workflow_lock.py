"""Locks of dead processes are removed, those of living ones and of other machines are not."""

import os
import signal
import subprocess
import sys

import pytest

from auscult.ops.workflow_lock import take_over

HOLD = "import sys, time; from pathlib import Path; from auscult.ops.workflow_lock import take_over; "
HOLD += "kept = take_over(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "locks").mkdir()
    return tmp_path


def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lock_of_a_killed_process_is_removed(folder, caplog):
    process = holder(folder)
    (folder / "locks" / "0.input.lock").write_text("data.dvc\n")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = take_over(folder)
    assert list((folder / "locks").iterdir()) == []
    assert "this one goes on" in caplog.text
    assert kept is not None
    kept.close()


def test_the_lock_of_a_living_process_stays(folder):
    process = holder(folder)
    (folder / "locks" / "0.input.lock").write_text("data.dvc\n")
    try:
        kept = take_over(folder)
        assert kept is not None
        kept.close()
        assert len(list((folder / "locks").iterdir())) == 1
    finally:
        process.kill()
        process.communicate()


def test_the_lock_of_another_machine_stays(folder, caplog):
    (folder / "auscult-owner").write_text("another-machine\n")
    (folder / "locks" / "0.input.lock").write_text("data.dvc\n")
    kept = take_over(folder)
    assert kept is not None
    kept.close()
    assert len(list((folder / "locks").iterdir())) == 1
    assert caplog.text == ""
