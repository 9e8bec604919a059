"""The files of a dataset in a bucket, mirrored into a folder that readers read like any other."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auscult.datasets.bucket import Bucket, RemoteObject, equals
from auscult.errors import DataError
from auscult.storage.files import read_json, write_json
from auscult.storage.parallel import ordered_map

STATE_NAME = ".fetched.json"
"""In the cache, hidden from readers: whose cache it is, and which files are known to be whole."""
PARTIAL_NAME = ".partial"
"""In the cache: files that are not whole yet."""
THREADS = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What a fetch did.

    Attributes:
        n_objects: Files that the cache now holds.
        n_downloaded: Of these, those that came now.
        downloaded_bytes: Their size.
        removed: Files that left the bucket, and now the cache.
        refused: (name, why it can be no file of the cache).
        has_changed: Whether the listing differs from the one before.
    """

    n_objects: int
    n_downloaded: int
    downloaded_bytes: int
    removed: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    has_changed: bool


def fetch(root: str, cache: Path, listing: Path, *, threads: int = THREADS, bucket: Bucket | None = None) -> Fetched:
    """Make `cache` hold what the bucket holds, and write what that is.

    What is there already, by its checksum, is not downloaded again; a fetch that was killed goes on where it stopped.
    Each file appears under its name only when it is whole. While files change there is no listing, so that nothing is
    built on a half-changed cache; when nothing has changed, the listing is not touched.

    Args:
        root: `gs://bucket/prefix`.
        cache: The folder; made when absent, and written by nobody else.
        listing: The JSON file that states the objects, sorted: equal for equal contents.
        threads: Downloads at a time.
        bucket: Where the objects come from; by default the bucket of `root`.

    Raises:
        DataError: The bucket cannot be read, the cache is a folder of something else, or there is no room.
    """
    bucket = bucket or Bucket(root)
    objects, refused = _split(bucket.objects())
    for name, reason in refused:
        logger.warning("%s: %s is left out: %s", root, name, reason)
    if not objects:
        raise DataError(f"{root}: none of its {len(refused)} objects can be a file: {refused[0][0]!r} {refused[0][1]}")
    state = _State(cache, root)
    text = {"root": root, "objects": [asdict(item) for item in objects], "refused": [list(pair) for pair in refused]}
    has_changed = _read(listing) != text
    wanted = {item.name for item in objects}
    surplus = [name for name in _files(cache) if name not in wanted]
    if has_changed or surplus:
        listing.unlink(missing_ok=True)
    # First, so that a link, or a file where a folder is to be, stands in nobody's way.
    _remove(surplus, cache)
    missing = [item for item in objects if not state.has(item)]
    if missing:
        listing.unlink(missing_ok=True)
    n_bytes = _download(bucket, missing, cache, state, threads)
    state.save(wanted)
    if not listing.is_file():
        write_json(listing, text)
    logger.info("%s: %d files, %d downloaded, %d removed", root, len(objects), len(missing), len(surplus))
    return Fetched(
        n_objects=len(objects),
        n_downloaded=len(missing),
        downloaded_bytes=n_bytes,
        removed=tuple(surplus),
        refused=tuple(refused),
        has_changed=bool(has_changed or surplus or missing),
    )


def fetched_root(cache: Path) -> str | None:
    """Return the root whose files a cache holds, None when there is no cache."""
    state = _read(cache / STATE_NAME)
    return None if state is None else str(state.get("root"))


def damaged(cache: Path, listing: Path) -> list[str]:
    """Return the names of files that the listing states and the cache does not hold, or holds with other bytes.

    Raises:
        DataError: The listing cannot be read.
    """
    text = _read(listing)
    if text is None:
        raise DataError(f"{listing}: not the listing of a bucket; `auscult data fetch {cache.name}` writes it again")
    objects = [RemoteObject(**item) for item in text["objects"]]
    return [item.name for item in objects if not (cache / item.name).is_file() or not equals(cache / item.name, item)]


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON file's mapping; None where there is none that can be read: it is made anew."""
    try:
        found = read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _split(objects: Iterable[RemoteObject]) -> tuple[list[RemoteObject], list[tuple[str, str]]]:
    taken: list[RemoteObject] = []
    refused: list[tuple[str, str]] = []
    objects = list(objects)
    folders = {parent for item in objects for parent in _parents(item.name)}
    for item in objects:
        reason = refusal(item.name) or ("is a file and a folder at once" if item.name in folders else None)
        if reason is None:
            taken.append(item)
        else:
            refused.append((item.name, reason))
    return taken, refused


def refusal(name: str) -> str | None:
    r"""Return why an object's name can be no file of the cache, None when it can.

    >>> refusal("audio/101.wav") is None, refusal("a/../../etc/passwd")
    (True, "holds the part '..'")
    """
    parts = name.split("/")
    strange = next((part for part in parts if part in ("", ".", "..")), None)
    if strange is not None:
        return f"holds the part {strange!r}"
    if "\0" in name or "\\" in name or "\n" in name:
        return "holds a character that no file name should have"
    if any(len(os.fsencode(part)) > 255 for part in parts):
        return "holds a part of more than 255 bytes"
    return "is a name that the cache keeps for itself" if parts[0] in (STATE_NAME, PARTIAL_NAME) else None


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


class _State:
    """Which files of the cache are known to be whole: those whose size and time are as after the download."""

    def __init__(self, cache: Path, root: str) -> None:
        self._cache = cache
        self._path = cache / STATE_NAME
        self._root = root
        self._known: dict[str, Any] = {}
        if self._path.is_file():
            # Damaged, it costs reading every file once: their checksums then say which are whole.
            self._known = dict((_read(self._path) or {}).get("files") or {})
        elif cache.is_dir() and any(cache.iterdir()):
            raise DataError(
                f"{cache}: this folder holds files and is no cache of a bucket; move it away, so that none are lost"
            )
        else:
            self.save({})

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def has(self, item: RemoteObject) -> bool:
        path = self._cache / item.name
        if not path.is_file() or path.is_symlink():
            return False
        status = path.stat()
        if self._known.get(item.name) == [item.md5 or item.crc32c, item.size, status.st_mtime_ns] and (
            status.st_size == item.size
        ):
            return True
        if not equals(path, item):
            return False
        self.note(item)
        return True

    def note(self, item: RemoteObject) -> None:
        status = (self._cache / item.name).stat()
        self._known[item.name] = [item.md5 or item.crc32c, item.size, status.st_mtime_ns]

    def save(self, wanted: Iterable[str]) -> None:
        files = {name: self._known[name] for name in sorted(wanted) if name in self._known}
        write_json(self._path, {"root": self._root, "files": files})


def _download(bucket: Bucket, missing: list[RemoteObject], cache: Path, state: _State, threads: int) -> int:
    """Fetch objects, several at once, each under a name of its own until it is whole; return the bytes that came."""
    real_cache = os.path.realpath(cache)
    partial = cache / PARTIAL_NAME
    shutil.rmtree(partial, ignore_errors=True)

    def bring(numbered: tuple[int, RemoteObject]) -> RemoteObject:
        number, item = numbered
        temporary, path = partial / str(number), cache / item.name
        bucket.download(item, temporary)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not f"{os.path.realpath(path.parent)}/".startswith(f"{real_cache}/"):
            raise DataError(f"{path}: a link in the cache leads out of it; remove {cache} and fetch again")
        os.replace(temporary, path)
        return item

    n_bytes = 0
    try:
        if missing:
            partial.mkdir(parents=True)
        for item in ordered_map(bring, enumerate(missing), threads):
            state.note(item)
            n_bytes += item.size
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        state.save(state.names)
    return n_bytes


def _files(cache: Path) -> list[str]:
    """Return the files of a cache, sorted; its own are left out."""
    if not cache.is_dir():
        return []
    names = (path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for name in names if name != STATE_NAME and not name.startswith(f"{PARTIAL_NAME}/"))


def _remove(names: Iterable[str], cache: Path) -> None:
    for name in names:
        (cache / name).unlink(missing_ok=True)
    folders = sorted((path for path in cache.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True)
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()
