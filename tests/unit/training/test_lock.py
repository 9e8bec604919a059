import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from auscult.errors import DataError
from auscult.training.lock import LOCK_FILE, OWNER_FILE, STALE_AFTER_S, Owner, RunLock, heartbeat_age_s, read_owner

SCRIPT = """
import sys, time
from pathlib import Path
from auscult.training.lock import RunLock
with RunLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def lease_of_node17(folder, stale_after_s=STALE_AFTER_S):
    """A lease as filelock writes it, of a process on another host."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"pid": 77, "host": "node17", "mode": "lease", "token": "0" * 32, "duration": float(stale_after_s)}
    lines = ["filelock/2", *(f"{name}={value}" for name, value in fields.items())]
    (folder / LOCK_FILE).write_text("\n".join(lines) + "\n")
    owner = replace(Owner.of_this_process(), host="node17", slurm_job="4711", pid=77)
    (folder / OWNER_FILE).write_text(json.dumps(asdict(owner)))
    return folder / LOCK_FILE


def quick(folder):
    return RunLock(folder, heartbeat_s=0.1, stale_after_s=1.0)


def test_the_second_process_stops_with_the_owners_name(tmp_path, other):
    start = time.monotonic()
    with pytest.raises(DataError, match=rf"is being trained by process {other.pid} on .*, since .*end that process"):
        RunLock(tmp_path).acquire()
    assert time.monotonic() - start < 5


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, other):
    other.kill()
    other.wait()
    start = time.monotonic()
    with RunLock(tmp_path).held():
        assert time.monotonic() - start < 5
        assert read_owner(tmp_path / OWNER_FILE).pid == os.getpid()


def test_a_process_that_stands_still_keeps_its_lock_on_its_own_host(tmp_path, other):
    other.send_signal(signal.SIGSTOP)
    with pytest.raises(DataError, match=f"process {other.pid}"):
        RunLock(tmp_path).acquire()


def test_released_it_is_gone(tmp_path):
    with RunLock(tmp_path).held():
        assert (tmp_path / LOCK_FILE).is_file()
        assert (tmp_path / OWNER_FILE).is_file()
    assert list(tmp_path.iterdir()) == []


def test_an_owner_elsewhere_whose_heart_beats_is_not_disturbed(tmp_path):
    path = lease_of_node17(tmp_path)
    ended = threading.Event()

    def beat():
        while not ended.wait(0.3):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    start = time.monotonic()
    try:
        with pytest.raises(DataError, match="trained by process 77 on node17, Slurm job 4711, since"):
            RunLock(tmp_path).acquire()
    finally:
        ended.set()
        thread.join()
    assert time.monotonic() - start < 10
    assert read_owner(tmp_path / OWNER_FILE).host == "node17"


def test_a_silent_owner_elsewhere_is_dead_after_the_wait_and_not_before(tmp_path):
    lease_of_node17(tmp_path, stale_after_s=1.0)
    start = time.monotonic()
    with quick(tmp_path).held():
        assert time.monotonic() - start >= 1.0
        assert read_owner(tmp_path / OWNER_FILE).pid == os.getpid()


def test_a_lock_that_is_released_while_watched_is_taken(tmp_path):
    path = lease_of_node17(tmp_path)
    threading.Timer(0.5, path.unlink).start()
    with RunLock(tmp_path).held():
        assert read_owner(tmp_path / OWNER_FILE).pid == os.getpid()


def test_of_many_that_want_a_dead_ones_lock_one_gets_it(tmp_path, other):
    other.kill()
    other.wait()
    held, refused = [], []
    start = threading.Barrier(8)

    def take():
        lock = RunLock(tmp_path)
        start.wait()
        try:
            lock.acquire()
            held.append(lock)
        except DataError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)
    held[0].release()


def test_the_heart_beats_and_a_loser_writes_nothing(tmp_path):
    lock = quick(tmp_path)
    lock.acquire()
    before = lock.path.stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while lock.path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert heartbeat_age_s(tmp_path) < 10
    lock.require_mine()
    lock.path.unlink()
    with pytest.raises(DataError, match="nobody: the lock was removed"):
        lock.require_mine()
    lease_of_node17(tmp_path)
    with pytest.raises(DataError, match="taken over by process 77 on node17"):
        lock.require_mine()
    lock.release()
    assert read_owner(tmp_path / OWNER_FILE).host == "node17"
    assert "host=node17" in lock.path.read_text()


def test_no_lock_has_no_heartbeat(tmp_path):
    assert heartbeat_age_s(tmp_path) is None


def test_a_number_that_was_given_to_a_later_process_is_not_the_owner():
    me = Owner.of_this_process()
    assert me.is_alive_here
    long_ago = (datetime.now(UTC) - timedelta(days=365)).isoformat(timespec="seconds")
    assert not replace(me, started=long_ago).is_alive_here
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not replace(me, pid=child.pid).is_alive_here


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "{"])
def test_an_unreadable_owner_is_none(tmp_path, text):
    (tmp_path / OWNER_FILE).write_text(text)
    assert read_owner(tmp_path / OWNER_FILE) is None
