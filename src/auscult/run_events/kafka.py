"""Apache Kafka, through confluent-kafka. Topics are never made: one that is missing is a fault."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from auscult.config.run_events import KafkaSettings
from auscult.errors import ConfigError
from auscult.run_events.buses import BusError, Received
from auscult.run_events.outbox import Line

VARIABLES = "AUSCULT_KAFKA_"
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
_POLL_S = 1.0
_SILENT = logging.Logger("librdkafka", logging.CRITICAL)
"""The client's own words: what matters comes as an error."""


def client_settings(settings: KafkaSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return a client's settings: those of the environment, and over them those that are the same for all.

    Args:
        settings: Where.
        environment: `AUSCULT_KAFKA_SASL_PASSWORD` is the client's `sasl.password`, and so on.

    >>> settings = KafkaSettings(brokers="broker:9092", topic="runs")
    >>> client_settings(settings, {"AUSCULT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})["security.protocol"]
    'SASL_SSL'
    """
    given = {
        name.removeprefix(VARIABLES).lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith(VARIABLES)
    }
    return {**given, "bootstrap.servers": settings.brokers, "allow.auto.create.topics": False}


def _connect(kind: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return kind(dict(values), logger=_SILENT)
    except KafkaException as error:
        raise ConfigError(f"events.kafka: {error.args[0].str()}; is a variable {VARIABLES}... misspelt?") from error


def _require_topic(client: Any, settings: KafkaSettings) -> None:
    # Asked for by its name alone, a broker would make it.
    try:
        found = client.list_topics(timeout=settings.timeout_s).topics.get(settings.topic)
    except KafkaException as error:
        raise _fault(settings, error.args[0]) from error
    if found is None or found.error is not None:
        raise BusError(
            f"events.kafka: there is no topic {settings.topic!r} at {settings.brokers}, or it may not be seen; "
            "have it made (kafka-topics.sh --create), or correct `events.kafka.topic`: auscult makes none"
        )


def _fault(settings: KafkaSettings, error: KafkaError) -> BusError:
    return BusError(f"events.kafka: {settings.topic} at {settings.brokers}: {error.str()}")


class KafkaBus:
    """Sends to a topic; events of one run are of one partition, so that they stay in order.

    Args:
        settings: Where.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.name = f"kafka:{settings.brokers}/{settings.topic}"
        self._settings = settings
        self._producer: Any = None
        self._is_topic_known = False

    def send(self, lines: Sequence[Line]) -> None:
        """Send events and wait until all replicas in step have them; see `Bus`."""
        timeout_s = self._settings.timeout_s
        if self._producer is None:
            values = {
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": int(1000 * timeout_s),
                "max.in.flight.requests.per.connection": 1,
            }
            self._producer = _connect(Producer, {**client_settings(self._settings, os.environ), **values})
        if not self._is_topic_known:
            _require_topic(self._producer, self._settings)
            self._is_topic_known = True
        faults: list[KafkaError] = []
        try:
            for line in lines:
                self._producer.produce(
                    self._settings.topic,
                    value=line.text,
                    key=line.values["subject"].encode(),
                    headers={"content-type": CONTENT_TYPE, "ce_type": line.values["type"], "ce_id": line.values["id"]},
                    on_delivery=lambda error, _: faults.append(error) if error is not None else None,
                )
        except KafkaException as error:
            raise _fault(self._settings, error.args[0]) from error
        n_left = self._producer.flush(timeout_s + 1)
        if n_left:
            self._producer.purge()
            self._producer.poll(0)
        if faults or n_left:
            self._is_topic_known = False
            raise _fault(self._settings, faults[0] if faults else KafkaError(KafkaError._MSG_TIMED_OUT))


class KafkaFeed:
    """Follows a topic as a member of a group.

    Args:
        settings: Where.
        group: What one member has handled none of them gets again.
        from_start: A group that was never there begins with the oldest message, else with the next.
    """

    def __init__(self, settings: KafkaSettings, group: str, *, from_start: bool) -> None:
        self._settings = settings
        self._from_start = from_start
        values = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self._consumer: Any = _connect(Consumer, {**client_settings(settings, os.environ), **values})
        try:
            _require_topic(self._consumer, settings)
        except BusError:
            self._consumer.close()
            raise
        self._consumer.subscribe([settings.topic], on_assign=self._begin)

    def _begin(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Fix where a new group begins, so that it misses nothing should it leave before its first message."""
        timeout_s = self._settings.timeout_s
        new = [each for each in consumer.committed(partitions, timeout=timeout_s) if each.offset == OFFSET_INVALID]
        for partition in new:
            oldest, after_newest = consumer.get_watermark_offsets(partition, timeout=timeout_s)
            partition.offset = oldest if self._from_start else after_newest
        if new:
            consumer.commit(offsets=new, asynchronous=False)

    def poll(self) -> Received | None:
        """Wait for the next message; see `Feed`."""
        try:
            message = self._consumer.poll(_POLL_S)
        except KafkaException as error:
            raise _fault(self._settings, error.args[0]) from error
        if message is None:
            return None
        if message.error() is not None:
            raise _fault(self._settings, message.error())
        return Received(message.value() or b"", lambda: self._done(message), self._keep)

    def _done(self, message: Message) -> None:
        self._consumer.resume(self._consumer.assignment())
        try:
            self._consumer.commit(message=message, asynchronous=False)
        except KafkaException as error:
            raise _fault(self._settings, error.args[0]) from error

    def _keep(self) -> None:
        # The group goes on without a member that does not poll for some minutes.
        self._consumer.pause(self._consumer.assignment())
        self._consumer.poll(0)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
