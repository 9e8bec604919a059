"""What unit tests of several folders share."""

import io
from collections.abc import Generator
from typing import IO, Any

import pytest
from matplotlib.figure import Figure
from PIL import Image


def are_figures_plain() -> bool:
    """Whether `plain_figures` holds; what a session keeps for all modules is kept apart by it."""
    return getattr(Figure.savefig, "is_plain", False)


@pytest.fixture(scope="module")
def plain_figures() -> Generator[None]:
    """Write a blank picture where a figure would be drawn: for tests of words and numbers, which take half the time."""
    stream = io.BytesIO()
    Image.new("RGB", (44, 35), "white").save(stream, "png")
    blank = {
        "png": stream.getvalue(),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="44pt" height="35pt" viewBox="0 0 44 35"/>',
    }

    def save(_figure: Figure, file: IO[bytes], *, format: str, **_keywords: Any) -> None:  # noqa: A002 (matplotlib's)
        file.write(blank[format])

    save.is_plain = True  # pyright: ignore[reportFunctionMemberAccess]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        patch.setattr(Figure, "draw_without_rendering", lambda _figure: None)
        yield
