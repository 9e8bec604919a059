"""The data commands of docs/data.md, run against a Google Cloud Storage emulator in a repository of their own."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.workflow.conftest import BUCKET
from tests.workflow.repository import Repository

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory, bucket_url):
    home = tmp_path_factory.mktemp("home")
    root = home / "project"
    root.mkdir()
    repository = Repository(root, home)
    repository("git init -q -b main")
    repository("dvc init -q")
    shutil.copyfile(PROJECT / ".dvc" / "config", root / ".dvc" / "config")
    repository.use_bucket(bucket_url)
    return root


@pytest.fixture
def repository(tmp_path, empty_repository):
    root = Path(shutil.copytree(empty_repository, tmp_path / "project"))
    repository = Repository(root, tmp_path)
    (root / ".gitignore").write_text("/data\n")
    rng = np.random.default_rng(5)
    for name in ("icbhi/audio/101_1b1.wav", "icbhi/audio/102_1b1.wav", "jordan/Audio Files/BP1,E W,P.wav", "empty.txt"):
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty.txt" else rng.bytes(30_000))
    return repository


@pytest.mark.slow
def test_push_wipe_pull_pin_and_go_back(repository, tmp_path, bucket_url):
    # Add and push.
    repository("dvc add -q data")
    repository("git add .")
    repository("git commit -q -m first")
    repository("git tag data-v1")
    first = repository.checksums()
    assert len(first) == 4
    repository("dvc push -q -r gcs")
    assert "in sync" in repository("dvc status -c -r gcs")

    # Wiped, pulled, equal.
    repository.wipe()
    repository("dvc pull -q -r gcs")
    assert repository.checksums() == first
    assert repository("git status --porcelain") == ""

    # A dataset is added: a second version.
    added = repository.root / "data" / "perch" / "P0001.wav"
    added.parent.mkdir()
    added.write_bytes(b"RIFF" + bytes(1000))
    (repository.root / "data" / "empty.txt").unlink()
    repository("dvc add -q data")
    repository("git commit -q -a -m second")
    second = repository.checksums()
    assert set(second) == {*first, "data/perch/P0001.wav"} - {"data/empty.txt"}
    repository("dvc push -q -r gcs")

    # Back to the first version, and forth again, from an empty cache.
    repository("git checkout -q data-v1 -- data.dvc")
    repository.wipe()
    repository("dvc pull -q -r gcs")
    assert repository.checksums() == first
    repository("git checkout -q HEAD -- data.dvc")
    repository("dvc pull -q -r gcs")
    assert repository.checksums() == second
    assert repository("git status --porcelain") == ""

    # Somebody else's clone has the same bytes, and no setting of the first one's bucket came along.
    other = Repository(tmp_path / "clone", tmp_path)
    repository(f"git clone -q {repository.root} {other.root}")
    assert "endpointurl" not in other("git grep -h url -- .dvc")
    other.use_bucket(bucket_url)
    other("dvc pull -q -r gcs")
    assert other.checksums() == second


def test_with_the_bucket_as_default_nothing_lands_in_the_repository(repository):
    repository("dvc remote default -q --local gcs")
    repository("dvc add -q data")
    repository("dvc push -q")
    assert "in sync" in repository("dvc status -c -r gcs")
    assert not (repository.root / ".dvc" / "demo").exists()
    repository.wipe()
    # One dataset alone, by its folder.
    repository("dvc pull -q data/icbhi")
    assert {name.split("/")[1] for name in repository.checksums()} == {"icbhi"}


def test_a_missing_bucket_loses_nothing(repository):
    repository("dvc add -q data")
    before = repository.checksums()
    repository("dvc remote modify --local gcs url gs://no-such-bucket/auscult")
    start = time.monotonic()
    with pytest.raises(AssertionError, match="no-such-bucket"):
        repository("dvc push -r gcs")
    assert time.monotonic() - start < 30
    assert repository.checksums() == before
    repository(f"dvc remote modify --local gcs url gs://{BUCKET}/auscult")
    repository("dvc push -q -r gcs")
    repository.wipe()
    repository("dvc pull -q -r gcs")
    assert repository.checksums() == before


class Refusing(http.server.BaseHTTPRequestHandler):
    """A bucket, and the place where keys are shown, that know nobody."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})

    def do_GET(self):
        self.answer(
            401, {"error": {"code": 401, "message": "Anonymous caller does not have storage.objects.list access"}}
        )

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def refusing_url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def write_key(path, token_uri):
    """Write a well-formed key of a service account that nobody knows."""
    key = rsa.generate_private_key(65537, 2048)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "nobody@example.org", "token_uri": token_uri}
    path.write_text(json.dumps({**account, "private_key_id": "1", "private_key": encoded.decode()}))


def fault(repository, command):
    """Run a command that must fail with one clear error, soon, and lose nothing; return the error."""
    before = repository.checksums()
    start = time.monotonic()
    with pytest.raises(AssertionError) as failed:
        repository(command)
    assert time.monotonic() - start < 30
    assert repository.checksums() == before
    text = str(failed.value)
    assert "Traceback" not in text
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith("error: ")]
    return line


@pytest.mark.soak
@pytest.mark.slow
def test_each_fault_of_a_remote_has_its_error_within_seconds_and_loses_nothing(
    repository, bucket_url, refusing_url, tmp_path
):
    repository("dvc add -q data")
    before = repository.checksums()
    setting = "dvc remote modify --local gcs"

    repository(f"{setting} url gs://no-such-bucket/auscult")
    for direction in ("push", "pull"):
        said = fault(repository, f"auscult data {direction} -r gcs")
        assert "remote gcs: gs://no-such-bucket/auscult: there is no bucket or object of this name" in said
        assert "look at `dvc remote list`" in said
    repository(f"{setting} url gs://{BUCKET}/auscult")

    repository(f"{setting} endpointurl http://127.0.0.1:9")
    for direction in ("push", "pull"):
        assert "cannot be reached" in fault(repository, f"auscult data {direction} -r gcs")

    repository(f"{setting} endpointurl {refusing_url}")
    for direction in ("push", "pull"):
        said = fault(repository, f"auscult data {direction} -r gcs")
        assert "access is refused" in said
        assert "gcloud auth application-default login" in said
        assert "Anonymous caller" in said
    repository("dvc remote modify --local --unset gcs allow_anonymous_login")
    key = tmp_path / "key.json"
    repository(f"{setting} credentialpath {key}")
    assert f"the key {key} does not exist" in fault(repository, "auscult data push -r gcs")
    write_key(key, f"{refusing_url}/token")
    assert "access is refused (Invalid Credentials" in fault(repository, "auscult data push -r gcs")
    assert "DVC has no remote 'gsc'; there are: demo, gcs" in fault(repository, "auscult data push -r gsc")

    # All was a matter of settings: with the right ones the same commands go on.
    repository("dvc remote modify --local --unset gcs credentialpath")
    repository.use_bucket(bucket_url)
    repository("auscult data push -r gcs")
    repository.wipe()
    repository("auscult data pull data/icbhi --remote gcs")
    assert set(repository.checksums()) == {name for name in before if "icbhi" in name}
    repository("auscult data pull -r gcs")
    assert repository.checksums() == before


def test_local_settings_are_never_committed(repository):
    repository("dvc remote modify --local gcs credentialpath key.json")
    repository("git add .")
    tracked = repository("git ls-files").split()
    assert ".dvc/config" in tracked
    assert ".dvc/config.local" not in tracked


def test_the_projects_remotes_are_declared():
    listed = subprocess.run(
        [BIN / "dvc", "remote", "list"], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    remotes = dict(line.split()[:2] for line in listed.splitlines())
    assert remotes["gcs"].startswith("gs://")
    assert not remotes["demo"].startswith(("gs://", "http"))
    text = (PROJECT / ".dvc" / "config").read_text()
    assert "remote = demo" in text
    assert "credentialpath" not in text
