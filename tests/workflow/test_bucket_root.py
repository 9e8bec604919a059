"""A dataset whose root is gs://bucket/prefix, in a Google Cloud Storage emulator."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.workflow.conftest import BUCKET, START_TIMEOUT_S

from auscult.config import load_dataset
from auscult.datasets.ingest import ingest
from auscult.storage.files import read_json
from auscult.storage.tables import read_events, read_recordings
from auscult_simulate.write import write_dataset

BIN = Path(sys.executable).parent
TABLES = "work/tables/icbhi/recordings.parquet"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree") / "icbhi"
    write_dataset("icbhi", root, n_patients=6, seed=21, duration_s=(2.0, 3.0))
    return root


@pytest.fixture
def bucket(bucket_url, tree, monkeypatch):
    """The emulator's file system, holding the tree below icbhi/ and nothing else there."""
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs

    # The commands must do without it.
    monkeypatch.delenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT")
    files = gcsfs.GCSFileSystem(
        token="anon", endpoint_url=bucket_url, use_listings_cache=False, skip_instance_cache=True
    )
    for name in files.find(f"{BUCKET}/icbhi"):
        files.rm_file(name)
    for path in tree.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{BUCKET}/icbhi/{path.relative_to(tree).as_posix()}", path.read_bytes())
    return files


@pytest.fixture
def project(workflow_dir):
    point_to(workflow_dir, f"gs://{BUCKET}/icbhi")
    return workflow_dir


def point_to(project, root):
    document = {"description": "in a bucket", "layout": "icbhi", "root": root}
    (project / "config" / "datasets" / "icbhi.yaml").write_text(yaml.safe_dump(document))


def auscult(project, url, *arguments, **environment):
    """Run `auscult data ...` as somebody who has no credentials; an emulator's url of None means the true cloud."""
    unset = ("GOOGLE_", "CLOUDSDK_", "GCSFS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    kept |= {"HOME": str(project / "home"), "GCE_METADATA_TIMEOUT": "1", **environment}
    if url is not None:
        kept["STORAGE_EMULATOR_HOST"] = url
    return subprocess.run(
        [BIN / "auscult", "data", *arguments], cwd=project, env=kept, capture_output=True, text=True, check=False
    )


def rows(folder):
    tables = read_recordings(folder / "recordings.parquet"), read_events(folder / "events.parquet")
    return [table.to_dict("records") for table in tables]


@pytest.mark.slow
def test_a_bucket_is_read_like_a_folder_and_its_changes_are_noticed(project, snakemake, bucket, tree, bucket_url):
    def build(*options):
        finished = snakemake(*options, TABLES, STORAGE_EMULATOR_HOST=bucket_url)
        assert finished.returncode == 0, finished.stdout
        return finished.stdout

    build()
    settings = load_dataset(project / "config", "icbhi")
    ingest(tree, "icbhi", settings, project / "local")
    # As text: a missing value equals another, and itself neither.
    assert repr(rows(project / "work" / "tables" / "icbhi")) == repr(rows(project / "local"))
    assert read_json(project / Path(TABLES).with_name("summary.json")) == read_json(project / "local" / "summary.json")

    # An unchanged bucket reruns nothing, and a dry run asks nobody.
    fetched = auscult(project, bucket_url, "fetch", "icbhi")
    assert "0 downloaded now" in fetched.stdout, fetched.stderr
    finished = snakemake("--dry-run", TABLES, STORAGE_EMULATOR_HOST="http://127.0.0.1:9")
    assert "Nothing to be done" in finished.stdout, finished.stdout

    # One changed, one added, one removed.
    first, second, third = sorted(tree.rglob("*.wav"))[:3]
    bucket.pipe_file(f"{BUCKET}/icbhi/{first.name}", second.read_bytes())
    for suffix in (".wav", ".txt"):
        name = first.name.replace("1b1", "9b9").removesuffix(".wav") + suffix
        bucket.pipe_file(f"{BUCKET}/icbhi/{name}", first.with_suffix(suffix).read_bytes())
        bucket.rm_file(f"{BUCKET}/icbhi/{third.with_suffix(suffix).name}")
    before = read_recordings(project / TABLES).set_index("recording_id")
    fetched = auscult(project, bucket_url, "fetch", "icbhi")
    assert "3 downloaded now" in fetched.stdout
    assert "2 removed" in fetched.stdout
    build()
    after = read_recordings(project / TABLES).set_index("recording_id")
    assert set(before.index) - set(after.index) == {f"icbhi/{third.stem}"}
    assert set(after.index) - set(before.index) == {f"icbhi/{first.stem.replace('1b1', '9b9')}"}
    assert after.loc[f"icbhi/{first.stem}", "sha256"] == before.loc[f"icbhi/{second.stem}", "sha256"]


def test_a_dry_run_makes_no_network_call(project, snakemake):
    begin = time.monotonic()
    finished = snakemake("--dry-run", TABLES, STORAGE_EMULATOR_HOST="http://127.0.0.1:9")
    assert finished.returncode == 0, finished.stdout
    assert "fetch_raw" in finished.stdout
    assert time.monotonic() - begin < 15
    assert not (project / "work").exists()


@pytest.mark.slow
def test_the_data_commands_use_what_was_fetched(project, bucket, tree, bucket_url):
    missing = auscult(project, bucket_url, "verify", "icbhi")
    assert missing.returncode == 1
    assert "not fetched yet; `auscult data fetch icbhi` brings it" in missing.stderr
    assert "(not fetched)" in auscult(project, bucket_url, "list", "icbhi").stdout
    n_files = len([path for path in tree.rglob("*") if path.is_file()])
    fetched = auscult(project, bucket_url, "fetch", "icbhi")
    assert f"{n_files} files in work/raw/icbhi, {n_files} downloaded now" in fetched.stdout
    assert "(not fetched)" not in auscult(project, bucket_url, "list", "icbhi").stdout
    found = json.loads(auscult(project, bucket_url, "verify", "icbhi", "--json").stdout)
    assert found["is_clean"]
    assert found["counts"]["recordings"] == len(list(tree.rglob("*.wav")))
    one = sorted((project / "work" / "raw" / "icbhi").glob("*.wav"))[0]
    data = bytearray(one.read_bytes())
    data[-1] ^= 1
    one.write_bytes(data)
    assert f"{one.name}: cache: not what the bucket held" in auscult(project, bucket_url, "verify", "icbhi").stdout
    assert "1 downloaded now" in auscult(project, bucket_url, "fetch", "icbhi").stdout
    described = auscult(project, bucket_url, "describe", "icbhi", "--out", "page.html")
    assert f"Read from gs://{BUCKET}/icbhi just now" in described.stdout
    assert "data:image/png" in (project / "page.html").read_text()
    point_to(project, f"gs://{BUCKET}/other")
    assert f"holds gs://{BUCKET}/icbhi" in auscult(project, bucket_url, "describe", "icbhi").stderr


def test_a_killed_fetch_goes_on_where_it_stopped(project, bucket, bucket_url):
    names = [f"many/{number:03d}.wav" for number in range(150)]
    for number, name in enumerate(names):
        bucket.pipe_file(f"{BUCKET}/{name}", bytes([64 + number]) * 100_000)
    point_to(project, f"gs://{BUCKET}/many")
    cache = project / "work" / "raw" / "icbhi"
    begun = subprocess.Popen(
        [BIN / "auscult", "data", "fetch", "icbhi"],
        cwd=project,
        env={**os.environ, "STORAGE_EMULATOR_HOST": bucket_url},
        start_new_session=True,
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while len(list(cache.glob("*.wav"))) < 10:
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    there = len(list(cache.glob("*.wav")))
    assert 10 <= there < len(names)
    assert not cache.with_suffix(".json").exists()
    fetched = auscult(project, bucket_url, "fetch", "icbhi")
    assert f"{len(names) - there} downloaded now" in fetched.stdout, fetched.stderr
    for number, name in enumerate(names):
        assert (cache / Path(name).name).read_bytes() == bytes([64 + number]) * 100_000


@pytest.mark.parametrize(
    ("root", "part"),
    [
        ("gs://no-such-bucket/icbhi", "there is no bucket or object of this name; fix `root`"),
        (f"gs://{BUCKET}/nothing/here", f"holds no object; look at the prefix: `gcloud storage ls gs://{BUCKET}`"),
    ],
    ids=["missing bucket", "empty prefix"],
)
def test_a_wrong_root_is_one_clear_sentence(project, bucket, bucket_url, root, part):
    point_to(project, root)
    fetched = auscult(project, bucket_url, "fetch", "icbhi")
    assert fetched.returncode == 1
    assert fetched.stderr.startswith(f"error: {root}: ")
    assert part in fetched.stderr
    assert len(fetched.stderr.splitlines()) == 1


def test_without_a_network_a_fetch_ends_in_time(project):
    begin = time.monotonic()
    fetched = auscult(project, "http://127.0.0.1:9", "fetch", "icbhi")
    assert time.monotonic() - begin < 30
    assert fetched.returncode == 1
    assert "cannot be reached" in fetched.stderr
    assert "check the network" in fetched.stderr
    assert len(fetched.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", [None, "{}", "no json"], ids=["missing", "empty", "broken"])
def test_wrong_credentials_are_told_with_their_remedy(project, text):
    key = project / "key.json"
    if text is not None:
        key.write_text(text)
    fetched = auscult(project, None, "fetch", "icbhi", GOOGLE_APPLICATION_CREDENTIALS=str(key))
    assert fetched.returncode == 1
    assert "the credentials are not usable" in fetched.stderr
    assert "gcloud auth application-default login" in fetched.stderr
    assert len(fetched.stderr.splitlines()) == 1


def test_a_folder_is_not_fetched(project, tree):
    point_to(project, str(tree))
    fetched = auscult(project, None, "fetch", "icbhi")
    assert fetched.returncode == 1
    assert "only gs://bucket/prefix is fetched" in fetched.stderr
