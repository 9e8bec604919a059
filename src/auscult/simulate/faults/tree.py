"""A written dataset that is being damaged: its recordings, each of which bears one fault at most."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auscult.errors import DataError


@dataclass(frozen=True)
class PlantedFault:
    """One damage.

    Attributes:
        file: Where a reader should find it, relative to the root, with `/`.
        line: Line (or row of a sheet) from 1; None for the whole file.
        kind: What was done.
    """

    file: str
    line: int | None
    kind: str


class Tree:
    """The WAVs below a root, handed out once each in random order.

    Args:
        root: The dataset's folder.
        rng: The only source of randomness.
    """

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.root = root
        self.rng = rng
        paths = sorted(root.rglob("*.wav"))
        self._left = [paths[index] for index in rng.permutation(len(paths))]
        self._n_paths = len(paths)

    def victim(self) -> Path:
        """Return a WAV that no fault has touched.

        Raises:
            DataError: When none is left.
        """
        if not self._left:
            raise DataError(
                f"{self.root} holds {self._n_paths} recordings, too few to give each fault its own; write a dataset "
                "with more patients"
            )
        return self._left.pop()

    def fault(self, path: Path, kind: str, line: int | None = None) -> PlantedFault:
        """Return the record of a damage."""
        return PlantedFault(path.relative_to(self.root).as_posix(), line, kind)

    def copy_beside(self, path: Path) -> Path:
        """Copy a file into a folder `copy` beside it, which sorts behind all names of the layouts."""
        target = path.parent / "copy" / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        return target
