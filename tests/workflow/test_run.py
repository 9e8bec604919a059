"""`auscult run` in front of a workflow of its own: two rules, so that it takes seconds."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auscult.formatting.terminal import Console
from auscult.ops.run_target import Shown

SNAKEFILE = """
rule second:
    input: "a.txt"
    output: "b.txt"
    log: "second.log"
    message: "Making b"
    shell: "echo a word of the job >&2; cp ill.log {log}; test -s cure.txt && cp {input} {output}"

rule first:
    output: "a.txt"
    message: "Making a"
    shell: "echo made > {output}"

rule endless:
    output: "never.txt"
    message: "Waiting"
    shell: "echo $$ > pid; sleep 600; touch {output}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "ill.log").write_text("Traceback:\nValueError: no [sound] here\n")
    return tmp_path


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from auscult.cli import main; main()", "run", "--cores", "1", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "AUSCULT_PROFILE"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment, start_new_session=True, **pipes)


@pytest.mark.slow
def test_jobs_are_told_by_plain_lines_and_the_error_last_and_once(project: Path) -> None:
    planned = start(project, "--dry-run", "b.txt")
    assert planned.communicate()[0].splitlines() == [
        "Making a", "    not made yet: a.txt",
        "Making b", "    not made yet: b.txt", "    what it reads is made anew",
        "2 jobs would run",
    ]  # fmt: skip
    assert planned.returncode == 0
    failed = start(project, "b.txt")
    lines = failed.communicate()[0].splitlines()
    error = "error: Making b: ValueError: no [sound] here (log: second.log)"
    assert lines[:4] == ["Making a", "1/2 done: Making a", "Making b", "a word of the job"]
    assert lines[-1] == error
    assert [line for line in lines if "ValueError" in line] == [error]
    assert failed.returncode == 1

    (project / "cure.txt").write_text("well")
    again = start(project, "b.txt", "--", "--config", "word=1")
    assert again.communicate()[0].splitlines() == ["Making b", "a word of the job", "1/1 done: Making b", "1 job done"]
    assert again.returncode == 0
    assert "Nothing to be done" in start(project, "b.txt").communicate()[0]


def test_an_interrupt_ends_the_jobs_too(project: Path) -> None:
    running = start(project, "never.txt")
    try:
        until_s = time.monotonic() + 120
        while not (project / "pid").exists():
            assert running.poll() is None, running.communicate()[0]
            assert time.monotonic() < until_s
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        said = running.communicate(timeout=120)[0]
        assert running.returncode == 1, said
        assert "Traceback" not in said
        assert not (project / "never.txt").exists()
        with pytest.raises(ProcessLookupError):
            os.killpg(running.pid, 0)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def test_a_bar_shows_jobs_and_the_epochs_of_a_running_training(tmp_path: Path) -> None:
    state = tmp_path / "run" / "state"
    state.mkdir(parents=True)
    values = '{"status": "training", "epoch": 3, "epochs": 8, "batch": 5, "n_batches": 10, "train/loss": 0.25}'
    (state / "progress.json").write_text(values)
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    shown = Shown(tmp_path, screen)
    shown.take({"kind": "plan", "n_jobs": 4})
    for number, text in enumerate(("Cutting", "Training job 1")):
        shown.take({"kind": "job", "id": number, "text": text, "outputs": ["run/model.json"], "reason": ""})
    shown.take({"kind": "done", "id": 0})
    shown.look()
    bar = shown.bar.tasks[0]
    assert (bar.fields["jobs"], bar.description) == ("1/4 jobs", "Training job 1: epoch 3/8, loss 0.2500")
    assert (bar.completed, bar.total) == (1 + 2.5 / 8, 4)


def test_what_a_later_attempt_finished_is_no_error(tmp_path: Path) -> None:
    output = io.StringIO()
    shown = Shown(tmp_path, Console(file=output))
    job = {"kind": "job", "id": 7, "text": "Training", "outputs": [], "reason": ""}
    failed = {"kind": "failed", "id": 7, "logs": [], "fault": None}
    for event in ({"kind": "plan", "n_jobs": 1}, job, failed, job, {"kind": "done", "id": 7}):
        shown.take(event)
    shown.end(0)
    assert output.getvalue().splitlines() == ["Training", "Training: once more", "1/1 done: Training", "1 job done"]
