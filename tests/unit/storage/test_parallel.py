import threading
import time

import pytest

from auscult.storage.parallel import ordered_map


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads: int) -> None:
    def slow_square(value: int) -> int:
        time.sleep(0.002 * (value % 3))
        return value * value

    assert list(ordered_map(slow_square, range(20), threads)) == [value * value for value in range(20)]


@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_pile_up(threads: int) -> None:
    taken: list[int] = []

    def items():
        for value in range(100):
            taken.append(value)
            yield value

    results = ordered_map(lambda value: value, items(), threads)
    next(results)
    assert len(taken) <= threads + 1
    results.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_error_ends_it(threads: int) -> None:
    done: list[int] = []
    lock = threading.Lock()

    def fail_at_three(value: int) -> int:
        if value == 3:
            raise OSError("three")
        with lock:
            done.append(value)
        return value

    with pytest.raises(OSError, match="three"):
        list(ordered_map(fail_at_three, range(1000), threads))
    assert len(done) < 20
