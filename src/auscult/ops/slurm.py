"""Checks of a Slurm cluster against what `slurm-gpu/config.yaml` asks of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.errors import ConfigError, nearest
from auscult.ops.finding import Finding, ask, has_command

PROFILE = Path("slurm-gpu/config.yaml")
LEAST_JOB_AGE_S = 190
"""The controller asks at least every 3 minutes: a finished job must be known for longer."""
_VARIABLES = {"cpu": "AUSCULT_CPU_PARTITION", "gpu": "AUSCULT_GPU_PARTITION"}
_NO_SLURM = "no Slurm here (sinfo is not on the PATH)"


@dataclass(frozen=True)
class Wanted:
    """What the profile asks for.

    Attributes:
        cpu_partition: For data rules.
        gpu_partition: For training.
        gpu_model: Empty: any.
        limits_min: Partition's kind -> the longest job, in minutes.
    """

    cpu_partition: str
    gpu_partition: str
    gpu_model: str
    limits_min: Mapping[str, int]


def read_profile(path: Path) -> Wanted:
    """Read the cluster profile as Snakemake does, with the environment's names in place.

    Raises:
        ConfigError: It is missing, or not as it was shipped.
    """
    from yte import process_yaml  # noqa: PLC0415 (only here; Snakemake's own reader of profiles)

    try:
        values: Any = process_yaml(path.read_text(encoding="utf-8"))
        resources, train = values["default-resources"], values["set-resources"]["train"]
        return Wanted(
            cpu_partition=_bare(resources["slurm_partition"]),
            gpu_partition=_bare(train["slurm_partition"]),
            gpu_model=_bare(train.get("gpu_model", "")),
            limits_min={"cpu": _limit(resources["runtime"]), "gpu": _limit(train["runtime"])},
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except Exception as error:  # the profile may hold any expression
        raise ConfigError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _bare(value: Any) -> str:
    return str(value).strip("'\"")


def _limit(runtime: Any) -> int:
    return int(re.findall(r"\d+", str(runtime))[-1])


def check_slurm(project_dir: Path, *, wait_s: float, runs_job: bool = True) -> Iterator[Finding]:
    """Check profile, controller, memory of finished jobs, partitions with their limits, and a GPU in a job.

    Args:
        project_dir: Holds the profile.
        wait_s: How long to wait for a GPU.
        runs_job: A job of seconds is run for the last one.
    """
    try:
        wanted = read_profile(project_dir / PROFILE)
    except ConfigError as error:
        yield Finding("cluster profile", "failed", str(error), f"bring it back: git checkout {PROFILE}")
        return
    names = f"partitions {wanted.cpu_partition} and {wanted.gpu_partition}"
    yield Finding("cluster profile", "ok", f"{PROFILE}: {names}")
    later = ("Slurm", "partitions", "GPU in a job")
    if not has_command("sinfo"):
        yield from (Finding(check, "skipped", _NO_SLURM) for check in later)
        return
    answer = ask(["sinfo", "--noheader", "--format=%R|%l"])
    if not answer.is_good:
        yield Finding(
            "Slurm",
            "failed",
            f"sinfo: {answer.error}",
            "ask on a login node: scontrol ping; else tell the site's admins",
        )
        yield from (Finding(check, "skipped", "Slurm does not answer") for check in later[1:])
        return
    partitions = dict(line.strip().split("|", 1) for line in answer.out.splitlines() if "|" in line)
    yield _check_job_age(len(partitions))
    findings = [_check_partition(kind, wanted, partitions) for kind in ("cpu", "gpu")]
    yield from findings
    if findings[1].state == "failed" and wanted.gpu_partition not in partitions:
        yield Finding("GPU in a job", "skipped", "there is no GPU partition to ask")
    elif not runs_job:
        yield Finding("GPU in a job", "skipped", "not asked for (--no-job)")
    else:
        yield _check_gpu_job(wanted, project_dir, wait_s)


def _check_job_age(n_partitions: int) -> Finding:
    settings = ask(["scontrol", "show", "config"])
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", settings.out, re.MULTILINE)
    if found is not None and int(found[1]) < LEAST_JOB_AGE_S:
        return Finding(
            "Slurm",
            "failed",
            f"it forgets finished jobs after {found[1]} s (MinJobAge), the controller asks every 180 s",
            "run with --slurm-init-seconds-before-status-checks 62 and accounting, see docs/cluster.md",
        )
    return Finding("Slurm", "ok", f"answers, {n_partitions} partitions")


def _check_partition(kind: str, wanted: Wanted, partitions: Mapping[str, str]) -> Finding:
    name = wanted.cpu_partition if kind == "cpu" else wanted.gpu_partition
    check = f"{kind.upper()} partition"
    if name not in partitions:
        close = nearest(name, partitions)
        hint = f", did you mean {close!r}?" if close else ""
        return Finding(
            check,
            "failed",
            f"no partition {name!r}{hint} There are: {', '.join(sorted(partitions)) or 'none'}",
            f"export {_VARIABLES[kind]}={close or '<name>'}",
        )
    longest_min = minutes(partitions[name])
    if longest_min is not None and longest_min < wanted.limits_min[kind]:
        return Finding(
            check,
            "failed",
            f"{name} takes jobs up to {longest_min} min, the profile asks for up to {wanted.limits_min[kind]}",
            f"export AUSCULT_{kind.upper()}_LIMIT_MIN={longest_min}",
        )
    return Finding(check, "ok", f"{name}, jobs up to {partitions[name]}")


def minutes(limit: str) -> int | None:
    """Return Slurm's time limit in whole minutes; None: no limit.

    >>> minutes("1-00:00:00"), minutes("30:00"), minutes("8:00:00"), minutes("infinite")
    (1440, 30, 480, None)
    """
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if match is None:
        return None
    days, hours, whole, _ = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + whole


def _check_gpu_job(wanted: Wanted, project_dir: Path, wait_s: float) -> Finding:
    gpu = f"{wanted.gpu_model}:1" if wanted.gpu_model else "1"
    script = (
        'echo "devices=$CUDA_VISIBLE_DEVICES"; nvidia-smi -L 2>/dev/null; '
        f'"{sys.executable}" -c "import auscult.config; print(\'auscult=here\')"'
    )
    command = ["srun", f"--partition={wanted.gpu_partition}", f"--gpus={gpu}", "--time=2", "--job-name=auscult-doctor"]
    command += [f"--immediate={max(1, round(wait_s))}", f"--chdir={project_dir.resolve()}", "sh", "-c", script]
    answer = ask(command, timeout_s=wait_s + 120)
    if answer.status is None or "immediate" in answer.error.lower() or "unable to allocate" in answer.error.lower():
        return Finding(
            "GPU in a job",
            "skipped",
            f"none came free within {wait_s:g} s ({answer.error})",
            "ask again when the cluster is less busy, or with --wait 600",
        )
    devices = re.search(r"^devices=(\S+)", answer.out, re.MULTILINE)
    if devices is None or devices[1] == "NoDevFiles":
        return Finding(
            "GPU in a job",
            "failed",
            f"the job saw no GPU ({answer.error})",
            "look whether the partition has GPUs: sinfo --format='%R %G'; set AUSCULT_GPU_MODEL as it is named there",
        )
    if "auscult=here" not in answer.out:
        return Finding(
            "GPU in a job",
            "failed",
            f"the node cannot import this project ({answer.error})",
            "put the project's folder and its .venv on a file system that the nodes share",
        )
    return Finding("GPU in a job", "ok", f"sees device {devices[1]}, and this project's .venv")
