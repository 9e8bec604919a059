"""Copies of stores on the disk of the node that reads them, for as long as they are read.

A folder of copies belongs to the process that holds the kernel's lock on it (`flock`), which ends with the process,
however it dies. Where nobody holds it, whoever made the folder is dead, and the next one to stage there removes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from auscult.storage.seal import damage_of

logger = logging.getLogger(__name__)

PREFIX = "auscult-stage-"
LEFT_FREE_BYTES = 1 << 30
"""Others write to the node's disk too."""
_VARIABLE = "AUSCULT_STAGED_IN"
"""Tells the processes that the owner starts where the copies are."""


@contextmanager
def staged(stores: Iterable[Path], folder: Path | None, *, is_owner: bool = True) -> Generator[dict[Path, Path]]:
    """Copy stores into a private folder, which is removed when the block ends, by an exception of a signal too.

    All are copied or none: where there is no room, or a copy is not what its checksum says, a warning says so and they
    are read where they lie. A store that is damaged is thus named by its own place.

    Args:
        stores: Their paths.
        folder: On the node's own disk; None: nothing is copied.
        is_owner: This process copies; another one of the same training takes what the owner copied.

    Yields:
        Store -> its copy; empty where they are to be read where they lie.
    """
    paths = list(dict.fromkeys(stores))
    if folder is None or not paths:
        yield {}
        return
    if not is_owner:
        given = os.environ.get(_VARIABLE)
        yield _copies(paths, Path(given)) if given else {}
        return
    try:
        own, handle = _make_own(folder)
    except OSError as error:
        _say_unstaged(f"{folder}: {error.strerror}")
        yield {}
        return
    try:
        copies = _copied(paths, own)
        if copies:
            os.environ[_VARIABLE] = str(own)
        yield copies
    finally:
        os.environ.pop(_VARIABLE, None)
        shutil.rmtree(own, ignore_errors=True)
        os.close(handle)


def relocated(stores: Mapping[str, Sequence[Path]], copies: Mapping[Path, Path]) -> dict[str, list[Path]]:
    """Return stores by dataset, each replaced by its copy where there is one."""
    return {name: [copies.get(path, path) for path in paths] for name, paths in stores.items()}


def _say_unstaged(reason: str) -> None:
    logger.warning("stores are not copied to this node and are read where they lie: %s", reason)


def _copies(paths: Sequence[Path], own: Path) -> dict[Path, Path]:
    # By number: stores of two datasets may have one name.
    return {path: own / f"{number:05d}-{path.name}" for number, path in enumerate(paths)}


def _copied(paths: Sequence[Path], own: Path) -> dict[Path, Path]:
    """Copy the stores and return where; nothing where a copy is not to be used."""
    copies = _copies(paths, own)
    try:
        n_bytes = sum(path.stat().st_size for path in paths)
        fault = _lack_of_room(n_bytes, own.parent)
        for path, copy in copies.items():
            fault = fault or _fault_of_copy(path, copy)
    except OSError as error:
        fault, n_bytes = f"{error.filename}: {error.strerror}", 0
    if fault is None:
        logger.info("stores (%d, %.2f GB) are read from copies in %s", len(paths), n_bytes / 1e9, own)
        return copies
    _say_unstaged(fault)
    for written in own.iterdir():
        written.unlink()
    return {}


def _lack_of_room(n_bytes: int, folder: Path) -> str | None:
    room_bytes = max(0, shutil.disk_usage(folder).free - LEFT_FREE_BYTES)
    if n_bytes <= room_bytes:
        return None
    return f"they take {n_bytes / 1e9:.2f} GB, {folder} has room for {room_bytes / 1e9:.2f} (1 GB is left to others)"


def _fault_of_copy(path: Path, copy: Path) -> str | None:
    """Copy one store; return what is wrong with the copy."""
    shutil.copyfile(path, copy)
    found, expected = copy.stat().st_size, path.stat().st_size
    if found != expected:
        return f"the copy of {path} has {found} bytes, expected {expected}"
    # Kept in mind by path: who opens the copy in this process does not compute its checksum again.
    damage = damage_of(copy)
    return None if damage is None else f"the copy of {path}: {damage}"


def _make_own(folder: Path) -> tuple[Path, int]:
    """Remove what dead processes left, then make a private folder and hold it by the returned handle."""
    for left in sorted(folder.glob(f"{PREFIX}*")):
        _remove_if_dead(left)
    while True:
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        handle = os.open(own, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if own.exists():
            return own, handle
        os.close(handle)  # another process swept it before it was held


def _remove_if_dead(left: Path) -> None:
    try:
        handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return  # another user's, or gone meanwhile
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left)
        logger.info("%s: removed; the process that copied stores there is dead", left)
    except OSError as error:  # its owner lives, or another process removes it too
        logger.debug("%s: left alone (%s)", left, error)
    finally:
        os.close(handle)
