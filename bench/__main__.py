"""Run benchmarks, print one table, and return 1 where one is slower than it must be.

python -m bench
python -m bench spectrograms augment --repetitions 9
python -m bench --tiny
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from bench import audiomentations_peer, augment, embedding, intervals, spectrograms, throughput, training
from bench.measure import Comparison, Options, Row, measure
from bench.table import read_ratios, show, write_table

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "bench" / "results.json"
BENCHMARKS: dict[str, Callable[[Options], AbstractContextManager[Iterable[Comparison]]]] = {
    "throughput": throughput.comparisons,
    "spectrograms": spectrograms.comparisons,
    "augment": augment.comparisons,
    "audiomentations": audiomentations_peer.comparisons,
    "training": training.comparisons,
    "embedding": embedding.comparisons,
    "intervals": intervals.comparisons,
}


def main() -> int:
    """Measure, print, write."""
    arguments = _arguments()
    torch.set_num_threads(1)
    options = Options(arguments.tiny, arguments.recordings, arguments.device, arguments.repetitions)
    before = read_ratios(RESULTS)
    # Tiny inputs say nothing about speed: their table is written only where it is asked for.
    output = arguments.output or (None if arguments.tiny else RESULTS)
    rows: list[Row] = []
    for name in arguments.benchmarks or BENCHMARKS:
        rows += _rows(name, options)
        if output:
            write_table(output, rows)
    show(rows, before)
    return 1 if any(row.is_too_slow for row in rows) else 0


def _rows(name: str, options: Options) -> list[Row]:
    with BENCHMARKS[name](options) as comparisons:
        return [measure(comparison, options) for comparison in comparisons]


def _arguments() -> argparse.Namespace:
    data = Path(os.environ.get("AUSCULT_REAL_DATA", PROJECT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed, as ratios within one run")
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--tiny", action="store_true", help="a few clips: checks results, says nothing about speed")
    parser.add_argument("--recordings", type=Path, default=data / "icbhi_sample", help="folder of .wav files")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of our batches and of models")
    parser.add_argument("--repetitions", type=int, default=5, help="least pairs after one to warm up")
    parser.add_argument("--output", type=Path, help="JSON file of the table; default: bench/results.json")
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
