"""Two hundred experiments of five jobs each are planned for little more than what Snakemake itself takes.

Processor time is measured, against empty rules of the same shape on the same machine: a busy machine slows both alike.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

N_EXPERIMENTS = 200
N_JOBS = 5
MOST_TIMES_EMPTY = 3.0
MOST_MEMORY_MB = 600
BARE = """
rule all:
    input: expand("done/{e}", e=range(%(experiments)d))

rule make:
    output: "made/{e}/{j}/a", "made/{e}/{j}/b", "made/{e}/{j}/c"
    log: "logs/make/{e}/{j}"
    benchmark: "benchmarks/make/{e}/{j}"
    shell: "touch {output}"

rule judge:
    input: rules.make.output
    output: ["judged/{e}/{j}/%%s" %% name for name in "abcdefghijklm"]
    log: "logs/judge/{e}/{j}"
    benchmark: "benchmarks/judge/{e}/{j}"
    shell: "touch {output}"

rule divide:
    output: "divided/{e}.csv", "divided/{e}.json"
    shell: "touch {output}"

rule gather:
    input: "divided/{e}.csv", expand("judged/{{e}}/{j}/a", j=range(%(jobs)d))
    output: "gathered/{e}"
    shell: "touch {output}"

rule finish:
    input: "gathered/{e}", expand("judged/{{e}}/{j}/a", j=range(%(jobs)d))
    output: "done/{e}"
    shell: "touch {output}"
"""
EXPERIMENT = """
description: one of very many
task: pneumonia
datasets: [icbhi, bd]
clips: {{unit: window, length_s: {length_s}, sample_rate_hz: 4000}}
spectrogram: {{n_fft: 256, hop_samples: 128, n_mels: 32}}
split: {{preset: patients_70_15_15, seed: {seed}}}
model: {{name: test_cnn}}
train: {{epochs: 2}}
jobs:
  - {{}}
  - {{train: {{epochs: 3}}}}
  - {{spectrogram: {{n_mels: 40}}}}
  - {{train: {{optimizer: {{name: adam, lr: 0.01}}}}}}
  - {{train: {{batch_size: 8}}}}
"""


class Cost(NamedTuple):
    """What a process took."""

    processor_s: float
    memory_mb: float
    n_jobs: int


# Its own peak: what the kernel tells a parent begins with the parent's size.
SNAKEMAKE = """
import atexit, runpy, sys
atexit.register(lambda: print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")), flush=True))
sys.argv[0] = "snakemake"
runpy.run_module("snakemake", run_name="__main__")
"""


def dry_run(folder: Path, *arguments: str) -> Cost:
    """Dry-run the workflow of `folder` and return what that took."""
    with (folder / "dry-run.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SNAKEMAKE, *arguments, "--cores", "2", "--dry-run", "--quiet", "rules"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = (folder / "dry-run.log").read_text()
    assert process.returncode == 0, text
    total = re.findall(r"^total\s+(\d+)", text, flags=re.MULTILINE)
    peak_kib = int(re.findall(r"^VmHWM:\s+(\d+) kB", text, flags=re.MULTILINE)[-1])
    return Cost(usage.ru_utime + usage.ru_stime, peak_kib / 1024, int(total[0]) if total else 0)


@pytest.mark.slow
def test_hundreds_of_experiments_are_planned_for_little_more_than_empty_rules(
    workflow_dir: Path, tmp_path_factory
) -> None:
    experiments = workflow_dir / "config" / "experiments"
    for path in experiments.glob("*/*.yaml"):
        path.unlink()
    for number in range(N_EXPERIMENTS):
        path = experiments / "pneumonia" / f"many{number:03d}.yaml"
        path.write_text(EXPERIMENT.format(length_s=4 + number % 4, seed=number))
    bare = tmp_path_factory.mktemp("bare")
    (bare / "Snakefile").write_text(BARE % {"experiments": N_EXPERIMENTS, "jobs": N_JOBS})

    every, one, empty = dry_run(workflow_dir), dry_run(workflow_dir, "results/pneumonia/many007"), dry_run(bare)

    print(f"all: {every}; one: {one}; empty rules: {empty}")  # noqa: T201 (the figures that docs/cluster.md states)
    assert every.n_jobs >= 2 * N_JOBS * N_EXPERIMENTS
    assert every.processor_s / every.n_jobs < MOST_TIMES_EMPTY * empty.processor_s / empty.n_jobs
    assert every.memory_mb < MOST_MEMORY_MB
    # The other experiments are not even read.
    assert one.processor_s < 0.5 * every.processor_s
