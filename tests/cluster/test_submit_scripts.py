"""`snakemake --profile profiles/generic`: a cluster by three scripts."""

from collections.abc import Callable

import pytest
from tests.cluster.watching import ENDLESS, Controllers, Training, list_jobs, list_unfinished, slurm, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PROFILE = "profiles/generic"


def weights(experiment: str) -> str:
    return f"work/runs/pneumonia/{experiment}/1/model.safetensors"


def test_a_training_is_submitted_and_its_end_seen(
    controllers: Controllers, make_experiment: Callable[[str, int], Training]
) -> None:
    training = make_experiment("scripts", 2)
    controller = controllers.start(PROFILE, weights("scripts"))
    assert controller.wait(timeout=600) == 0, controller.said()[-4000:]
    assert (training.folder / "model.safetensors").is_file()
    job = [found for found in list_jobs() if found.name == "auscult_train"][-1]
    assert (job.partition, job.state) == ("gpu", "COMPLETED")
    shown = slurm("scontrol", "show", "job", job.id)
    for part in ("TresPerJob=gres:gpu:1", "MinMemoryNode=8000M", "TimeLimit=08:00:00", "Requeue=1"):
        assert part in shown


def test_a_cancelled_job_is_seen_as_failed(
    controllers: Controllers, make_experiment: Callable[[str, int], Training]
) -> None:
    training = make_experiment("cancelled", ENDLESS)
    controller = controllers.start(PROFILE, weights("cancelled"), "--config", "retries=0")
    wait_until(lambda: len(training.epochs) > 2, "the training runs", 600, controller)
    slurm("scancel", training.owner["slurm_job"])
    assert controller.wait(timeout=120) == 1, controller.said()[-4000:]
    assert list_unfinished() == []
    assert training.progress["status"] == "stopped"
    assert training.epochs == list(range(1, len(training.epochs) + 1))
