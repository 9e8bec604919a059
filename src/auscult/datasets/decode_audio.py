"""The audio files of a dataset decoded in shards: the costly part of an ingest, done side by side.

Recording number i of the reader, counted from 0, belongs to shard i mod N. Each shard writes a table of what it found,
and the ingest reads all of them in step: its own tables are those of an ingest in one piece.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, fields
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as arrow
from pyarrow import parquet

from auscult.audio.probe import AudioFacts
from auscult.audio.probe import probe as probe_audio
from auscult.config import DatasetSettings
from auscult.config.dataset import IdxDataset
from auscult.config.paths import say_missing_root
from auscult.datasets.folder import printable
from auscult.datasets.readers import reader_of
from auscult.errors import AuscultError, DataError
from auscult.images.decode import probe_picture, probe_pixels
from auscult.images.idx import IdxPictures
from auscult.storage.files import atomic_path
from auscult.storage.hdf5 import Shard
from auscult.storage.tables import Recording

BATCH_ROWS = 1024
_TYPES = {"int": arrow.int64(), "float": arrow.float64(), "str": arrow.string()}
_FACTS = {field.name: _TYPES[str(field.type).removesuffix(" | None")] for field in fields(AudioFacts)}
_SCHEMA = arrow.schema({"path": arrow.string(), "fault": arrow.string(), **_FACTS})

logger = logging.getLogger(__name__)


def decode_audio(root: Path, dataset: str, settings: DatasetSettings, *, shard: Shard, output: Path) -> None:
    """Decode the recordings of one shard and write what they hold, or what is wrong with each.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        settings: Its layout.
        shard: Which recordings.
        output: A Parquet table, written atomically.

    Raises:
        DataError: The root is missing.
    """
    if not root.is_dir():
        raise DataError(say_missing_root(dataset, settings, root))
    n_rows, probe = 0, probe_of(settings)
    with atomic_path(output) as temporary, parquet.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for number, path in enumerate(_paths(root, dataset, settings)):
            if number % shard.count != shard.index:
                continue
            rows.append(_look(root, path, probe))
            n_rows += 1
            if len(rows) == BATCH_ROWS:
                writer.write_table(arrow.Table.from_pylist(rows, schema=_SCHEMA))
                rows.clear()
        writer.write_table(arrow.Table.from_pylist(rows, schema=_SCHEMA))
    logger.info("%s: %d recordings decoded, shard %d of %d", dataset, n_rows, shard.index + 1, shard.count)


def _paths(root: Path, dataset: str, settings: DatasetSettings) -> Generator[str]:
    for item in reader_of(settings)(root, dataset, settings):
        if isinstance(item, Recording) and printable(item.path) == item.path:
            yield item.path


def probe_of(settings: DatasetSettings) -> Callable[[Path], AudioFacts]:
    """Return what decodes a file of a dataset and returns its facts: of sound, or of a picture."""
    if isinstance(settings, IdxDataset):
        rows = IdxPictures()
        return lambda path: probe_pixels(rows.read(path))
    return probe_picture if settings.holds_pictures else partial(probe_audio, rates=settings.rate_hz)


def _look(root: Path, path: str, probe: Callable[[Path], AudioFacts]) -> dict[str, Any]:
    try:
        return {"path": path, **asdict(probe(root / path))}
    except DataError as error:
        return {"path": path, "fault": str(error)}


def probe_from(shards: Sequence[Path], root: Path) -> Callable[[Path], AudioFacts]:
    """Return a function that stands for `probe` and takes its answers from the tables of all shards.

    It must be asked for the recordings in the reader's order.

    Args:
        shards: The tables of all shards, in order.
        root: The dataset's folder.
    """
    found = _in_step([_rows(path) for path in shards])

    def probe(path: Path) -> AudioFacts:
        row = next(found, None)
        name = path.relative_to(root).as_posix()
        if row is None or row["path"] != name:
            held = "no more recordings" if row is None else repr(row["path"])
            raise ShardError(
                f"{root}: the shards hold {held} where {name!r} is due: the folder changed while it was read; "
                f"delete {', '.join(str(shard) for shard in shards)} and run again"
            )
        if row["fault"] is not None:
            raise DataError(row["fault"])
        return AudioFacts(**{name: row[name] for name in _FACTS})

    return probe


class ShardError(AuscultError):
    """The shards' tables are damaged, or of another state of the folder; the recording asked for is not at fault."""


def _rows(path: Path) -> Generator[dict[str, Any]]:
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, arrow.ArrowInvalid) as error:
        raise ShardError(f"{path}: not a readable Parquet table ({error}); delete it and run again") from error


def _in_step(parts: Iterable[Generator[dict[str, Any]]]) -> Generator[dict[str, Any]]:
    """Yield one row of each part in turn, until the part whose turn it is has no more.

    >>> "".join(_in_step([iter("ACE"), iter("BD")]))
    'ABCDE'
    """
    for part in cycle(parts):
        row = next(part, None)
        if row is None:
            return
        yield row
