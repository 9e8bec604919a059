"""Files that a command writes where its user says: never over another by mistake."""

from __future__ import annotations

import os
from pathlib import Path

from auscult.errors import ConfigError
from auscult.io import write_text


def require_free(path: Path, *, is_forced: bool) -> None:
    """Refuse an output that is there already, or lies where nothing can be written: now, not after hours of work.

    Raises:
        ConfigError: Saying what to do.
    """
    _refuse_folder(path)
    if path.exists() and not is_forced:
        raise ConfigError(f"--out {path}: is there already; name another file, or overwrite it with --force")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"--out {path}: {above} cannot be written in; name another place")


def write_output(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        ConfigError: The path is a folder, or cannot be written.
    """
    _refuse_folder(path)
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror or error}); name another place") from error


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"--out {path}: is a folder, expected a file")
