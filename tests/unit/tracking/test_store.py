import http.server
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from auscult.tracking import TrackingUnavailableError, init_store, store
from auscult.tracking.store import artifacts_root, probe


def revision(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@contextmanager
def answering(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize("status", [200, 401, 404])
def test_any_answer_means_that_a_server_is_there(status):
    with answering(status) as uri:
        probe(uri)


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql"])
def test_no_answer_is_told_at_once_and_without_the_password(scheme):
    start = time.monotonic()
    with pytest.raises(TrackingUnavailableError, match="does not answer") as caught:
        probe(f"{scheme}://alice:pw123@127.0.0.1:{closed_port()}/runs")
    assert time.monotonic() - start < 6
    assert "pw123" not in str(caught.value)
    assert "alice" not in str(caught.value)


def test_a_server_that_hangs_is_told_within_seconds():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(TrackingUnavailableError, match="does not answer"):
            probe(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "databricks", "sqlite://"])
def test_other_uris_are_refused_with_what_is_allowed(uri):
    with pytest.raises(TrackingUnavailableError, match="sqlite:///<file>"):
        probe(uri)


def test_where_artifacts_lie():
    assert artifacts_root("sqlite:////data/team/mlflow.db") == Path("/data/team/mlartifacts")
    assert artifacts_root("sqlite:///mlflow.db") == Path("mlartifacts")
    assert artifacts_root("postgresql://db/runs") == Path("mlartifacts")
    assert artifacts_root("http://tracker:5000") is None


def test_four_first_writers_at_once_make_one_whole_store(tmp_path):
    code = "import sys; from auscult.tracking import init_store; init_store(sys.argv[1])"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", code, uri], stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    for process in started:
        assert process.communicate(timeout=300)[1] == ""
        assert process.returncode == 0
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    assert rows == [("Default", "mlflow-artifacts:/0")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_a_present_store_is_left_alone_and_told_without_mlflow(fresh_store):
    before = fresh_store.read_bytes()
    code = (
        "import sys; from auscult.tracking import init_store; init_store(sys.argv[1]); print('mlflow' in sys.modules)"
    )
    uri = f"sqlite:///{fresh_store}"
    answer = subprocess.run([sys.executable, "-c", code, uri], check=True, capture_output=True, text=True)
    assert answer.stdout == "False\n"
    assert fresh_store.read_bytes() == before


def test_an_older_store_is_upgraded_and_a_copy_kept(fresh_store, tmp_path):
    from alembic import command
    from mlflow.store.db import utils as db

    path = tmp_path / "mlflow.db"
    shutil.copyfile(fresh_store, path)
    head = revision(path)
    engine = db.create_sqlalchemy_engine(f"sqlite:///{path}")
    settings = db._get_alembic_config(f"sqlite:///{path}")
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "-1")
    engine.dispose()
    older = revision(path)
    assert older != head
    init_store(f"sqlite:///{path}")
    assert revision(path) == head
    assert revision(tmp_path / f"mlflow.db.before-{head}") == older


def test_a_newer_store_is_refused_and_left_as_it_is(fresh_store, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copyfile(fresh_store, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(TrackingUnavailableError, match="install the MLflow that wrote it"):
        init_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["text", "foreign"])
def test_what_is_no_store_is_refused_with_a_remedy(tmp_path, content):
    path = tmp_path / "mlflow.db"
    if content == "text":
        path.write_text("not a database, but long enough to look at " * 50)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE recipes (name TEXT)")
            connection.commit()
    before = path.read_bytes()
    with pytest.raises(TrackingUnavailableError, match="move it to another place"):
        init_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_locked_store_is_in_use_and_not_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BUSY_WAIT_S", 0.05)
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        writer.commit()
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingUnavailableError, match=r"in use by another process.*auscult sync") as caught:
            init_store(f"sqlite:///{path}")
    assert "move" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingUnavailableError, match="cannot be opened or made"):
        init_store(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_database_that_refuses_is_told_at_once(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        start = time.monotonic()
        # Reached, but neither driver nor password will do: MLflow itself would retry for an hour.
        from auscult.tracking.store import connect

        with pytest.raises(TrackingUnavailableError, match=r"not installed|refuses"):
            connect(f"mssql+pyodbc://alice:pw@127.0.0.1:{server.getsockname()[1]}/runs")
        assert time.monotonic() - start < 60
