"""`snakemake --profile slurm-gpu` on a real Slurm: a result, a time limit, a budget, scancel, a killed controller."""

import csv
import json
import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.cluster.watching import ENDLESS, Controllers, Training, list_jobs, list_unfinished, slurm, wait_until
from tests.workflow.conftest import TRACKED

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.usefixtures("accounting")]
MakeExperiment = Callable[..., Training]


def weights(experiment: str) -> str:
    return f"work/runs/pneumonia/{experiment}/1/model.safetensors"


def has_trained(training: Training, attempt: int = 1, epochs: int = 1) -> Callable[[], bool]:
    """Whether an attempt has finished so many epochs of its own; the first line it adds is one of its own."""
    seen: list[int] = []

    def check() -> bool:
        if training.progress.get("attempt") != attempt or training.progress.get("status") == "starting":
            return False
        if not seen:
            seen.append(len(training.epochs))
        return len(training.epochs) >= seen[0] + epochs

    return check


def assert_each_epoch_once(training: Training) -> None:
    epochs = training.epochs
    assert epochs == list(range(1, len(epochs) + 1))


ARRAYS = ("ingest", "cut_clips", "make_spectrograms")


@pytest.fixture
def reservation(accounting: None) -> Generator[str]:
    node = slurm("sinfo", "--noheader", "--format=%N").split()[0]
    slurm("scontrol", "create", "reservation=course", "users=root", "starttime=now", "duration=30", f"nodes={node}")
    yield "course"
    slurm("scancel", "--user=root")
    wait_until(lambda: not list_unfinished(), "no job is left", 60, None)
    slurm("scontrol", "delete", "reservation=course")


@pytest.fixture
def tracked(cluster_workflow: Path) -> Generator[None]:
    path = cluster_workflow / "config" / "config.yaml"
    text = path.read_text()
    path.write_text(text.replace("tracking: {enabled: false}", f"tracking: {TRACKED}"))
    yield
    path.write_text(text)


@pytest.mark.usefixtures("tracked")
def test_an_experiment_goes_from_raw_recordings_to_a_result_by_what_a_site_asks_for(
    controllers: Controllers, make_experiment: MakeExperiment, cluster_workflow: Path, reservation: str
) -> None:
    # Long enough to be looked at.
    training = make_experiment("whole", 60, jobs=2, datasets="[bd, jordan]")
    controller = controllers.start(
        "slurm-gpu",
        "results/pneumonia/whole",
        "--forceall",
        AUSCULT_ACCOUNT="lungs",
        AUSCULT_QOS="daytime",
        AUSCULT_GPU_QOS="overnight",
        AUSCULT_EFFICIENCY_REPORT="efficiency",
        AUSCULT_ARRAY_RULES=",".join(ARRAYS),
        AUSCULT_CONSTRAINT="lungs",
        AUSCULT_RESERVATION=reservation,
        AUSCULT_EXCLUDE_NODES="spare",
    )

    # What the training process itself was given.
    wait_until(lambda: "pid" in training.owner, "the training has begun", 400, controller)
    environment = environment_of(Path(f"/proc/{training.owner['pid']}"))
    job = training.owner["slurm_job"]
    assert environment["CUDA_VISIBLE_DEVICES"] in {"0", "1"}  # its two jobs train side by side
    assert environment["SLURM_JOB_ID"] == job
    shown = slurm("scontrol", "show", "job", job)
    for part in (
        "Partition=gpu",
        "TresPerJob=gres:gpu:1",
        "MinMemoryNode=8000M",
        "TimeLimit=08:00:00",
        "Requeue=1",
        "Features=lungs",
        "Reservation=course",
        "ExcNodeList=spare",
        "Account=lungs",
        "QOS=overnight",
    ):
        assert part in shown

    assert controller.wait(timeout=600) == 0, controller.said()[-4000:]
    result = cluster_workflow / "results" / "pneumonia" / "whole"
    assert (result / "report.html").is_file()
    assert set(json.loads((result / "metrics.json").read_text())["jobs"]) == {"1", "2"}
    (name,) = {found.name for found in list_jobs("train", "whole")}
    assert name.startswith("auscult_")
    jobs = [found for found in list_jobs() if found.name == name]
    partitions = {found.comment.removeprefix("rule_").partition("_wildcards")[0]: found.partition for found in jobs}
    assert partitions == {
        "ingest": "cpu",
        "make_split": "cpu",
        "cut_clips": "cpu",
        "make_spectrograms": "cpu",
        "train": "gpu",
        "evaluate": "gpu",
    }
    assert {found.state for found in jobs} == {"COMPLETED"}
    # What each was charged to, by the accounts.
    lines = slurm(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=Comment%200,Account,QOS", f"--name={name}"
    )
    charged = {(line.partition("_wildcards")[0], *line.split("|")[1:]) for line in lines.splitlines()}
    training_jobs = {"train", "evaluate"}
    assert charged == {
        (f"rule_{rule}", "lungs", "overnight" if rule in training_jobs else "daytime") for rule in partitions
    }
    (used,) = (cluster_workflow / "efficiency").iterdir()
    with used.open(newline="") as stream:  # of an array the plugin's table may lack tasks
        assert {row["RuleName"].partition("_wildcards")[0] for row in csv.DictReader(stream)} == {
            f"rule_{rule}" for rule in partitions
        }
    # Both datasets can be ingested at once; later jobs are one array where they are ready at the same time.
    numbers = {rule: [found.id for found in jobs if f"rule_{rule}" in found.comment] for rule in partitions}
    arrays = {rule for rule, ids in numbers.items() if any("_" in number for number in ids)}
    assert {"ingest"} <= arrays <= set(ARRAYS)
    assert len({number.partition("_")[0] for number in numbers["ingest"]}) == 1
    assert len(numbers["ingest"]) == 2
    assert (cluster_workflow / f"logs/slurm/rule_train/pneumonia_whole_1/{job}.log").stat().st_size > 0


def test_a_training_on_two_gpus_is_one_job_of_two_processes(
    controllers: Controllers, make_experiment: MakeExperiment, cluster_workflow: Path
) -> None:
    # Here the partition is chosen by its limits.
    training = make_experiment("pair", ENDLESS, devices=2)
    (cluster_workflow / "partitions.yaml").write_text("partitions:\n  cpu: {max_runtime: 1440}\n  gpu: {max_gpu: 2}\n")
    controller = controllers.start("slurm-gpu", weights("pair"), AUSCULT_PARTITIONS_FILE="partitions.yaml")
    wait_until(has_trained(training), "the training runs", 300, controller)
    (job,) = list_jobs("train", "pair")
    assert job.partition == "gpu"
    assert "TresPerJob=gres:gpu:2" in slurm("scontrol", "show", "job", job.id)

    # Fabric's launcher started the second process inside the job, and each sees both GPUs.
    ranks = {}
    for folder in Path("/proc").glob("[0-9]*"):
        environment = environment_of(folder)
        if environment.get("SLURM_JOB_ID") == job.id and "LOCAL_RANK" in environment:
            ranks[folder.name] = (environment["LOCAL_RANK"], environment["CUDA_VISIBLE_DEVICES"])
    assert ("1", "0,1") in ranks.values()
    assert environment_of(Path(f"/proc/{training.owner['pid']}"))["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert training.owner["slurm_job"] == job.id

    # Both leave when the job is ended, and what they did is kept.
    os.killpg(controller.pid, signal.SIGINT)
    wait_until(lambda: not list_unfinished("pair"), "no job is left", 60, None)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), "both have left", 10, None)
    assert training.progress["status"] == "stopped"
    assert_each_epoch_once(training)


def test_a_training_killed_by_its_time_limit_goes_on_from_its_checkpoint(
    controllers: Controllers, make_experiment: MakeExperiment
) -> None:
    training = make_experiment("limited", ENDLESS)
    # A budget beyond the limit: Slurm comes first.
    controller = controllers.start(
        "slurm-gpu", weights("limited"), AUSCULT_GPU_LIMIT_MIN="1", AUSCULT_BUDGET_S="100000"
    )
    wait_until(lambda: list_jobs("train", "limited"), "the training was submitted", 300, controller)
    wait_until(lambda: training.progress.get("status") == "stopped", "the time limit struck", 200, controller)
    assert training.progress["reason"] == "SIGTERM"
    last_epoch = training.epochs[-1]
    wait_until(has_trained(training, attempt=2), "the second attempt trains", 200, controller)

    first, second = list_jobs("train", "limited")
    assert (first.state, second.state) == ("TIMEOUT", "RUNNING")
    assert "MinMemoryNode=16000M" in slurm("scontrol", "show", "job", second.id)  # more at each attempt
    log = (training.folder / "train.log").read_text()
    assert "attempt 2: stopped: SIGTERM" in log
    assert f" epoch {last_epoch + 1}/{ENDLESS}: " in log
    assert_each_epoch_once(training)

    # Ctrl-C at the controller ends the job as well, and what it did is saved.
    os.killpg(controller.pid, signal.SIGINT)
    wait_until(lambda: not list_unfinished("limited"), "no job is left", 60, None)
    assert training.progress["status"] == "stopped"
    assert controller.wait(timeout=200) == 1  # it leaves when it would have asked Slurm again


def test_a_training_whose_budget_is_over_goes_on_and_scancel_ends_the_controller(
    controllers: Controllers, make_experiment: MakeExperiment
) -> None:
    training = make_experiment("budget", ENDLESS)
    controller = controllers.start("slurm-gpu", weights("budget"), "--config", "retries=1", AUSCULT_BUDGET_S="20")
    wait_until(lambda: training.progress.get("status") == "stopped", "the budget was over", 300, controller)
    assert training.progress["reason"] == "the time budget of 20 s is over"
    last_epoch = training.epochs[-1]
    wait_until(has_trained(training, attempt=2), "the second attempt trains", 200, controller)
    first, second = list_jobs("train", "budget")
    assert slurm("scontrol", "show", "job", first.id).count("ExitCode=1:0") == 1  # Snakemake's own, of the 75
    slurm("scancel", second.id)

    cancelled = time.monotonic()
    assert controller.wait(timeout=90) == 1, controller.said()[-4000:]
    assert time.monotonic() - cancelled < 90
    assert f"SLURM-job '{second.id}' failed, SLURM status is: 'CANCELLED'" in controller.said()
    assert list_unfinished("budget") == []
    assert training.progress["status"] == "stopped"
    assert training.epochs[-1] > last_epoch
    assert_each_epoch_once(training)


def test_a_requeued_training_comes_back_as_the_same_job_and_goes_on(
    controllers: Controllers, make_experiment: MakeExperiment
) -> None:
    training = make_experiment("requeued", ENDLESS)
    controller = controllers.start("slurm-gpu", weights("requeued"))
    wait_until(has_trained(training), "the training runs", 300, controller)
    # What Slurm does to a preempted job, and to one whose node failed. It would make such a job wait for two minutes.
    requeued = training.owner["slurm_job"]
    slurm("scontrol", "requeue", requeued)
    wait_until(lambda: state_of(requeued) == "PENDING", "the job waits", 100, controller)
    slurm("scontrol", "update", f"JobId={requeued}", "StartTime=now")
    wait_until(has_trained(training, attempt=2), "the job came back and trains", 400, controller)
    (job,) = list_jobs("train", "requeued")
    assert training.owner["slurm_job"] == job.id
    assert "Restarts=1" in slurm("scontrol", "show", "job", job.id)
    assert_each_epoch_once(training)


def test_a_killed_controller_started_again_does_not_train_twice(
    controllers: Controllers, make_experiment: MakeExperiment
) -> None:
    training = make_experiment("orphan", ENDLESS)
    killed = controllers.start("slurm-gpu", weights("orphan"))
    wait_until(has_trained(training), "the training runs", 300, killed)
    killed.kill()
    killed.wait()
    (old,) = list_jobs("train", "orphan")
    owner = training.owner

    # There is a second GPU: the new controller's job starts beside the old one, and is sent away.
    controllers.unlock()
    controller = controllers.start("slurm-gpu", weights("orphan"), "--config", "retries=20")
    wait_until(lambda: len(list_jobs("train", "orphan")) > 1, "a second job was submitted", 200, controller)
    second = list_jobs("train", "orphan")[1]
    wait_until(lambda: not is_running(second.id), "the second job was sent away", 200, controller)
    log = controllers.folder / f"logs/slurm/rule_train/pneumonia_orphan_1/{second.id}.log"
    assert f"is being trained by process {owner['pid']} on {owner['host']}, Slurm job {old.id}" in log.read_text()
    assert is_running(old.id)
    assert training.owner == owner
    assert training.progress["attempt"] == 1
    assert_each_epoch_once(training)

    # Once the old job has left, the new controller goes on from its state.
    slurm("scancel", old.id)
    wait_until(has_trained(training, attempt=2), "a new attempt trains", 300, controller)
    assert training.owner["slurm_job"] != old.id
    assert_each_epoch_once(training)


def environment_of(process: Path) -> dict[str, str]:
    """What a process was started with; empty when it has gone."""
    try:
        text = (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(line.partition("=")[::2] for line in text.split("\0"))


def state_of(job: str) -> str:
    return "".join(found.state for found in list_jobs() if found.id == job)


def is_running(job: str) -> bool:
    return state_of(job) in {"PENDING", "RUNNING", "COMPLETING"}
