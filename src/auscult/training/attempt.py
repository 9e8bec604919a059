"""One attempt at a training: when it has to save or leave, and whom it tells."""

from __future__ import annotations

from dataclasses import dataclass, field

from auscult.training.checkpoint import Checkpoint, CheckpointStore
from auscult.training.journal import Journal, NoJournal
from auscult.training.progress import Progress
from auscult.training.save_times import SaveTimes
from auscult.training.stop import Stop, StopReason
from auscult.training.team import Team


@dataclass(frozen=True)
class Attempt:
    """What a training is given from outside.

    Attributes:
        store: Where the state is saved; None in a process that is not the first of its team.
        stop: Says when to leave.
        progress: Is told how it goes.
        save_times: Says when to save.
        team: The first process decides for all.
        journal: Is told which epochs are saved.
    """

    store: CheckpointStore | None
    stop: Stop
    progress: Progress
    save_times: SaveTimes
    team: Team
    journal: Journal = field(default_factory=NoJournal)

    def load(self) -> Checkpoint | None:
        """Return the last whole checkpoint."""
        checkpoint = self.team.agree(None if self.store is None else self.store.load())
        if self.store is not None:
            self.journal.start([] if checkpoint is None else checkpoint.state["history"])
        return checkpoint

    def save(self, checkpoint: Checkpoint, n_steps: int) -> None:
        """Save, and go on when it is done."""
        if self.store is not None:
            self.store.save(checkpoint)
            self.journal.saved(checkpoint.state["history"])
        self.save_times.saved(n_steps)
        self.team.wait()

    def asks(self, n_steps: int, *, epoch_done: int | None = None) -> tuple[StopReason | None, bool]:
        """Return why to leave, if so, and whether to save."""
        return self.team.agree((self.stop.reason, self.save_times.is_due(n_steps, epoch_done=epoch_done)))
