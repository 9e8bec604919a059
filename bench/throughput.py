"""How fast recordings become spectrograms on one core, beside the libraries that do the work.

- The limit is the sum of bare `soundfile.read`, `soxr.resample` and `torch.stft` on each recording: no clips, no mel
  bands, no decibels.
- The chain is what the stages do to the sound, in memory: decode and resample to int16, cut and pad, log-mel
  spectrogram in float16. Its share of the limit is the figure, and must reach `LEAST_SHARE`.
- The stages are `cut_clips` and `make_spectrograms` as the workflow runs them, so with what is not sound: tables read
  and checked, clips.h5 written, read and checked, features.h5 written, checksums, fsync.

All on one thread. Bare and chain alternate from recording to recording, and the stages follow, so that whatever else
the machine does weighs on all; the figure is the median of the shares of the repetitions, by processor time. What the
clock says stands beside. Each recording is taken several times over, as a dataset of a few hundred would hold them:
what a stage costs once weighs as it does there.

    python bench/throughput.py --output bench.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
from measure import say
from numpy.typing import NDArray

from auscult.audio import cut_clips as clips
from auscult.audio.cut import cut_windows, pad
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.spectrograms.log_mel import LogMel
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.storage.files import write_json
from auscult.storage.tables import events_frame, write_parquet

LEAST_SHARE = 0.6
CLIPS = ClipSettings(unit="window", length_s=10, sample_rate_hz=8000)
SPECTROGRAM = SpectrogramSettings(n_fft=1024, hop_samples=254, n_mels=128)
BARE_STEPS = ("soundfile", "soxr", "torch.stft")
CHAIN_STEPS = ("decode and resample", "cut and pad", "spectrogram")
STAGES = ("cut_clips", "make_spectrograms")
PROJECT = Path(__file__).resolve().parent.parent
Result = TypeVar("Result")


def main() -> int:
    """Print the table, write the figures, and return 1 when the chain is too slow."""
    options = _options()
    files = sorted(options.recordings.glob("*.wav"))
    if not files:
        say(f"{options.recordings}: no recordings; set AUSCULT_REAL_DATA or --recordings to a folder of .wav files")
        return 2
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as folder:
        tables_dir = Path(folder)
        sound_s = _write_tables(tables_dir, files, options.copies)
        runs = _measure(files, tables_dir, options.copies, options.repetitions)
    report: dict[str, Any] = {
        "n_recordings": len(files) * options.copies,
        "sound_s": sound_s,
        "repetitions": options.repetitions,
        "processor": _summarise([{step: spent.processor_s for step, spent in run.items()} for run in runs], sound_s),
        "clock": _summarise([{step: spent.clock_s for step, spent in run.items()} for run in runs], sound_s),
        "least_share": LEAST_SHARE,
    }
    say(_table(report))
    if options.output is not None:
        write_json(options.output, report)
    share = report["processor"]["share_of_chain"]["median"]
    say(f"share of the limit {share:.2f}: at least {LEAST_SHARE} is {'met' if share >= LEAST_SHARE else 'MISSED'}")
    return 0 if share >= LEAST_SHARE else 1


def _options() -> argparse.Namespace:
    data = Path(os.environ.get("AUSCULT_REAL_DATA", PROJECT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description="Speed of the audio stages on one core")
    parser.add_argument("--recordings", type=Path, default=data / "icbhi_sample", help="folder of .wav files")
    parser.add_argument("--copies", type=int, default=30, help="times that each recording is taken")
    parser.add_argument("--repetitions", type=int, default=9, help="pairs of runs after one to warm up")
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    return parser.parse_args()


class Spent(NamedTuple):
    """Seconds of one step."""

    processor_s: float
    clock_s: float


class Timer:
    """Adds up what is spent by step."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}

    def __call__(self, step: str, function: Callable[[], Result]) -> Result:
        """Call `function` and book its time under `step`."""
        processor, clock = time.process_time(), time.perf_counter()
        result = function()
        processor, clock = time.process_time() - processor, time.perf_counter() - clock
        before = self.spent.get(step, Spent(0.0, 0.0))
        self.spent[step] = Spent(before.processor_s + processor, before.clock_s + clock)
        return result


def _measure(files: list[Path], tables_dir: Path, copies: int, repetitions: int) -> list[dict[str, Spent]]:
    """Alternate bare, chain and stages; return what each step spent, one item a repetition after one to warm up."""
    log_mel = LogMel(SPECTROGRAM, CLIPS.sample_rate_hz)
    facts = {path: soundfile.info(path) for path in files}
    runs: list[dict[str, Spent]] = []
    for _ in range(repetitions + 1):
        timer = Timer()
        for path in files * copies:
            _run_bare(path, timer)
            _run_chain(path, facts[path], log_mel, timer)
        _run_stages(files[0].parent, tables_dir, timer)
        runs.append(timer.spent)
    return runs[1:]


def _run_bare(path: Path, timer: Timer) -> None:
    sound, rate = timer("soundfile", lambda: soundfile.read(path, dtype="float32"))
    resampled = timer("soxr", lambda: soxr.resample(sound, rate, CLIPS.sample_rate_hz, quality="HQ"))
    n_fft, hop = SPECTROGRAM.n_fft, SPECTROGRAM.hop_samples
    window = torch.hann_window(n_fft)
    timer(
        "torch.stft",
        lambda: torch.stft(torch.from_numpy(resampled), n_fft, hop, window=window, center=False, return_complex=True),
    )


def _run_chain(path: Path, facts: Any, log_mel: LogMel, timer: Timer) -> None:
    waveform = timer(
        "decode and resample",
        lambda: clips.load_waveform(path, "mean", CLIPS, source_hz=facts.samplerate, n_source_samples=facts.frames),
    )

    def cut_and_pad() -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        cuts = cut_windows(len(waveform), CLIPS)
        sounds = [waveform[cut.start_sample : cut.start_sample + cut.n_valid] for cut in cuts]
        padded = np.stack([pad(sound, CLIPS.n_samples, CLIPS.pad) for sound in sounds])
        return padded, np.array([cut.n_valid for cut in cuts])

    waveforms, n_valid = timer("cut and pad", cut_and_pad)
    timer("spectrogram", lambda: log_mel(waveforms, n_valid, np.float16))


def _run_stages(root: Path, tables_dir: Path, timer: Timer) -> None:
    timer(
        "cut_clips",
        lambda: clips.cut_clips(
            root=root,
            dataset="bench",
            tables_dir=tables_dir,
            settings=CLIPS,
            channel="mean",
            output=tables_dir / "clips.h5",
            full_settings={"clips": CLIPS.model_dump(mode="json")},
            threads=1,
        ),
    )
    timer(
        "make_spectrograms",
        lambda: make_spectrograms(
            clips=tables_dir / "clips.h5",
            settings=SPECTROGRAM,
            output=tables_dir / "features.h5",
            full_settings={"spectrogram": SPECTROGRAM.model_dump(mode="json")},
            threads=1,
        ),
    )


def _write_tables(tables_dir: Path, files: list[Path], copies: int) -> float:
    """Write tables that list each file `copies` times; return the seconds of sound in all."""
    rows: list[dict[str, Any]] = []
    for copy in range(copies):
        for path in files:
            facts = soundfile.info(path)
            rows.append(
                {
                    "recording_id": f"bench/{path.stem}-{copy}",
                    "dataset": "bench",
                    "patient_id": f"bench/{path.stem}-{copy}",
                    "path": path.name,
                    "site": None,
                    "device": None,
                    "age_years": None,
                    "sex": None,
                    "sample_rate_hz": facts.samplerate,
                    "n_channels": facts.channels,
                    "n_samples": facts.frames,
                    "duration_s": facts.frames / facts.samplerate,
                    "encoding": facts.subtype,
                    "sha256": "0" * 64,
                }
            )
    table = pd.DataFrame(rows).astype({"site": "str", "device": "str", "sex": "str", "age_years": "float64"})
    write_parquet(tables_dir / "recordings.parquet", table)
    write_parquet(tables_dir / "events.parquet", events_frame([]))
    return float(table["duration_s"].sum())


def _summarise(runs: list[dict[str, float]], sound_s: float) -> dict[str, Any]:
    totals: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for name, steps in (("limit", BARE_STEPS), ("chain", CHAIN_STEPS), ("stages", STAGES)):
        seconds |= {step: statistics.median(run[step] for run in runs) for step in steps}
        totals[name] = [sum(run[step] for step in steps) for run in runs]
        seconds[name] = statistics.median(totals[name])
    summary: dict[str, Any] = {
        "median_s": seconds,
        "times_real_time": {step: sound_s / value for step, value in seconds.items()},
    }
    for name in ("chain", "stages"):
        shares = [limit / total for limit, total in zip(totals["limit"], totals[name], strict=True)]
        summary[f"share_of_{name}"] = {
            "median": statistics.median(shares),
            "low": min(shares),
            "high": max(shares),
        }
    return summary


def _table(report: dict[str, Any]) -> str:
    processor, clock = report["processor"], report["clock"]
    lines = [
        f"{report['n_recordings']} recordings, {report['sound_s']:.0f} s of sound, one thread, "
        f"median of {report['repetitions']} repetitions",
        "",
        f"{'step':<22}{'processor s':>12}{'x real time':>13}{'clock s':>12}{'x real time':>13}",
    ]
    for step, value in processor["median_s"].items():
        is_total = step in ("limit", "chain", "stages")
        lines.append(
            f"{step if is_total else '  ' + step:<22}{value:>12.3f}{processor['times_real_time'][step]:>13.0f}"
            f"{clock['median_s'][step]:>12.3f}{clock['times_real_time'][step]:>13.0f}"
        )
    lines.append("")
    for name in ("chain", "stages"):
        shares = [
            f"{figures['median']:.2f} by the {unit} ({figures['low']:.2f} to {figures['high']:.2f})"
            for unit, figures in (("processor", processor[f"share_of_{name}"]), ("clock", clock[f"share_of_{name}"]))
        ]
        lines.append(f"{name}: {', '.join(shares)} of the limit")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
