"""Where a result comes from: code, data, packages, machine, and the command that makes it again.

What is collected is published with every result, so it names no user, no host, no absolute path and no secret.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from auscult.config.documents import read_yaml
from auscult.config.paths import CHECKSUMS_FILE, SETTINGS_FILE
from auscult.errors import ConfigError, DataError
from auscult.storage.files import sha256_file

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"
_CHECKSUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
DATA_POINTER = "data.dvc"
PACKAGES = (
    "auscult",
    "av",
    "dvc",
    "h5py",
    "lightning-fabric",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scikit-learn",
    "scipy",
    "snakemake",
    "soundfile",
    "soxr",
    "timm",
    "torch",
)
"""Distributions whose version can change a result."""

_COMMAND_TIMEOUT_S = 20
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(
    r"""(?i)(\b\w*(?:password|passwd|secret|token|api_?key|credentials?)\w*['"]?\s*[=:]\s*['"]?)[^\s,'"}]+"""
)
# A path starts at the beginning or behind something that cannot be part of one; `//` (of a URI) is not its start.
_ABSOLUTE_PATH = re.compile(r"""(?<![\w.~:/>-])/(?!/)[^\s:;,'"<>|()\[\]{}]*""")
_SQLITE_PATH = re.compile(r"(?<=sqlite:///)/[^\s?'\"]*")


def collect(
    command: str,
    inputs: Mapping[str, Path],
    root: Path = Path(),
    *,
    contents: Mapping[str, str] | None = None,
    uses_pointer: bool = True,
) -> dict[str, Any]:
    """Describe everything that a result depends on, as JSON-like values.

    Args:
        command: The exact command that makes the result again; see `redact` for what is hidden in it.
        inputs: Name -> file or folder whose content is to be pinned by its SHA-256.
        root: The project's folder: of its git repository and of `data.dvc`.
        contents: Dataset -> digest of what its ingest read, of each that DVC does not track: `data.dvc` says nothing of
            it.
        uses_pointer: Whether `data.dvc` pins any of the data.

    Returns:
        `command`, `created_utc`, `git` (commit, branch, dirty: the text "unknown" with a `reason` where git cannot say;
        `dirty` counts untracked files that git does not ignore, and nothing below `results`), `data` (what `data.dvc`
        pins, and digests of what it does not), `inputs`, `packages`,
        `python`, `platform`, `cpu_count` and `gpus` (names, empty without nvidia-smi).

    Raises:
        DataError: An input is missing, or `data.dvc` cannot be read.
    """
    data = data_version(root) if uses_pointer else {"tracked_by": None, "md5": UNKNOWN}
    git = git_state(root)
    if git["commit"] == UNKNOWN:
        logger.warning("the result names no commit: %s; `auscult doctor` says what to do", git["reason"])
    return {
        "command": redact(command, root),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git,
        "data": data | ({"content_sha256": dict(contents)} if contents else {}),
        "inputs": {name: _digest(name, path) for name, path in sorted(inputs.items())},
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count() or UNKNOWN,
        "gpus": _gpus(),
    }


def redact(text: str, root: Path = Path()) -> str:
    """Hide credentials, and turn absolute paths into ones that name neither user nor machine.

    Paths below `root` become relative to it, paths below the home folder start with `~`, of others the last part stays.

    >>> redact("mlflow ui --backend-store-uri postgresql://bob:pw@db/runs")
    'mlflow ui --backend-store-uri postgresql://***@db/runs'
    >>> redact("snakemake --config roots='{fsdd: /mnt/disk7/fsdd}' token=abc")
    "snakemake --config roots='{fsdd: .../fsdd}' token=***"
    """
    text = _CREDENTIALS.sub("***@", text)
    text = _SECRET.sub(r"\1***", text)
    text = _SQLITE_PATH.sub(lambda match: _relative(match[0], root), text)
    return _ABSOLUTE_PATH.sub(lambda match: _relative(match[0], root), text)


def _relative(text: str, root: Path) -> str:
    path = Path(text)
    for base, prefix in ((root.resolve(), ""), (Path.home(), "~/")):
        # Inside a home of `/` (a bare container) every path would look like a home path.
        if base != Path("/") and path.is_relative_to(base):
            return f"{prefix}{path.relative_to(base).as_posix()}"
    return f".../{path.name}" if path.name else text


def git_state(root: Path = Path()) -> dict[str, Any]:
    """Return commit, branch and whether the working tree differs from the commit.

    Each is the text "unknown" where it cannot be told: no git, no repository, no commit yet, or a folder that lies
    inside a repository without being part of it.
    """
    unknown: dict[str, Any] = {"commit": UNKNOWN, "branch": UNKNOWN, "dirty": UNKNOWN}
    try:
        _git(root, "ls-files", "--error-unmatch", "--", ".")
        commit = _git(root, "rev-parse", "--verify", "HEAD").strip()
        # A committed result is removed while it is made anew: that is no change of what it is made from.
        dirty = bool(_git(root, "status", "--porcelain", "--", ".", ":(exclude)results").strip())
    except FileNotFoundError:
        return {**unknown, "reason": "git is not installed"}
    except subprocess.TimeoutExpired:
        return {**unknown, "reason": f"git did not answer within {_COMMAND_TIMEOUT_S} s"}
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or [f"git ended with {error.returncode}"]
        return {**unknown, "reason": redact(lines[0], root)}
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    return {"commit": commit, "branch": "(detached)" if branch == "HEAD" else branch, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    # No optional locks: reading the state must not get in the way of a commit at the same moment.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    return subprocess.run(  # noqa: S603 (fixed arguments)
        ["git", *arguments],  # noqa: S607 (the user's git)
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_COMMAND_TIMEOUT_S,
    ).stdout


def data_version(root: Path = Path()) -> dict[str, Any]:
    """Return what `data.dvc` pins: `md5` ("unknown" without the file), and size and number of files where it says so.

    Raises:
        DataError: The file is there and holds no single output with an md5.
    """
    pointer = root / DATA_POINTER
    if not pointer.is_file():
        return {"tracked_by": None, "md5": UNKNOWN}
    try:
        (out,) = read_yaml(pointer)["outs"]
        version = {"tracked_by": DATA_POINTER, "md5": str(out["md5"])}
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{DATA_POINTER}: found no single output with an md5 ({error!r}); make it again with `dvc add data`"
        ) from error
    return version | {key: out[key] for key in ("size", "nfiles") if key in out}


def data_key(data: Mapping[str, Any]) -> str:
    """Return what names the data of a result in one word: what `data.dvc` pins, or a digest of what DVC does not track.

    >>> data_key({"md5": "5e1f.dir"}), data_key({"md5": "unknown", "content_sha256": {"ward": "77aa"}})
    ('5e1f.dir', '77aa')
    """
    contents: Mapping[str, str] = data.get("content_sha256", {})
    if not contents:
        return str(data["md5"])
    digests = [contents[name] for name in sorted(contents)]
    if data["md5"] != UNKNOWN:
        digests.insert(0, str(data["md5"]))
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`, read without importing them; "not installed" where absent."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _digest(name: str, path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its sorted relative names and their files' digests."""
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise DataError(f"provenance input {name!r}: {path} is neither a file nor a folder; make it before its result")
    total = hashlib.sha256()
    for file in sorted(found for found in path.rglob("*") if found.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return total.hexdigest()


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(  # noqa: S603 (fixed arguments)
            [program, "--query-gpu=name", "--format=csv,noheader"],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_COMMAND_TIMEOUT_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        # A driver that does not answer is worth saying, and no reason to lose the result.
        return [f"{UNKNOWN} (nvidia-smi: {type(error).__name__})"]
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def read_checksums(path: Path) -> dict[str, str]:
    """Read a list as `sha256sum` writes it: file -> SHA-256.

    Raises:
        DataError: It is missing, or a line is no checksum and name of a file inside the result.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; a result is verified by it, such as results/pneumonia/train2356. "
            "Run the workflow for the result, which publishes it"
        )
    listed: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = _CHECKSUM_LINE.fullmatch(line)
        if match is None or match[2].startswith("/") or ".." in Path(match[2]).parts:
            raise DataError(f"{path}:{number}: found {line[:80]!r}, expected a SHA-256, two blanks and a file's name")
        listed[match[2]] = match[1]
    return listed


def require_as_published(path: Path) -> None:
    """Refuse a file of a published result that is not what was published; any other file passes.

    Args:
        path: Such as `results/pneumonia/train2356/1/predictions.parquet`.

    Raises:
        DataError: Its content differs from the result's checksum, or the result lists no such file.
    """
    path = path.absolute()
    is_published = (folder for folder in path.parents if (folder / SETTINGS_FILE).is_file())
    result = next((folder for folder in is_published if (folder / CHECKSUMS_FILE).is_file()), None)
    if result is None:
        return
    name = path.relative_to(result).as_posix()
    expected = read_checksums(result / CHECKSUMS_FILE).get(name)
    if expected == sha256_file(path):
        return
    found = "is not listed there" if expected is None else "does not match its checksum there"
    raise DataError(
        f"{path}: changed since the result was published: {name} {found} ({result / CHECKSUMS_FILE}). "
        "Take the published file from a copy, or remove the result and run the workflow for it again"
    )
