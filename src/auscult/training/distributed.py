"""Where a training runs: device and precision, the processes that share each batch (DDP), threads and determinism."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from auscult.config.train import TrainSettings
from auscult.errors import ConfigError, unknown_name
from auscult.training.sampler import BatchPlan

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}


def build_fabric(settings: TrainSettings, device: str) -> Fabric:
    """Return the device and precision of a training.

    Raises:
        ConfigError: No such device.
    """
    accelerator = choose_accelerator(device)
    if accelerator == "cuda" and settings.devices > torch.cuda.device_count():
        raise ConfigError(
            f"train.devices: {settings.devices} were asked for, and torch sees {torch.cuda.device_count()}"
        )
    precision = settings.precision
    if accelerator == "cpu" and precision == "16-mixed":
        precision = "bf16-mixed"
        logger.warning("train.precision: 16-mixed needs a GPU; this CPU computes in bf16-mixed instead")
    # We start the processes ourselves: without this plugin Fabric would read a Slurm job's variables and expect srun.
    return Fabric(
        accelerator=accelerator,
        devices=settings.devices,
        strategy="ddp" if settings.devices > 1 else "auto",
        precision=_PRECISION[precision],
        plugins=[LightningEnvironment()],
    )


def choose_accelerator(device: str) -> str:
    """Return `cpu` or `cuda`, the latter for `auto` where there is one.

    Raises:
        ConfigError: Another name, or no GPU is there.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise ConfigError(unknown_name("device", device, ("auto", "cpu", "cuda")))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device: cuda was asked for, and torch {torch.__version__} sees no GPU; "
            "use device: auto or cpu, or check the driver and CUDA_VISIBLE_DEVICES"
        )
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def is_launched_as_rank_zero(devices: int) -> bool:
    """Return whether this is the process that the user started, before the process group exists."""
    return devices == 1 or int(os.environ.get("LOCAL_RANK", "0")) == 0


class ProcessGroup:
    """The processes that train one model together; with a world size of one every method returns at once.

    Args:
        fabric: After its launch.

    Attributes:
        world_size: Number of processes.
        rank: Of this process, from 0.
        is_rank_zero: Rank zero decides and writes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.world_size = fabric.world_size
        self.rank = fabric.global_rank
        self.is_rank_zero = self.rank == 0

    def shard(self, plan: BatchPlan) -> BatchPlan:
        """Return this process' share of every batch.

        Raises:
            ConfigError: A batch holds less examples than there are processes.
        """
        if self.world_size == 1:
            return plan
        if min(len(batch) for batch in plan) < self.world_size:
            raise ConfigError(
                f"train.batch_size: a batch of {min(len(batch) for batch in plan)} clips cannot be shared by "
                f"{self.world_size} processes; use larger batches or fewer train.devices"
            )
        return [batch[self.rank :: self.world_size] for batch in plan]

    def broadcast(self, value: Value) -> Value:
        """Return rank zero's value."""
        return value if self.world_size == 1 else self._fabric.broadcast(value, src=0)

    def all_gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Value | None] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values  # pyright: ignore[reportReturnType]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            self._fabric.barrier()

    def destroy(self) -> None:
        """Leave the process group."""
        if self.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def cpu_threads(threads: int | None, processes: int = 1) -> Generator[None]:
    """Let the torch of each of `processes` use its share of `threads` in the block; restore the number after it."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(max(1, threads // processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def determinism(*, is_wanted: bool) -> Generator[None]:
    """Let torch refuse operations that give other bits each time; restore its settings after the block."""
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
