"""Two runs that write the same row at once, which MLflow looks for and then adds: the second one is not refused."""

import sqlite3
from contextlib import closing

import pytest

from auscult.tracking.store import connect, sqlite_path
from auscult.tracking.writer import MAX_RACES, RunWriter

DIGESTS = {"icbhi": "a1", "sprsound": "b2"}


@pytest.fixture
def writer(store_uri):
    return RunWriter(connect(store_uri), store_uri)


@pytest.fixture
def just_before():
    """Have `other` done once, after the next write has looked for what stands and before it adds what does not."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    waiting = []

    def listener(*_):
        if waiting:
            waiting.pop()()

    event.listen(Session, "before_flush", listener)
    yield waiting.append
    event.remove(Session, "before_flush", listener)
    assert not waiting


def start(writer, name):
    return writer.start(writer.experiment("pneumonia"), name, {}, 1)


def datasets_of(client, run_id):
    return sorted((entry.dataset.name, entry.dataset.digest) for entry in client.get_run(run_id).inputs.dataset_inputs)


def test_a_dataset_that_another_run_adds_meanwhile(writer, client, store_uri, just_before):
    first, second = start(writer, "first"), start(writer, "second")
    just_before(lambda: writer.datasets(second, DIGESTS, "v1"))
    writer.datasets(first, DIGESTS, "v1")
    assert datasets_of(client, first) == datasets_of(client, second) == [("icbhi", "a1"), ("sprsound", "b2")]
    with closing(sqlite3.connect(sqlite_path(store_uri))) as store:
        assert store.execute("SELECT COUNT(*) FROM datasets").fetchone() == (2,)


def test_a_tag_that_another_process_sets_meanwhile(writer, client, just_before):
    run_id = start(writer, "first")
    just_before(lambda: writer.tag(run_id, {"auscult.superseded": "theirs"}))
    writer.tag(run_id, {"auscult.superseded": "ours"})
    assert client.get_run(run_id).data.tags["auscult.superseded"] == "ours"


def test_a_fault_that_stays_is_raised(writer, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    run_id, calls = start(writer, "first"), []

    def refuse(*_):
        calls.append(1)
        raise MlflowException("no such table: datasets", error_code=BAD_REQUEST)

    monkeypatch.setattr(writer._client, "log_inputs", refuse)
    with pytest.raises(MlflowException, match="no such table"):
        writer.datasets(run_id, DIGESTS, "v1")
    assert len(calls) == MAX_RACES + 1
