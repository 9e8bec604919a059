"""How fast clips are embedded in batches beside one at a time, in one run.

Both ask the same model for the same clips: once as `auscult embed` does, once clip by clip. Repetitions alternate, so
that whatever else the machine does weighs on both; the figure is the median of the ratios, by the clock. Five times is
asked of a GPU, which one clip cannot fill. A processor is busy with one clip already: there the figure is told, and
batches must only not be slower.

    python bench/embedding.py --models mixednet timm/mobilenetv3_small_050 --output bench.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import clock_s, say
from pydantic import TypeAdapter

from auscult.config.model import ModelSettings
from auscult.inference.loaded_model import BATCH_CLIPS, choose_device
from auscult.models import Normalisation, SavedModel, build_model
from auscult.storage.files import write_json

LEAST_RATIO = {"cuda": 5.0, "cpu": 1.0}
SHAPE = (128, 311)


def main() -> int:
    """Print the ratios, write the figures, and return 1 when batches are not worth it."""
    options = _options()
    device = choose_device("auto")
    report = {name: _measure(name, device, options) for name in options.models}
    for name, figures in report.items():
        say(
            f"{name} on {device}: {options.clips} clips in batches of {BATCH_CLIPS[device]} at {figures['ratio']:.1f} "
            f"times the speed of one at a time ({figures['low']:.1f} to {figures['high']:.1f}), "
            f"{figures['clips_per_s']:.0f} clips/s"
        )
    if options.output is not None:
        write_json(options.output, {"device": device, "models": report})
    is_met = all(figures["ratio"] >= LEAST_RATIO[device] for figures in report.values())
    say(f"at least {LEAST_RATIO[device]:g} times as fast: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of embedding in batches")
    parser.add_argument("--models", nargs="+", default=["mixednet", "timm/mobilenetv3_small_050"])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3, help="pairs after one to warm up")
    parser.add_argument("--threads", type=int, default=None, help="of torch on a processor; default: all")
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    return parser.parse_args()


def _measure(name: str, device: str, options: argparse.Namespace) -> dict[str, float]:
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model, place = _model(name, device), torch.device(device)
    spectrograms = (-50 + 8 * np.random.default_rng(0).standard_normal((options.clips, *SHAPE), np.float32)).astype(
        np.float16
    )
    ratios: list[float] = []
    batched_s: list[float] = []
    for repetition in range(options.repetitions + 1):
        single = clock_s(lambda: [model.embed(clip[None], batch_size=1) for clip in spectrograms], place)
        batched = clock_s(lambda: model.embed(spectrograms, batch_size=BATCH_CLIPS[device]), place)
        if repetition:
            ratios.append(single / batched)
            batched_s.append(batched)
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "clips_per_s": options.clips / statistics.median(batched_s),
    }


def _model(name: str, device: str) -> SavedModel:
    settings = TypeAdapter[Any](ModelSettings).validate_python({"name": name})
    module = build_model(settings, 1, SHAPE).to(device=device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
    normalisation = Normalisation.from_bands(np.full(SHAPE[0], -50.0), np.full(SHAPE[0], 8.0))
    meta = {"input_shape": list(SHAPE), "task": {"type": "binary"}}
    return SavedModel(module, normalisation.to(torch.device(device)), meta)


if __name__ == "__main__":
    sys.exit(main())
