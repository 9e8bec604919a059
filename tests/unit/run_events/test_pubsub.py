import json
import time

import pytest
from tests.unit.run_events.conftest import NAME, epoch, ids_of, write_events
from tests.unit.run_events.pubsub_server import PubsubServer

from auscult.config.run_events import RunEventSettings
from auscult.errors import ConfigError
from auscult.run_events.buses import BusError, open_buses, open_feed
from auscult.run_events.outbox import Outbox
from auscult.run_events.sender import send_outbox


@pytest.fixture
def server(monkeypatch):
    server = PubsubServer().start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{server.port}")
    yield server
    server.stop()


def settings(**values):
    given = {"project": "ward", "topic": "runs", "subscription": "mine", "timeout_s": 1.0, **values}
    return RunEventSettings.model_validate({"pubsub": given})


def test_what_is_missing_is_a_fault_and_is_not_made(server, tmp_path):
    write_events(tmp_path, 1)
    (bus,) = open_buses(settings())
    with pytest.raises(BusError, match="there is no topic projects/ward/topics/runs; have it made"):
        send_outbox(tmp_path / "events.jsonl", bus)
    with (
        pytest.raises(BusError, match="there is no subscription projects/ward/subscriptions/mine; have it made"),
        open_feed(settings(), None, "", from_start=False) as feed,
    ):
        feed.poll()
    with (
        pytest.raises(ConfigError, match="found no `subscription`"),
        open_feed(settings(subscription=None), None, "", from_start=False),
    ):
        pass
    assert set(server.calls) == {"Publish", "Pull"}


def test_a_server_that_comes_back_gets_what_it_missed_and_gives_it_once_it_was_handled(server, tmp_path):
    server.create("ward", "runs", "mine")
    (bus,) = open_buses(settings())
    write_events(tmp_path, 2)
    assert send_outbox(tmp_path / "events.jsonl", bus) == 5
    server.stop()
    Outbox(tmp_path, NAME).append("epoch", epoch(3))
    with pytest.raises(BusError, match="projects/ward/topics/runs"):
        send_outbox(tmp_path / "events.jsonl", bus)
    server.start()
    (bus,) = open_buses(settings(timeout_s=10.0))
    assert send_outbox(tmp_path / "events.jsonl", bus) == 1
    got = []
    with open_feed(settings(), None, "", from_start=False) as feed:
        feed.poll()  # not handled: it comes again, last
        while len(got) < 6:
            message = feed.poll()
            if message is not None:
                got.append(json.loads(message.text)["id"])
                message.done()
    ids = ids_of(tmp_path / "events.jsonl")
    assert got == ids[1:] + ids[:1]
    message = server.subscriptions["projects/ward/subscriptions/mine"][0].message
    assert message.attributes["ce-type"] == "auscult.run.started"


def test_a_message_that_takes_long_is_kept(server, tmp_path):
    server.create("ward", "runs", "mine")
    (bus,) = open_buses(settings())
    Outbox(tmp_path, NAME).append("epoch", epoch(1))
    send_outbox(tmp_path / "events.jsonl", bus)
    with open_feed(settings(timeout_s=0.6), None, "", from_start=False) as feed:
        message = feed.poll()
        assert message is not None
        message.keep()
        time.sleep(server.lease_s)
        message.keep()
        assert feed.poll() is None  # without `keep` it would be there again
        message.done()
    assert server.calls.count("ModifyAckDeadline") == 1
