"""Time and memory of the stages at 1, 2 and 4 times the work: linear at most, and flat where nothing need be held.

python -m bench.growth            # some minutes
python -m bench.growth --full     # 20,000 recordings, one of 6 hours, 200 jobs, 1,000 labels, and 2 and 4 times as much
python -m bench.growth recordings labels

Each stage runs in a process of its own. Time is the processor's; memory is the peak above what the imports took.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parent.parent
FACTORS = (1, 2, 4)
SLACK = 1.25
"""Growth beyond what is allowed that counts as noise, of the clock and of the allocator."""
NOISE_S = 0.2
NOISE_MIB = 24.0
CLIPS = {"unit": "window", "length_s": 2, "sample_rate_hz": 4000}
SPECTROGRAM = {"n_fft": 256, "hop_samples": 128, "n_mels": 32}
DATASET = {
    "description": "bench",
    "layout": "label_folders",
    "pattern": r"(?P<patient>p\d+)_\d+",
    "columns": {"patient": "patient"},
}


class Step(NamedTuple):
    """One stage of a subject.

    Attributes:
        run: Does the work in a folder; the amount is handed in too.
        is_flat: Its memory must not grow with the work.
    """

    run: Callable[[Path, int], None]
    is_flat: bool = False


class Subject(NamedTuple):
    """What grows, by which unit, and the stages that it passes."""

    unit: str
    small: int
    full: int
    prepare: Callable[[Path, int], None]
    steps: dict[str, Step]


class Cost(NamedTuple):
    """What a stage took."""

    processor_s: float
    memory_mib: float


# --- what is prepared


def _write_recordings(folder: Path, n: int) -> None:
    """Two recordings of half a second a patient, in a folder for each label."""
    import soundfile  # noqa: PLC0415 (the process that measures stays small)

    noise = (2000 * np.random.default_rng(0).standard_normal(2000 * n)).astype(np.int16)
    for label in ("wheeze", "normal"):
        (folder / "raw" / label).mkdir(parents=True)
    for number in range(n):
        label = "wheeze" if number // 2 % 2 else "normal"
        path = folder / "raw" / label / f"p{number // 2:06d}_{number % 2}.wav"
        soundfile.write(path, noise[2000 * number : 2000 * (number + 1)], 4000)


def _write_long(folder: Path, hours: int) -> None:
    """One recording, written minute by minute."""
    import soundfile  # noqa: PLC0415 (the process that measures stays small)

    rng = np.random.default_rng(0)
    (folder / "raw" / "wheeze").mkdir(parents=True)
    with soundfile.SoundFile(folder / "raw" / "wheeze" / "p000001_0.wav", "w", 8000, 1, "PCM_16") as file:
        for _ in range(60 * hours):
            file.write((2000 * rng.standard_normal(60 * 8000)).astype(np.int16))


def _write_jobs(folder: Path, n: int) -> None:
    """A copy of the workflow with one experiment of `n` jobs."""
    shutil.copytree(PROJECT / "config", folder / "config")
    for name in ("Snakefile", "rules", "workflow_scripts", "report", "environment.yml", "data.dvc", "data"):
        (folder / name).symlink_to(PROJECT / name)
    jobs = "\n".join(f"  - {{train: {{seed: {number}}}}}" for number in range(n))
    shared = (PROJECT / "config/experiments/pneumonia/train2356.yaml").read_text().partition("\njobs:")[0]
    (folder / "config/experiments/pneumonia/many.yaml").write_text(f"{shared}\njobs:\n{jobs}\n")


def _nothing(folder: Path, n: int) -> None:
    del folder, n


# --- the stages


def _ingest(folder: Path, n: int) -> None:
    del n
    from pydantic import TypeAdapter  # noqa: PLC0415

    from auscult.config import DatasetSettings  # noqa: PLC0415
    from auscult.datasets.ingest import ingest  # noqa: PLC0415

    settings = TypeAdapter[Any](DatasetSettings).validate_python({**DATASET, "root": str(folder / "raw")})
    ingest(folder / "raw", "bench", settings, folder / "tables")


def _cut_clips(folder: Path, n: int) -> None:
    del n
    from auscult.audio.cut_clips import cut_clips  # noqa: PLC0415
    from auscult.config import ClipSettings  # noqa: PLC0415

    settings = ClipSettings.model_validate(CLIPS)
    cut_clips(
        root=folder / "raw",
        dataset="bench",
        tables_dir=folder / "tables",
        settings=settings,
        channel="mean",
        output=folder / "clips.h5",
        full_settings={"clips": settings.model_dump(mode="json")},
    )


def _make_spectrograms(folder: Path, n: int) -> None:
    del n
    from auscult.config import SpectrogramSettings  # noqa: PLC0415
    from auscult.spectrograms.make_spectrograms import make_spectrograms  # noqa: PLC0415

    settings = SpectrogramSettings.model_validate(SPECTROGRAM)
    make_spectrograms(
        clips=folder / "clips.h5",
        settings=settings,
        output=folder / "features.h5",
        full_settings={"spectrogram": settings.model_dump(mode="json")},
    )


def _task(n_targets: int = 1) -> Any:
    from auscult.config import TaskSettings  # noqa: PLC0415

    targets = ["wheeze"] if n_targets == 1 else [f"label{number:05d}" for number in range(n_targets)]
    rule = {"column": "label", "positive": ["wheeze"], "negative": "others"}
    return TaskSettings.model_validate(
        {
            "description": "bench",
            "type": "binary" if n_targets == 1 else "multi_label",
            "targets": targets,
            "level": "clip",
            "datasets": {"bench": dict.fromkeys(targets, rule)},
        }
    )


def _make_split(folder: Path, n: int) -> None:
    del n
    from auscult.config.split import PatientSplit  # noqa: PLC0415
    from auscult.splits.make_split import make_split  # noqa: PLC0415

    settings = PatientSplit.model_validate(
        {"kind": "patients", "fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 1}
    )
    make_split(
        {"bench": folder / "tables"}, settings, _task(), folder / "task" / "split.csv", folder / "task" / "audit.json"
    )


def _read_examples(folder: Path, n: int) -> None:
    del n
    from auscult.training.dataset import load_clip_dataset  # noqa: PLC0415

    examples = load_clip_dataset(
        {"bench": [folder / "features.h5"]},
        {"bench": folder / "tables"},
        folder / "task" / "split.csv",
        _task(),
        ("train", "val"),
    )
    examples.normalisation()


def _summarise(folder: Path, n: int) -> None:
    del folder
    import pandas as pd  # noqa: PLC0415

    from auscult.metrics.summary import summarise  # noqa: PLC0415

    rng, n_clips = np.random.default_rng(0), 200
    truth = (rng.random((n_clips, n)) < 0.3).astype(float)
    names = pd.Series([f"p{clip // 2:04d}" for clip in range(n_clips)])
    ids = pd.DataFrame({"clip_id": [f"{clip:04d}" for clip in range(n_clips)], "recording_id": names})
    probabilities = np.clip(0.3 * truth + 0.7 * rng.random(truth.shape), 0, 1)
    summarise(truth, probabilities, ids.assign(patient_id=names), _task(n), [0.5] * n, rng, n_resamples=200)


def _dry_run(folder: Path, n: int) -> None:
    del n
    os.chdir(folder)
    sys.argv = ["snakemake", "--cores", "2", "--quiet", "all", "--dry-run", "results/pneumonia/many"]
    try:
        runpy.run_module("snakemake", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


SUBJECTS = {
    "recordings": Subject(
        "recordings of 0.5 s",
        1000,
        20_000,
        _write_recordings,
        {
            "ingest": Step(_ingest),
            "cut_clips": Step(_cut_clips),
            "make_spectrograms": Step(_make_spectrograms),
            "make_split": Step(_make_split),
            "read for training": Step(_read_examples),
        },
    ),
    "long": Subject(
        "hours in one recording",
        2,
        6,
        _write_long,
        {
            "ingest": Step(_ingest, is_flat=True),
            "cut_clips": Step(_cut_clips, is_flat=True),
            "make_spectrograms": Step(_make_spectrograms, is_flat=True),
        },
    ),
    "jobs": Subject("jobs of one experiment", 50, 200, _write_jobs, {"dry run": Step(_dry_run)}),
    "labels": Subject("labels of 200 clips", 50, 1000, _nothing, {"metrics": Step(_summarise)}),
}


# --- how it is measured


def _status(name: str) -> float:
    """Return a size of this process in MiB, as the kernel has it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def _measure_here(subject: str, step: str, folder: Path, amount: int) -> None:
    """Run one stage and print what it took; this process does nothing else."""
    logging.disable(logging.INFO)
    with suppress(ImportError):
        import auscult.evaluation.evaluate  # noqa: F401, PLC0415 (imports are no part of the work)
    before_s, before_mib = time.process_time() + _children_s(), _status("VmRSS")
    SUBJECTS[subject].steps[step].run(folder, amount)
    cost = Cost(time.process_time() + _children_s() - before_s, max(0.0, _status("VmHWM") - before_mib))
    sys.stdout.write(f"\n{json.dumps(cost._asdict())}\n")


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(subject: str, amounts: Sequence[int]) -> dict[str, list[Cost]]:
    """Return for each stage of a subject what it took with each amount of work.

    Raises:
        RuntimeError: A stage failed; with what it said.
    """
    found: dict[str, list[Cost]] = {step: [] for step in SUBJECTS[subject].steps}
    for amount in amounts:
        with tempfile.TemporaryDirectory(prefix="auscult-growth-") as name:
            folder = Path(name)
            SUBJECTS[subject].prepare(folder, amount)
            for step, costs in found.items():
                place = ["--step", subject, step, str(folder), str(amount)]
                run = subprocess.run(  # noqa: S603 (this file)
                    [sys.executable, "-m", "bench.growth", *place],
                    cwd=PROJECT,
                    check=False,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
                if run.returncode:
                    raise RuntimeError(f"{subject}, {step}, {amount} {SUBJECTS[subject].unit}:\n{run.stderr[-2000:]}")
                costs.append(Cost(**json.loads(run.stdout.splitlines()[-1])))
                what = f"{amount:,} {SUBJECTS[subject].unit}, {step}"
                sys.stderr.write(f"{what}: {costs[-1].processor_s:.1f} s, {costs[-1].memory_mib:.0f} MiB\n")
    return found


def faults(costs: Sequence[Cost], *, is_flat: bool) -> list[str]:
    """Say in which way a stage grew more than it may, from what it took at 1, 2 and 4 times the work.

    >>> faults([Cost(1, 100), Cost(2, 200), Cost(4, 400)], is_flat=False)
    []
    >>> faults([Cost(1, 100), Cost(4, 100), Cost(16, 200)], is_flat=True)
    ['time more than linear', 'memory not flat']
    """
    found: list[str] = []
    pairs = [(costs[later], costs[earlier], FACTORS[later] / FACTORS[earlier]) for earlier, later in ((0, 2), (1, 2))]
    if any(later.processor_s > SLACK * factor * one.processor_s + NOISE_S for later, one, factor in pairs):
        found.append("time more than linear")
    for later, one, factor in pairs:
        if later.memory_mib > SLACK * (1 if is_flat else factor) * one.memory_mib + NOISE_MIB:
            found.append("memory not flat" if is_flat else "memory more than linear")
            break
    return found


def show(rows: Sequence[tuple[str, str, list[Cost], list[str]]]) -> None:
    """Print the table."""
    table = Table("what grows", "stage", title="at 1, 2 and 4 times the work")
    for name in ("processor s", "4 / 1", "4 / 2", "peak MiB", "4 / 1"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for subject, step, costs, found in rows:
        times, sizes = [cost.processor_s for cost in costs], [cost.memory_mib for cost in costs]
        table.add_row(
            subject,
            step,
            "  ".join(f"{value:.1f}" for value in times),
            f"{times[2] / times[0]:.2f}",
            f"{times[2] / times[1]:.2f}",
            "  ".join(f"{value:.0f}" for value in sizes),
            f"{sizes[2] / max(sizes[0], 1):.2f}",
            "; ".join(found),
        )
    Console(file=sys.stdout, width=140).print(table)


def main() -> int:
    """Measure, print; 1 where something grows more than it may."""
    if sys.argv[1:2] == ["--step"]:
        _, _, subject, step, folder, amount = sys.argv
        _measure_here(subject, step, Path(folder), int(amount))
        return 0
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Time and memory as the work grows")
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--full", action="store_true", help="20,000 recordings, 6 hours, 200 jobs, 1,000 labels")
    arguments = parser.parse_args()
    if unknown := set(arguments.subjects) - set(SUBJECTS):
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    rows: list[tuple[str, str, list[Cost], list[str]]] = []
    for name in arguments.subjects or SUBJECTS:
        subject = SUBJECTS[name]
        amounts = [factor * (subject.full if arguments.full else subject.small) for factor in FACTORS]
        for step, costs in measure(name, amounts).items():
            what = f"{'  '.join(f'{amount:,}' for amount in amounts)} {subject.unit}"
            rows.append((what, step, costs, faults(costs, is_flat=subject.steps[step].is_flat)))
    show(rows)
    return 1 if any(found for *_, found in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
