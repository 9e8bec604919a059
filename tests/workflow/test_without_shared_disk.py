"""A result of jobs that share nothing but an emulated bucket: each runs in an empty folder that is removed after it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.workflow.conftest import BUCKET, TINY, TINY_EXPERIMENT, copy_workflow, run_snakemake

from auscult.datasets.bucket import Bucket, BucketError
from auscult.ops.bucket_work import PREFIX_VARIABLE, Carried, carried, fetch_folders, telling
from auscult.ops.result_bucket import verify_bucket

ONE_JOB = TINY_EXPERIMENT.replace("  - {train: {epochs: 3}}\n", "").replace("[icbhi, bd]", "[icbhi]")
RESULT = "results/pneumonia/tiny"
SUBMIT = """#!/bin/bash
# Run a job in an empty folder, say how it ended, and leave nothing of it.
set -eu
folder=$(mktemp -d "$ELSEWHERE/job-XXXXXX")
(
  cd "$folder"
  # The first attempt to train has to leave almost at once, with its state saved.
  if [[ $1 == *train* && ! -e $ELSEWHERE/left ]]; then touch "$ELSEWHERE/left"; export AUSCULT_BUDGET_S=0.001; fi
  if bash "$1" > "$folder.log" 2>&1; then ended=success; else ended=failed; fi
  cd /
  ls "$folder" > "$folder.held"
  rm -rf "$folder"
  echo "$ended" > "$folder.ended"
) > /dev/null 2>&1 < /dev/null &
basename "$folder"
"""
STATUS = """#!/bin/bash
cat "$ELSEWHERE/$1.ended" 2> /dev/null || echo running
"""
OF_THE_RUN = {
    "report.html",
    "checksums.txt",
    "provenance.json",
    "train.log",
    "metrics.jsonl",
    "history.csv",
    "model.json",
}
"""Files that tell times, the load of the machine or how often a training was gone on with."""


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def digests(folder):
    """The SHA-256 of each file that must not depend on where and when it was made."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: "of the run" if path.name in OF_THE_RUN else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.name != ".snakemake_timestamp"
    }


def download(root, folder):
    bucket = Bucket(root)
    for item in bucket.objects():
        path = folder / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(item, path)
    return folder


@pytest.fixture
def run(tmp_path, bucket_url, monkeypatch, request):
    """A run folder on one machine, and on another with nothing there; both know the bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket_url)
    monkeypatch.setenv(PREFIX_VARIABLE, f"gs://{BUCKET}/{request.node.name}")
    here, there = tmp_path / "here", tmp_path / "there"
    for machine in (here, there):
        machine.mkdir()

    def on(machine):
        monkeypatch.chdir(machine)
        return Path("work/runs/a/b/1")

    return lambda: on(here), lambda: on(there)


def write(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_state_goes_from_machine_to_machine_and_declared_files_do_not(run):
    on_one, on_another = run
    folder = on_one()
    declared = [folder / "model.json", folder / "figures"]
    with pytest.raises(SystemExit), carried(folder, declared):
        write(
            folder,
            model_json="m",
            figures__a_svg="a",
            metrics_jsonl="{}",
            state__key__1_pt="one",
            state__key__1_json="1",
        )
        write(folder, state__lock="me", state__lock_json="me", state__progress_json="p")
        raise SystemExit(75)
    state = {"metrics.jsonl": "{}", "state/key/1.pt": "one", "state/key/1.json": "1", "state/progress.json": "p"}

    folder = on_another()
    with carried(folder, [folder / "model.json", folder / "figures"]):
        assert held(folder) == state
        (folder / "state/key/1.pt").unlink()  # as a later save does
        write(folder, state__key__2_pt="two")
    folder = on_one()
    shutil.rmtree(folder)
    with carried(folder, [], without=["state"]):
        assert held(folder) == {"metrics.jsonl": "{}"}
    assert fetch_folders([folder]) == [folder]
    assert held(folder)["state/key/2.pt"] == "two"  # what is left out is not removed there
    assert "state/key/1.pt" not in held(folder)


def test_a_killed_machine_leaves_its_last_save_and_a_list_comes_after_what_it_lists(run, monkeypatch, caplog):
    on_one, on_another = run
    now_s, sent, upload = [0.0], [], Bucket.upload

    def take_a_second(self, path, name):
        upload(self, path, name)
        sent.append(name)
        now_s[0] += 1.0

    monkeypatch.setattr(Bucket, "upload", take_a_second)
    folder = on_one()
    told = []
    files = Carried(folder, bucket=os.environ[PREFIX_VARIABLE], clock=lambda: now_s[0])
    tell = telling(lambda kind, known: told.append(kind), files)
    for number in (1, 2):  # the second save comes too soon after two seconds of sending
        write(folder, **{f"state__{number}_pt": "s", f"state__{number}_json": "j"})
        tell("epoch", {})
        tell("saved", {})
    assert (sent, told) == (["state/1.pt", "state/1.json"], ["epoch", "saved", "epoch", "saved"])
    now_s[0] += 18.0
    tell("saved", {})
    assert sent[2:] == ["state/2.pt", "state/2.json"]

    folder = on_another()
    with carried(folder, []):
        assert set(held(folder)) == {"state/1.pt", "state/1.json", "state/2.pt", "state/2.json"}

    def refuse(self, path, name):
        raise BucketError(f"{self.root}: cannot be reached")

    monkeypatch.setattr(Bucket, "upload", refuse)
    write(on_one(), state__3_pt="s")
    now_s[0] += 100.0
    files.send_saved()
    assert "a checkpoint is on this machine alone: gs://" in caplog.text
    with pytest.raises(BucketError), carried(folder, []):
        write(folder, state__3_pt="s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "asked"),
    [
        ("kubernetes", {"gpu": "1", "gpu_manufacturer": "nvidia", "machine_type": "big", "mem_mb": "8000"}),
        (
            "google-batch",
            {
                "nvidia_gpu": "nvidia-l4",
                "googlebatch_machine_type": "big",
                "googlebatch_cpu_milli": "2000",
                "googlebatch_memory": "8000",
                "googlebatch_max_run_duration": "28800s",
                "runtime": "480",
            },
        ),
    ],
)
def test_a_profile_plans_a_whole_experiment(  # noqa: PLR0917
    snakemake, workflow_dir, project_dir, bucket_url, profile, asked, tiny_experiment
):
    shutil.copytree(project_dir / "profiles" / profile, workflow_dir / "profiles" / profile)
    # Without a message of its own a job is shown with its resources.
    for name in ("train", "evaluate"):
        rule = workflow_dir / "rules" / f"{name}.smk"
        rule.write_text(re.sub(r"    message:\n.*\n", "", rule.read_text()))
    planned = snakemake(
        *("--dry-run", "--profile", f"profiles/{profile}", "--executor", "dryrun", tiny_experiment),
        cores=4,
        STORAGE_EMULATOR_HOST=bucket_url,
        SNAKEMAKE_STORAGE_GCS_PROJECT="emulated",
        AUSCULT_BUCKET=f"gs://{BUCKET}/planned",
        AUSCULT_GPU_MACHINE="big",
        AUSCULT_GPU_MODEL="nvidia-l4",
    )
    assert planned.returncode == 0, planned.stdout
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned.stdout.partition("Job stats:")[2], flags=re.MULTILINE))
    assert counts == {
        **dict.fromkeys(("ingest", "cut_clips", "make_spectrograms", "train", "evaluate"), "2"),
        **dict.fromkeys(("make_split", "track", "publish"), "1"),
        "total": "13",
    }
    (trained, *_) = re.findall(r"^rule train:.*?resources: ([^\n]*)", planned.stdout, flags=re.MULTILINE | re.DOTALL)
    assert asked.items() <= dict(item.split("=") for item in trained.split(", ")).items()
    assert not (workflow_dir / "work").exists()


@pytest.mark.slow
def test_jobs_that_share_only_a_bucket_make_the_same_result(project_dir, tmp_path, bucket_url, monkeypatch):
    local, clone, elsewhere = (tmp_path / name for name in ("local", "clone", "elsewhere"))
    for folder in (local, clone, elsewhere):
        folder.mkdir()
    for folder in (local, clone):
        copy_workflow(project_dir, folder)
        (folder / TINY).write_text(ONE_JOB)
    alone = run_snakemake(local, RESULT)
    assert alone.returncode == 0, alone.stdout

    subprocess.run("git init -q && git add --all", shell=True, cwd=clone, check=True)
    prefix = f"gs://{BUCKET}/tried"
    environment = {
        "STORAGE_EMULATOR_HOST": bucket_url,
        "SNAKEMAKE_STORAGE_GCS_PROJECT": "emulated",
        "ELSEWHERE": str(elsewhere),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    options = (
        *("--executor", "cluster-generic", "--jobs", "2", "--shared-fs-usage", "none", "--job-deploy-sources"),
        *("--cluster-generic-submit-cmd", script(tmp_path / "submit", SUBMIT)),
        *("--cluster-generic-status-cmd", script(tmp_path / "status", STATUS)),
        *("--default-storage-provider", "gcs", "--default-storage-prefix", prefix),
        *("--seconds-between-status-checks", "1", "--max-status-checks-per-second", "10"),
    )
    apart = run_snakemake(clone, *options, RESULT, **environment)
    logs = "\n".join(path.read_text() for path in sorted(elsewhere.glob("*.log")))
    assert apart.returncode == 0, f"{apart.stdout}\n{logs}"

    # Four rules ran elsewhere, the training twice; nothing of them is left there, and the copies here are gone too.
    assert sorted(path.read_text() for path in elsewhere.glob("*.ended")) == ["failed\n", *["success\n"] * 4]
    assert not [path for path in elsewhere.iterdir() if path.is_dir()]
    assert not list(clone.glob("results/**/*.json"))

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket_url)
    came = download(prefix, tmp_path / "came")
    for name in ("results", "work/clips", "work/features", "work/splits", "work/tables"):
        assert digests(came / name) == digests(local / name), name
    log = (came / RESULT / "1/train.log").read_text()
    assert "attempt 2: stopped: the time budget of 0.001 s is over" in log
    assert verify_bucket(f"{prefix}/{RESULT}").damaged == verify_bucket(f"{prefix}/{RESULT}").missing == ()
    assert len(list((came / "work/test_readings").glob("*.jsonl"))) == 1

    again = run_snakemake(clone, *options, "--dry-run", RESULT, **environment)
    assert "Nothing to be done" in again.stdout, again.stdout
