"""Pictures of the test set with their predictions, where clips of sound would be drawn as spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from auscult.evaluation.clip_pictures import ClipPlotter, Request
from auscult.plots.style import save
from auscult.plots.thumbnail import thumbnail
from auscult.storage.files import write_json


class ThumbnailPlotter(ClipPlotter):
    """Draws pictures of one evaluated job, each with the evidence for its prediction; arguments as of `ClipPlotter`."""

    @override
    def draw(self, folder: Path, generator: np.random.Generator) -> None:
        """As of clips; a mean over pictures of unlike things shows nothing, and is not drawn."""
        super().draw(folder, generator)
        write_json(folder / "spectrograms" / "averages.json", [])

    @override
    def _draw(self, requests: Sequence[Request], paths: Sequence[Path]) -> list[dict[Any, Any]]:
        """Draw each picture to its path and return their rows of the predictions."""
        if not requests:
            return []
        indices = self._places(requests)
        pictures = self._examples.spectrograms(indices)
        columns = [self._task.targets.index(one.target) for one in requests]
        maps = self._explainer.explain(pictures, columns).maps
        rows: list[dict[Any, Any]] = [self._predictions.iloc[int(index)].to_dict() for index in indices]
        for picture, found, one, path, row in zip(pictures, maps, requests, paths, rows, strict=True):
            title, subtitle = self._texts(one, row)
            save(thumbnail(picture, self._evidence(one.target, found), title=title, subtitle=subtitle), path)
        return rows
