"""Killed with SIGKILL at 20 random moments, inside saves too, and each time gone on with by Snakemake's own retry."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from tests.workflow.test_training_resume import progress, start

N_KILLS = 20
N_KILLS_IN_A_SAVE = 6
N_KILLS_AT_THE_START = 3
EPOCHS = 24
TIMING = ["epoch_s", "data_wait_share", "samples_per_s"]
RUNS = Path("work/runs/pneumonia/killed")
EXPERIMENT = """
description: the same training twice; the second one is killed over and over
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
evaluate: {{bootstrap_draws: 50}}
jobs:
  - {{}}
  - {{train: {{batches: {{workers: {workers}}}}}}}
"""


class Killer:
    """Waits for the moment to kill the training of a run, which its lock names."""

    def __init__(self, run: Path, n_batches: int, seed: int) -> None:
        self.state = run / "state"
        self.n_batches = n_batches  # of an epoch
        self.rng = np.random.default_rng(seed)
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
        if number < N_KILLS_AT_THE_START:
            time.sleep(self.rng.uniform(0, 2))
        else:
            # By batches, not by the clock: on a machine of any speed it is not over before the last kill.
            goal = self.position() + self.rng.uniform(0, EPOCHS * self.n_batches / (N_KILLS + 5))
            while self.position() <= goal and training.is_running():
                time.sleep(0.005)
            time.sleep(self.rng.uniform(0, 0.05))
        if number >= N_KILLS - N_KILLS_IN_A_SAVE:
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workers", [0, 2])
def test_twenty_kills_change_no_bit_of_weights_history_and_predictions(
    snakemake, workflow_dir: Path, workers: int
) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "killed.yaml"
    path.write_text(EXPERIMENT.format(epochs=EPOCHS, workers=workers))
    # The uninterrupted one reads without workers.
    whole = snakemake(str(RUNS / "1" / "predictions.parquet"))
    assert whole.returncode == 0, whole.stdout[-3000:]

    controller = start(workflow_dir, str(RUNS / "2" / "predictions.parquet"), "--config", f"retries={N_KILLS + 5}")
    n_batches = progress(workflow_dir, RUNS / "1")["n_batches"]
    killer = Killer(workflow_dir / RUNS / "2", n_batches, seed=workers)
    for _ in range(N_KILLS):
        killer.kill_next(controller)
    output, _ = controller.communicate(timeout=900)
    assert controller.returncode == 0, output
    # Snakemake tried again after each, and nothing else ended an attempt.
    assert output.count("Trying to restart job") == N_KILLS, output
    told = progress(workflow_dir, RUNS / "2")
    assert told["attempt"] == N_KILLS + 1
    assert "was killed or lost without a word" in told["resumed_because"]
    assert killer.n_in_a_save >= N_KILLS_IN_A_SAVE
    # They hit many places, within epochs and between them.
    assert len(set(killer.reached)) > N_KILLS // 2
    assert len({save.partition("-")[0] for save in killer.reached}) > 5
    assert killer.orphans or not workers

    ours, theirs = (outcome(workflow_dir / RUNS / job) for job in ("2", "1"))
    assert ours == theirs
    # Workers see that their training is gone.
    _, alive = psutil.wait_procs(killer.orphans, timeout=20)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
