"""Run the demo at two commits and compare what came out, byte for byte: a rebuilding must not change a number.

    python tools/compare_commits.py 155e6f8 HEAD

Tables, clips, spectrograms, splits, weights and predictions must be equal in name and bytes (a name holds the key of
its settings); audits, summaries, `metrics.json`, `model.json` and `history.csv` in every value, times apart.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
RESULT = "results/pneumonia/train2356"

BYTES = (
    "work/tables/**/*.parquet",
    "work/tables/**/rejected.csv",
    "work/clips/**/*.h5",
    "work/features/**/*.h5",
    "work/splits/**/*.csv",
    "work/runs/**/model.safetensors",
    "work/runs/**/predictions.parquet",
    "work/runs/**/roc.csv",
    "work/runs/**/pr.csv",
    "work/runs/**/outcomes.csv",
    "work/runs/**/[tf][pn]s.txt",
)
VALUES = (
    "work/splits/**/*.json",
    "work/tables/**/summary.json",
    "work/runs/**/model.json",
    "work/runs/**/metrics.json",
)
HISTORY = "work/runs/**/history.csv"
TIMES = {"epoch_s", "data_wait_share", "samples_per_s", "description_sha256"}
"""What a clock or the load of a machine says, and the digest over it."""


def run_demo(commit: str, folder: Path) -> Path:
    """Check a commit out and make its demo's result with the environment of this project."""
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)
    binaries = PROJECT / ".venv" / "bin"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'src'}:{folder / 'tools'}",
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    for command in (["dvc", "pull", "--quiet"], ["snakemake", "--cores", "2", "--quiet", "all", RESULT]):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder


def files_of(folder: Path, patterns: tuple[str, ...]) -> dict[str, Path]:
    """Return path within the project -> file."""
    return {str(path.relative_to(folder)): path for pattern in patterns for path in folder.glob(pattern)}


def values_of(content: Any, key: str = "") -> dict[str, Any]:
    """Return the values of nested JSON by dotted key."""
    if isinstance(content, dict):
        return {
            name: value for part, inner in content.items() for name, value in values_of(inner, f"{key}.{part}").items()
        }
    if isinstance(content, list):
        return {
            name: value for at, inner in enumerate(content) for name, value in values_of(inner, f"{key}.{at}").items()
        }
    return {} if key.rpartition(".")[2] in TIMES else {key: content}


def history_of(path: Path) -> dict[str, str]:
    """Return the values of a history by epoch and column."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            f"{row['epoch']}.{name}": value
            for row in csv.DictReader(file)
            for name, value in row.items()
            if name not in TIMES
        }


def compare(old: Path, new: Path) -> list[str]:
    """Return the differences, a line each."""
    found: list[str] = []
    before, after = files_of(old, BYTES), files_of(new, BYTES)
    found += [f"only before: {name}" for name in sorted(before.keys() - after.keys())]
    found += [f"only after: {name}" for name in sorted(after.keys() - before.keys())]
    equal = 0
    for name in sorted(before.keys() & after.keys()):
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (before[name], after[name])]
        equal += digests[0] == digests[1]
        if digests[0] != digests[1]:
            found.append(f"other bytes: {name}")
    print(f"{equal} of {len(before)} files are equal byte for byte")
    read = {pattern: lambda path: values_of(json.loads(path.read_text(encoding="utf-8"))) for pattern in VALUES}
    n_values = 0
    for pattern, values in {**read, HISTORY: history_of}.items():
        before, after = files_of(old, (pattern,)), files_of(new, (pattern,))
        found += [f"not in both: {name}" for name in sorted(before.keys() ^ after.keys())]
        for name in sorted(before.keys() & after.keys()):
            one, other = values(before[name]), values(after[name])
            n_values += len(one.keys() & other.keys())
            found += [
                f"{name}: {key}: {one[key]!r} -> {other[key]!r}"
                for key in one.keys() & other.keys()
                if one[key] != other[key]
            ]
            found += [f"{name}: only before: {key}" for key in sorted(one.keys() - other.keys())]
            found += [f"{name}: only after: {key}" for key in sorted(other.keys() - one.keys())]
    print(f"{n_values:,} values of JSON files and histories were compared")
    return found


def main() -> int:
    """Compare two commits; status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit, or a folder where its demo has run")
    parser.add_argument("new", help="a commit, or a folder where its demo has run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [
            Path(given) if Path(given).is_dir() else run_demo(given, Path(scratch) / name)
            for name, given in (("old", arguments.old), ("new", arguments.new))
        ]
        found = compare(*folders)
    print("\n".join(found) or "no difference")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
