"""The processes that train one model together. The first one decides and writes; a team of one talks to nobody."""

from __future__ import annotations

import os
from typing import TypeVar

import torch.distributed
from lightning_fabric import Fabric

from auscult.errors import ConfigError
from auscult.training.orders import Plan

Value = TypeVar("Value")


def is_helper(devices: int) -> bool:
    """Return whether this process was started by the first one of a team, to train with it."""
    return devices > 1 and int(os.environ.get("LOCAL_RANK", "0")) > 0


class Team:
    """The processes of a fabric.

    Args:
        fabric: After its launch.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.size = fabric.world_size
        self.rank = fabric.global_rank
        self.is_first = self.rank == 0

    def share(self, plan: Plan) -> Plan:
        """Return this process' part of every batch.

        Raises:
            ConfigError: A batch holds less examples than there are processes.
        """
        if self.size == 1:
            return plan
        if min(len(batch) for batch in plan) < self.size:
            raise ConfigError(
                f"train.batch_size: a batch of {min(len(batch) for batch in plan)} clips cannot be shared by "
                f"{self.size} processes; use larger batches or fewer train.devices"
            )
        return [batch[self.rank :: self.size] for batch in plan]

    def agree(self, value: Value) -> Value:
        """Return what the first process says."""
        return value if self.size == 1 else self._fabric.broadcast(value, src=0)

    def gathered(self, value: Value) -> list[Value]:
        """Return the values of all processes, in their order."""
        if self.size == 1:
            return [value]
        values: list[Value | None] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values  # pyright: ignore[reportReturnType]

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            self._fabric.barrier()

    def part(self) -> None:
        """Say goodbye."""
        if self.size > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
