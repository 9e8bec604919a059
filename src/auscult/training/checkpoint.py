"""The state of a training on disk, so that it goes on from the last finished epoch, whatever killed it.

`state/<key>/`, where the key is a hash of settings and data, holds of the two last finished epochs

- `00012.pt`: all that the loop needs to go on (weights, optimizer, history),
- `best-00007.safetensors`: the best weights up to that epoch,
- `00012.json`: the SHA-256 of both, written last. An epoch without it, or whose files do not match it, does not count.

Every file is written beside, synced and renamed. Nothing is pickled in a way that could execute code when it is read.
"""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from auscult.io import atomic_path, read_json, settings_key, sha256_file, write_json

_LOG = logging.getLogger(__name__)

KEPT = 2
_BINDING = "binding.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError, safetensors.SafetensorError)


@dataclass(frozen=True)
class Checkpoint:
    """What is known after a finished epoch.

    Attributes:
        epoch: From 1.
        state: Tensors, numbers, texts, lists and dicts; the loop's own.
        best_epoch: The best epoch so far; None while the monitored metric was never defined.
        best_weights: The weights after it.
    """

    epoch: int
    state: dict[str, Any]
    best_epoch: int | None
    best_weights: dict[str, Tensor]


class CheckpointStore:
    """Checkpoints of one training under one set of settings and data.

    Args:
        folder: The run's `state` folder. What other settings left there is never read, and stays until `finish`.
        binding: Everything that shapes the training, as JSON-like values.
    """

    def __init__(self, folder: Path, binding: Mapping[str, Any]) -> None:
        self._all = Path(folder)
        self.folder = self._all / settings_key(binding)
        if not self.folder.is_dir():
            self._say_what_differs(binding)
        write_json(self.folder / _BINDING, binding)

    def load(self) -> Checkpoint | None:
        """Return the last whole checkpoint, or None when there is none.

        A damaged one is reported in the log and removed, and the one before is taken.
        """
        for manifest_path in sorted(self.folder.glob("[0-9]*.json"), reverse=True):
            try:
                return self._read(manifest_path)
            except _DAMAGE as error:
                _LOG.warning("the checkpoint %s is damaged and is passed over: %s", manifest_path, error)
                manifest_path.unlink()
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and drop all but the two last."""
        files = [self._state_file(checkpoint.epoch)]
        with atomic_path(files[0]) as temporary:
            torch.save(checkpoint.state, temporary)
        if checkpoint.best_epoch is not None:
            files.append(self._best_file(checkpoint.best_epoch))
            if checkpoint.best_epoch == checkpoint.epoch or not files[1].is_file():
                with atomic_path(files[1]) as temporary:
                    safetensors.torch.save_file(checkpoint.best_weights, temporary)
        manifest = {
            "epoch": checkpoint.epoch,
            "best_epoch": checkpoint.best_epoch,
            "sha256": {path.name: sha256_file(path) for path in files},
        }
        write_json(self._manifest(checkpoint.epoch), manifest)
        self._prune()

    def finish(self) -> None:
        """Drop what trainings under other settings left: this one has replaced them."""
        for folder in self._others():
            shutil.rmtree(folder)

    def _read(self, manifest_path: Path) -> Checkpoint:
        manifest = read_json(manifest_path)
        epoch, best_epoch = manifest["epoch"], manifest["best_epoch"]
        files = [self._state_file(epoch), *([] if best_epoch is None else [self._best_file(best_epoch)])]
        for path in files:
            found, expected = sha256_file(path), manifest["sha256"][path.name]
            if found != expected:
                raise ValueError(f"{path.name} has the SHA-256 {found[:12]}…, expected {expected[:12]}…")
        state = torch.load(files[0], map_location="cpu", weights_only=True)
        best_weights = {} if best_epoch is None else safetensors.torch.load_file(files[1])
        return Checkpoint(epoch, state, best_epoch, best_weights)

    def _prune(self) -> None:
        manifests = sorted(self.folder.glob("[0-9]*.json"))
        for path in manifests[:-KEPT]:
            path.unlink()
        kept = {name for path in manifests[-KEPT:] for name in read_json(path)["sha256"]}
        # Also what an interrupted write left beside, under a name that begins with a dot.
        for path in self.folder.iterdir():
            if path.name not in kept and (path.suffix in {".pt", ".safetensors"} or path.name.startswith(".")):
                path.unlink()

    def _state_file(self, epoch: int) -> Path:
        return self.folder / f"{epoch:05d}.pt"

    def _best_file(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:05d}.safetensors"

    def _manifest(self, epoch: int) -> Path:
        return self.folder / f"{epoch:05d}.json"

    def _others(self) -> list[Path]:
        return [path.parent for path in self._all.glob(f"*/{_BINDING}") if path.parent != self.folder]

    def _say_what_differs(self, binding: Mapping[str, Any]) -> None:
        for folder in self._others():
            try:
                before = _flat(read_json(folder / _BINDING))
            except (OSError, json.JSONDecodeError) as error:
                _LOG.warning("%s says nothing readable of its settings: %s", folder, error)
                continue
            now = _flat(binding)
            changes = [
                f"{key}: {before.get(key)!r} -> {now.get(key)!r}"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key)
            ]
            _LOG.info("%s holds a training under other settings and is not used: %s", folder, "; ".join(changes))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return leaves by dotted key.

    >>> _flat({"train": {"lr": 0.1}, "seed": 1})
    {'train.lr': 0.1, 'seed': 1}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, inner in value.items():
        leaves |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return leaves
