"""A result of jobs that share nothing but an emulated bucket: each runs in an empty folder that is removed after it."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.workflow.conftest import BUCKET, TINY, TINY_EXPERIMENT, copy_workflow, run_snakemake

from auscult.datasets.bucket import Bucket

ONE_JOB = TINY_EXPERIMENT.replace("  - {train: {epochs: 3}}\n", "").replace("[icbhi, bd]", "[icbhi]")
RESULT = "results/pneumonia/tiny"
SUBMIT = """#!/bin/bash
# Run a job in an empty folder, say how it ended, and leave nothing of it.
set -eu
folder=$(mktemp -d "$ELSEWHERE/job-XXXXXX")
(
  cd "$folder"
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
TIMES = re.compile(r'("?(?:\w*_s|\w*time\w*|\w*_utc|command|git\w*)"?\s*[:=]\s*)("[^"]*"|[-\d.e]+|null)')
OF_THE_RUN = ("report.html", "checksums.txt", "provenance.json", "train.log", "methods.txt", "metrics.jsonl")
"""Files that tell times, places or the commit of a run."""


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def digests(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp"]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_jobs_that_share_only_a_bucket_make_the_same_result(project_dir, tmp_path, bucket_url):
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
    apart = run_snakemake(
        clone,
        *("--executor", "cluster-generic", "--jobs", "2", "--shared-fs-usage", "none", "--job-deploy-sources"),
        *("--cluster-generic-submit-cmd", script(tmp_path / "submit", SUBMIT)),
        *("--cluster-generic-status-cmd", script(tmp_path / "status", STATUS)),
        *("--default-storage-provider", "gcs", "--default-storage-prefix", prefix),
        *("--seconds-between-status-checks", "1", "--max-status-checks-per-second", "10"),
        RESULT,
        **environment,
    )
    logs = "\n".join(path.read_text() for path in sorted(elsewhere.glob("*.log")))
    assert apart.returncode == 0, f"{apart.stdout}\n{logs}"
