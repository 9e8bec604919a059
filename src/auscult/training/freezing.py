"""A part of the model that is not trained, for a while or throughout."""

from __future__ import annotations

from torch import nn

from auscult.config.train import TrainSettings
from auscult.errors import ConfigError


class Freezing:
    """Keeps a part of a model as it is: its weights, and the statistics of its batch norms.

    Args:
        module: With the parts as children.
        settings: `freeze` and `thaw_epoch`.

    Raises:
        ConfigError: The model has no such part.
    """

    def __init__(self, module: nn.Module, settings: TrainSettings) -> None:
        self._thaw_epoch = settings.thaw_epoch
        self._part: nn.Module | None = None
        if settings.freeze is not None:
            children = dict(module.named_children())
            if settings.freeze not in children:
                raise ConfigError(
                    f"train.freeze: the model has no part {settings.freeze!r}; it has {', '.join(sorted(children))}"
                )
            self._part = children[settings.freeze]

    def apply(self, epoch: int) -> None:
        """Freeze or thaw for an epoch; to be called after the model was put into training mode."""
        if self._part is None:
            return
        is_frozen = self._thaw_epoch is None or epoch < self._thaw_epoch
        self._part.requires_grad_(not is_frozen)
        if is_frozen:
            self._part.eval()

    def end(self) -> None:
        """Leave the model as if nothing had been frozen."""
        if self._part is not None:
            self._part.requires_grad_(requires_grad=True)
