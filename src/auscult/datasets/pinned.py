"""Whether a folder holds what its .dvc file pins: results name the pinned version, and must have been made from it."""

from __future__ import annotations

import configparser
import hashlib
import json
import logging
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from auscult.config.documents import read_yaml
from auscult.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

_N_NAMED = 3


def require_pinned(root: Path, dataset: str, pointer: Path) -> None:
    """Refuse a folder of which a file is changed, missing or new since DVC pinned it.

    Each file is read for its MD5, which takes a small part of decoding it. Where DVC's cache does not hold the
    list of the pinned files, nothing can be told, and the log says so.

    Args:
        root: The dataset's folder, in the one that DVC tracks or that one itself.
        dataset: Its name, for messages.
        pointer: Such as `data.dvc`.

    Raises:
        DataError: Naming some of the files, and what to do.
    """
    listed = _listed(root, pointer)
    if listed is None:
        logger.info("%s: whether %s holds what %s pins is not known: no list of its files here", dataset, root, pointer)
        return
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    wrong = [f"{name} is missing" for name in sorted(listed.keys() - present)]
    wrong += [f"{name} is changed" for name in sorted(listed.keys() & present) if _md5(root / name) != listed[name]]
    ignored = _ignored_names(pointer)
    if ignored is not None:
        wrong += [f"{name} is new" for name in sorted(present - listed.keys()) if not _is_named_by(ignored, name)]
    if wrong:
        more = f" and {len(wrong) - _N_NAMED} more" if len(wrong) > _N_NAMED else ""
        raise DataError(
            f"{dataset}: {root} does not hold what {pointer} pins: {', '.join(wrong[:_N_NAMED])}{more}. `dvc checkout` "
            f"brings back what is pinned (where it brings the same, DVC's cache is changed too: remove that, then `dvc "
            f"pull`); `dvc add` and a commit of {pointer} pin what is there now"
        )


def _listed(root: Path, pointer: Path) -> dict[str, str] | None:
    """Return the MD5 of each pinned file below the root; None where no list of them is to be had."""
    try:
        (out,) = read_yaml(pointer)["outs"]
        digest, tracked = str(out["md5"]), pointer.parent / str(out["path"])
        inner = root.resolve().relative_to(tracked.resolve()).as_posix()
    except (ConfigError, KeyError, TypeError, ValueError, OSError):
        return None  # the stage that needs the pointer says what is wrong with it
    cache = _cache_of(pointer)
    if cache is None or out.get("hash") != "md5" or not digest.endswith(".dir"):
        return None
    path = cache / "files" / "md5" / digest[:2] / digest[2:]
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != digest.removesuffix(".dir"):
        raise DataError(f"{path}: DVC's list of the files of {pointer} is damaged; remove it and run `dvc pull`")
    prefix = "" if inner == "." else f"{inner}/"
    entries = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}
    return {name.removeprefix(prefix): md5 for name, md5 in entries.items() if name.startswith(prefix)}


def _cache_of(pointer: Path) -> Path | None:
    repository = next((folder for folder in pointer.absolute().parents if (folder / ".dvc").is_dir()), None)
    if repository is None:
        return None
    found = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        found.read([repository / ".dvc" / "config", repository / ".dvc" / "config.local"], encoding="utf-8")
    except configparser.Error:
        return None  # DVC itself says what is wrong with it
    return repository / ".dvc" / found.get("cache", "dir", fallback="cache")


def _ignored_names(pointer: Path) -> list[str] | None:
    """Return the patterns of names that DVC passes over; None where its ignore file says more than names."""
    path = pointer.parent / ".dvcignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return None if any("/" in pattern or pattern.startswith("!") for pattern in patterns) else patterns


def _is_named_by(patterns: list[str], name: str) -> bool:
    return any(fnmatch(part, pattern) for part in PurePosixPath(name).parts for pattern in patterns)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
