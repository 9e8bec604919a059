from pathlib import Path

import pytest

from auscult.datasets.folder import matches, printable, walk_files


def test_files_come_in_one_order_without_what_systems_leave_behind(tmp_path: Path) -> None:
    for name in (
        "b.wav",
        "a.wav",
        "z/c.wav",
        "k/d.wav",
        ".hidden",
        ".git/x.wav",
        "k/~$Book.xlsx",
        "__MACOSX/a.wav",
        "k/._d.wav",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(walk_files(tmp_path)) == ["a.wav", "b.wav", "k/d.wav", "z/c.wav"]


def test_links_are_followed_and_a_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav").touch()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "root" / "sub" / "loop").symlink_to(tmp_path / "root")
    assert list(walk_files(tmp_path / "root")) == ["linked/a.wav"]


@pytest.mark.parametrize(
    ("file", "pattern", "is_match"),
    [
        ("a.wav", "*.wav", True),
        ("a.WAV", "*.wav", True),
        ("sub/a.wav", "*.wav", False),
        ("sub/a.wav", "*/*.wav", True),
        ("a/b/c.wav", "a/**", True),
        ("a.wav", "?.wav", True),
        ("ab.wav", "?.wav", False),
        ("a[1].wav", "a[1].wav", True),
        ("axwav", "a.wav", False),
    ],
)
def test_globs(file: str, pattern: str, is_match: bool) -> None:
    assert matches(file, pattern) is is_match


def test_any_name_can_be_printed() -> None:
    assert printable("caf\udce9.wav") == "caf\\xe9.wav"
    assert printable("\ud800") == "\\ud800"
    assert printable("\u00e9") == "\u00e9"
