"""The weights after each validated epoch, for `evaluate.best_on_test`; without it nothing is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from auscult.errors import DataError
from auscult.storage.files import atomic_path, sha256_file
from auscult.training.history import EpochRow

FOLDER = "epochs"


class KeptEpochs:
    """Writes `epoch-012.safetensors` beside the state of the training that they belong to.

    They outlive an interruption like the state does: epochs done before it are there when the training goes on, and one
    that is done again is written again, with equal bytes.

    Args:
        folder: Where to; None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def take(self, epoch: int, module: nn.Module) -> None:
        """Keep the weights after `epoch`."""
        if self._folder is None:
            return
        weights = {
            name: tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
            for name, tensor in module.state_dict().items()
        }
        with atomic_path(self._folder / _name(epoch)) as temporary:
            safetensors.torch.save_file(weights, temporary)

    def publish(self, run_dir: Path, rows: list[EpochRow], monitor: str) -> list[dict[str, Any]]:
        """Put the epochs that were validated into `epochs/` of the run, in place of what is there.

        Args:
            run_dir: The run folder.
            rows: The history.
            monitor: The metric whose presence says that an epoch was validated.

        Returns:
            `epoch`, `file` (below the run folder), `sha256` and `val` (the monitored metric) of each, for `model.json`.

        Raises:
            DataError: The weights of an epoch are gone.
        """
        target = run_dir / FOLDER
        shutil.rmtree(target, ignore_errors=True)
        if self._folder is None:
            return []
        target.mkdir(parents=True)
        entries: list[dict[str, Any]] = []
        for row in rows:
            if row[monitor] is None:
                continue
            name = _name(int(row["epoch"]))
            source = self._folder / name
            if not source.is_file():
                raise DataError(f"{source}: no such file; start over with the same command and `--config fresh=true`")
            try:
                os.link(source, target / name)
            except OSError:  # a file system without links
                shutil.copyfile(source, target / name)
            digest = sha256_file(source)
            entries.append({"epoch": row["epoch"], "file": f"{FOLDER}/{name}", "sha256": digest, "val": row[monitor]})
        return entries


def _name(epoch: int) -> str:
    return f"epoch-{epoch:03d}.safetensors"
