"""Where a training runs, and how exactly it can be repeated there."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from auscult.config.train import TrainSettings
from auscult.errors import ConfigError, unknown_name

_LOG = logging.getLogger(__name__)

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}


def build_fabric(settings: TrainSettings, device: str) -> Fabric:
    """Return the device and precision of a training.

    Raises:
        ConfigError: No such device.
    """
    accelerator = _accelerator(device)
    if accelerator == "cuda" and settings.devices > torch.cuda.device_count():
        raise ConfigError(
            f"train.devices: {settings.devices} were asked for, and torch sees {torch.cuda.device_count()}"
        )
    precision = settings.precision
    if accelerator == "cpu" and precision == "16-mixed":
        precision = "bf16-mixed"
        _LOG.warning("train.precision: 16-mixed needs a GPU; this CPU computes in bf16-mixed instead")
    # The processes are ours, said in so many words: Fabric would read a Slurm job's variables and expect srun.
    return Fabric(
        accelerator=accelerator,
        devices=settings.devices,
        strategy="ddp" if settings.devices > 1 else "auto",
        precision=_PRECISION[precision],
        plugins=[LightningEnvironment()],
    )


def _accelerator(device: str) -> str:
    if device not in {"auto", "cpu", "cuda"}:
        raise ConfigError(unknown_name("device", device, ("auto", "cpu", "cuda")))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device: cuda was asked for, and torch {torch.__version__} sees no GPU; "
            "use device: auto or cpu, or check the driver and CUDA_VISIBLE_DEVICES"
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def cpu_threads(threads: int | None, processes: int = 1) -> Generator[None]:
    """Let the torch of each of `processes` use its share of `threads` for a while; the caller's number comes back."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(max(1, threads // processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def determinism(*, is_wanted: bool) -> Generator[None]:
    """Let torch refuse, while the block runs, what gives other bits each time; what was set before comes back."""
    if not is_wanted:
        yield
        return
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    # cuBLAS reads it when it first computes.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=algorithms, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
