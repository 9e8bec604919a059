"""What adds up over the batches of an epoch."""

from __future__ import annotations

from typing import Any

import torch

from auscult.training.losses import LossSum
from auscult.training.team import Team


class EpochSums:
    """Loss and times of an epoch so far.

    The loss is summed on the device: asking for each batch's would make the device wait for the host.

    Attributes:
        train_s: Seconds of training.
        wait_s: Of these, seconds of waiting for data.
        n_clips: Clips seen.
    """

    def __init__(self, device: torch.device) -> None:
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._n_known = torch.zeros((), dtype=torch.int64, device=device)
        self.train_s = 0.0
        self.wait_s = 0.0
        self.n_clips = 0

    def add(self, loss: LossSum, n_clips: int) -> None:
        """Add a batch."""
        self._total += loss.total.detach()
        self._n_known += loss.n_known
        self.n_clips += n_clips

    def together(self, team: Team) -> EpochSums:
        """Return the sums of all processes; the times are those of the first."""
        if team.size == 1:
            return self
        parts = team.gathered(self.state_dict())
        whole = EpochSums(self._total.device)
        added = {key: sum(part[key] for part in parts) for key in ("total", "n_known", "n_clips")}
        whole.load_state_dict({**parts[0], **added})
        return whole

    def mean_loss(self) -> float:
        """Return the mean over all known cells so far."""
        return float(self._total / self._n_known)

    def state_dict(self) -> dict[str, Any]:
        """Return all sums."""
        return {
            "total": float(self._total),
            "n_known": int(self._n_known),
            "train_s": self.train_s,
            "wait_s": self.wait_s,
            "n_clips": self.n_clips,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put `state_dict` back."""
        self._total.fill_(state["total"])
        self._n_known.fill_(state["n_known"])
        self.train_s, self.wait_s, self.n_clips = state["train_s"], state["wait_s"], state["n_clips"]
