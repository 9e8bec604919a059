"""Jobs on machines that share no disk: their files lie in a bucket, and what no rule declares is carried along.

With `--default-storage-provider gcs` Snakemake brings each declared file from the bucket and back, and keeps its local
copies below `.snakemake/storage`. A link there to the project's folder makes these copies the files that all code of
the project names (`work/...`). State of trainings, logs and tables that stages find by their folder are declared by no
rule: `Carried` brings them, file by file, below the same prefix.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from auscult.config.experiment import JobSettings
from auscult.config.upstream import META_FILE, Upstream
from auscult.datasets.bucket import Bucket, RemoteObject, equals
from auscult.errors import ConfigError, DataError
from auscult.storage.files import atomic_path, read_json
from auscult.storage.test_readings import READINGS, note_reading

PREFIX_VARIABLE = "AUSCULT_STORAGE_PREFIX"
"""Where stages find the bucket: set by the workflow where no disk is shared."""
PROVIDER = "gcs"
STATE_FOLDER = "state"
_NOTE = Path(".snakemake/auscult-bucket")
_OF_THIS_MACHINE = ("lock", "lock.json")
"""Files of a state folder that tell who trains on this machine."""
_SHARE_OF_TIME = 0.1
logger = logging.getLogger(__name__)


def bucket_of(provider: str | None, prefix: str | None) -> str | None:
    """Return the place of all files as `gs://bucket/prefix`; None where a disk is shared.

    Raises:
        ConfigError: Another provider, or a prefix that is none of it.

    >>> bucket_of("gcs", "gcs://lungs/try/"), bucket_of(None, None)
    ('gs://lungs/try', None)
    """
    if provider is None:
        return None
    if provider != PROVIDER:
        raise ConfigError(
            f"--default-storage-provider {provider}: expected {PROVIDER}, a bucket of Google Cloud Storage"
        )
    scheme, _, place = (prefix or "").partition("://")
    if scheme not in {"gs", "gcs"} or not place.strip("/"):
        raise ConfigError(
            f"--default-storage-prefix: found {prefix!r}, expected gs://bucket/prefix (profiles: AUSCULT_BUCKET)"
        )
    return f"gs://{place.strip('/')}"


def use_project_as_copies(copies: Path, bucket: str, project: Path = Path()) -> None:
    """Let the local copies of what lies in a bucket be the project's own files.

    Args:
        copies: Where Snakemake keeps the copies of what is below the prefix.
        bucket: `gs://bucket/prefix`.
        project: The project's folder.

    Raises:
        ConfigError: The folder holds files of another bucket, or of runs without one: they would be mixed, and removed.
    """
    note = project / _NOTE
    remedy = "use a clone of its own for each bucket (git clone . ../in-bucket)"
    if note.is_file():
        noted = note.read_text(encoding="utf-8").strip()
        if noted != bucket:
            raise ConfigError(f"{project.resolve()} works with {noted}, and {bucket} was asked for; {remedy}")
    else:
        occupied = [name for name in ("work", "results") if any((project / name).glob("*"))]
        if occupied:
            raise ConfigError(
                f"{project.resolve()} holds {' and '.join(occupied)} of runs without a bucket, which local copies of "
                f"{bucket} would replace; {remedy}"
            )
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{bucket}\n", encoding="utf-8")
    if copies.is_symlink():
        return
    if copies.exists():
        raise ConfigError(f"{copies} is a folder of an earlier run, expected a link to the project; remove it")
    copies.parent.mkdir(parents=True, exist_ok=True)
    try:
        copies.symlink_to(os.path.relpath(project, copies.parent), target_is_directory=True)
    except FileExistsError:
        if not copies.is_symlink():  # else another process of this run made it
            raise


def require_files_in_bucket(name: str, job: JobSettings, upstream: Upstream | None, *, is_tuned: bool) -> None:
    """Refuse a job that reads what lies on this machine's disk alone.

    Args:
        name: The job, for the message.
        job: Its settings.
        upstream: What it takes from an earlier training.
        is_tuned: Whether its settings are those that a study chose.

    Raises:
        ConfigError: It does; the message names the setting and the file.
    """
    found = [f"augment: noise of {folder}" for folder in job.augment.noise_folders]
    if upstream is not None and not upstream.runs:
        found.append(f"{upstream.setting}: {upstream.written}")
    if is_tuned:
        found.append("tune: what its study chose, in work/tune")
    if found:
        raise ConfigError(
            f"{name}: {'; '.join(found)}: lies on this machine alone, and its jobs share no disk with it "
            "(--default-storage-provider); run it without, or on a cluster with a shared folder"
        )


class Carried:
    """The files below one folder that no rule declares, here and in the bucket.

    Args:
        folder: Such as `work/runs/pneumonia/train2356/1`.
        declared: Files and folders below it that Snakemake brings; they are left to it.
        without: Names of folders that are left where they are, such as `state`.
        bucket: `gs://bucket/prefix` of all files; None: a disk is shared, and nothing is done.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        declared: Iterable[Path | str] = (),
        *,
        without: Iterable[str] = (),
        bucket: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._declared = [PurePosixPath(os.path.relpath(path, folder)) for path in declared]
        self._without = frozenset(without)
        self._bucket = None if bucket is None else Bucket(f"{bucket}/{project_path(folder, bucket)}", writable=True)
        self._clock = clock
        self._next_s = clock()

    def fetch(self) -> int:
        """Bring what is in the bucket and not here, or not the same, and return how many files that were.

        Raises:
            DataError: The bucket cannot be read.
        """
        if self._bucket is None:
            return 0
        n_came = 0
        for item in self._there().values():
            path = self._folder / item.name
            if path.is_file() and equals(path, item):
                continue
            with atomic_path(path, is_synced=False) as temporary:
                self._bucket.download(item, temporary)
            n_came += 1
        return n_came

    def send(self) -> int:
        """Bring what is here and not in the bucket, remove there what is here no more, and return how many were sent.

        A checkpoint's list of checksums goes after the files that it lists: a killed send leaves the one before.

        Raises:
            DataError: The bucket cannot be written.
        """
        if self._bucket is None:
            return 0
        there, here = self._there(), self._here()
        due = [name for name in here if name not in there or not equals(self._folder / name, there[name])]
        for name in sorted(due, key=lambda name: (name.endswith(".json"), name)):
            self._bucket.upload(self._folder / name, name)
        for name in sorted(there.keys() - set(here)):
            self._bucket.remove(name)
        return len(due)

    def send_saved(self) -> None:
        """Send after a save, as often as it costs no more than a tenth of the time; a fault is a warning."""
        if self._bucket is None or self._clock() < self._next_s:
            return
        start_s = self._clock()
        try:
            self.send()
        except DataError as error:
            logger.warning("a checkpoint is on this machine alone: %s", error)
        end_s = self._clock()
        self._next_s = end_s + (end_s - start_s) * (1 / _SHARE_OF_TIME - 1)

    def _there(self) -> dict[str, RemoteObject]:
        assert self._bucket is not None
        return {item.name: item for item in self._bucket.objects(may_be_empty=True) if self._is_ours(item.name)}

    def _here(self) -> list[str]:
        paths = [path for path in self._folder.rglob("*") if path.is_file()]
        names = [path.relative_to(self._folder).as_posix() for path in paths]
        return [name for name in names if self._is_ours(name)]

    def _is_ours(self, name: str) -> bool:
        path = PurePosixPath(name)
        is_temporary = any(part.startswith(".") for part in path.parts)
        is_of_machine = path.parent.name == STATE_FOLDER and path.name in _OF_THIS_MACHINE
        is_left = not self._without.isdisjoint(path.parts[:-1])
        is_declared = any(path.is_relative_to(other) for other in self._declared)
        return not (is_temporary or is_of_machine or is_left or is_declared)


@contextmanager
def carried(
    folder: Path,
    declared: Iterable[Path | str],
    *,
    without: Iterable[str] = (),
    is_wanted: bool = True,
    environment: Mapping[str, str] = os.environ,
) -> Generator[Carried]:
    """Bring what belongs to a folder before the block, and what the block left there after it, however it ends.

    Args:
        folder: The folder of a run.
        declared: What Snakemake brings of it: the rule's outputs and its log.
        without: Names of folders that are left where they are.
        is_wanted: Not by the second process of a training on several devices.
        environment: Names the bucket; where it does not, nothing is done.

    Raises:
        DataError: The bucket cannot be read, or, of a block that did not fail itself, written.
    """
    bucket = environment.get(PREFIX_VARIABLE) if is_wanted else None
    files = Carried(folder, declared, without=without, bucket=bucket)
    files.fetch()
    try:
        yield files
    except BaseException:
        try:
            files.send()
        except DataError as error:
            logger.warning("%s: what it holds is on this machine alone: %s", folder, error)
        raise
    files.send()


def fetch_folders(
    folders: Iterable[Path], *, without: Iterable[str] = (), environment: Mapping[str, str] = os.environ
) -> list[Path]:
    """Bring all files of folders, declared ones too, and return the folders by their names in the project.

    For stages that gather what others left. Where a disk is shared, the folders are returned as they are.

    Raises:
        DataError: The bucket cannot be read.
    """
    bucket = environment.get(PREFIX_VARIABLE)
    if bucket is None:
        return list(folders)
    named = [Path(project_path(folder, bucket)) for folder in folders]
    for folder in dict.fromkeys(named):
        Carried(folder, without=without, bucket=bucket).fetch()
    return named


def note_readings(
    job_dirs: Iterable[Path], readings: Path = READINGS, environment: Mapping[str, str] = os.environ
) -> None:
    """Note which test sets the models of a result were judged on, where their evaluations could not append to one file.

    Args:
        job_dirs: The folders of the runs.
        readings: The folder of these notes; it is brought from the bucket, and back.
        environment: Names the bucket; where it does not, each evaluation has noted it.

    Raises:
        DataError: The bucket cannot be read or written.
    """
    bucket = environment.get(PREFIX_VARIABLE)
    if bucket is None:
        return
    files = Carried(readings, bucket=bucket)
    files.fetch()
    for folder in job_dirs:
        metrics, model = read_json(folder / "metrics.json"), read_json(folder / META_FILE)
        note_reading(readings, str(metrics["test_set"]), str(model["weights_sha256"]), folder.as_posix())
    files.send()


def telling(tell: Callable[[str, Mapping[str, Any]], None], files: Carried) -> Callable[[str, Mapping[str, Any]], None]:
    """Return `tell`, which then also sends the state whenever a training saved it."""

    def tell_and_send(kind: str, known: Mapping[str, Any]) -> None:
        tell(kind, known)
        if kind == "saved":
            files.send_saved()

    return tell_and_send


def project_path(path: Path, bucket: str) -> str:
    """Return the name that a file has in the project, also of a local copy of what lies in a bucket.

    >>> project_path(Path(".snakemake/storage/gcs/lungs/try/work/runs/a"), "gs://lungs/try")
    'work/runs/a'
    >>> project_path(Path("work/runs/a"), "gs://lungs/try")
    'work/runs/a'
    """
    text, inner = path.as_posix(), f"/{PROVIDER}/{bucket.removeprefix('gs://')}/"
    return text.partition(inner)[2] or text
