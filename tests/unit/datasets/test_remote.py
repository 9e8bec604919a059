"""Mirroring a bucket, against a bucket in memory; tests/workflow/test_bucket_root.py has an emulator's."""

import base64
import hashlib
import os

import google_crc32c
import pytest

from auscult.datasets import fetch_raw as remote
from auscult.datasets.bucket import RemoteObject
from auscult.errors import DataError
from auscult.storage.files import read_json

ROOT = "gs://lungs/icbhi"


class MemoryBucket:
    """What `bucket.Bucket` does, with the objects in a dict."""

    def __init__(self, files):
        self.files = dict(files)
        self.downloaded = []
        self.fails_at = None
        self.without_md5 = False

    def objects(self):
        return sorted(self._object(name, data) for name, data in self.files.items())

    def _object(self, name, data):
        crc32c = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
        md5 = None if self.without_md5 else base64.b64encode(hashlib.md5(data).digest()).decode()
        return RemoteObject(name, len(data), crc32c, md5)

    def download(self, item, path):
        if item.name == self.fails_at:
            raise DataError("no network")
        path.write_bytes(self.files[item.name])
        self.downloaded.append(item.name)


@pytest.fixture
def bucket():
    return MemoryBucket({"a/1.wav": b"one", "a/2.wav": b"two", "list.txt": b"", "ü b/3 +#.wav": b"three"})


@pytest.fixture
def fetch(tmp_path, bucket):
    def run(source=bucket, root=ROOT):
        bucket.downloaded.clear()
        return remote.fetch(
            root, tmp_path / "work" / "icbhi", tmp_path / "work" / "icbhi.json", threads=3, bucket=source
        )

    return run


def cached(tmp_path):
    cache = tmp_path / "work" / "icbhi"
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file() and path.name != remote.STATE_NAME
    }


def test_the_cache_holds_what_the_bucket_holds(fetch, bucket, tmp_path):
    fetched = fetch()
    assert cached(tmp_path) == bucket.files
    assert (fetched.n_objects, fetched.n_downloaded, fetched.downloaded_bytes) == (4, 4, 11)
    listed = read_json(tmp_path / "work" / "icbhi.json")
    assert [item["name"] for item in listed["objects"]] == sorted(bucket.files)
    assert listed["objects"][0]["md5"] == base64.b64encode(hashlib.md5(b"one").digest()).decode()
    assert remote.fetched_root(tmp_path / "work" / "icbhi") == ROOT
    assert remote.fetched_root(tmp_path / "elsewhere") is None


def test_a_second_fetch_downloads_nothing_and_leaves_the_listing_alone(fetch, bucket, tmp_path):
    fetch()
    listing = tmp_path / "work" / "icbhi.json"
    before = listing.stat().st_mtime_ns, listing.read_bytes()
    fetched = fetch()
    assert bucket.downloaded == []
    assert not fetched.has_changed
    assert (listing.stat().st_mtime_ns, listing.read_bytes()) == before


def test_a_lost_listing_is_written_again_without_a_download(fetch, bucket, tmp_path):
    fetch()
    text = (tmp_path / "work" / "icbhi.json").read_bytes()
    (tmp_path / "work" / "icbhi.json").unlink()
    assert fetch().has_changed
    assert bucket.downloaded == []
    assert (tmp_path / "work" / "icbhi.json").read_bytes() == text


def test_changed_added_and_removed_objects_are_noticed(fetch, bucket, tmp_path):
    fetch()
    bucket.files |= {"a/1.wav": b"ONE", "b/4.wav": b"four"}
    del bucket.files["ü b/3 +#.wav"]
    fetched = fetch()
    assert sorted(bucket.downloaded) == ["a/1.wav", "b/4.wav"]
    assert fetched.removed == ("ü b/3 +#.wav",)
    assert cached(tmp_path) == bucket.files
    assert not (tmp_path / "work" / "icbhi" / "ü b").exists()


def test_a_file_becomes_a_folder_and_back(fetch, bucket, tmp_path):
    fetch()
    bucket.files = {"a": b"file", "list.txt/x.wav": b"x"}
    fetch()
    assert cached(tmp_path) == bucket.files
    bucket.files = {"a/1.wav": b"one", "list.txt": b"l"}
    fetch()
    assert cached(tmp_path) == bucket.files


@pytest.mark.parametrize("without_md5", [False, True])
def test_a_damaged_file_comes_again_and_a_touched_one_does_not(fetch, bucket, tmp_path, without_md5):
    bucket.without_md5 = without_md5
    fetch()
    damaged, touched = tmp_path / "work" / "icbhi" / "a" / "1.wav", tmp_path / "work" / "icbhi" / "a" / "2.wav"
    damaged.write_bytes(b"onE")
    os.utime(touched, (1, 1))
    fetch()
    assert bucket.downloaded == ["a/1.wav"]
    assert cached(tmp_path) == bucket.files


def test_a_fetch_that_breaks_off_goes_on_where_it_stopped(fetch, bucket, tmp_path):
    bucket.files = {f"{number:02d}.wav": bytes([number]) for number in range(20)}
    bucket.fails_at = "12.wav"
    with pytest.raises(DataError, match="no network"):
        fetch()
    assert not (tmp_path / "work" / "icbhi.json").exists()
    assert not (tmp_path / "work" / "icbhi" / remote.PARTIAL_NAME).exists()
    there = set(cached(tmp_path))
    assert "11.wav" in there
    bucket.fails_at = None
    fetch()
    assert set(bucket.downloaded) == set(bucket.files) - there
    assert cached(tmp_path) == bucket.files


def test_while_files_change_there_is_no_listing(fetch, bucket, tmp_path):
    fetch()
    bucket.files["a/1.wav"] = b"new"
    bucket.fails_at = "a/1.wav"
    with pytest.raises(DataError):
        fetch()
    assert not (tmp_path / "work" / "icbhi.json").exists()


def test_what_a_kill_left_is_cleared_and_files_that_came_are_kept(fetch, bucket, tmp_path):
    cache = tmp_path / "work" / "icbhi"
    fetch()
    # As a SIGKILL leaves it: a file without an entry in the state, and a part of another.
    (cache / remote.STATE_NAME).write_text('{"root": "gs://lungs/icbhi", "files": {}}')
    (cache / remote.PARTIAL_NAME).mkdir()
    (cache / remote.PARTIAL_NAME / "0").write_bytes(b"o")
    fetch()
    assert bucket.downloaded == []
    assert cached(tmp_path) == bucket.files


def test_nothing_is_written_outside_the_cache(fetch, bucket, tmp_path):
    strange = ["../x.wav", "a/../../y.wav", "/etc/z.wav", "a//b.wav", "./c.wav", "a\\b.wav", ".fetched.json", "n" * 300]
    bucket.files |= dict.fromkeys(strange, b"no") | {"a/1.wav/below.wav": b"both"}
    fetched = fetch()
    assert {name for name, _ in fetched.refused} == {*strange, "a/1.wav"}
    assert set(cached(tmp_path)) == {"a/1.wav/below.wav", "a/2.wav", "list.txt", "ü b/3 +#.wav"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["icbhi", "icbhi.json"]


def test_a_link_in_the_cache_is_not_followed(fetch, bucket, tmp_path):
    fetch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.wav").write_bytes(b"mine")
    folder = tmp_path / "work" / "icbhi" / "a"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to(outside)
    fetch()
    assert cached(tmp_path) == bucket.files
    assert not folder.is_symlink()
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("1.wav", b"mine")]


def test_a_folder_of_something_else_is_left_alone(fetch, tmp_path):
    mine = tmp_path / "work" / "icbhi" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("all of it")
    with pytest.raises(DataError, match="is no cache of a bucket; move it away"):
        fetch()
    assert mine.read_text() == "all of it"


def test_a_bucket_of_unusable_names_changes_nothing(fetch, bucket, tmp_path):
    fetch()
    bucket.files = {"../x": b"x"}
    before = cached(tmp_path)
    with pytest.raises(DataError, match="none of its 1 objects can be a file"):
        fetch()
    assert cached(tmp_path) == before
