"""An MLflow server on a PostgreSQL of its own, as docs/tracking.md starts it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

START_TIMEOUT_S = 240
PASSWORD = "not-a-secret"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Postgres:
    """A database cluster in a temporary folder; PostgreSQL refuses to run as root."""

    def __init__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        program = found[-1].parent if found else shutil.which("initdb") and Path(shutil.which("initdb")).parent
        if not program:
            pytest.fail("PostgreSQL is not installed; run: apt-get install postgresql")
        self._bin = Path(program)
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.folder = Path(tempfile.mkdtemp(prefix="auscult-postgres-"))
        self.port = free_port()

    def __enter__(self):
        if self._as_user:
            shutil.chown(self.folder, "postgres")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run("initdb", "-D", self.folder / "data", "-U", "runs", "-A", "scram-sha-256", f"--pwfile={password}")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "runs", "runs")
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    @property
    def uri(self):
        """Without the password, which the environment brings."""
        return f"postgresql://runs@127.0.0.1:{self.port}/runs"

    def dump(self):
        """Return all that the database holds, as text."""
        return self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", "runs", "--inserts", "runs")

    def _run(self, program, *arguments):
        done = subprocess.run(
            [*self._as_user, self._bin / program, *arguments],
            cwd="/",
            env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
            # pg_ctl's server would keep a pipe open.
            stdout=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


class Server:
    """`mlflow server`; may be killed and started again at the same address."""

    def __init__(self, folder, store, *arguments, **environment):
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port), "--workers", "1", *arguments]
        self._environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environment}
        self._process = None

    def start(self):
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return self
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, (self.folder / "server.log").read_text()
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
                time.sleep(0.5)

    def kill(self):
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def postgres_server(folder):
    """Yield a running server and its database."""
    folder.mkdir(parents=True, exist_ok=True)
    with Postgres() as postgres:
        server = Server(folder, postgres.uri, "--artifacts-destination", "artifacts", PGPASSWORD=PASSWORD)
        try:
            yield server.start(), postgres
        finally:
            server.kill()
