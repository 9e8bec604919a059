import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.training.conftest import make_setup, own_signals  # noqa: F401 (a fixture)

from auscult.config.run_events import RunEventSettings
from auscult.run_events.outbox import Outbox

NAME = ("pneumonia", "train2356", "1")
START = {"attempt": 1, "epochs": 9, "epoch": 1, "batch": 0, "resumed": False}


@pytest.fixture(scope="session")
def setup(tmp_path_factory):
    return make_setup(tmp_path_factory.mktemp("toy"))


def epoch(number, *, attempt=1, loss=0.5):
    metrics = {"train/loss": loss, "val/auroc": None}
    return {"attempt": attempt, "epoch": number, "epochs": 9, "metrics": metrics}


def write_events(folder, n_epochs, name=NAME):
    """A training that has come so far; returns the ids of its events."""
    outbox = Outbox(folder, name)
    outbox.append("started", START)
    for number in range(1, n_epochs + 1):
        outbox.append("epoch", epoch(number))
        outbox.append("saved", {"attempt": 1, "epoch": number + 1, "batch": 0})
    return ids_of(folder / "events.jsonl")


def ids_of(path):
    return [json.loads(line)["id"] for line in Path(path).read_text().splitlines()]


class Broker:
    """A Kafka broker in a process of its own, which can be taken down and comes back with what it held."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kafka_broker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()

    def order(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().strip() == "0", words


@pytest.fixture
def broker(monkeypatch):
    # This broker waits so long before it gives the place of a member that left to another.
    monkeypatch.setenv("AUSCULT_KAFKA_SESSION_TIMEOUT_MS", "1000")
    monkeypatch.setenv("AUSCULT_KAFKA_HEARTBEAT_INTERVAL_MS", "200")
    broker = Broker()
    yield broker
    broker.process.communicate(timeout=20)  # it ends with its input


def kafka_settings(address, **values):
    return RunEventSettings.model_validate({"kafka": {"brokers": address, "topic": "runs", "timeout_s": 1.0, **values}})
