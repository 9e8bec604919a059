"""What became of the tensors of a weights file: which arrived as they are, which were changed, which were not used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    """An account of a loaded file; every tensor of the file and of the model is in it once.

    Attributes:
        n_as_is: Tensors that arrived unchanged.
        changed: What was done to others: resampled, summed over channels, transposed.
        unused: Tensors of the file that the model has no place for, each with the reason.
        new: Tensors of the model that the file does not hold; they start at random.
    """

    n_as_is: int
    changed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the account in sentences, for the log.

        >>> for line in Arrival(148, ("pos_embed [1, 197, 192] resampled to [1, 161, 192]",)).lines():
        ...     print(line)
        148 tensors arrived as they are, 1 changed, 0 of the file not used, 0 new
        changed: pos_embed [1, 197, 192] resampled to [1, 161, 192]
        """
        yield (
            f"{self.n_as_is} tensors arrived as they are, {len(self.changed)} changed, "
            f"{len(self.unused)} of the file not used, {len(self.new)} new"
        )
        for what, names in (("changed", self.changed), ("not used", self.unused), ("new", self.new)):
            if names:
                yield f"{what}: {', '.join(names)}"
