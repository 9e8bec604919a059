"""A prefix of a Google Cloud Storage bucket: what it holds, and its objects as files.

Credentials come from the environment alone: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or
the machine's own; without any, the bucket is asked as anybody may ask. STORAGE_EMULATOR_HOST names an emulator.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from auscult.config.dataset import REMOTE
from auscult.errors import DataError

FIRST_ANSWER_S = 15.0
"""A bucket that has not answered by then is not reachable."""
PAGE_TIMEOUT_S = 120.0
_LOGIN_TIMEOUT_S = 5
_PAGE_OBJECTS = 1000
_BLOCK_BYTES = 1 << 20
_LOGIN = (
    "give them by GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json or `gcloud auth application-default login`, "
    "and let that account {}"
)
_READING = "read the bucket (Storage Object Viewer)"
_WRITING = "read and write the bucket (Storage Object User)"
_SCOPES = "https://www.googleapis.com/auth/devstorage."


@dataclass(frozen=True, order=True)
class RemoteObject:
    """An object of the bucket.

    Attributes:
        name: Below the prefix, with `/`.
        size: Bytes.
        crc32c: Base64, as the bucket states it.
        md5: Base64; None of an object that was composed of parts.
    """

    name: str
    size: int
    crc32c: str
    md5: str | None


class Bucket:
    """One prefix of one bucket.

    Args:
        root: `gs://bucket/prefix`.
        setting: What names it, for messages.
        writable: Whether to ask for the right to write.
    """

    def __init__(self, root: str, *, setting: str = "`root`", writable: bool = False) -> None:
        bucket, _, prefix = root.removeprefix(REMOTE).partition("/")
        self.root = root
        self._setting = setting
        self._access = "read_write" if writable else "read_only"
        self._login = _LOGIN.format(_WRITING if writable else _READING)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._files: Any = None

    def objects(self, *, may_be_empty: bool = False) -> list[RemoteObject]:
        """Return every object below the prefix, sorted by name; placeholders of folders are left out.

        Args:
            may_be_empty: Nothing below the prefix is no fault.

        Raises:
            DataError: There is no such bucket, no network or no permission, or nothing below the prefix.
        """
        found: list[RemoteObject] = []
        with self._clear_faults():
            page = self._list_page(None, FIRST_ANSWER_S)
            while True:
                found += [self._object(item) for item in page.get("items", [])]
                if not page.get("nextPageToken"):
                    break
                page = self._list_page(page["nextPageToken"], PAGE_TIMEOUT_S)
        found = [item for item in found if item.name and not (item.name.endswith("/") and item.size == 0)]
        if not found and not may_be_empty:
            raise DataError(
                f"{self.root}: holds no object; look at the prefix: `gcloud storage ls gs://{self._bucket}`"
            )
        return sorted(found)

    def find(self, name: str) -> RemoteObject | None:
        """Return an object by its name below the prefix; None: there is none, or not even the bucket.

        Raises:
            DataError: No network or no permission.
        """
        with self._clear_faults():
            try:
                item = self._connect().call(
                    "GET", "b/{}/o/{}", self._bucket, f"{self._prefix}{name}", json_out=True, timeout=FIRST_ANSWER_S
                )
            except FileNotFoundError:
                return None
        return self._object(item)

    def upload(self, path: Path, name: str) -> None:
        """Keep a file as the object `name` below the prefix; it is there whole, or not at all.

        Raises:
            DataError: There is no such bucket, no network or no permission.
        """
        with self._clear_faults():
            self._connect().put_file(str(path), f"{self._bucket}/{self._prefix}{name}")

    def remove(self, name: str) -> None:
        """Remove the object `name` below the prefix.

        Raises:
            DataError: There is no such object, no network or no permission.
        """
        with self._clear_faults():
            self._connect().rm_file(f"{self._bucket}/{self._prefix}{name}")

    def download(self, item: RemoteObject, path: Path) -> None:
        """Write an object to `path`.

        Raises:
            DataError: It cannot be read, or what came is not what the bucket said.
        """
        with self._clear_faults():
            self._connect().get_file(f"{self._bucket}/{self._prefix}{item.name}", str(path), concurrency=1)
        if not equals(path, item):
            raise DataError(
                f"{self.root}: {item.name}: what came has another checksum than the bucket states; it was changed "
                "meanwhile, or damaged on the way: fetch again"
            )

    def _clear_faults(self) -> AbstractContextManager[None]:
        return clear_faults(self.root, missing=f"fix {self._setting}", login=self._login)

    def _connect(self) -> Any:
        if self._files is None:
            self._files = _gcsfs().GCSFileSystem(
                token=_token(self._access), use_listings_cache=False, skip_instance_cache=True, access=self._access
            )
        return self._files

    def _list_page(self, token: str | None, timeout_s: float) -> dict[str, Any]:
        return self._connect().call(
            "GET",
            "b/{}/o",
            self._bucket,
            prefix=self._prefix,
            maxResults=_PAGE_OBJECTS,
            json_out=True,
            timeout=timeout_s,
            **({"pageToken": token} if token else {}),
        )

    def _object(self, item: dict[str, Any]) -> RemoteObject:
        name = str(item["name"]).removeprefix(self._prefix)
        return RemoteObject(name, int(item["size"]), str(item["crc32c"]), item.get("md5Hash"))


class BucketError(DataError):
    """A bucket cannot be used.

    Args:
        fault: What was found, with the bucket's name.
        remedy: What to do; empty where nothing helps.
    """

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(f"{fault}; {remedy}" if remedy else fault)
        self.fault = fault
        self.remedy = remedy


@contextmanager
def clear_faults(where: str, *, missing: str, login: str) -> Generator[None]:
    """Turn what the libraries of a bucket raise into one sentence with its remedy.

    Args:
        where: The bucket, and who names it.
        missing: What to do where there is no such bucket.
        login: What to do where this user is refused.

    Raises:
        BucketError: Anything was raised that a bucket, its network or its credentials can be the cause of.
    """
    _gcsfs()
    import aiohttp  # noqa: PLC0415
    from fsspec.exceptions import FSTimeoutError  # noqa: PLC0415
    from gcsfs.retry import HttpError  # noqa: PLC0415
    from google.auth.exceptions import GoogleAuthError, TransportError  # noqa: PLC0415

    try:
        yield
    except FileNotFoundError:
        raise BucketError(f"{where}: there is no bucket or object of this name", missing) from None
    except (FSTimeoutError, TransportError, aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        reason = str(error) or f"no answer within {FIRST_ANSWER_S:g} s"
        raise BucketError(
            f"{where}: cannot be reached ({reason})",
            "check the network, nothing is lost: the same command goes on where it stopped",
        ) from error
    except GoogleAuthError as error:
        raise BucketError(f"{where}: the credentials are not usable ({_first_line(error)})", login) from error
    except (HttpError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BucketError(f"{where}: cannot be kept here: {error.strerror} ({error.filename})") from error
        text = str(error)
        is_refused = "Forbidden" in text or "Anonymous caller" in text
        if is_refused or (isinstance(error, HttpError) and error.code in (401, 403)):
            raise BucketError(f"{where}: access is refused ({_first_line(error)})", login) from error
        raise BucketError(f"{where}: the bucket answers with an error ({_first_line(error)})") from error


def _gcsfs() -> Any:
    """Return the module gcsfs, told not to ask for the bucket's layout: reading needs it not, and emulators are mute.

    It reads this setting when it is first imported, so that nothing here imports any part of it otherwise.
    """
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs  # noqa: PLC0415 (half a second, and only buckets need it)

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # its retries end in an error of ours
    return gcsfs


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _token(access: str) -> Any:
    """Return credentials from the environment, `anon` where there are none.

    Raises:
        GoogleAuthError: The environment names credentials that cannot be used.
    """
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return "anon"
    import google.auth  # noqa: PLC0415
    from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPES + access])
    except DefaultCredentialsError:
        if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            raise
        return "anon"
    # Tried here and once: gcsfs would try a refused key again and again, as if the network were at fault.
    credentials.refresh(partial(Request(), timeout=_LOGIN_TIMEOUT_S))
    return credentials


def equals(path: Path, item: RemoteObject) -> bool:
    """Tell whether a file has the size and the checksum of an object."""
    import google_crc32c  # noqa: PLC0415 (only buckets need it)

    if path.stat().st_size != item.size:
        return False
    digest: Any = google_crc32c.Checksum() if item.md5 is None else hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return base64.b64encode(digest.digest()).decode("ascii") == (item.md5 or item.crc32c)
