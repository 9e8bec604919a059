"""A result in a bucket: an emulator holds it, and every byte is read back."""

import hashlib
import re

import pytest
from tests.workflow.conftest import BUCKET
from typer.testing import CliRunner

from auscult.cli import app
from auscult.datasets.bucket import Bucket, BucketError
from auscult.errors import DataError
from auscult.ops.result_bucket import send_published, send_result, verify_bucket

FILES = {
    "report.html": b"<html>",
    "1/metrics.json": b"{}",
    "1/figures/a b.svg": b"<svg/>",
    "1/model.safetensors": bytes(range(256)) * 400,
    "1/predictions.parquet": b"whose recording",
    "1/outcomes.csv": b"whose",
    "empty.txt": b"",
}
KEPT_HERE = ("1/outcomes.csv", "1/predictions.parquet")


def publish(folder, files=FILES):
    lines = []
    for name, content in sorted(files.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / "checksums.txt").write_text("".join(lines))
    (folder / ".snakemake_timestamp").touch()


@pytest.fixture
def result(tmp_path, bucket_url, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket_url)
    folder = tmp_path / "results/pneumonia/tiny"
    publish(folder)
    return folder


@pytest.fixture
def place(request):
    return f"gs://{BUCKET}/{request.node.name}"


@pytest.fixture
def sent(monkeypatch):
    """The names of all files that are sent, in their order."""
    names, upload = [], Bucket.upload

    def count(self, path, name):
        upload(self, path, name)
        names.append(name)

    monkeypatch.setattr(Bucket, "upload", count)
    return names


def held(root, tmp_path):
    found = {}
    bucket = Bucket(root)
    for item in bucket.objects():
        bucket.download(item, tmp_path / "came")
        found[item.name] = (tmp_path / "came").read_bytes()
    return found


def test_a_result_arrives_byte_by_byte_without_the_ids_of_the_data(result, place, sent, tmp_path):
    done = send_result(result, place)
    root = f"{place}/pneumonia/tiny"
    assert (done.root, done.n_sent, done.n_there, done.left_out) == (root, 6, 0, KEPT_HERE)
    assert sent[-1] == "checksums.txt"
    found = held(root, tmp_path)
    lines = found.pop("checksums.txt").decode().splitlines()
    assert found == {name: content for name, content in FILES.items() if name not in KEPT_HERE}
    assert lines == [f"{hashlib.sha256(found[name]).hexdigest()}  {name}" for name in sorted(found)]
    checked = CliRunner().invoke(app, ["verify", root])
    assert (checked.exit_code, checked.output) == (0, f"{root}: 5 files, all as published\n")

    # Nothing is sent twice; names that may leave come after.
    assert send_result(result, place)[1:3] == (0, 6)
    assert send_result(result, place, with_names=True)[1:] == (3, 5, ())
    assert held(root, tmp_path)["1/predictions.parquet"] == b"whose recording"
    assert verify_bucket(root).is_whole
    # And leave it again where they may not.
    send_result(result, place)
    assert held(root, tmp_path).keys() & set(KEPT_HERE) == set()
    assert verify_bucket(root).is_whole


def test_a_broken_upload_is_visibly_not_whole_and_goes_on(result, place, sent, monkeypatch, caplog):
    root, upload = f"{place}/pneumonia/tiny", Bucket.upload

    def break_at_third(self, path, name):
        if len(sent) == 2:
            raise BucketError(f"{self.root}: cannot be reached")
        upload(self, path, name)

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "upload", break_at_third)
        send_published(result, place, with_names=False)
    assert f"cannot be reached; send it when that is mended: auscult upload {result}" in caplog.text
    with pytest.raises(DataError, match=r"holds 2 files and no checksums\.txt, .* the copy is not whole"):
        verify_bucket(root)
    done = CliRunner().invoke(app, ["upload", str(result), "--to", place])
    assert done.output.startswith(f"{root}: 4 files sent, 2 were there already; left out, ")
    assert sorted(sent) == sorted({*FILES, "checksums.txt"} - set(KEPT_HERE))
    assert verify_bucket(root).is_whole

    # A newer result in its place: until it is there, the copy says that it is not whole.
    publish(result, {**FILES, "report.html": b"<html>newer", "1/metrics.json": b"{...}", "2/metrics.json": b"{}"})
    sent.clear()
    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "upload", break_at_third)
        with pytest.raises(DataError, match="cannot be reached"):
            send_result(result, place)
    with pytest.raises(DataError, match="the copy is not whole"):
        verify_bucket(root)
    assert send_result(result, place)[1:3] == (2, 5)
    assert verify_bucket(root).is_whole


def test_one_flipped_byte_is_named_and_what_is_missing_or_extra(result, place, tmp_path):
    send_result(result, place)
    root = f"{place}/pneumonia/tiny"
    flipped = bytearray(FILES["1/model.safetensors"])
    flipped[70_000] ^= 1
    bucket = Bucket(root, writable=True)
    for name, content in (("1/model.safetensors", bytes(flipped)), ("1/notes.txt", b"mine")):
        (tmp_path / "changed").write_bytes(content)
        bucket.upload(tmp_path / "changed", name)
    bucket.remove("1/figures/a b.svg")
    checked = CliRunner().invoke(app, ["verify", f"{root}/"])
    assert checked.exit_code == 1
    assert checked.output.splitlines()[:3] == [
        f"damaged: {root}/1/model.safetensors",
        f"missing: {root}/1/figures/a b.svg",
        f"extra: {root}/1/notes.txt",
    ]
    # It is mended by sending again; what is not ours stays, and is named.
    assert send_result(result, place)[1:3] == (3, 3)
    assert (verify_bucket(root).damaged, verify_bucket(root).extra) == ((), ("1/notes.txt",))


def test_a_damaged_result_is_not_sent(result, place, sent):
    (result / "1/metrics.json").write_bytes(b"{ }")
    with pytest.raises(DataError, match=re.escape("1/metrics.json: damaged or missing, nothing is sent")):
        send_result(result, place)
    assert sent == []
