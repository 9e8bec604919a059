"""Work on many items by a few threads, results in order, without piling them up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result]:
    """Yield `function(item)` for each item, in the order of the items.

    At most `threads + 1` results wait to be taken, so memory stays flat when they are consumed slower than made. The
    first error ends the iteration; items that wait behind it are not begun.

    Args:
        function: Should spend its time where the global interpreter lock is released.
        items: Taken one by one, in the caller's thread.
        threads: 1 works in the caller's thread.

    >>> list(ordered_map(str.upper, "abc", threads=2))
    ['A', 'B', 'C']
    """
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
