"""Large datasets in several pieces, each made by a job of its own and read as one."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Shard:
    """One piece of a dataset: number `index`, from 0, of `count` pieces of consecutive rows.

    >>> Shard(1, 3).bounds(10)
    (3, 6)
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shards are numbered 0 to {self.count - 1}, found {self.index}")

    def bounds(self, n_rows: int) -> tuple[int, int]:
        """Return the first row of this piece and the one after its last; pieces differ by one row at most."""
        return self.index * n_rows // self.count, (self.index + 1) * n_rows // self.count

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that belong to this piece, in their order."""
        first, last = self.bounds(len(table))
        return table.iloc[first:last]


WHOLE = Shard(0, 1)
"""A dataset in one piece."""
