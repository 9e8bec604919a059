"""What a path that leads to no file may have meant."""

from __future__ import annotations

import unicodedata
from pathlib import Path


def say_absent(root: str, path: str) -> str:
    """Return why a path below the root is refused, and which file was probably meant.

    Args:
        root: The dataset's folder.
        path: Relative to it, in its plain form; there is no such file.
    """
    reason = f"missing: there is no file {path!r}"
    slashed = path.replace("\\", "/")
    meant = _near(root, slashed)
    there = "" if meant is None else f"; there is {meant!r}"
    if slashed != path:
        return f"{reason}{there}; write folders with / instead of \\"
    return f"{reason}{there}: names must agree in case and Unicode form" if there else reason


def _near(root: str, path: str) -> str | None:
    """Return the file whose path differs at most in case and Unicode form; a folder is listed only where it must."""
    found = Path(root)
    try:
        for part in path.split("/"):
            exact = found / part
            if not exact.exists():
                near = sorted(other for other in found.iterdir() if _fold(other.name) == _fold(part))
                if not near:
                    return None
                exact = near[0]
            found = exact
        return found.relative_to(root).as_posix() if found.is_file() else None
    except OSError:
        return None  # a folder that cannot be listed, or a name too long for a file, gives no hint


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
