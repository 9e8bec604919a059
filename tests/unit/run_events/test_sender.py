import os
import subprocess
import sys
import time

import pytest
from tests.unit.run_events.conftest import NAME, START, epoch, ids_of, write_events

from auscult.config.run_events import RunEventSettings
from auscult.errors import ConfigError
from auscult.run_events import live as live_module
from auscult.run_events import sender as sender_module
from auscult.run_events.buses import BusError, FileBus
from auscult.run_events.live import live, tell_published
from auscult.run_events.outbox import Outbox, read_lines
from auscult.run_events.sender import Sender, send_outbox, tell_of_a_kill
from auscult.training.lock import RunLock


class Faulty:
    """A bus that has what it was given, and may not say so."""

    name = "faulty"

    def __init__(self):
        self.got = []
        self.answers = True

    def send(self, lines):
        self.got += [line.values["id"] for line in lines]
        if not self.answers:
            raise BusError("no answer")


def test_a_bus_gets_what_it_lacks_once_and_in_order(tmp_path):
    bus = FileBus(tmp_path / "bus.jsonl")
    ids = write_events(tmp_path / "run", 3)
    assert send_outbox(tmp_path / "run" / "events.jsonl", bus) == 7
    assert send_outbox(tmp_path / "run" / "events.jsonl", bus) == 0
    Outbox(tmp_path / "run", NAME).append("epoch", epoch(4))
    assert send_outbox(tmp_path / "run" / "events.jsonl", bus) == 1
    assert ids_of(tmp_path / "bus.jsonl") == ids_of(tmp_path / "run" / "events.jsonl")
    assert ids_of(tmp_path / "bus.jsonl")[:7] == ids


def test_what_a_bus_did_not_confirm_is_sent_again_with_the_same_id(tmp_path, monkeypatch):
    monkeypatch.setattr(sender_module, "_BATCH", 2)
    bus = Faulty()
    ids = write_events(tmp_path, 2)
    bus.answers = False
    with pytest.raises(BusError):
        send_outbox(tmp_path / "events.jsonl", bus)
    bus.answers = True
    assert send_outbox(tmp_path / "events.jsonl", bus) == len(ids)
    assert bus.got == ids[:2] + ids


def test_a_bus_that_is_down_is_tried_less_and_less_often_and_keeps_no_other_waiting(tmp_path, monkeypatch, caplog):
    now_s = [100.0]
    monkeypatch.setattr(sender_module.time, "monotonic", lambda: now_s[0])
    down, up = Faulty(), FileBus(tmp_path / "bus.jsonl")
    down.answers = False
    ids = write_events(tmp_path / "run", 1)
    sender = Sender([tmp_path / "run" / "events.jsonl"], [down, up])
    tried_s = []
    for _ in range(100):
        n_before = len(down.got)
        sender.work()
        tried_s += [now_s[0] - 100] if len(down.got) > n_before else []
        now_s[0] += 1
    assert tried_s == [0, 1, 3, 7, 15, 31, 63]
    assert ids_of(tmp_path / "bus.jsonl") == ids
    assert [record.message for record in caplog.records] == ["not sent for now, tried again from 1 s on: no answer"]
    down.answers = True
    now_s[0] += 60
    sender.work()
    assert down.got[-len(ids) :] == ids
    assert caplog.records[-1].message == "faulty has everything"


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path):
    write_events(tmp_path, 1)
    with pytest.raises(BusError, match="there is no such folder"):
        send_outbox(tmp_path / "events.jsonl", FileBus(tmp_path / "nowhere" / "bus.jsonl"))
    assert not (tmp_path / "nowhere").exists()


def test_a_training_hands_its_events_to_a_process_and_waits_for_no_bus(setup, tmp_path, monkeypatch):
    """A FIFO that nobody reads blocks whoever opens it: a bus that hangs for ever."""
    os.mkfifo(tmp_path / "bus")
    events = RunEventSettings.model_validate({"file": str(tmp_path / "bus")})
    monkeypatch.setattr(live_module, "FLUSH_S", 0.2)
    started = []
    start = live_module._start_sender
    monkeypatch.setattr(live_module, "_start_sender", lambda *given: started.append(start(*given)) or started[-1])
    with live(events, name=NAME, job=setup.job, folder=tmp_path / "run") as tell:
        for kind, known in (("started", START), ("epoch", epoch(1)), ("finished", {"attempt": 1, "best_epoch": 1})):
            tell(kind, known)
    (process,) = started
    assert process.poll() is None  # the training has left, and the sender still stands before the bus
    assert len(read_lines(tmp_path / "run" / "events.jsonl")) == 3
    process.kill()
    process.wait()


def test_a_killed_training_is_told_by_its_sender(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from auscult.config import JobSettings
from auscult.config.run_events import RunEventSettings
from auscult.run_events.live import live
job = JobSettings.model_construct(train=type("Train", (), {{"devices": 1}}))
events = RunEventSettings(file={str(tmp_path / "bus.jsonl")!r})
with live(events, name={NAME!r}, job=job, folder=Path({str(tmp_path / "run")!r})) as tell:
    tell("started", {START!r})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    for _ in range(2400):
        if len(lines := read_lines(tmp_path / "bus.jsonl")) == 2:
            break
        time.sleep(0.05)
    assert [line.kind for line in lines] == ["started", "failed"]
    assert lines[1].values["data"]["error"] == "Killed"


def test_nothing_is_told_of_a_training_that_said_how_it_ended_or_that_another_process_holds(tmp_path):
    write_events(tmp_path, 1)
    lock = RunLock(tmp_path / "state")
    with lock.held():
        tell_of_a_kill(tmp_path, NAME)
    assert len(read_lines(tmp_path / "events.jsonl")) == 3
    tell_of_a_kill(tmp_path, NAME)
    tell_of_a_kill(tmp_path, NAME)
    tell_of_a_kill(tmp_path / "never", NAME)
    assert [line.kind for line in read_lines(tmp_path / "events.jsonl")][3:] == ["failed"]
    assert not (tmp_path / "never").exists()


def test_a_published_result_is_told_and_what_its_trainings_could_not_send_goes_with_it(tmp_path):
    result = tmp_path / "results" / "pneumonia" / "train2356"
    result.mkdir(parents=True)
    (result / "checksums.txt").write_text("0  report.html\n")
    folder = tmp_path / "work" / "runs" / "pneumonia" / "train2356"
    write_events(folder / "1", 1)
    events = RunEventSettings.model_validate({"file": str(tmp_path / "bus.jsonl")})
    tell_published(events, group=NAME[0], experiment=NAME[1], jobs=["1"], folder=folder, root=tmp_path)
    lines = read_lines(tmp_path / "bus.jsonl")
    assert sorted(line.kind for line in lines) == ["epoch", "published", "saved", "started"]
    (published,) = (line.values["data"] for line in lines if line.kind == "published")
    assert (published["result"], published["jobs"]) == ("results/pneumonia/train2356", ["1"])


def test_a_bus_without_its_library_stops_the_workflow_before_it_begins(setup, tmp_path, monkeypatch):
    from auscult.config import run_events

    monkeypatch.setitem(run_events._CLIENTS, "kafka", ("no_such_library", "confluent-kafka"))
    events = RunEventSettings.model_validate({"kafka": {"brokers": "b:9092", "topic": "runs"}})
    with (
        pytest.raises(ConfigError, match=r"events.kafka: confluent-kafka is not installed; `pip install"),
        live(events, name=NAME, job=setup.job, folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "values",
    [
        {"kafka": {"brokers": "user:password@broker:9092", "topic": "runs"}},
        {"kafka": {"brokers": "broker", "topic": "runs"}},
        {"kafka": {"brokers": "broker:9092", "topic": "runs", "password": "x"}},
        {"pubsub": {"project": "p", "topic": "projects/p/topics/runs"}},
    ],
)
def test_settings_hold_no_credentials_and_no_misspelt_names(values):
    with pytest.raises(ValueError, match=r"brokers|password|topic"):
        RunEventSettings.model_validate(values)
