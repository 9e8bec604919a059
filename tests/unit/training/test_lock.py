import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from auscult.errors import DataError
from auscult.training.lock import LOCK_FILE, Owner, RunLock, heartbeat_age_s, read_owner


def lock_of(folder, owner):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK_FILE).write_text(json.dumps(asdict(owner)))
    return folder / LOCK_FILE


def elsewhere():
    return replace(Owner.of_this_process(), host="node17", slurm_job="4711", pid=77)


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def test_the_second_process_stops_with_the_owners_name(tmp_path):
    code = f"""
import time
from pathlib import Path
from auscult.training.lock import RunLock
with RunLock(Path({str(tmp_path)!r})).held():
    print("held", flush=True)
    time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=rf"is being trained by process {owner.pid} on "):
            RunLock(tmp_path).acquire()
    finally:
        owner.kill()
        owner.communicate()
    # Killed, it cannot give its lock back; it is taken over at once.
    start = time.monotonic()
    with RunLock(tmp_path).held():
        assert time.monotonic() - start < 5
        assert read_owner(tmp_path / LOCK_FILE).pid == os.getpid()


def test_given_back_it_is_gone(tmp_path):
    with RunLock(tmp_path).held():
        assert (tmp_path / LOCK_FILE).is_file()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"pid": None}, {"process_start": "1"}])
def test_a_dead_owner_on_this_host_or_one_whose_number_was_given_anew_is_followed(tmp_path, change, caplog):
    change = {"pid": dead_pid()} if "pid" in change else change
    lock_of(tmp_path, replace(Owner.of_this_process(), token="x", **change))
    with RunLock(tmp_path).held():
        assert "dead owner is taken over" in caplog.text


def test_an_owner_elsewhere_whose_heart_beats_is_not_disturbed(tmp_path):
    path = lock_of(tmp_path, elsewhere())
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            os.utime(path)

    with pytest.raises(DataError, match="process 77 on node17, Slurm job 4711, since"):
        RunLock(tmp_path, sleep=sleep).acquire()
    assert read_owner(path).host == "node17"
    assert len(waits) == 3


def test_an_owner_elsewhere_is_dead_when_its_heart_stood_still_for_the_stated_time(tmp_path, caplog):
    lock_of(tmp_path, elsewhere())
    waits = []
    lock = RunLock(tmp_path, stale_after_s=30, sleep=waits.append)
    with lock.held():
        assert 28 <= sum(waits) <= 31
        assert "without a heartbeat for 30 s" in caplog.text
        assert "node17" in caplog.text
        assert read_owner(lock.path) == lock.owner


def test_a_heart_that_stood_still_before_need_not_be_watched(tmp_path):
    path = lock_of(tmp_path, elsewhere())
    long_ago = time.time() - 1000
    os.utime(path, (long_ago, long_ago))
    with RunLock(tmp_path, sleep=lambda _: pytest.fail("waited")).held():
        pass


def test_a_torn_lock_is_watched_like_any_other(tmp_path):
    (tmp_path / LOCK_FILE).write_text('{"host": ')
    waits = []
    with RunLock(tmp_path, stale_after_s=5, sleep=waits.append).held():
        assert sum(waits) >= 4


def test_a_lock_that_is_given_back_while_it_is_watched_is_taken(tmp_path):
    path = lock_of(tmp_path, elsewhere())
    with RunLock(tmp_path, sleep=lambda _: path.unlink()).held():
        assert read_owner(path).pid == os.getpid()


def test_of_many_that_want_a_dead_ones_lock_one_gets_it(tmp_path):
    lock_of(tmp_path, replace(Owner.of_this_process(), token="x", pid=dead_pid()))
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
    lock = RunLock(tmp_path, heartbeat_s=0.05)
    lock.acquire()
    before = lock.path.stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while lock.path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert heartbeat_age_s(tmp_path) < 10
    lock.require_mine()
    lock_of(tmp_path, elsewhere())
    with pytest.raises(DataError, match="taken over by process 77 on node17"):
        lock.require_mine()
    lock.release()
    assert read_owner(lock.path).host == "node17"


def test_no_lock_has_no_heartbeat(tmp_path):
    assert heartbeat_age_s(tmp_path) is None
