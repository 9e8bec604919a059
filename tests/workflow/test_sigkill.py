"""Killed with SIGKILL at random moments, inside saves too, and each time resumed by Snakemake's own retry."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import pytest
from tests.workflow.conftest import TRACKED, copy_workflow, run_snakemake
from tests.workflow.test_training_resume import progress, start

from auscult.storage.files import settings_key, sha256_file


class Kills(NamedTuple):
    """How often one training is killed: the first ones as it starts, the last ones while it saves."""

    all: int
    at_the_start: int
    in_a_save: int


# By the job that is killed (job 1 is not). Job 2 reads its batches itself, for job 3 two workers do so.
KILLS = {2: Kills(3, 1, 1), 3: Kills(3, 0, 1)}
SOAK_KILLS = {2: Kills(8, 1, 3), 3: Kills(12, 2, 4)}
EPOCHS = 14
TIMING = ["epoch_s", "data_wait_share", "samples_per_s"]
RUNS = Path("work/runs/pneumonia/killed")
EXPERIMENT = """
description: the same training three times; two of them are killed over and over
task: pneumonia
datasets: [icbhi, bd]
clips: {{unit: window, length_s: 4, sample_rate_hz: 4000}}
spectrogram: {{n_fft: 256, hop_samples: 128, n_mels: 32}}
split: {{preset: patients_70_15_15, seed: 1}}
model: {{name: test_cnn, dropout: 0.3}}
augment:
  waveform:
    - {{name: time_shift, max_shift_s: 0.3}}
    - {{name: augmix, quantity: 0.1, functions: [gain, coloured_noise], weight: [0.3, 0.7]}}
  spectrogram:
    - {{name: mixup, quantity: 0.2, weight: [0.3, 0.7]}}
    - {{name: mask_time, max_width_frames: 3}}
    - {{name: gaussian_noise, max_deviation: 0.5}}
train:
  epochs: {epochs}
  batch_size: 16
  optimizer: {{name: adamw, lr: 0.001, weight_decay: 0.1}}
  schedules: [{{name: linear_warmup, length: 3}}, {{name: cosine, by: step}}]
  ema: {{decay: 0.9}}
  accumulate_batches: 2
  save: {{every_steps: 1}}
  batches: {{place: stream, window_clips: 64, workers: 0}}
evaluate: {{bootstrap_draws: 50, n_examples: 2, outcomes: {{max_clips: 1}}}}
jobs:
  - {{}}
  - {{}}
  - {{train: {{batches: {{workers: 2}}}}}}
"""


class Killer:
    """Waits for the moment to kill the training of a run, which its lock names."""

    def __init__(self, run: Path, kills: Kills, n_batches: int) -> None:
        self.state = run / "state"
        self.kills = kills
        self.n_batches = n_batches  # of an epoch
        self.rng = np.random.default_rng(kills.all)
        self.pids: list[int] = []
        self.n_in_a_save = 0
        self.reached: list[str] = []
        self.orphans: list[psutil.Process] = []

    def saves(self) -> list[str]:
        return sorted(path.stem for path in self.state.glob("*/[0-9]*-[0-9]*.json"))

    def files_being_written(self) -> list[Path]:
        return list(self.state.glob("*/.*.tmp*"))

    def position(self) -> int:
        """Batches that are saved."""
        epoch, _, batch = (self.saves() or ["1-0"])[-1].partition("-")
        return (int(epoch) - 1) * self.n_batches + int(batch)

    def new_owner(self) -> int | None:
        try:
            pid = json.loads((self.state / "lock.json").read_text())["pid"]
        except (OSError, ValueError):
            return None
        return pid if pid not in self.pids and psutil.pid_exists(pid) else None

    def kill_next(self, controller: psutil.Popen) -> None:
        """Kill the next attempt: as it starts, or some batches later; the last ones while they save."""
        while (pid := self.new_owner()) is None:
            assert controller.poll() is None, controller.communicate()[0]
            time.sleep(0.01)
        training, number = psutil.Process(pid), len(self.pids)
        if number < self.kills.at_the_start:
            time.sleep(self.rng.uniform(0, 2))
        else:
            # By batches, not by the clock: on a machine of any speed it is not over before the last kill.
            goal = self.position() + self.rng.uniform(0, EPOCHS * self.n_batches / (self.kills.all + 5))
            while self.position() <= goal and training.is_running():
                time.sleep(0.005)
            time.sleep(self.rng.uniform(0, 0.05))
        if number >= self.kills.all - self.kills.in_a_save:
            while training.is_running():
                if self.files_being_written():
                    training.suspend()
                    if self.files_being_written():
                        break
                    training.resume()
        assert training.is_running(), f"the training ended after {number} kills: give it more epochs"
        training.suspend()
        self.n_in_a_save += bool(self.files_being_written())
        self.orphans += training.children(recursive=True)
        training.send_signal(signal.SIGKILL)
        self.pids.append(pid)
        self.reached.append((self.saves() or [""])[-1])


def outcome(run: Path) -> tuple[bytes, dict, str, bytes]:
    """Weights, thresholds, history and predictions, without what a clock gives."""
    history = pd.read_csv(run / "history.csv").drop(columns=TIMING)
    thresholds = json.loads((run / "model.json").read_text())["thresholds"]
    files = [(run / name).read_bytes() for name in ("model.safetensors", "predictions.parquet")]
    return files[0], thresholds, history.to_csv(), files[1]


def kill_over_and_over(workflow_dir: Path, job: int, kills: Kills, n_batches: int, *config: str) -> Killer:
    """Train a job to its predictions in spite of its kills, and return what they hit."""
    run = RUNS / str(job)
    target = str(run / "predictions.parquet")
    controller = start(workflow_dir, target, "--config", f"retries={kills.all + 5}", *config)
    killer = Killer(workflow_dir / run, kills, n_batches)
    for _ in range(kills.all):
        killer.kill_next(controller)
    output, _ = controller.communicate(timeout=900)
    assert controller.returncode == 0, output
    # Snakemake tried again after each, and nothing else ended an attempt.
    assert output.count("Trying to restart job") == kills.all, output
    told = progress(workflow_dir, run)
    assert told["attempt"] == kills.all + 1
    assert "was killed or lost" in told["resumed_because"]
    assert killer.n_in_a_save >= kills.in_a_save
    return killer


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("prepared_experiment")
def test_kills_change_no_bit_of_weights_history_and_predictions(snakemake, workflow_dir: Path, soak: bool) -> None:
    kills = SOAK_KILLS if soak else KILLS
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "killed.yaml"
    path.write_text(EXPERIMENT.format(epochs=EPOCHS))
    whole = snakemake(str(RUNS / "1" / "predictions.parquet"))
    assert whole.returncode == 0, whole.stdout[-3000:]
    n_batches = progress(workflow_dir, RUNS / "1")["n_batches"]

    # With the process that logs it and watches the machine; without it the only children are the workers.
    alone = kill_over_and_over(workflow_dir, 2, kills[2], n_batches, f"tracking={TRACKED}")
    with_workers = kill_over_and_over(workflow_dir, 3, kills[3], n_batches)
    # They hit many places, within epochs and between them.
    reached = [*alone.reached, *with_workers.reached]
    assert len(reached) == sum(each.all for each in kills.values())
    assert len(set(reached)) > len(reached) / 2
    assert len({save.partition("-")[0] for save in reached}) >= min(len(reached) // 2, 4)

    expected = outcome(workflow_dir / RUNS / "1")
    for job in kills:
        assert outcome(workflow_dir / RUNS / str(job)) == expected, job
    # Workers, and the process that watches, see that their training is gone.
    assert with_workers.orphans
    _, alive = psutil.wait_procs([*alone.orphans, *with_workers.orphans], timeout=20)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


STAGES = ("ingest", "make_split", "cut_clips", "make_spectrograms", "train", "evaluate", "track", "publish")
WAYS = ("job", "group", "controller")
N_STAGE_KILLS = 20
ONE_JOB = """
description: every stage of it is killed
task: pneumonia
datasets: [bd]
clips: {unit: window, length_s: 4, sample_rate_hz: 4000}
spectrogram: {n_fft: 256, hop_samples: 128, n_mels: 32}
split: {preset: patients_70_15_15, seed: 1}
model: {name: test_cnn}
train: {epochs: 3, save: {every_steps: 1}}
evaluate: {bootstrap_draws: 50, n_examples: 2, outcomes: {max_clips: 1}}
jobs: [{}]
"""
KILLED_TARGET = "results/pneumonia/every_stage"
# What tells of times, of the machine, or of how a run came about; MLflow's names of its runs are random.
OF_ITS_RUN = {
    "history.csv", "metrics.jsonl", "progress.json", "provenance.json", "report.html", "summary.json", "system.jsonl",
    "tracked.json", "tracking_request.json", "checksums.txt", "experiment.yaml",
}  # fmt: skip
OF_ITS_RUN_FOLDERS = {"state", "test_readings"}


def made(folder: Path) -> dict[str, str]:
    """Digests of what a workflow made, by path; of a model's description without the times of its training."""
    found: dict[str, str] = {}
    for path in (path for top in ("work", "results") for path in (folder / top).rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.name == "model.json":
            meta = json.loads(path.read_text())
            del meta["training"], meta["description_sha256"]
            found[name] = settings_key(meta)
        elif path.name not in OF_ITS_RUN and path.suffix != ".log" and not OF_ITS_RUN_FOLDERS & set(path.parts):
            found[name] = sha256_file(path)
    return found


def left_behind(folder: Path) -> list[str]:
    """Temporary files and locks that no process needs any more; the lock beside MLflow's store stays."""
    found = [
        *folder.glob("work/**/.*"),
        *folder.glob("results/**/.*"),
        *folder.glob(".mlflow*"),
        *folder.glob("*-journal"),
    ]
    found += [*folder.glob("work/**/state/lock*"), *folder.glob(".snakemake/locks/*"), *folder.glob("**/*.tmp*")]
    return sorted({path.relative_to(folder).as_posix() for path in found if path.name != ".snakemake_timestamp"})


def kill_in_stage(folder: Path, command: tuple[str, ...], stage: str, way: str, wait_s: float) -> bool:
    """Run a command until a stage writes, or for `wait_s` of it, and kill; return whether it was writing."""
    controller = start(folder, *command)
    script = f".{stage}.py"
    try:
        job = None
        while job is None:
            assert controller.poll() is None, controller.communicate()[0]
            children = psutil.Process(controller.pid).children(recursive=True)
            job = next((child for child in children if any(part.endswith(script) for part in cmdline_of(child))), None)
            time.sleep(0.01)
        until_s = time.monotonic() + wait_s
        is_writing = False
        while time.monotonic() < until_s and not is_writing and job.is_running():
            is_writing = any(folder.glob("work/**/.*.tmp*")) or any(folder.glob(".mlflow-*"))
            time.sleep(0.002)
        if way == "group":
            os.killpg(controller.pid, signal.SIGKILL)
        elif way == "controller":
            controller.kill()
        elif job.is_running():
            job.kill()
            # Snakemake sees that its job died; a training it would try again by itself.
            controller.terminate()
        controller.communicate(timeout=300)
        # What a killed controller leaves behind runs on: it must have ended, or be waited for, as on a real machine.
        psutil.wait_procs([job], timeout=300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(controller.pid, signal.SIGKILL)
    return is_writing


def cmdline_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_after_any_kill_the_same_command_goes_on_and_nothing_is_left(project_dir: Path, tmp_path: Path) -> None:
    """Each stage, by the job alone, with its whole process group, and the controller alone: 20 kills in three runs."""
    rng = np.random.default_rng(20)
    command = (KILLED_TARGET, "--config", f"tracking={TRACKED}")
    for name in ("whole", *WAYS):
        (tmp_path / name).mkdir()
        copy_workflow(project_dir, tmp_path / name, "profiles")  # with rerun-incomplete
        (tmp_path / name / "config/experiments/pneumonia/every_stage.yaml").write_text(ONE_JOB)
    whole = run_snakemake(tmp_path / "whole", *command)
    assert whole.returncode == 0, whole.stdout
    expected, lasted_s = made(tmp_path / "whole"), durations_s(tmp_path / "whole")

    kills = [(way, stage) for way in WAYS for stage in STAGES][:N_STAGE_KILLS]
    n_writing = 0
    for way in dict.fromkeys(way for way, _ in kills):
        for stage in (stage for each, stage in kills if each == way):
            wait_s = rng.uniform(0.3, 0.95) * lasted_s[stage]
            is_writing = kill_in_stage(tmp_path / way, command, stage, way, wait_s)
            n_writing += is_writing
            with (tmp_path / "kills.txt").open("a") as log:
                log.write(f"{way} {stage} {'writing' if is_writing else ''} {left_behind(tmp_path / way)}\n")
        done = run_snakemake(tmp_path / way, *command)
        assert done.returncode == 0, done.stdout
        assert made(tmp_path / way) == expected, way
        assert left_behind(tmp_path / way) == [], way
    assert n_writing >= N_STAGE_KILLS / 4


def durations_s(folder: Path) -> dict[str, float]:
    """Seconds of each stage, by its benchmark; of one without, a few."""
    found = {path.relative_to(folder / "benchmarks").parts[0]: path for path in (folder / "benchmarks").rglob("*.tsv")}
    return {stage: float(pd.read_csv(found[stage], sep="\t")["s"][0]) if stage in found else 3.0 for stage in STAGES}
