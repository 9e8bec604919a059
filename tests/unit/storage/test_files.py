import os
import subprocess
import sys
from pathlib import Path

import pytest

from auscult.errors import AuscultError, UnreadableError
from auscult.storage import files
from auscult.storage.files import atomic_path, read_json, settings_key, sha256_file, write_json, write_text

HALF_DONE = """
import sys, time
from pathlib import Path
from auscult.storage.files import atomic_path, temporary_folder
target = Path(sys.argv[1])
with atomic_path(target) as half, temporary_folder(target) as folder:
    half.write_text("half")
    half.with_name(f"{half.name}-journal").write_text("half")
    (folder / "part").write_text("half")
    print("written", flush=True)
    time.sleep(600)
"""


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "old")
    with pytest.raises(OSError, match="disk full"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_what_a_killed_process_left_is_swept_and_a_live_owner_keeps_its_own(tmp_path: Path) -> None:
    target = tmp_path / "recordings.parquet"
    writer = subprocess.Popen([sys.executable, "-c", HALF_DONE, str(target)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        half = sorted(tmp_path.iterdir())
        assert len(half) == 3
        mine, _, rest = half[0].name.partition(f".{writer.pid}.")
        strangers = [
            tmp_path / half[0].name.replace(mine, f".recordings-{'0' * 8}"),  # of another host, whose owner may live
            tmp_path / f".recordings-{os.getpid()}.tmp.parquet",  # of an earlier version, or of somebody else
        ]
        # Its number is this process's, but that began at another time.
        reused = tmp_path / f"{mine}.{os.getpid()}.{rest}"
        for path in (*strangers, reused):
            path.touch()
        files.sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([*half, *strangers])
    finally:
        writer.kill()
        writer.communicate()
    write_text(target, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([*strangers, target])


def test_a_name_of_255_bytes_is_swept_too_and_a_zombie_is_dead(tmp_path: Path) -> None:
    target = tmp_path / ("\u00e9" * 125 + ".json")
    writer = subprocess.Popen([sys.executable, "-c", HALF_DONE, str(target)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked how it ended
    try:
        write_text(target, "whole")
        assert list(tmp_path.iterdir()) == [target]
    finally:
        writer.communicate()


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
