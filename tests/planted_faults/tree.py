"""A written dataset that is being damaged: its recordings, each of which bears one fault at most."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auscult.errors import DataError
from auscult_simulate.audio_files import AUDIO_FORMATS


@dataclass(frozen=True)
class PlantedFault:
    """One damage.

    Attributes:
        file: Where a reader should find it, relative to the root, with `/`.
        line: Line (or row of a sheet) from 1; None for the whole file.
        kind: What was done.
        reason: The class with which the reader's reason should open (what stands before its first colon).
    """

    file: str
    line: int | None
    kind: str
    reason: str


class Tree:
    """The sounds below a root, handed out once each in random order.

    Args:
        root: The dataset's folder.
        rng: The only source of randomness.
    """

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.root = root
        self.rng = rng
        paths = sorted(path for path in root.rglob("*") if path.suffix in AUDIO_FORMATS)
        self._left = [paths[index] for index in rng.permutation(len(paths))]
        self._n_paths = len(paths)

    def victim(self, accept: Callable[[Path], bool] = lambda _: True) -> Path:
        """Return a sound that no fault has touched.

        Args:
            accept: Tells whether a sound will do.

        Raises:
            DataError: When none is left.
        """
        for index in reversed(range(len(self._left))):
            if accept(self._left[index]):
                return self._left.pop(index)
        raise DataError(
            f"{self.root} holds {self._n_paths} recordings, too few to give each fault its own; write a dataset "
            "with more patients"
        )

    def fault(self, path: Path, kind: str, reason: str, line: int | None = None) -> PlantedFault:
        """Return the record of a damage."""
        return PlantedFault(path.relative_to(self.root).as_posix(), line, kind, reason)

    def copy_beside(self, path: Path) -> Path:
        """Copy a file into a folder `copy` beside it, which sorts behind all names of the layouts."""
        target = path.parent / "copy" / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        return target

    def add_foreign_file(self, name: str = "export.xyz") -> PlantedFault:
        """Put a file there that belongs to no layout."""
        path = self.root / name
        path.write_bytes(b"\x00\x01\x02")
        return self.fault(path, "foreign file", "not part of the layout")


def is_wav(path: Path) -> bool:
    """Tell whether a sound is a WAV."""
    return path.suffix == ".wav"
