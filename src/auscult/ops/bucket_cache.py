"""Snakemake's output cache in a Google Cloud Storage bucket: SNAKEMAKE_OUTPUT_CACHE=gs://bucket/prefix.

Snakemake itself takes a bucket as its cache only where all files of the workflow lie in one. Its classes of a cache are
no promise, so another release is tried before it is pinned: `pip install --no-deps --target /tmp/other snakemake==...`,
then `PYTHONPATH=/tmp/other pytest -m slow tests/workflow/test_output_cache.py`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR, AbstractOutputFileCache
from snakemake.caching.rule import RuleCache
from snakemake.jobs import Job
from snakemake.logging import logger

from auscult.datasets.bucket import Bucket
from auscult.errors import DataError


class BucketCache(AbstractOutputFileCache):
    """What jobs made, in a bucket, by the hash of all that it was made from.

    A bucket that cannot be reached or written costs a warning, once, and no result: jobs then compute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bucket = Bucket(self.cache_location, setting=LOCATION_ENVVAR, writable=True)
        self._given_up = False

    async def exists(self, job: Job) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] (said to be None)
        """Tell whether the bucket holds all that `job` makes."""
        try:
            return not self._given_up and all([self._bucket.find(name) async for _, name in self._names(job)])
        except DataError as error:
            self._give_up(error)
            return False

    async def fetch(self, job: Job) -> None:
        """Bring what `job` makes.

        Raises:
            CacheMissException: It is not there.
        """
        brought: list[tuple[Path, Path]] = []
        try:
            async for path, name in self._names(job):
                item = None if self._given_up else self._bucket.find(name)
                if item is None:
                    self.raise_cache_miss_exception(job)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    brought.append((path.with_name(f".{path.name}.{os.getpid()}.part"), path))
                    self._bucket.download(item, brought[-1][0])
            for part, path in brought:
                part.replace(path)
                logger.info(f"Output file {path} from the cache {self.cache_location}.")
        except DataError as error:
            self._give_up(error)
            self.raise_cache_miss_exception(job)
        finally:
            for part, _ in brought:
                part.unlink(missing_ok=True)

    async def store(self, job: Job) -> None:
        """Keep what `job` has made for others; it stays here too."""
        if self._given_up:
            return
        try:
            async for path, name in self._names(job):
                self._bucket.upload(path, name)
                logger.info(f"Output file {path} kept in the cache {self.cache_location}.")
        except DataError as error:
            self._give_up(error)

    async def _names(self, job: Job) -> AsyncGenerator[tuple[Path, str]]:
        made_from = await self.provenance_hash_map.get_provenance_hash(job)
        for path, ending in self.get_outputfiles(job):
            yield Path(path), f"{made_from}{ending}"

    def _give_up(self, error: DataError) -> None:
        self._given_up = True
        logger.warning(f"--cache: {error}. Everything is computed here, and not shared.")


@dataclass
class BucketRuleCache(RuleCache):
    """Like Snakemake's, for a cache in a bucket."""

    cache: BucketCache

    async def exists(self, job: Job) -> bool:
        """See `BucketCache`."""
        return await self.cache.exists(job)

    async def store(self, job: Job) -> None:
        """See `BucketCache`."""
        await self.cache.store(job)

    async def fetch(self, job: Job) -> None:
        """See `BucketCache`."""
        await self.cache.fetch(job)
