import os
from pathlib import Path

import pytest

from auscult.errors import AuscultError, UnreadableError
from auscult.storage.files import atomic_path, read_json, settings_key, sha256_file, write_json, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")
    with pytest.raises(OSError, match="disk full"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_written_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_json_never_holds_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"auroc": float("nan")})
    assert not (tmp_path / "a.json").exists()
    write_json(tmp_path / "a.json", {"auroc": None, "name": "é"})
    assert read_json(tmp_path / "a.json") == {"auroc": None, "name": "é"}


def test_sha256_equals_the_published_value_of_the_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256_file(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_key_tells_one_from_another() -> None:
    assert settings_key({"a": 1}) != settings_key({"a": 2})
    assert settings_key({"a": 1}) != settings_key({"a": "1"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b": 2,\n "a": 3}', r"the keys \['a'\] stand twice; line 3"),
        ('{"a": {"b": 1},\n "c": {"b": 1,\n\n "b": "}"}}', r"the keys \['b'\] stand twice; line 4"),
        ('{"a":\n NaN}', "NaN is no JSON number; line 2"),
        ('["NaN", "\\"{",\n -Infinity]', "-Infinity is no JSON number; line 2"),
        ('{"a": 1\n "b": 2}', "line 2 column 2"),
        ("[" * 100_000, "deeper than any"),
        ('{"a": %s}' % ("9" * 5000), "limit"),
        ("", "line 1 column 1"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_fault_in_json_is_one_message_with_file_and_line(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UnreadableError, match=rf"x\.json: cannot be read as JSON \(.*{said}") as caught:
        read_json(path)
    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, AuscultError) and isinstance(caught.value, ValueError)


def test_json_has_a_size(tmp_path):
    (tmp_path / "x.json").write_text("[" + "1," * 100 + "1]")
    with pytest.raises(UnreadableError, match="larger than 100 bytes"):
        read_json(tmp_path / "x.json", 100)
