from dataclasses import asdict
from itertools import pairwise

import pytest
from tests.unit.tracking.test_live import REQUEST

from auscult.tracking import follow
from auscult.tracking.follow import RETRY_S, Follower


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 1000.0

    def monotonic(self):
        return self.now_s


class Server:
    """A run at a server that can be down."""

    def __init__(self, *_):
        self.is_down = False
        self.n_asked = 0
        self.n_epochs = -1
        self.status = "RUNNING"

    def remember(self):
        pass

    def send(self, n_epochs, system):
        self.n_asked += 1
        if self.is_down:
            raise ConnectionRefusedError("nobody listens")
        self.n_epochs = n_epochs
        return True

    def end(self, status):
        self.status = status


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(follow, "time", clock)
    return clock


@pytest.fixture
def follower(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(follow, "LiveRun", Server)
    return Follower(
        tmp_path, {"uri": "http://s", "system_s": None, "pid": 1, "request": asdict(REQUEST), "n_epochs": 0}
    )


def test_epochs_are_sent_as_they_are_saved(follower):
    server = follower._run
    for n in (1, 2):
        follower.take({"n_epochs": n})
        follower.work()
        assert server.n_epochs == n
    # Nothing new: the server is left alone.
    asked = server.n_asked
    follower.work()
    assert server.n_asked == asked
    follower.take({"status": "FINISHED"})
    follower.work()
    assert (server.status, follower.is_over) == ("FINISHED", True)


def test_a_server_that_is_down_is_asked_less_and_less_and_gets_all_when_it_is_back(follower, clock):
    server = follower._run
    server.is_down = True
    asked_s = []
    for n in range(1, 8):
        follower.take({"n_epochs": n})
        asked = server.n_asked
        while server.n_asked == asked:
            clock.now_s += 1
            follower.work()
        asked_s.append(clock.now_s)
    assert [after - before for before, after in pairwise(asked_s)] == [10, 20, 40, 80, 160, RETRY_S[1]]
    server.is_down = False
    clock.now_s += RETRY_S[1]
    follower.work()
    assert server.n_epochs == 7


def test_a_training_that_ends_while_the_server_is_known_to_be_down_waits_for_nothing(follower):
    server = follower._run
    server.is_down = True
    follower.work()
    asked = server.n_asked
    follower.take({"status": "FINISHED"})
    follower.work()
    assert follower.is_over
    assert server.n_asked == asked
