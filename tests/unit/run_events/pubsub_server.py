"""A server that speaks what a Pub/Sub client says: publish, pull, acknowledge, extend the lease. It makes no topic."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1.types import pubsub


@dataclass
class Message:
    message: pubsub.PubsubMessage
    leased_until_s: float = 0.0
    is_done: bool = False


@dataclass
class PubsubServer:
    """Its state outlives `stop`, like a service's."""

    lease_s: float = 0.4
    subscriptions: dict[str, list[Message]] = field(default_factory=dict)
    topics: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    port: int = 0
    server: Any = None

    def create(self, project, topic, subscription):
        """Make a topic and its subscription, as an administrator does."""
        name = f"projects/{project}/subscriptions/{subscription}"
        self.subscriptions[name] = []
        self.topics.setdefault(f"projects/{project}/topics/{topic}", []).append(name)

    def start(self):
        self.server = grpc.server(ThreadPoolExecutor(4))
        services = {
            "Publisher": {"Publish": (self.publish, pubsub.PublishRequest, pubsub.PublishResponse.serialize)},
            "Subscriber": {
                "Pull": (self.pull, pubsub.PullRequest, pubsub.PullResponse.serialize),
                "Acknowledge": (self.acknowledge, pubsub.AcknowledgeRequest, Empty.SerializeToString),
                "ModifyAckDeadline": (self.extend, pubsub.ModifyAckDeadlineRequest, Empty.SerializeToString),
            },
        }
        for service, methods in services.items():
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(self.counted(name, call), request.deserialize, answer)
                for name, (call, request, answer) in methods.items()
            }
            handler = grpc.method_handlers_generic_handler(f"google.pubsub.v1.{service}", handlers)
            self.server.add_generic_rpc_handlers((handler,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        assert self.port
        self.server.start()
        return self

    def stop(self):
        self.server.stop(grace=None).wait()

    def counted(self, name, call: Callable[..., Any]):
        def handle(request, context):
            self.calls.append(name)
            return call(request, context)

        return handle

    def publish(self, request, context):
        if request.topic not in self.topics:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={request.topic}).")
        for subscription in self.topics[request.topic]:
            self.subscriptions[subscription] += [Message(message) for message in request.messages]
        return pubsub.PublishResponse(message_ids=[str(number) for number in range(len(request.messages))])

    def of(self, subscription, context):
        if subscription not in self.subscriptions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={subscription}).")
        return self.subscriptions[subscription]

    def pull(self, request, context):
        messages = self.of(request.subscription, context)
        while context.is_active():
            for number, each in enumerate(messages):
                if not each.is_done and each.leased_until_s <= time.monotonic():
                    each.leased_until_s = time.monotonic() + self.lease_s
                    received = pubsub.ReceivedMessage(ack_id=str(number), message=each.message)
                    return pubsub.PullResponse(received_messages=[received])
            time.sleep(0.01)
        return pubsub.PullResponse()

    def acknowledge(self, request, context):
        for ack_id in request.ack_ids:
            self.of(request.subscription, context)[int(ack_id)].is_done = True
        return Empty()

    def extend(self, request, context):
        for ack_id in request.ack_ids:
            message = self.of(request.subscription, context)[int(ack_id)]
            message.leased_until_s = time.monotonic() + request.ack_deadline_seconds
        return Empty()
