"""The command `auscult`, also as `python -m auscult`."""

from __future__ import annotations

import os
import sys

import auscult.interrupts  # noqa: F401  # pyright: ignore[reportUnusedImport] (before the imports that take time)


def main() -> None:
    """Import the commands, and run one: in Python's UTF-8 mode, whatever the locale says of files and their names."""
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 (this program again)
    from auscult.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
