import json
import os
import signal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from tests.unit.run_events.conftest import NAME, START, epoch, ids_of, write_events

from auscult.run_events import outbox as module
from auscult.run_events.live import live
from auscult.run_events.outbox import Outbox, read_lines, read_sent, write_sent
from auscult.training.session import TrainingStopped
from auscult.training.train import train


def read(folder):
    return [line.values for line in read_lines(folder / "events.jsonl")]


def test_each_kind_of_event_is_a_cloud_event_that_fits_the_published_schema(tmp_path, project_dir: Path):
    outbox = Outbox(tmp_path, NAME)
    outbox.append("started", START)
    outbox.append("epoch", epoch(1))
    outbox.append("saved", {"attempt": 1, "epoch": 2, "batch": 0})
    outbox.append("stopped", {"attempt": 1, "reason": "SIGTERM"})
    outbox.append("failed", {"attempt": 2, "error": "DataError"})
    outbox.append("finished", {"attempt": 3, "best_epoch": None})
    of_result = {"result": "results/pneumonia/train2356", "jobs": ("1",), "checksums_sha256": "0" * 64}
    Outbox(tmp_path, NAME[:2]).append("published", of_result)
    schema = Draft202012Validator(json.loads((project_dir / "config/schema/run_event.json").read_text()))
    events = read(tmp_path)
    assert len({event["type"] for event in events}) == len(events) == 7
    for event in events:
        schema.validate(event)
        assert event["specversion"] == "1.0"
        assert not schema.is_valid({**event, "data": {**event["data"], "patient_id": "icbhi/101"}})
    assert [event["subject"] for event in events[-2:]] == ["pneumonia/train2356/1", "pneumonia/train2356"]


def test_what_the_schema_does_not_know_never_gets_into_an_event(tmp_path):
    with pytest.raises(ValidationError, match="patient_id"):
        Outbox(tmp_path, NAME).append("failed", {"attempt": 1, "error": "DataError", "patient_id": "icbhi/101"})
    assert read(tmp_path) == []


def test_steps_done_again_after_a_kill_are_the_same_events_if_they_came_out_equal(tmp_path):
    before = write_events(tmp_path, 3)
    again = Outbox(tmp_path, NAME)
    again.append("started", {**START, "attempt": 2, "epoch": 3, "resumed": True})
    again.append("epoch", epoch(3, attempt=2))
    again.append("epoch", epoch(4, attempt=2))
    again.append("epoch", epoch(3, attempt=2, loss=0.25))  # as on a GPU
    events = read(tmp_path)[len(before) :]
    assert [(event["type"][12:], event["data"]["epoch"]) for event in events] == [
        ("started", 3),
        ("epoch", 4),
        ("epoch", 3),
    ]
    assert len({event["data"]["training"] for event in read(tmp_path)}) == 1


def test_a_training_that_starts_over_has_events_of_its_own(tmp_path):
    before = write_events(tmp_path, 2)
    after = write_events(tmp_path, 2)
    assert after[: len(before)] == before
    assert len(set(after)) == len(after) == 2 * len(before)
    # One that had saved nothing lost nothing: its first epoch, trained again, is the same.
    for _ in range(2):
        outbox = Outbox(tmp_path / "new", NAME)
        outbox.append("started", START)
        outbox.append("epoch", epoch(1))
    assert [event["type"][12:] for event in read(tmp_path / "new")] == ["started", "epoch", "started"]


def test_a_torn_line_is_passed_over_and_the_next_event_stands_on_its_own(tmp_path):
    path = tmp_path / "events.jsonl"
    write_events(tmp_path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:70])
    assert len(read_lines(path)) == 3
    Outbox(tmp_path, NAME).append("epoch", epoch(2))
    lines = read_lines(path)
    assert [line.kind for line in lines] == ["started", "epoch", "saved", "epoch"]
    assert lines[-1].end == path.stat().st_size
    assert read_lines(path, lines[1].end) == lines[2:]
    assert read_lines(path, lines[-1].end) == []
    assert len(read_lines(path, 10**6)) == 4  # another file took its place


def test_a_disk_that_takes_nothing_stops_nothing_and_loses_nothing(tmp_path, monkeypatch, caplog):
    outbox = Outbox(tmp_path, NAME)
    outbox.append("started", START)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        outbox.append("stopped", {"attempt": 1, "reason": "SIGTERM"})
    assert "No space left" in caplog.text
    outbox.append("epoch", epoch(2))
    kinds = [event["type"][12:] for event in read(tmp_path)]
    assert kinds == ["started", "stopped", "stopped", "epoch"]  # written before the fault, and again
    assert len(set(ids_of(tmp_path / "events.jsonl"))) == 3


def test_a_training_waits_for_the_disk_only_with_what_nobody_would_tell_again(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(module.os, "fsync", synced.append)
    write_events(tmp_path, 5)
    assert len(synced) == 1  # started
    Outbox(tmp_path, NAME).append("finished", {"attempt": 1, "best_epoch": 2})
    assert len(synced) == 2


def test_how_far_a_bus_is_is_kept_for_each(tmp_path):
    assert read_sent(tmp_path) == {}
    write_sent(tmp_path, "file:a", 10)
    write_sent(tmp_path, "kafka:b/runs", 20)
    assert read_sent(tmp_path) == {"file:a": 10, "kafka:b/runs": 20}
    (tmp_path / "events.sent.json").write_text('{"file:a": "ten"}')
    assert read_sent(tmp_path) == {}


def test_a_training_tells_what_it_does_and_a_resumed_one_what_is_new(setup, tmp_path):
    job = setup.with_train(epochs=3)
    told = []

    def stop_in_the_second_epoch(kind, known):
        told.append((kind, known.get("epoch")))
        if told[-1] == ("epoch", 2):
            os.kill(os.getpid(), signal.SIGTERM)

    inputs = {**setup.inputs, "job": job, "output_dir": tmp_path}
    with pytest.raises(TrainingStopped):
        train(**inputs, tell=stop_in_the_second_epoch)
    assert told == [
        ("started", 1),
        ("epoch", 1),
        ("saved", 2),
        ("epoch", 2),
        ("saved", 3),
        ("stopped", None),
    ]
    del told[:]
    outbox = Outbox(tmp_path, NAME)
    train(**inputs, tell=outbox.append)
    events = read(tmp_path)
    assert [event["type"][12:] for event in events] == [
        "started",
        *("epoch", "epoch", "saved"),  # those of before, which this outbox had not heard
        *("epoch", "saved"),
        "finished",
    ]
    assert events[0]["data"] | {"training": ""} == {
        **dict(zip(("group", "experiment", "job"), NAME, strict=True)),
        **{"training": "", "attempt": 2, "epochs": 3, "epoch": 3, "batch": 0, "resumed": True},
    }
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    metrics = [event["data"]["metrics"] for event in events if event["type"] == "auscult.run.epoch"]
    assert [each["val/auroc"] for each in metrics] == [row["val/auroc"] for row in rows]
    assert events[-1]["data"]["best_epoch"] == json.loads((tmp_path / "model.json").read_text())["best_epoch"]
    # No name of a patient or a recording: all of this data begin with the dataset's.
    assert "toy/" not in (tmp_path / "events.jsonl").read_text()


def test_without_a_bus_nothing_is_written(setup, tmp_path):
    from auscult.config.run_events import RunEventSettings

    with live(RunEventSettings(), name=NAME, job=setup.job, folder=tmp_path) as tell:
        tell("started", START)
    assert list(tmp_path.iterdir()) == []
