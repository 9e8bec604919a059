"""A study on a real Slurm: its trials run side by side, those that rest free their places."""

import json
import time
from pathlib import Path

import pytest
from tests.cluster.conftest import EXPERIMENT
from tests.cluster.watching import Controllers, list_jobs

pytestmark = [pytest.mark.cluster, pytest.mark.soak, pytest.mark.timeout(1800)]
TRIALS = 12
TUNE = """
tune:
  search: {{train.optimizer.lr: {{log_uniform: [1.0e-4, 1.0e-1]}}, train.batch_size: {{choice: [16, 32]}}}}
  trials: {trials}
  parallel: 4
"""


def test_trials_run_four_at_a_time(controllers: Controllers, cluster_workflow: Path) -> None:
    path = cluster_workflow / "config/experiments/pneumonia/searched.yaml"
    path.write_text(EXPERIMENT.format(epochs=3, devices=1, datasets="[bd]", jobs="[{}]") + TUNE.format(trials=TRIALS))
    controller, most = controllers.start_study("pneumonia/searched", "slurm-gpu"), 0
    while controller.poll() is None:
        unfinished = [job for job in list_jobs("tune_rung", "searched") if job.state in {"PENDING", "RUNNING"}]
        most = max(most, len(unfinished))
        time.sleep(1)
    assert controller.returncode == 0, controller.said()[-4000:]
    chosen = json.loads((cluster_workflow / "work/tune/pneumonia/searched/chosen.json").read_text())
    states = [trial["state"] for trial in chosen["trials"]]
    assert len(states) == TRIALS and states.count("pruned") >= TRIALS // 2 and states.count("complete") >= 1
    assert 1 < most <= 4
    jobs = list_jobs("tune_rung", "searched")
    assert {job.partition for job in jobs} == {"gpu"} and {job.state for job in jobs} == {"COMPLETED"}
    rungs = sum(len(trial["rungs"]) for trial in chosen["trials"])
    assert len(jobs) == rungs  # no rung was trained twice
