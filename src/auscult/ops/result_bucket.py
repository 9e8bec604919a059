"""A published result in a bucket: sent file by file, its list of checksums last, and held against that list."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from auscult.config.paths import CHECKSUMS_FILE
from auscult.datasets.bucket import Bucket, RemoteObject, equals
from auscult.errors import DataError, some
from auscult.formatting.numbers import plural
from auscult.logs import TO_TERMINAL
from auscult.ops.verify import Verified, verify_result
from auscult.provenance import read_checksums
from auscult.storage.files import sha256_file, write_text

logger = logging.getLogger(__name__)

WITH_IDS = frozenset({"predictions.parquet", "outcomes.csv", "events.csv", "objects.csv"})
"""Tables of a job that hold the ids of recordings and patients as the data have them."""
SETTING = "`publish_to`"


class Sent(NamedTuple):
    """What was done to bring a result into a bucket.

    Attributes:
        root: Where it lies.
        n_sent: Files that were sent, the list of checksums among them.
        n_there: Files that were there already.
        left_out: Files that hold the ids of the data, and stay here.
    """

    root: str
    n_sent: int
    n_there: int
    left_out: tuple[str, ...]

    @property
    def text(self) -> str:
        """What was done, in words."""
        kept = f"; left out, for they hold the ids of the data: {some(self.left_out)}" if self.left_out else ""
        return f"{self.root}: {plural(self.n_sent, 'file')} sent, {self.n_there} were there already{kept}"


def place_in(publish_to: str, folder: Path) -> str:
    """Return where a result lies in a bucket: below the prefix, by folder and name of its experiment.

    >>> place_in("gs://lungs/results/", Path("results/pneumonia/train2356"))
    'gs://lungs/results/pneumonia/train2356'
    """
    return "/".join([publish_to.rstrip("/"), *folder.resolve().parts[-2:]])


def send_result(folder: Path, publish_to: str, *, with_names: bool = False) -> Sent:
    """Copy a result into a bucket; what lies there with the same checksum is not sent again.

    `checksums.txt` goes first from the bucket and comes last into it: as long as it is missing, the copy is not whole.

    Args:
        folder: Such as `results/pneumonia/train2356`.
        publish_to: `gs://bucket/prefix`.
        with_names: Whether names may leave the project (`publish.names`): else tables with the ids of the data stay
            here.

    Raises:
        DataError: The result is not as it was published, or the bucket cannot be written; the next call goes on.
    """
    found = verify_result(folder)
    if found.damaged or found.missing:
        raise DataError(
            f"{folder}: {some((*found.damaged, *found.missing))}: damaged or missing, nothing is sent; publish it "
            f"again: snakemake --cores all --forcerun publish -- {folder}"
        )
    listed = read_checksums(folder / CHECKSUMS_FILE)
    left_out = () if with_names else tuple(name for name in listed if Path(name).name in WITH_IDS)
    listed = {name: digest for name, digest in listed.items() if name not in left_out}
    bucket = Bucket(place_in(publish_to, folder), setting=SETTING, writable=True)
    there = {item.name: item for item in bucket.objects(may_be_empty=True)}
    with tempfile.TemporaryDirectory() as temporary:
        checksums = Path(temporary) / CHECKSUMS_FILE
        write_text(checksums, "".join(f"{digest}  {name}\n" for name, digest in listed.items()))
        due = [name for name in listed if not _is_there(there, name, folder / name)]
        stale = _earlier(bucket, there) - listed.keys() - {CHECKSUMS_FILE}
        if due or stale or not _is_there(there, CHECKSUMS_FILE, checksums):
            if CHECKSUMS_FILE in there:
                bucket.remove(CHECKSUMS_FILE)
            for name in due:
                bucket.upload(folder / name, name)
            for name in sorted(stale & there.keys()):
                bucket.remove(name)
            bucket.upload(checksums, CHECKSUMS_FILE)
            return Sent(bucket.root, len(due) + 1, len(listed) - len(due), left_out)
    return Sent(bucket.root, 0, len(listed) + 1, left_out)


def send_published(folder: Path, publish_to: str, *, with_names: bool) -> None:
    """Copy a result that was just published; a bucket that cannot be written costs a warning, and no result."""
    try:
        sent = send_result(folder, publish_to, with_names=with_names)
    except DataError as error:
        remedy = f"send it when that is mended: auscult upload {folder}"
        logger.warning("%s is not in the bucket: %s; %s", folder, error, remedy)
    else:
        logger.info("%s", sent.text, extra=TO_TERMINAL)


def _is_there(there: Mapping[str, RemoteObject], name: str, path: Path) -> bool:
    return name in there and equals(path, there[name])


def _earlier(bucket: Bucket, there: Mapping[str, RemoteObject]) -> set[str]:
    """Return the files that an earlier copy listed: ours to remove, where a result no longer has them."""
    if CHECKSUMS_FILE not in there:
        return set()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / CHECKSUMS_FILE
        bucket.download(there[CHECKSUMS_FILE], path)
        return set(read_checksums(path))


def verify_bucket(root: str) -> Verified:
    """Read every file of a result in a bucket, and hold it against the list that was sent last.

    Args:
        root: Such as `gs://bucket/prefix/pneumonia/train2356`.

    Raises:
        DataError: The bucket cannot be read, or its list is missing: the copy is not whole.
    """
    bucket = Bucket(root, setting="the address")
    there = {item.name: item for item in bucket.objects()}
    if CHECKSUMS_FILE not in there:
        raise DataError(
            f"{root}: holds {plural(len(there), 'file')} and no {CHECKSUMS_FILE}, which is sent last: the copy is not "
            "whole; send the result again, what is there already is not sent twice: auscult upload results/..."
        )
    damaged: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "object"
        bucket.download(there[CHECKSUMS_FILE], path)
        listed = read_checksums(path)
        for name in sorted(listed.keys() & there.keys()):
            bucket.download(there[name], path)
            if sha256_file(path) != listed[name]:
                damaged.append(name)
    return Verified(
        n_files=len(listed),
        damaged=tuple(damaged),
        missing=tuple(sorted(listed.keys() - there.keys())),
        extra=tuple(sorted(there.keys() - listed.keys() - {CHECKSUMS_FILE})),
        notices=(),
    )
