"""A digest over a whole file of rows, in front of it: what was damaged is known before HDF5 parses a byte.

The first 512 bytes of a sealed file are a line of text with its size and its CRC-32C, then zeros; HDF5 leaves them to
the user (its user block). HDF5 itself trusts what it reads: a zeroed page of an index keeps it busy for ever, and the
checksum of a chunk of zeros is zero.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

SEAL_BYTES = 512
"""The smallest user block of HDF5."""
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAGIC = b"auscult-store crc32c "
_BLOCK_BYTES = 1 << 18


def seal(path: Path) -> None:
    """Write the digest of a file into its first `SEAL_BYTES` bytes, which must be its user block."""
    with path.open("r+b") as stream:
        stream.write(_line(path.stat().st_size, _digest(path)))


def damage_of(path: Path) -> str | None:
    """Return what is wrong with a file by its digest; None where nothing is, or where an earlier version wrote it.

    The file is read once; asked again, it is read again only after it changed.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        found = stream.read(SEAL_BYTES)
        state = os.fstat(stream.fileno())
    if found.startswith(HDF5_SIGNATURE):
        return None  # HDF5's own checksums of chunks and metadata are all that it has
    if not found.startswith(_MAGIC):
        return "its first bytes are none of a store"
    digest = _digest_once(path.absolute(), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return None if found == _line(state.st_size, digest) else "its content does not match its checksum"


def _line(n_bytes: int, digest: int) -> bytes:
    return (_MAGIC + f"{digest:08x} {n_bytes} bytes\n".encode("ascii")).ljust(SEAL_BYTES, b"\0")


@lru_cache(maxsize=65_536)
def _digest_once(path: Path, *identity: int) -> int:
    del identity
    return _digest(path)


def _digest(path: Path) -> int:
    """Return the CRC-32C of all behind the seal."""
    import google_crc32c  # noqa: PLC0415 (a dry run reads no store)

    found = 0
    with path.open("rb", buffering=0) as stream:
        stream.seek(SEAL_BYTES)
        while block := stream.read(_BLOCK_BYTES):
            found = google_crc32c.extend(found, block)
    return found
