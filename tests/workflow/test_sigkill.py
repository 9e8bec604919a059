"""Killed with SIGKILL at random moments, inside saves too, and each time resumed by Snakemake's own retry."""

import json
import signal
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import pytest
from tests.workflow.conftest import TRACKED
from tests.workflow.test_training_resume import progress, start


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
