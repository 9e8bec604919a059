"""The tracking store: made once, upgraded with a copy kept, reached quickly or not at all.

Artifacts of a database store (SQLite by default) lie in `mlartifacts/` beside the SQLite file, in the working folder
for another database. That is where `mlflow ui` and `mlflow server` look by default, and the database names them by
`mlflow-artifacts:` alone: it holds no absolute path, and the pair can be moved together. A server behind `http(s)://`
decides itself and takes the files over the wire.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sqlite3
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from auscult.errors import AuscultError
from auscult.provenance import redact
from auscult.storage.files import atomic_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from sqlalchemy.engine import Engine

ARTIFACTS_FOLDER = "mlartifacts"
ARTIFACTS_SCHEME = "mlflow-artifacts:"
PROBE_TIMEOUT_S = 5
BUSY_WAIT_S = 10.0
"""For another process that writes to an SQLite store."""
_SQLITE = "sqlite:///"
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow's own defaults wait for many minutes on a server that is gone.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
logger = logging.getLogger(__name__)


class TrackingUnavailableError(AuscultError):
    """The tracking store cannot be used now; training and publishing go on without it."""


def connect(uri: str) -> MlflowClient:
    """Return a client of a store that answers; an SQLite store is made or upgraded first.

    Raises:
        TrackingUnavailableError: The server does not answer within seconds, or the store cannot be used.
    """
    if sqlite_path(uri) is None:
        probe(uri)
    else:
        init_store(uri)
    import_mlflow()
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 (seconds, and only where something is tracked)

    if _dialect(uri) in _DATABASE_PORTS:
        _sign_in(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    if urlsplit(uri).scheme in ("http", "https"):
        _ask(client, uri)
    return client


def _ask(client: MlflowClient, uri: str) -> None:
    """Ask a server for something that only a known user may see."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        if error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "401" in str(error) or "403" in str(error):
            raise TrackingUnavailableError(
                f"{redact(uri)} refuses this user; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the "
                "environment"
            ) from error
        raise TrackingUnavailableError(f"{redact(uri)} is no usable MLflow server ({redact(str(error))})") from error


def import_mlflow() -> None:
    """Import MLflow with its telemetry off, its waiting short and its logging quiet; what the user set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401, PLC0415 # pyright: ignore[reportUnusedImport]

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for any other.

    >>> sqlite_path("sqlite:///mlflow.db"), sqlite_path("sqlite:////data/mlflow.db")
    (PosixPath('mlflow.db'), PosixPath('/data/mlflow.db'))
    >>> sqlite_path("http://localhost:5000") is None
    True
    """
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).split("?", 1)[0])


def artifacts_root(uri: str) -> Path | None:
    """Return the folder that holds the artifacts of a database store; None where a server keeps them."""
    path = sqlite_path(uri)
    if path is not None:
        return path.parent / ARTIFACTS_FOLDER
    return Path(ARTIFACTS_FOLDER) if _dialect(uri) in _DATABASE_PORTS else None


def is_server(uri: str) -> bool:
    """Tell whether many machines may write to a store at once.

    >>> is_server("http://tracker:5000"), is_server("postgresql://db/runs"), is_server("sqlite:///mlflow.db")
    (True, True, False)
    """
    return urlsplit(uri).scheme in ("http", "https") or _dialect(uri) in _DATABASE_PORTS


def tracking_faults() -> tuple[type[Exception], ...]:
    """What a store, its network or its disk can throw at a client; only what is imported can have been thrown."""
    faults: list[type[Exception]] = [TrackingUnavailableError, OSError]  # the errors of `requests` are OSErrors
    if "mlflow" in sys.modules:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        faults += [MlflowException, SQLAlchemyError]
    return tuple(faults)


def _dialect(uri: str) -> str:
    """`postgresql+psycopg2://...` speaks PostgreSQL."""
    return urlsplit(uri).scheme.split("+", 1)[0]


def probe(uri: str) -> None:
    """Ask whether a server is there, within seconds: MLflow itself retries a dead database for most of an hour.

    Raises:
        TrackingUnavailableError: No answer, or a URI of an unknown kind.
    """
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            # Opened by urllib, so that the user's proxy settings hold, as for MLflow itself.
            address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/health"
            with urllib.request.urlopen(address, timeout=PROBE_TIMEOUT_S):  # noqa: S310 (http or https only)
                return
        if _dialect(uri) in _DATABASE_PORTS and parts.hostname:
            port = parts.port or _DATABASE_PORTS[_dialect(uri)]
            with socket.create_connection((parts.hostname, port), timeout=PROBE_TIMEOUT_S):
                return
    except urllib.error.HTTPError:
        return  # an answer, be it that only a signed-in user may ask: MLflow brings the credentials
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # an answer too: whether the certificate will do is MLflow's setting
        raise TrackingUnavailableError(
            f"{redact(uri)} does not answer within {PROBE_TIMEOUT_S} s ({reason})"
        ) from error
    raise TrackingUnavailableError(
        f"{redact(uri)}: found a URI of an unknown kind, expected sqlite:///<file>, http(s)://<host>:<port>, "
        f"or one of {', '.join(_DATABASE_PORTS)} with a host; fix tracking.uri in config/config.yaml"
    )


def _sign_in(uri: str) -> None:
    """Open one connection: what is refused here (user, password, database, driver) MLflow would retry for an hour."""
    from mlflow.store.db import utils as db  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        engine: Engine = db.create_sqlalchemy_engine(uri)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except ImportError as error:
        raise TrackingUnavailableError(
            f"{redact(uri)}: its driver {error.name!r} is not installed; install it"
        ) from error
    except SQLAlchemyError as error:
        raise TrackingUnavailableError(f"{redact(uri)} refuses the connection ({redact(str(error))})") from error


def init_store(uri: str) -> None:
    """Make an SQLite store, or bring an older one up to the installed MLflow's schema; another store is left alone.

    Safe when several processes start at once, also on several machines that share the folder: one works under a lock
    beside the file, the others wait. The store is made under a temporary name and renamed, so a process that dies over
    it leaves nothing half made. Before an upgrade the file is copied to `<name>.before-<schema>`.

    Raises:
        TrackingUnavailableError: The folder cannot be written, the file is no SQLite store, or a newer MLflow wrote it.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name}.lock")) as lock:
            exists = path.exists() and path.stat().st_size > 0
            # The lock file keeps which MLflow found which schema in order: a current store is told without the seconds
            # that importing MLflow takes.
            if exists and lock.read_text(encoding="utf-8") == _state(path):
                return
            if exists:
                _upgrade(path)
            else:
                _make(path)
            lock.write_text(_state(path), encoding="utf-8")
    except OSError as error:
        raise TrackingUnavailableError(f"{redact(uri)} cannot be opened or made ({error.strerror})") from error
    except sqlite3.Error as error:
        raise TrackingUnavailableError(_sqlite_fault(uri, error)) from error


def _sqlite_fault(uri: str, error: sqlite3.Error) -> str:
    """Say what an SQLite store suffers from: only one that is not what it should be may be replaced."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF  # the rest says more of the same
    if primary in {None, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return (
            f"{redact(uri)} is no usable SQLite store ({error}); move it to another place, a new one is then made, and "
            "`auscult sync` logs the runs in work/runs to it"
        )
    later = "run `auscult sync` later, which logs what is missed until then"
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return f"{redact(uri)} is in use by another process ({error}), and nothing is wrong with it; {later}"
    return f"{redact(uri)} cannot be used now ({error}), for a reason that lies outside of it; mend that, and {later}"


@contextmanager
def _locked(path: Path) -> Generator[Path]:
    with path.open("a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield path


def _state(path: Path) -> str:
    return f"mlflow {metadata.version('mlflow')} schema {_schema(path)}\n"


def _make(path: Path) -> None:
    import_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    logger.info("making the tracking store %s", path.name)
    with atomic_path(path) as temporary:
        store = SqlAlchemyStore(f"{_SQLITE}{temporary.absolute()}", f"{ARTIFACTS_SCHEME}/")
        store.engine.dispose()


def _upgrade(path: Path) -> None:
    import_mlflow()
    # What `mlflow db upgrade` calls; MLflow offers the question "is it current?" under these names only.
    from alembic.util import CommandError  # noqa: PLC0415
    from mlflow.store.db import utils as db  # noqa: PLC0415

    found = _schema(path)
    wanted = db._get_latest_schema_revision()  # pyright: ignore[reportPrivateUsage]
    if found == wanted:
        return
    if found is None:
        # A database of something else, or one that a first writer left half made: MLflow would only add to the mess.
        raise sqlite3.DatabaseError("no MLflow schema in it")
    copy = path.with_name(f"{path.name}.before-{wanted}")
    logger.warning("upgrading the tracking store %s from schema %s; a copy is kept as %s", path.name, found, copy.name)
    with (
        atomic_path(copy) as temporary,
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(temporary)) as kept,
    ):
        source.backup(kept)
    engine: Engine = db.create_sqlalchemy_engine(f"{_SQLITE}{path.absolute()}")
    try:
        db._upgrade_db(engine)  # pyright: ignore[reportPrivateUsage]
    except CommandError as error:
        raise TrackingUnavailableError(
            f"{path.name} has the schema {found}, which the installed MLflow does not know ({error}); "
            "install the MLflow that wrote it, or name another file in tracking.uri"
        ) from error
    finally:
        engine.dispose()


def _schema(path: Path) -> str | None:
    """The schema's revision; None in a file that has none yet."""
    with closing(sqlite3.connect(path, timeout=BUSY_WAIT_S)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall() if tables else []
    return str(rows[0][0]) if rows else None
