"""A block of a test that may take so long and no longer."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail where a block takes longer."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"took more than {seconds} s"))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
