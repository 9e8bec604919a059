"""Checks of a Slurm cluster against what `slurm-gpu/config.yaml` asks of it."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auscult.config.files import read_yaml
from auscult.errors import AuscultError, ConfigError, nearest
from auscult.ops.finding import Finding, ask, has_command

PROFILE = Path("slurm-gpu/config.yaml")
LEAST_JOB_AGE_S = 190
"""The controller asks at least every 3 minutes: a finished job must be known for longer."""
ARRAY_RULES = ("decode_audio", "ingest", "cut_clips", "make_spectrograms")
"""Rules whose jobs may be one array: it asks for the same for all of its jobs."""
_VARIABLES = {"cpu": "AUSCULT_CPU_PARTITION", "gpu": "AUSCULT_GPU_PARTITION"}
_CLOSE = 0.85
_NO_SLURM = "no Slurm here (sinfo is not on the PATH)"


@dataclass(frozen=True)
class Wanted:
    """What the profile asks for.

    Attributes:
        cpu_partition: For data rules; empty: chosen by `partitions_file`.
        gpu_partition: For training.
        gpu_model: Empty: any.
        limits_min: Partition's kind -> the longest job, in minutes.
        partitions_file: Limits of partitions, of which one is chosen for each job; empty: none.
        qos: Of all jobs that are asked for.
        constraints: Features of nodes that are asked for.
        reservation: Empty: none.
        exclude_nodes: Empty: none.
        array_rules: Rules whose jobs are submitted as arrays.
        variables: Names in the environment that the profile reads.
    """

    cpu_partition: str
    gpu_partition: str
    gpu_model: str
    limits_min: Mapping[str, int]
    partitions_file: str
    qos: tuple[str, ...]
    constraints: tuple[str, ...]
    reservation: str
    exclude_nodes: str
    array_rules: tuple[str, ...]
    variables: tuple[str, ...]


def read_profile(path: Path) -> Wanted:
    """Read the cluster profile as Snakemake does, with the environment's names in place.

    Raises:
        ConfigError: It is missing, or not as it was shipped.
    """
    from yte import process_yaml  # noqa: PLC0415 (only here; Snakemake's own reader of profiles)

    try:
        text = path.read_text(encoding="utf-8")
        values: Any = process_yaml(text)
        resources, train = values["default-resources"], values["set-resources"]["train"]
        file = values.get("slurm-partition-config", "")
        arrays = str(values.get("slurm-array-jobs", "")).replace(";", ",")
        return Wanted(
            cpu_partition="" if file else _bare(resources["slurm_partition"]),
            gpu_partition="" if file else _bare(train["slurm_partition"]),
            gpu_model=_bare(train.get("gpu_model", "")),
            limits_min={"cpu": _limit(resources["runtime"]), "gpu": _limit(train["runtime"])},
            partitions_file=str(file),
            qos=_asked_for("qos", resources, train),
            constraints=_asked_for("constraint", resources, train),
            reservation=str(values.get("slurm-reservation", "")),
            exclude_nodes=str(values.get("slurm-exclude-failed-nodes", "")),
            array_rules=tuple(rule.strip() for rule in arrays.split(",") if rule.strip()),
            variables=tuple(re.findall(r'environ\.get\("(AUSCULT_\w+)"', text)),
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except Exception as error:  # the profile may hold any expression
        raise ConfigError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _bare(value: Any) -> str:
    return str(value).strip("'\"")


def _asked_for(name: str, *resources: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_bare(group[name]) for group in resources if name in group))


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
    yield Finding("cluster profile", "ok", f"{PROFILE}: {_in_words(wanted)}")
    later = ("Slurm", "partitions", "site settings", "GPU in a job")
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
    if wanted.partitions_file:
        findings = [_check_partitions_file(wanted, project_dir, partitions)]
    else:
        findings = [_check_partition(kind, wanted, partitions) for kind in ("cpu", "gpu")]
    yield from findings
    yield _check_site(wanted)
    if findings[-1].state == "failed" and wanted.gpu_partition not in partitions:
        yield Finding("GPU in a job", "skipped", "there is no GPU partition to ask")
    elif not runs_job:
        yield Finding("GPU in a job", "skipped", "not asked for (--no-job)")
    else:
        yield _check_gpu_job(wanted, project_dir, wait_s)


def _in_words(wanted: Wanted) -> str:
    """Return what the profile and the environment ask for."""
    parts = [
        f"partitions of {wanted.partitions_file}"
        if wanted.partitions_file
        else f"partitions {wanted.cpu_partition} and {wanted.gpu_partition}"
    ]
    given = (
        ("GPU", wanted.gpu_model),
        ("QOS", ", ".join(wanted.qos)),
        ("constraint", ", ".join(wanted.constraints)),
        ("reservation", wanted.reservation),
        ("without", wanted.exclude_nodes),
        ("arrays of", ", ".join(wanted.array_rules)),
    )
    return "; ".join(parts + [f"{name} {value}" for name, value in given if value])


def _check_site(wanted: Wanted) -> Finding:
    """Check what a site asks for beside partitions: rules, features, nodes, a reservation, a QOS."""
    faults = [
        fault
        for fault in (
            *_misspelt(wanted.variables),
            *(_unknown("AUSCULT_ARRAY_RULES", "rule", rule, ARRAY_RULES) for rule in wanted.array_rules),
            *_unknown_features(wanted.constraints),
            *_unknown_nodes(wanted.exclude_nodes),
            _unknown_reservation(wanted.reservation),
            *_unknown_qos(wanted.qos),
        )
        if fault
    ]
    check = "site settings"
    if faults:
        return Finding(check, "failed", "; ".join(faults), "docs/cluster.md lists what can be set, and how")
    given = [name for name in wanted.variables if os.environ.get(name)]
    return Finding(check, "ok", f"from the environment: {', '.join(given) or 'none'}")


def _misspelt(variables: Iterable[str]) -> list[str]:
    """Return which names in the environment are nearly, and not quite, ones that the profile reads."""
    names = [name for name in os.environ if name.startswith("AUSCULT_") and name not in variables]
    close = {name: difflib.get_close_matches(name, list(variables), n=1, cutoff=_CLOSE) for name in names}
    return [f"{name} is not read, did you mean {found[0]}?" for name, found in close.items() if found]


def _unknown(variable: str, kind: str, name: str, known: Iterable[str]) -> str:
    """Return what is wrong with a name, with the nearest that is known; empty: nothing."""
    known = sorted(set(known))
    if name in known:
        return ""
    close = nearest(name, known)
    hint = f", did you mean {close!r}?" if close else ""
    return f"{variable}: no {kind} {name!r}{hint} There are: {', '.join(known) or 'none'}"


def _unknown_features(constraints: Iterable[str]) -> list[str]:
    asked = [word for text in constraints for word in re.findall(r"[A-Za-z_][\w.-]*", text)]
    if not asked:
        return []
    features = ask(["sinfo", "--noheader", "--format=%f"]).out.replace(",", "\n").split()
    return [_unknown("AUSCULT_CONSTRAINT", "feature of a node", word, set(features) - {"(null)"}) for word in asked]


def _unknown_nodes(exclude_nodes: str) -> list[str]:
    if not exclude_nodes:
        return []
    nodes = ask(["sinfo", "--noheader", "--Node", "--format=%N"]).out.split()
    return [_unknown("AUSCULT_EXCLUDE_NODES", "node", name.strip(), nodes) for name in exclude_nodes.split(",")]


def _unknown_reservation(name: str) -> str:
    if not name:
        return ""
    answer = ask(["scontrol", "--oneliner", "show", "reservation"])
    return _unknown("AUSCULT_RESERVATION", "reservation", name, re.findall(r"ReservationName=(\S+)", answer.out))


def _unknown_qos(asked: Iterable[str]) -> list[str]:
    """Return what is wrong with a QOS; nothing where the site has no accounting that could be asked."""
    names = tuple(asked)
    answer = ask(["sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=name"]) if names else None
    if answer is None or not answer.is_good:
        return []
    return [_unknown("AUSCULT_QOS", "QOS", name, answer.out.split()) for name in names]


def _check_partitions_file(wanted: Wanted, project_dir: Path, partitions: Mapping[str, str]) -> Finding:
    """Check that the file names partitions of this cluster, one of them with GPUs."""
    check = "partitions"
    path = project_dir / wanted.partitions_file
    write = f"write one: generate-slurm-partition-config > {wanted.partitions_file}; then correct its limits"
    try:
        named = read_yaml(path)["partitions"]
        faults = [_unknown(str(path), "partition", str(name), partitions) for name in named]
        has_gpu = any(int((limits or {}).get("max_gpu", 0)) > 0 for limits in named.values())
    except (AuscultError, OSError) as error:
        return Finding(check, "failed", str(error), write)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Finding(check, "failed", f"{path}: expected `partitions:`, and limits below each name", write)
    if not has_gpu:
        faults.append(f"{path}: no partition has a `max_gpu`, and trainings ask for one")
    if any(faults):
        return Finding(check, "failed", "; ".join(fault for fault in faults if fault), write)
    return Finding(check, "ok", f"{', '.join(named)}, by the limits in {wanted.partitions_file}")


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
    fault = _unknown(_VARIABLES[kind], "partition", name, partitions)
    if fault:
        return Finding(check, "failed", fault, f"export {_VARIABLES[kind]}={nearest(name, partitions) or '<name>'}")
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
    command = ["srun", f"--gpus={gpu}", "--time=2", "--job-name=auscult-doctor"]
    asked = {"partition": wanted.gpu_partition, "reservation": wanted.reservation, "exclude": wanted.exclude_nodes}
    asked |= {"qos": (wanted.qos or ("",))[-1], "constraint": (wanted.constraints or ("",))[-1]}
    command += [f"--{name}={value}" for name, value in asked.items() if value]
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
