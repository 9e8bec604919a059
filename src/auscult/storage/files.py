"""Files written whole or not at all, hashes of what they hold, and files that a command writes where its user says."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from auscult.errors import ConfigError, UnreadableError

KEY_LENGTH = 12
MAX_JSON_BYTES = 1_000_000_000
"""Of a document that auscult wrote; audits list each recording."""
MAX_NAME_CHARACTERS = 100
"""Of a file that is named after a recording, a label or another text of the data; file systems end at 255 bytes."""


# Host, process, and when the process began: whoever finds such a name can tell whether its owner lives.
_TEMPORARY = re.compile(r"\..*-(?P<host>[0-9a-f]{8})\.(?P<pid>[0-9]+)\.(?P<began>[0-9]+)-[^.]*\.tmp")
_MAX_STEM_BYTES = 120
_swept: set[Path] = set()


@contextmanager
def atomic_path(path: Path, *, is_synced: bool = True) -> Generator[Path]:
    """Yield a temporary path beside `path`; on a clean exit fsync it and rename it into place.

    The temporary file carries the final suffix (writers that go by it work), and is removed when the block raises. What
    killed processes of this host left in the folder is removed at a process's first write there.

    Args:
        path: The final name. Its folder is made when absent.
        is_synced: It must be on the disk before it appears; False for what no result depends on.
    """
    path = Path(path)
    _prepare_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(path), suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; what is published follows the user's umask like any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if is_synced:
            sync_file(temporary)
        os.replace(temporary, path)
        if is_synced:
            sync_file(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(beside: Path) -> Generator[Path]:
    """Yield a new folder beside a path, and remove it at the end; swept like the files of `atomic_path`."""
    beside = Path(beside)
    _prepare_folder(beside.parent)
    with tempfile.TemporaryDirectory(prefix=_temporary_prefix(beside), suffix=".tmp", dir=beside.parent) as name:
        yield Path(name)


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.absolute()
    if folder not in _swept:  # once: listing a folder of thousands for each of its files would take longer than they do
        _swept.add(folder)
        sweep(folder)


def _temporary_prefix(path: Path) -> str:
    stem = path.stem.encode(errors="surrogateescape")[:_MAX_STEM_BYTES].decode(errors="ignore")
    return f".{stem}-{_this_host()}.{os.getpid()}.{_began(os.getpid()) or 0}-"


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders of processes of this host that are gone; all others stay.

    Another host's, or another container's, stay too: nobody here can tell whether their owner lives.
    """
    try:
        inside = list(Path(folder).iterdir())
    except OSError:  # it may be written in, and not listed
        return
    for left in inside:
        found = _TEMPORARY.match(left.name)
        if found is None or found["host"] != _this_host() or _is_alive(int(found["pid"]), found["began"]):
            continue
        with suppress(OSError):  # another process may be sweeping here too
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


@cache
def _this_host() -> str:
    """Return a short name of where process numbers mean what they mean here: of a host, or of a container on it."""
    numbering = Path("/proc/self/ns/pid")
    text = f"{platform.node()} {numbering.stat().st_ino if numbering.exists() else ''}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _began(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine did: no clock that is set changes it; None: unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[19].decode() if fields[0] not in (b"Z", b"X") else ""


def _is_alive(pid: int, began: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    # A process that began at another time only got the same number.
    return _began(pid) in {began, None}


def sync_file(path: Path) -> None:
    """Return once a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON (no NaN: an undefined number is null), atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, most_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read one JSON document, as `parse_json`.

    Raises:
        OSError: There is no such file, or it cannot be read.
        UnreadableError: It is larger than `most_bytes`, or no such JSON.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UnreadableError(f"{path}: larger than {most_bytes} bytes; it is not what auscult wrote there")
    try:
        return parse_json(content)
    except ValueError as error:
        raise UnreadableError(f"{path}: cannot be read as JSON ({error})") from error


def parse_json(content: str | bytes) -> Any:
    """Return what a JSON document says.

    Raises:
        ValueError: It is no JSON, too deep, says a key twice, or a number that JSON does not have; with the line.

    >>> parse_json('{"a": [1, "2"]}')
    {'a': [1, '2']}
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("deeper than any that auscult writes") from None
    except _RefusedError as error:
        raise ValueError(f"{error}; line {_line_of_refused(text)}") from None


class _RefusedError(ValueError):
    """JSON that Python takes and this project does not."""


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RefusedError(f"the keys {sorted({key for key in keys if keys.count(key) > 1})} stand twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise _RefusedError(f"{name} is no JSON number")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?|[{}\[\]]|-?Infinity|NaN')


def _line_of_refused(text: str) -> int:
    """Return in which line the first repeated key, or number that is none, stands."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        word = token[0]
        is_refused = word[0] in "-NI"
        if word[0] in "{[":
            keys.append(set())
        elif word[0] in "}]" and keys:
            keys.pop()
        elif token[1] is not None and keys:
            key = json.loads(word[: word.rindex(":")])
            is_refused = key in keys[-1]
            keys[-1].add(key)
        if is_refused:
            return text.count("\n", 0, token.start()) + 1
    return 1


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_name(text: str) -> str:
    """Return a text of the data (a recording, a clip, a label) as a part of a file name: plain, and never too long.

    Every file that is named after such a text is named by this function. A long one keeps its beginning and its end,
    and a digest of the whole between them.

    >>> file_name("fine crackle/left")
    'fine_crackle_left'
    >>> len(file_name("p" * 300)), file_name("p" * 300) == file_name("p" * 301)
    (100, False)
    """
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", text)
    if len(plain) <= MAX_NAME_CHARACTERS:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:KEY_LENGTH]
    n_kept = (MAX_NAME_CHARACTERS - len(digest) - 2) // 2
    return f"{plain[:n_kept]}_{digest}_{plain[-n_kept:]}"


def settings_key(settings: Any) -> str:
    """Return a short hash of JSON-like settings, independent of the order of keys.

    >>> settings_key({"a": 1, "b": 2}) == settings_key({"b": 2, "a": 1})
    True
    >>> len(settings_key({}))
    12
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:KEY_LENGTH]


def store_key(settings: Mapping[str, Any], *, is_shard: bool) -> str:
    """Return the key in the name of a store that is made with these settings.

    Shards that were divided otherwise, by the number of recordings, have another one: they are never read together.
    """
    return settings_key({**settings, "divided_by": "duration"} if is_shard else settings)


def sha256_folder(folder: Path) -> str:
    """Return a SHA-256 of the names and contents of all files below a folder; of a missing one that of none.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def require_free(path: Path, *, is_forced: bool, option: str = "--out") -> None:
    """Refuse an output that is there already, or lies where nothing can be written: now, not after hours of work.

    Args:
        path: Of the output.
        is_forced: What is there may be overwritten.
        option: Of the command, which named it.

    Raises:
        ConfigError: Saying what to do.
    """
    _refuse_folder(path, option)
    if path.exists() and not is_forced:
        raise ConfigError(f"{option} {path}: is there already; name another file, or overwrite it with --force")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"{option} {path}: {above} cannot be written in; name another place")


def write_output(path: Path, text: str, option: str = "--out") -> None:
    """Write a text file that an option of a command names.

    Raises:
        ConfigError: The path is a folder, or cannot be written.
    """
    _refuse_folder(path, option)
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: cannot be written ({error.strerror or error}); name another place"
        ) from error


def _refuse_folder(path: Path, option: str) -> None:
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder, expected a file")
