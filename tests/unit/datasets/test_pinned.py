"""Data that are not what their .dvc file pins are named before anything is made of them."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from auscult.datasets.pinned import require_pinned
from auscult.errors import DataError


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset in a folder as `dvc add data` leaves it."""
    monkeypatch.chdir(tmp_path)
    files = {"ward/a.wav": b"aa", "ward/deep/b.wav": b"bb", "ward/labels.csv": b"a,1", "other/c.wav": b"cc"}
    for name, content in files.items():
        path = Path("data", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    listing = json.dumps([{"md5": md5(content), "relpath": name} for name, content in files.items()]).encode()
    digest = md5(listing)
    kept = Path(".dvc/cache/files/md5", digest[:2], f"{digest[2:]}.dir")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(listing)
    Path(".dvc/config").write_text("[core]\n    analytics = false\n['remote \"demo\"']\n    url = demo\n")
    Path(".dvcignore").write_text("# comment\n__pycache__\n*.pyc\n")
    Path("data.dvc").write_text(f"outs:\n- md5: {digest}.dir\n  nfiles: 4\n  hash: md5\n  path: data\n")
    return Path("data/ward")


def listing_of(folder: Path) -> Path:
    return next((folder / ".dvc").rglob("*.dir"))


def check(root: Path) -> None:
    require_pinned(root, "ward", Path("data.dvc"))


def test_what_is_pinned_passes_with_what_dvc_ignores(root: Path) -> None:
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.txt").write_text("x")
    (root / "x.pyc").write_text("x")
    check(root)
    require_pinned(Path("data"), "all", Path("data.dvc"))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda root: (root / "a.wav").write_bytes(b"ab"), "a.wav is changed"),
        (lambda root: (root / "deep" / "b.wav").unlink(), "deep/b.wav is missing"),
        (lambda root: (root / "new.wav").write_bytes(b"nn"), "new.wav is new"),
        (lambda root: (root / "a.wav").rename(root / "z.wav"), "a.wav is missing, z.wav is new"),
    ],
)
def test_each_change_is_named_with_what_to_do(root: Path, edit: Callable[[Path], object], said: str) -> None:
    edit(root)
    with pytest.raises(DataError, match=rf"ward: data/ward does not hold what data\.dvc pins: {said}\. `dvc checkout`"):
        check(root)


def test_of_many_the_first_are_named(root: Path) -> None:
    for number in range(9):
        (root / f"n{number}.wav").write_bytes(b"n")
    with pytest.raises(DataError, match=r"n0\.wav is new, n1\.wav is new, n2\.wav is new and 6 more"):
        check(root)


def test_another_dataset_of_the_same_folder_is_left_alone(root: Path) -> None:
    Path("data/other/c.wav").write_bytes(b"changed")
    check(root)
    with pytest.raises(DataError, match="changed"):
        require_pinned(Path("data"), "all", Path("data.dvc"))


def test_a_changed_list_of_the_cache_is_named(root: Path) -> None:
    listing = listing_of(Path())
    listing.write_bytes(listing.read_bytes().replace(b"labels", b"lapels"))
    with pytest.raises(DataError, match=r"\.dir: DVC's list of the files of data\.dvc is damaged; remove it"):
        check(root)


def test_a_cache_elsewhere_is_read(root: Path, tmp_path: Path) -> None:
    Path(".dvc/cache").rename(tmp_path / "shared")
    (root / "a.wav").write_bytes(b"ab")
    Path(".dvc/config.local").write_text("[cache]\n    dir = ../shared\n")
    with pytest.raises(DataError, match=r"a\.wav is changed"):
        check(root)


def test_without_the_list_nothing_is_known_and_the_log_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    listing_of(Path()).unlink()
    (root / "a.wav").write_bytes(b"ab")
    with caplog.at_level(logging.INFO):
        check(root)
    assert "whether data/ward holds what data.dvc pins is not known" in caplog.text


def test_new_files_are_not_judged_where_the_ignore_file_says_more_than_names(root: Path) -> None:
    Path(".dvcignore").write_text("ward/new*\n")
    (root / "new.wav").write_bytes(b"nn")
    check(root)
