"""The state of a training on disk: a training resumes from its last save, whatever ended it.

`state/<key>/`, where the key is a hash of settings and data, holds of the two last saves

- `00012-000350.pt`: all that the loop needs to resume in epoch 12 after 350 batches,
- `best-00007.safetensors`: the best weights up to then,
- `00012-000350.json`: the SHA-256 of both, written last. A save without it, or whose files do not match it, is
  ignored.

Every file is written under another name, synced and renamed. Reading one never executes code. `finished.json` says
that the training reached its end. State of other settings is in `state/<its key>/`, of trainings that were started over
in `state/previous-<key>/`; both are removed when the training of the present settings is finished.
"""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from auscult.config.flatten import differences
from auscult.errors import AuscultError, ConfigError, DataError
from auscult.storage.files import atomic_path, read_json, settings_key, sha256_file, write_json

logger = logging.getLogger(__name__)

STATE_FOLDER = "state"
"""In a run folder."""

KEPT = 2
VERSION_KEY = "state_version"
_BINDING = "binding.json"
_FINISHED = "finished.json"
_PREVIOUS = "previous-"
_MANIFESTS = "[0-9]*-[0-9]*.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError, safetensors.SafetensorError)


@dataclass(frozen=True, order=True)
class Position:
    """Where a training resumes: in `epoch` (from 1), of which `batch` batches are done.

    >>> Position(2, 0) > Position(1, 40)
    True
    """

    epoch: int
    batch: int

    def __str__(self) -> str:
        return f"{self.epoch:05d}-{self.batch:06d}"


@dataclass(frozen=True)
class Checkpoint:
    """The state at a position.

    Attributes:
        at: Where to resume.
        state: Tensors, numbers, texts, lists, tuples and dicts; the loop's own.
        best_epoch: The best epoch so far; None while the monitored metric was never defined.
        best_weights: The weights after it.
    """

    at: Position
    state: dict[str, Any]
    best_epoch: int | None
    best_weights: dict[str, Tensor]


class CheckpointStore:
    """Checkpoints of one training under one set of settings and data.

    Args:
        folder: The run's `state` folder.
        binding: Everything that shapes the training, as JSON-like values; `state_version` of the code among them.
        fresh: Start over: state of these settings and of others is set aside.
        before_save: Called before each save; may raise.

    Raises:
        ConfigError: An unfinished training of other settings or data stands there, with the keys that differ.
    """

    def __init__(
        self,
        folder: Path,
        binding: Mapping[str, Any],
        *,
        fresh: bool = False,
        before_save: Callable[[], None] = lambda: None,
    ) -> None:
        self._all = Path(folder)
        self._binding = binding
        self._before_save = before_save
        self.folder = self._all / settings_key(binding)
        self._digests: dict[str, str] = {}
        if fresh:
            for path in (self.folder, *self._others()):
                self._set_aside(path)
        elif not self.folder.is_dir():
            self._refuse_unfinished_others()
        write_json(self.folder / _BINDING, binding)

    def load(self) -> Checkpoint | None:
        """Return the last intact checkpoint, or None.

        A damaged one is logged and removed, and the one before is taken.
        """
        self._digests = {}  # what another process left may be damaged
        for manifest_path in sorted(self.folder.glob(_MANIFESTS), reverse=True):
            try:
                return _read(manifest_path)
            except _DAMAGE as error:
                logger.warning("the checkpoint %s is damaged and skipped: %s", manifest_path, error)
                manifest_path.unlink()
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and drop all but the two last."""
        self._before_save()
        state_file = self.folder / f"{checkpoint.at}.pt"
        with atomic_path(state_file) as temporary:
            torch.save(checkpoint.state, temporary)
        digests = {state_file.name: sha256_file(state_file)}
        if checkpoint.best_epoch is not None:
            best_file = self.folder / _best_name(checkpoint.best_epoch)
            if best_file.name not in self._digests:
                with atomic_path(best_file) as temporary:
                    safetensors.torch.save_file(checkpoint.best_weights, temporary)
                self._digests = {best_file.name: sha256_file(best_file)}
            digests |= self._digests
        manifest = {
            "epoch": checkpoint.at.epoch,
            "batch": checkpoint.at.batch,
            "best_epoch": checkpoint.best_epoch,
            "sha256": digests,
        }
        write_json(self.folder / f"{checkpoint.at}.json", manifest)
        self._prune()

    @contextmanager
    def set_aside_after(self, *faults: type[AuscultError]) -> Generator[None]:
        """Set the state aside where the block ends by one of these faults: their remedy is other settings."""
        try:
            yield
        except faults:
            self._set_aside(self.folder)
            raise

    def finish(self) -> None:
        """Record that the end is reached, and remove state of other settings: this training replaces it."""
        write_json(self.folder / _FINISHED, {"key": self.folder.name})
        for folder in [*self._others(), *self._all.glob(f"{_PREVIOUS}*")]:
            shutil.rmtree(folder)

    def _prune(self) -> None:
        manifests = sorted(self.folder.glob(_MANIFESTS))
        for path in manifests[:-KEPT]:
            path.unlink()
        kept = {name for path in manifests[-KEPT:] for name in read_json(path)["sha256"]}
        # An interrupted write leaves a file whose name begins with a dot.
        for path in self.folder.iterdir():
            if path.name not in kept and (path.suffix in {".pt", ".safetensors"} or path.name.startswith(".")):
                path.unlink()

    def _others(self) -> list[Path]:
        found = [path.parent for path in self._all.glob(f"*/{_BINDING}") if path.parent != self.folder]
        return sorted(path for path in found if not path.name.startswith(_PREVIOUS))

    def _set_aside(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        target = self._all / f"{_PREVIOUS}{folder.name}"
        if target.is_dir():
            shutil.rmtree(target)
        folder.rename(target)
        logger.info("the state before is in %s until another training is finished here", target)

    def _refuse_unfinished_others(self) -> None:
        for folder in self._others():
            saves = sorted(folder.glob(_MANIFESTS))
            try:
                before = read_json(folder / _BINDING)
            except (OSError, ValueError) as error:
                logger.warning("the settings of %s are unreadable, and it is not used: %s", folder, error)
                continue
            changes = [str(found) for found in differences(before, self._binding)]
            is_of_this_code = before.get(VERSION_KEY) == self._binding.get(VERSION_KEY)
            if saves and is_of_this_code and not (folder / _FINISHED).is_file():
                epoch, _, batch = saves[-1].stem.partition("-")
                raise ConfigError(
                    f"{folder} holds an unfinished training (saved in epoch {int(epoch)}, after batch {int(batch)}) "
                    f"under other settings: {'; '.join(changes)}. Restore them to resume it, or start over with "
                    "the same command and `--config fresh=true`"
                )
            logger.info("%s holds a training under other settings and is not used: %s", folder, "; ".join(changes))


class FinishedTraining(NamedTuple):
    """What a training left at its end.

    Attributes:
        checkpoint: The last one.
        binding: What shaped it.
        sha256: Of the file of its state.
    """

    checkpoint: Checkpoint
    binding: dict[str, Any]
    sha256: str


def read_finished(folder: Path) -> FinishedTraining:
    """Return the end of a training, to go on from.

    Args:
        folder: The run's `state` folder.

    Raises:
        DataError: No finished training left its state there, or the state is damaged.
    """
    ends = [path.parent for path in sorted(folder.glob(f"*/{_FINISHED}")) if not path.parent.name.startswith(_PREVIOUS)]
    if len(ends) != 1:
        raise DataError(
            f"{folder}: found the state of {len(ends)} finished trainings, expected one; train that job to its end "
            "(its state stays in work/runs, and is not part of a published result)"
        )
    try:
        manifest_path = sorted(ends[0].glob(_MANIFESTS))[-1]
        checkpoint, binding = _read(manifest_path), read_json(ends[0] / _BINDING)
        return FinishedTraining(checkpoint, binding, read_json(manifest_path)["sha256"][f"{checkpoint.at}.pt"])
    except (*_DAMAGE, IndexError) as error:
        raise DataError(f"{ends[0]}: the state is damaged ({error}); train that job again") from error


def _read(manifest_path: Path) -> Checkpoint:
    folder, manifest = manifest_path.parent, read_json(manifest_path)
    at, best_epoch = Position(manifest["epoch"], manifest["batch"]), manifest["best_epoch"]
    names = [f"{at}.pt", *([] if best_epoch is None else [_best_name(best_epoch)])]
    for name in names:
        found, expected = sha256_file(folder / name), manifest["sha256"][name]
        if found != expected:
            raise ValueError(f"{name} has the SHA-256 {found[:12]}…, expected {expected[:12]}…")
    state = torch.load(folder / names[0], map_location="cpu", weights_only=True)
    best_weights = {} if best_epoch is None else safetensors.torch.load_file(folder / names[1])
    return Checkpoint(at, state, best_epoch, best_weights)


def _best_name(epoch: int) -> str:
    return f"best-{epoch:05d}.safetensors"
