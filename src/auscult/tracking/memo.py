"""`live_run.json` in a run folder: to which run a training is logged, with what, and when each epoch was first seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from auscult.provenance import redact
from auscult.storage.files import write_json

MEMO_FILE = "live_run.json"


@dataclass(frozen=True)
class LiveRequest:
    """What is logged of a training while it runs.

    Attributes:
        task: The task's name, which is that of MLflow's experiment.
        experiment: `<task>/<name>`.
        job: The run's id in it.
        name: The run's name.
        params: Flat settings of the training.
    """

    task: str
    experiment: str
    job: str
    name: str
    params: dict[str, str]


@dataclass
class Memo:
    """What is remembered between attempts.

    Attributes:
        store: The tracking URI, without credentials.
        run: The run's id there; None while the store was never reached.
        times_ms: Epoch -> Unix time at which it was first seen: a point sent twice is then the same point to a store.
        request: What is logged.
    """

    store: str | None = None
    run: str | None = None
    times_ms: dict[int, int] = field(default_factory=dict)
    request: LiveRequest | None = None

    @property
    def live_run(self) -> tuple[str, str] | None:
        """The store and the run's id."""
        return (self.store, self.run) if self.store and self.run else None

    def is_of(self, uri: str, request: LiveRequest) -> bool:
        """Tell whether its run is one of this store, of the same training under the same settings."""
        before = self.request
        return before is not None and self.store == redact(uri) and before.params == request.params

    def write(self, folder: Path) -> None:
        """Keep it."""
        write_json(folder / MEMO_FILE, asdict(self))


def read_memo(folder: Path) -> Memo:
    """Read a run folder's memo; an empty one where there is none, or none that can be read."""
    try:
        values: Mapping[str, Any] = json.loads((folder / MEMO_FILE).read_text(encoding="utf-8"))
        request = values["request"]
        known = {item.name for item in fields(LiveRequest)}
        return Memo(
            store=values["store"],
            run=values["run"],
            times_ms={int(epoch): int(time_ms) for epoch, time_ms in values["times_ms"].items()},
            request=None if request is None else LiveRequest(**{key: request[key] for key in known}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memo()
