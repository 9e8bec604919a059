"""What papers report on a task that an experiment answers: `config/experiments/<group>/claims.yaml`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, TypeAdapter

from auscult.config.base import Label, Settings
from auscult.config.documents import read_yaml
from auscult.config.files import parse

CLAIMS_FILE = "claims.yaml"


class Claim(Settings):
    """One published figure, and what is known against it.

    Attributes:
        paper: Authors, year and title.
        source: Where it can be read: an arXiv number, a DOI, an address.
        split: On which division of the data, in words.
        metric: By its name in `metrics.json`, such as `challenge_score`.
        value: In [0, 1], or in per cent where `metric` is printed so.
        part: The part of the test set; None for the whole.
        verified: The figure was read in its source. An unverified one is marked so.
        flaw: What is known against the comparison; empty for nothing.
    """

    paper: str
    source: str
    split: str
    metric: str
    value: float
    part: Label | None = None
    verified: bool = False
    flaw: str = Field(default="")


CLAIMS = TypeAdapter(dict[str, tuple[Claim, ...]])


def load_claims(folder: Path, experiment: str) -> tuple[Claim, ...]:
    """Return what is published on an experiment's task; empty where nothing is known.

    Args:
        folder: The experiment's folder.
        experiment: Its name.

    Raises:
        ConfigError: The file is malformed.
    """
    path = folder / CLAIMS_FILE
    if not path.is_file():
        return ()
    return parse(CLAIMS, read_yaml(path), str(path)).get(experiment, ())
