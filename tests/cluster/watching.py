"""What the cluster tests look at: Slurm's jobs, a controller's words, and what a training left on disk."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENDLESS = 100_000
"""Epochs of a training that a test has to end."""
FINISHED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY"}


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@dataclass
class Job:
    """A Slurm job as squeue tells it, finished ones too."""

    id: str
    name: str
    partition: str
    state: str
    comment: str


def list_jobs(rule: str = "", experiment: str = "") -> list[Job]:
    """The jobs of a rule and an experiment, oldest first."""
    lines = slurm("squeue", "--noheader", "--states=all", "--sort=i", "--format=%i|%j|%P|%T|%k").splitlines()
    jobs = [Job(*line.split("|", maxsplit=4)) for line in lines]
    begin = f"rule_{rule}" if rule else ""
    return [job for job in jobs if job.comment.startswith(begin) and experiment in job.comment]


def list_unfinished(experiment: str = "") -> list[Job]:
    return [job for job in list_jobs(experiment=experiment) if job.state not in FINISHED]


class Controller(subprocess.Popen):
    """A running `snakemake`, its output in the file `out`."""

    def __init__(self, command: list[str], out: Path, **keywords: Any) -> None:
        self.out = out
        with out.open("wb") as stream:
            super().__init__(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, **keywords)

    def said(self) -> str:
        return self.out.read_text(errors="replace")


@dataclass
class Controllers:
    """Starts `snakemake` in the copied workflow; what still runs when a test ends is killed."""

    folder: Path
    running: list[Controller] = field(default_factory=list)

    def start_study(self, experiment: str, profile: str) -> Controller:
        """Start `auscult tune run`."""
        out = self.folder / f"study-{time.time_ns()}.txt"
        command = [sys.executable, "-m", "auscult", "tune", "run", experiment, "--profile", profile]
        command += ["--", "--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = Controller(command, out, cwd=self.folder, start_new_session=True, env=environment)
        self.running.append(process)
        return process

    def start(self, profile: str, target: str, *arguments: str, **environment: str) -> Controller:
        out = self.folder / f"controller-{time.time_ns()}.txt"
        # Ctrl-C must reach it, also where the tests run in the background of a script, which ignores that signal.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "snakemake", "--profile", profile]
        command += [target, "--latency-wait", "10", *arguments]
        # A test waits for what a cluster's users have time for.
        if profile == "slurm-gpu":
            command += ["--slurm-init-seconds-before-status-checks", "1"]
        else:
            command += ["--seconds-between-status-checks", "1"]
        process = Controller(
            command,
            out,
            cwd=self.folder,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.running.append(process)
        return process

    def unlock(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", "--unlock"],
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=120,
        )


@dataclass
class Training:
    """What one training has left on disk so far."""

    folder: Path

    @property
    def progress(self) -> dict:
        return read_json(self.folder / "state" / "progress.json")

    @property
    def owner(self) -> dict:
        return read_json(self.folder / "state" / "lock.json")

    @property
    def epochs(self) -> list[int]:
        """The epochs of `metrics.jsonl`, a last line that is being written left out."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return [json.loads(line)["epoch"] for line in lines]


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # not there yet, or just being written


def wait_until(condition: Callable[[], object], what: str, within_s: float, watched: Controller | None) -> None:
    """Wait; the end of the controller `watched` before that is a failure, told with its last words."""
    deadline = time.monotonic() + within_s
    while not condition():
        said = watched.said()[-4000:] if watched else ""
        assert watched is None or watched.poll() is None, f"the controller ended before {what}:\n{said}"
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}\n{list_jobs()}\n{said}"
        time.sleep(0.2)
