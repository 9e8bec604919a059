import json
import time

import pytest
from tests.unit.run_events.conftest import NAME, epoch, ids_of, kafka_settings, write_events

from auscult.errors import ConfigError
from auscult.run_events.buses import BusError, open_buses, open_feed
from auscult.run_events.live import live
from auscult.run_events.outbox import Outbox, read_sent
from auscult.run_events.sender import send_outbox
from auscult.training.train import train

pytest.importorskip("confluent_kafka")


def received(settings, n, group="tests", *, from_start=True, handles=True):
    """The ids of the next `n` events, as they come."""
    ids = []
    with open_feed(settings, None, group, from_start=from_start) as feed:
        while len(ids) < n:
            message = feed.poll()
            if message is not None:
                ids.append(json.loads(message.text)["id"])
                if handles:
                    message.done()
    return ids


def test_a_missing_topic_is_a_fault_for_both_sides_and_is_not_made(broker, tmp_path):
    from confluent_kafka import Producer

    settings = kafka_settings(broker.address, timeout_s=5.0)
    write_events(tmp_path, 1)
    (bus,) = open_buses(settings)
    with pytest.raises(BusError, match=r"there is no topic 'runs' at 127.0.0.1.*auscult makes none"):
        send_outbox(tmp_path / "events.jsonl", bus)
    with pytest.raises(BusError, match="there is no topic 'runs'"), open_feed(settings, None, "g", from_start=True):
        pass
    assert not Producer({"bootstrap.servers": broker.address}).list_topics(timeout=5).topics
    broker.order("topic", "runs")
    assert send_outbox(tmp_path / "events.jsonl", bus) == 3


def test_a_broker_that_comes_back_gets_what_it_missed_and_a_group_goes_on_where_it_was(broker, tmp_path):
    settings = kafka_settings(broker.address)
    broker.order("topic", "runs")
    (bus,) = open_buses(settings)
    first = write_events(tmp_path, 2)
    send_outbox(tmp_path / "events.jsonl", bus)
    broker.order("down")
    Outbox(tmp_path, NAME).append("epoch", epoch(3))
    with pytest.raises(BusError, match=r"runs at 127.0.0.1"):
        send_outbox(tmp_path / "events.jsonl", bus)
    broker.order("up")
    (bus,) = open_buses(kafka_settings(broker.address, timeout_s=10.0))
    assert send_outbox(tmp_path / "events.jsonl", bus) == 1
    ids = ids_of(tmp_path / "events.jsonl")
    assert received(settings, len(first)) == first
    (last,) = received(settings, 1, handles=False)
    assert received(settings, 1) == [last] == ids[len(first) :]  # not handled: it comes again
    assert received(settings, len(ids), "others") == ids


def test_a_misspelt_variable_of_the_client_is_named(broker, monkeypatch, tmp_path):
    monkeypatch.setenv("AUSCULT_KAFKA_SASL_PASWORD", "secret")
    write_events(tmp_path, 1)
    (bus,) = open_buses(kafka_settings(broker.address))
    with pytest.raises(ConfigError, match=r"sasl.pasword.*is a variable AUSCULT_KAFKA_") as caught:
        send_outbox(tmp_path / "events.jsonl", bus)
    assert "secret" not in str(caught.value)


def test_a_broker_that_goes_and_comes_back_in_a_training_has_every_event_once(broker, setup, tmp_path):
    broker.order("topic", "runs")
    settings, folder = kafka_settings(broker.address), tmp_path / "run"
    downtime = []

    with live(settings, name=NAME, job=setup.job, folder=folder) as tell:

        def tell_and_interfere(kind, known):
            tell(kind, known)
            if (kind, known.get("epoch")) == ("epoch", 1):
                while not read_sent(folder):  # something has arrived: the broker goes in the midst
                    time.sleep(0.01)
                broker.order("down")
                downtime.append(len(ids_of(folder / "events.jsonl")))
            if (kind, known.get("epoch")) == ("epoch", 4):
                broker.order("up")
                downtime.append(len(ids_of(folder / "events.jsonl")))

        train(**setup.inputs, job=setup.with_train(epochs=5), output_dir=folder, tell=tell_and_interfere)
    told = ids_of(folder / "events.jsonl")
    assert len(set(told)) == len(told) == 12
    assert downtime == [2, 8]
    (bus,) = open_buses(kafka_settings(broker.address, timeout_s=10.0))
    send_outbox(folder / "events.jsonl", bus)
    assert read_sent(folder)[bus.name] == (folder / "events.jsonl").stat().st_size
    n_on_the_bus = n_messages(broker.address)
    assert n_on_the_bus >= len(told)
    assert list(dict.fromkeys(received(settings, n_on_the_bus))) == told


def n_messages(address):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "counts"})
    _, end = consumer.get_watermark_offsets(TopicPartition("runs", 0), timeout=10)
    consumer.close()
    return end
