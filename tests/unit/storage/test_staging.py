"""Copies of stores on the node's own disk: what is read, what is said, and what is left behind."""

import logging
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from auscult.storage import staging
from auscult.storage.seal import SEAL_BYTES, seal
from auscult.storage.staging import PREFIX, staged

HOLDER = """
import signal, sys, time
from pathlib import Path
from auscult.storage.staging import staged
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
with staged([Path(sys.argv[1])], Path(sys.argv[2])) as copies:
    print(len(copies), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    folder.mkdir()
    return folder


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Two sealed stores of one name, as two datasets have them."""
    paths = [tmp_path / dataset / "mel.h5" for dataset in ("bd", "icbhi")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(bytes(SEAL_BYTES) + bytes([number]) * 1000)
        seal(path)
    return paths


def left_in(node: Path) -> list[str]:
    return sorted(path.name for path in node.iterdir())


def test_copies_are_equal_private_and_gone_at_the_end(stores: list[Path], node: Path) -> None:
    with staged(stores, node) as copies:
        assert [copies[path].read_bytes() for path in stores] == [path.read_bytes() for path in stores]
        (own,) = node.iterdir()
        assert all(copy.parent == own for copy in copies.values())
        assert own.stat().st_mode & 0o077 == 0
        # Another process of the same training takes them, and makes none.
        with staged(stores, node, is_owner=False) as of_another:
            assert of_another == copies
        assert own.exists()
    assert left_in(node) == []
    with staged(stores, node, is_owner=False) as afterwards:
        assert afterwards == {}


def test_a_damaged_store_is_read_where_it_lies_so_that_its_own_name_is_told(
    stores: list[Path], node: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(stores[1].read_bytes())
    content[-1] ^= 1
    stores[1].write_bytes(content)
    with staged(stores, node) as copies:
        assert copies == {}
        (own,) = node.iterdir()
        assert left_in(own) == []
    assert f"the copy of {stores[1]}: its content does not match its checksum" in caplog.text
    assert left_in(node) == []


def test_without_room_stores_are_read_where_they_lie(
    stores: list[Path], node: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ["free"])
    n_bytes = sum(path.stat().st_size for path in stores)
    for spare_bytes, n_copies in ((0, 2), (-1, 0)):
        free = staging.LEFT_FREE_BYTES + n_bytes + spare_bytes
        monkeypatch.setattr(staging.shutil, "disk_usage", lambda _, free=free: usage(free))
        with caplog.at_level(logging.WARNING), staged(stores, node) as copies:
            assert len(copies) == n_copies
    assert "are read where they lie: they take 0.00 GB" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_stopped_owner_leaves(stores: list[Path], node: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, stores[0], node], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "1\n"
        (of_holder,) = left_in(node)
        (node / f"{PREFIX}of-another").symlink_to(stores[0].parent)
        with staged(stores, node):
            assert of_holder in left_in(node)  # its owner lives
        process.send_signal(number)
        assert process.wait(timeout=20) == (128 + number if number == signal.SIGTERM else -number)
    assert (of_holder in left_in(node)) == (number == signal.SIGKILL)
    with staged(stores, node) as copies:
        assert of_holder not in left_in(node)
        assert len(copies) == 2
    # A link is never followed, and what it leads to stays.
    assert left_in(node) == [f"{PREFIX}of-another"]
    assert all(path.exists() for path in stores)
