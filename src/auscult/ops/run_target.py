"""`auscult run`: Snakemake behind one bar over jobs and the epochs of running trainings, its error last and once.

Snakemake is started as its user would start it, and ends as it ends; only its words are ours. They come by a logger
plugin of its own, through a pipe. What jobs print comes through another, and stands above the bar.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from auscult.errors import ConfigError
from auscult.formatting.numbers import plural
from auscult.formatting.terminal import Console
from auscult.logs import ERRORS_ARE_SHOWN_BY
from auscult.ops.explain import plugin_path, read_reasons
from auscult.training.progress import PROGRESS_FILE, RUNNING, read_progress

PROFILE = "AUSCULT_PROFILE"
_LOOK_EVERY_S = 0.5


def snakemake_command(
    target: str | None, arguments: Sequence[str], *, profile: str | None, cores: str | None, is_dry: bool
) -> list[str]:
    """Return the command line of Snakemake.

    Args:
        target: Such as `results/pneumonia/train2356`; None: all experiments on the data that DVC tracks.
        arguments: More for Snakemake.
        profile: Its name or folder; without one jobs run here.
        cores: For jobs here, or the most that a cluster is asked for; None: all of this machine, without a profile.
        is_dry: Nothing is run.

    >>> snakemake_command("results/a/b", ["--forceall"], profile="slurm-gpu", cores=None, is_dry=False)[3:]
    ['--profile', 'slurm-gpu', '--logger', 'run', '--forceall', '--', 'results/a/b']
    """
    command = [sys.executable, "-m", "snakemake"]
    if profile:
        command += ["--profile", profile]
    elif cores is None and not os.environ.get("SNAKEMAKE_PROFILE"):
        cores = "all"
    command += [] if cores is None else ["--cores", cores]
    command += ["--dry-run"] if is_dry else []
    return [*command, "--logger", "run", *arguments, *([] if target is None else ["--", target])]


def run_target(command: Sequence[str], project_dir: Path = Path(), screen: Console | None = None) -> int:
    """Run a command of `snakemake_command` and show what it does.

    Returns:
        Its exit status; 128 and the signal's number where one ended it.

    Raises:
        ConfigError: There is no workflow here.
    """
    if not (project_dir / "Snakefile").is_file():
        raise ConfigError(f"{project_dir.resolve()}: no Snakefile here; run this in the project's folder")
    screen = screen or Console(stderr=True, highlight=False, soft_wrap=True)
    events, written = os.pipe()
    environment = {
        **os.environ,
        "PYTHONPATH": plugin_path(),
        "PYTHONUTF8": "1",
        "AUSCULT_RUN_PIPE": str(written),
        ERRORS_ARE_SHOWN_BY: "auscult run",
    }
    shown = Shown(project_dir, screen, is_dry="--dry-run" in command)
    started: list[subprocess.Popen[str]] = []
    with _signals_left_to(started):
        workflow = subprocess.Popen(  # noqa: S603 (Snakemake, with the user's own arguments)
            command,
            cwd=project_dir,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(written,),
            encoding="utf-8",
            errors="replace",
        )
        started.append(workflow)
        os.close(written)
        assert workflow.stdout is not None
        with open(events, encoding="utf-8") as pipe, shown.bar:
            readers = [
                threading.Thread(target=_each_line, args=(workflow.stdout, shown.line)),
                threading.Thread(target=_each_line, args=(pipe, lambda line: shown.take(json.loads(line)))),
            ]
            for reader in readers:
                reader.start()
            while any(reader.is_alive() for reader in readers):
                readers[-1].join(_LOOK_EVERY_S)
                shown.look()
                readers[0].join(0 if readers[-1].is_alive() else _LOOK_EVERY_S)
            status = workflow.wait()
    shown.end(status)
    return status if status >= 0 else 128 - status


def _each_line(stream: IO[str], take: Any) -> None:
    for line in stream:
        take(line.rstrip("\n"))


class Shown:
    """What is known of a running workflow, as one bar on a terminal, and as plain lines elsewhere.

    Args:
        project_dir: Holds the Snakefile.
        screen: Where it is shown.
        is_dry: Jobs are named that would run.
    """

    def __init__(self, project_dir: Path, screen: Console, *, is_dry: bool = False) -> None:
        self._project_dir = project_dir
        self._screen = screen
        self._is_dry = is_dry
        self._n_jobs = 0
        self._n_done = 0
        self._texts: dict[int, str] = {}
        self._running: dict[int, Path | None] = {}  # of a job's first output
        self._failed: dict[int, str] = {}
        self._errors: list[str] = []
        self.bar = Progress(
            TextColumn("{task.fields[jobs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=screen,
            transient=True,
            disable=is_dry or not screen.is_terminal,
        )
        self._task = self.bar.add_task("planning", total=None, jobs="")

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        self._screen.print(Text(text))

    def take(self, event: dict[str, Any]) -> None:
        """Take an event of the plugin."""
        getattr(self, f"_take_{event['kind']}")(event)

    def look(self) -> None:
        """Draw the bar anew, with what running trainings say of their epochs."""
        trainings = [self._training(*item) for item in list(self._running.items())]
        texts = [text for text, _ in trainings]
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        self.bar.update(
            self._task,
            description=f"{texts[0]}{more}" if texts else "planning" if not self._n_jobs else "",
            jobs=f"{self._n_done}/{self._n_jobs} jobs" if self._n_jobs else "",
            completed=self._n_done + sum(share for _, share in trainings),
            total=self._n_jobs or None,
        )

    def end(self, status: int) -> None:
        """Show what failed, last: jobs that no later attempt finished, or why there was no plan."""
        for text in [*self._errors, *self._failed.values()]:
            self.line(text)
        if self._n_jobs and not status:
            verb = "would run" if self._is_dry else "done"
            self.line(f"{plural(self._n_jobs, 'job')} {verb}")

    def _take_plan(self, event: dict[str, Any]) -> None:
        self._n_jobs = event["n_jobs"]

    def _take_job(self, event: dict[str, Any]) -> None:
        number = event["id"]
        is_again = self._failed.pop(number, None) is not None
        self._errors.clear()
        self._texts[number] = event["text"]
        self._running[number] = self._project_dir / event["outputs"][0] if event["outputs"] else None
        if self._is_dry:
            reasons = read_reasons(event["reason"]) if event["reason"] else []
            self.line(event["text"] + "".join(f"\n    {reason}" for reason in reasons))
        elif is_again or self.bar.disable:
            self.line(f"{event['text']}{': once more' if is_again else ''}")

    def _take_done(self, event: dict[str, Any]) -> None:
        number = event["id"]
        self._n_done += 1
        self._running.pop(number, None)
        if self.bar.disable:
            self.line(f"{self._n_done}/{self._n_jobs} done: {self._texts.get(number, number)}")

    def _take_failed(self, event: dict[str, Any]) -> None:
        number, logs = event["id"], event["logs"]
        self._running.pop(number, None)
        said = event["fault"] or _last_line(self._project_dir, logs) or "it ended without a word"
        where = f" (log: {', '.join(logs)})" if logs else ""
        self._failed[number] = f"error: {self._texts.get(number, 'a job')}: {said}{where}"

    def _take_said(self, event: dict[str, Any]) -> None:
        if event["is_error"]:
            self._errors.append(event["text"])
        else:
            self.line(event["text"])

    def _training(self, number: int, output: Path | None) -> tuple[str, float]:
        """Return what a running job is doing, and how much of it is done, from 0 to 1."""
        text = self._texts[number]
        values = None if output is None else read_progress(output.parent / "state" / PROGRESS_FILE)
        if values is None or values.get("status") not in RUNNING or not values.get("epochs") or not values.get("epoch"):
            return text, 0.0
        epoch, epochs, loss = values["epoch"], values["epochs"], values.get("train/loss")
        done = epoch - 1 + (values.get("batch") or 0) / max(1, values.get("n_batches") or 1)
        return f"{text}: epoch {epoch}/{epochs}" + ("" if loss is None else f", loss {loss:.4f}"), done / epochs


def _last_line(project_dir: Path, logs: Sequence[str]) -> str | None:
    """Return the last line of a job's log: of a traceback, what was raised."""
    for log in logs:
        try:
            lines = (project_dir / log).read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:  # it ended before it could write one
            continue
        for line in reversed(lines):
            if line.strip():
                return line.strip()
    return None


@contextmanager
def _signals_left_to(workflow: Sequence[subprocess.Popen[str]]) -> Generator[None]:
    """Leave it to Snakemake what a signal means: a terminal's Ctrl-C reaches it without us, SIGTERM is passed on."""

    def pass_on(number: int, _: FrameType | None) -> None:
        for process in workflow:
            process.send_signal(number)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        # No SIG_IGN: Snakemake would inherit it.
        signal.SIGINT: signal.signal(signal.SIGINT, lambda number, frame: None),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
