"""How far a reading has come, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from auscult.audio.probe import AudioFacts, probe


@contextmanager
def counting_probe() -> Generator[Callable[[Path], AudioFacts]]:
    """Yield `probe`; on a terminal the files that it has decoded are counted on standard error."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} files decoded"), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)

        def counted(path: Path) -> AudioFacts:
            progress.advance(task)
            return probe(path)

        yield counted
