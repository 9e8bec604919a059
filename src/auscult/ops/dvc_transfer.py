"""`dvc pull` and `dvc push`, after one look at the bucket: a fault is told within seconds, with its remedy.

DVC alone asks a bucket again and again for up to a minute where there is no network, or where a key is refused.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from auscult.datasets.bucket import BucketError, clear_faults
from auscult.errors import DataError

ANSWER_WITHIN_S = 20.0
BUCKET_SCHEMES = ("gs://", "gcs://")
_LOGIN = (
    "gcloud auth application-default login, or name a service account's key in GOOGLE_APPLICATION_CREDENTIALS or with "
    "`dvc remote modify --local {remote} credentialpath <file>`"
)


def transfer(direction: Literal["pull", "push"], project_dir: Path, remote: str | None, targets: list[str]) -> None:
    """Check that a remote answers and takes this user, then let DVC do its work.

    Args:
        direction: What DVC shall do.
        project_dir: Where `.dvc` lies.
        remote: Its name; None: the default one.
        targets: Files or folders below `data`; none: all.

    Raises:
        DataError: No such remote or bucket, no network, wrong credentials, or DVC failed; nothing is lost.
    """
    name = check_remote(project_dir, remote)
    command = ["dvc", direction, "--remote", name, *targets]
    if subprocess.run(command, cwd=project_dir, check=False).returncode != 0:  # noqa: S603 (the user's own words)
        raise DataError(f"dvc {direction} failed, as it says above; nothing is lost, and the same command goes on")


def check_remote(project_dir: Path, remote: str | None) -> str:
    """Return the name of a remote that answers; None: the default one. One that is no bucket is not asked.

    Raises:
        DataError: There is no such remote.
        BucketError: The bucket does not answer, does not exist, or refuses this user.
    """
    name, settings = remote_settings(project_dir, remote)
    if str(settings["url"]).startswith(BUCKET_SCHEMES):
        check_bucket(name, settings)
    return name


def remote_settings(project_dir: Path, remote: str | None) -> tuple[str, dict[str, Any]]:
    """Return name and settings of a remote, as all of DVC's files together say.

    Raises:
        DataError: There is no such remote, or no default one.
    """
    from dvc.repo import Repo  # noqa: PLC0415 (takes a second)

    with Repo(str(project_dir)) as repo:
        name = remote or repo.config["core"].get("remote")
        remotes: dict[str, Any] = repo.config["remote"]
    if name is None:
        raise DataError("DVC has no default remote; name one with --remote, or: dvc remote default --local gcs")
    if name not in remotes:
        raise DataError(f"DVC has no remote {name!r}; there are: {', '.join(remotes)}")
    return name, dict(remotes[name])


def check_bucket(remote: str, settings: dict[str, Any], within_s: float = ANSWER_WITHIN_S) -> None:
    """Ask a bucket once for its first file.

    Args:
        remote: Its name in DVC, for messages.
        settings: As DVC has them: `url`, and perhaps `credentialpath`, `endpointurl`, `allow_anonymous_login`.
        within_s: How long to wait for an answer.

    Raises:
        BucketError: It does not answer, does not exist, or refuses this user.
    """
    url = str(settings["url"])
    key = settings.get("credentialpath")
    where, login = f"remote {remote}: {url}", _LOGIN.format(remote=remote)
    if key is not None and not Path(key).is_file():
        raise BucketError(f"{where}: the key {key} does not exist", login)
    missing = f"look at `dvc remote list`, then `dvc remote modify --local {remote} url gs://<your bucket>/auscult`"
    with clear_faults(where, missing=missing, login=login):
        _answer(lambda: _ask(url.partition("://")[2].partition("/")[0], settings), within_s)


def _answer(ask: Callable[[], None], within_s: float) -> None:
    """Raise what `ask` raises, or a TimeoutError when it needs longer."""
    faults: list[Exception | None] = []

    def noting() -> None:
        try:
            ask()
        except Exception as fault:  # libraries of Google, aiohttp and requests: each has its own
            faults.append(fault)
        else:
            faults.append(None)

    # A daemon: the search for credentials cannot be interrupted, and must not hold the command up.
    asking = threading.Thread(target=noting, daemon=True)
    asking.start()
    asking.join(within_s)
    fault = faults[0] if faults else TimeoutError(f"no answer within {within_s:g} s")
    if fault is not None:
        raise fault


def _ask(bucket: str, settings: dict[str, Any]) -> None:
    import fsspec.asyn  # noqa: PLC0415 (slow to import)
    import gcsfs  # noqa: PLC0415

    files: Any = gcsfs.GCSFileSystem(
        project=settings.get("projectname", ""),
        token="anon" if settings.get("allow_anonymous_login") else settings.get("credentialpath"),
        endpoint_url=settings.get("endpointurl"),
        session_kwargs={"trust_env": True},
        skip_instance_cache=True,
    )
    # Without the retries that gcsfs lays around every request.
    once: Any = gcsfs.GCSFileSystem._request.__wrapped__  # pyright: ignore
    fsspec.asyn.sync(files.loop, once, files, "GET", "b/{}/o", bucket, maxResults=1)
