from dataclasses import asdict
from itertools import pairwise

import pytest
from tests.unit.tracking.test_live import REQUEST, write_rows

from auscult.tracking import follower as follower_module
from auscult.tracking.follower import RETRY_S, Follower
from auscult.tracking.live import file_number


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

    def remember(self, epochs):
        self.n_before = len(epochs)

    def send(self, epochs, system):
        self.n_asked += 1
        if self.is_down:
            raise ConnectionRefusedError("nobody listens")
        self.n_epochs = len(epochs)

    def end(self, status):
        self.status = status


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(follower_module, "time", clock)
    return clock


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def start(clock, monkeypatch, folder):
    monkeypatch.setattr(follower_module, "LiveRun", Server)

    def call():
        before = file_number(folder / "metrics.jsonl")
        return Follower(
            folder, {"uri": "http://s", "system_s": None, "pid": 1, "request": asdict(REQUEST), "file_before": before}
        )

    return call


def test_epochs_are_sent_as_they_are_written(start, folder):
    follower = start()
    server = follower._run
    for n in (0, 1, 2):
        write_rows(folder, n)
        follower.work()
        assert server.n_epochs == n
    # Nothing new: the server is left alone.
    asked = server.n_asked
    follower.work()
    assert server.n_asked == asked
    # A line that is just being written waits for its end.
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 3, "train')
        stream.flush()
        follower.work()
        assert server.n_epochs == 2
        stream.write('/loss": 0.1}\n')
        stream.flush()
        follower.work()
        assert server.n_epochs == 3
    follower.end("FINISHED")
    follower.work()
    assert (server.status, follower.is_over) == ("FINISHED", True)


def test_nothing_is_sent_before_the_training_holds_its_run(start, folder):
    write_rows(folder, 4)
    follower = start()
    server = follower._run
    # Another training holds the run, and writes: this one is about to be refused.
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 5, "train/loss": 0.1}\n')
    follower.work()
    follower.end("FAILED")
    follower.work()
    assert (server.n_asked, server.status) == (0, "RUNNING")


def test_a_resumed_training_is_followed_from_the_epochs_that_were_saved(start, folder):
    write_rows(folder, 4)
    follower = start()
    server = follower._run
    write_rows(folder, 3)  # a training begins by writing what its checkpoint holds
    follower.work()
    assert (server.n_before, server.n_epochs) == (3, 3)


def test_a_server_that_is_down_is_asked_less_and_less_and_gets_all_when_it_is_back(start, folder, clock):
    follower = start()
    server = follower._run
    server.is_down = True
    asked_s = []
    for n in range(1, 8):
        write_rows(folder, n)
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


def test_a_training_that_ends_while_the_server_is_known_to_be_down_waits_for_nothing(start, folder):
    write_rows(folder, 1)
    follower = start()
    write_rows(folder, 1)
    server = follower._run
    server.is_down = True
    follower.work()
    asked = server.n_asked
    assert asked == 1
    follower.end("FINISHED")
    follower.work()
    assert follower.is_over
    assert server.n_asked == asked
