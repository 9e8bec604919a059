"""Google Pub/Sub, through its own client. Topics and subscriptions are never made: one that is missing is a fault.

Credentials are the environment's: GOOGLE_APPLICATION_CREDENTIALS, or those of the machine. PUBSUB_EMULATOR_HOST leads
to an emulator, which needs none.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from google import pubsub_v1
from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, NotFound, ServiceUnavailable
from google.auth.exceptions import GoogleAuthError

from auscult.config.run_events import PubsubSettings
from auscult.errors import ConfigError
from auscult.run_events.buses import BusError, Received
from auscult.run_events.outbox import Line

CONTENT_TYPE = "application/cloudevents+json"
_LEASE_S = 60
_RETRY_S = 1.0
logger = logging.getLogger(__name__)
_Client = TypeVar("_Client")


@contextmanager
def _faults(where: str, missing: str) -> Generator[None]:
    try:
        yield
    except NotFound as error:
        raise BusError(f"events.pubsub: there is no {missing}; have it made, or correct `events.pubsub`") from error
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise BusError(f"events.pubsub: {where}: {error}") from error


def _connect(kind: Callable[[], _Client]) -> _Client:
    try:
        return kind()
    except GoogleAuthError as error:
        raise BusError(f"events.pubsub: no credentials: {error}; set GOOGLE_APPLICATION_CREDENTIALS") from error


class PubsubBus:
    """Sends to a topic.

    Args:
        settings: Where.
    """

    def __init__(self, settings: PubsubSettings) -> None:
        self._topic = f"projects/{settings.project}/topics/{settings.topic}"
        self.name = f"pubsub:{self._topic}"
        self._timeout_s = settings.timeout_s
        self._client: pubsub_v1.PublisherClient | None = None

    def send(self, lines: Sequence[Line]) -> None:
        """Publish events in one request; see `Bus`."""
        self._client = self._client or _connect(pubsub_v1.PublisherClient)
        messages = [
            pubsub_v1.PubsubMessage(
                data=line.text,
                # For filters of subscriptions.
                attributes={
                    "content-type": CONTENT_TYPE,
                    "ce-type": line.values["type"],
                    "ce-id": line.values["id"],
                    "ce-subject": line.values["subject"],
                },
            )
            for line in lines
        ]
        try:
            with _faults(self._topic, f"topic {self._topic}"):
                self._client.publish(topic=self._topic, messages=messages, retry=None, timeout=self._timeout_s)
        except BusError:
            # The connection would wait on its own account, for minutes, before it is made again.
            self._client.transport.close()
            self._client = None
            raise


class PubsubFeed:
    """Follows a subscription, a message at a time.

    Args:
        settings: Where.

    Raises:
        ConfigError: No subscription is named.
    """

    def __init__(self, settings: PubsubSettings) -> None:
        if settings.subscription is None:
            raise ConfigError("events.pubsub: found no `subscription`, expected the name of one of this topic")
        self._subscription = f"projects/{settings.project}/subscriptions/{settings.subscription}"
        self._timeout_s = settings.timeout_s
        self._client = _connect(pubsub_v1.SubscriberClient)
        self._leased_s = -math.inf

    def poll(self) -> Received | None:
        """Wait for the next message; see `Feed`."""
        with self._faults():
            try:
                answer = self._client.pull(
                    subscription=self._subscription, max_messages=1, retry=None, timeout=self._timeout_s
                )
            except DeadlineExceeded:
                return None
            except ServiceUnavailable as error:
                logger.warning("events.pubsub: %s: no answer, asked again: %s", self._subscription, error.message)
                time.sleep(_RETRY_S)
                return None
        if not answer.received_messages:
            return None
        received = answer.received_messages[0]
        return Received(received.message.data, lambda: self._done(received.ack_id), lambda: self._keep(received.ack_id))

    def _done(self, ack_id: str) -> None:
        self._leased_s = -math.inf
        with self._faults():
            self._client.acknowledge(
                subscription=self._subscription, ack_ids=[ack_id], retry=None, timeout=self._timeout_s
            )

    def _keep(self, ack_id: str) -> None:
        if time.monotonic() - self._leased_s < _LEASE_S / 3:
            return
        self._leased_s = time.monotonic()
        with self._faults():
            self._client.modify_ack_deadline(
                subscription=self._subscription,
                ack_ids=[ack_id],
                ack_deadline_seconds=_LEASE_S,
                retry=None,
                timeout=self._timeout_s,
            )

    def _faults(self) -> AbstractContextManager[None]:
        return _faults(self._subscription, f"subscription {self._subscription}")

    def close(self) -> None:
        """Close the connection."""
        self._client.transport.close()
