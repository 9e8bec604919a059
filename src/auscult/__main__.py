"""The command `auscult`, also as `python -m auscult`."""

from __future__ import annotations

import auscult.interrupts  # noqa: F401  # pyright: ignore[reportUnusedImport] (before the imports that take time)


def main() -> None:
    """Import the commands, and run one."""
    from auscult.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
