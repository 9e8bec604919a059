"""What a bucket answers, played by a small server; the emulator's answers are in tests/workflow/test_bucket_root.py."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from google.auth.exceptions import RefreshError

from auscult.datasets.bucket import Bucket, BucketError, RemoteObject, clear_faults, equals
from auscult.errors import DataError

MD5_OF_ONE = "+XxdKZQb+xsv2rCHSQargg=="
CRC32C_OF_ONE = "KpSy6Q=="


class Server(ThreadingHTTPServer):
    """Answers a request for a path below /storage or /download with what `answers` says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = lambda path, query: (404, {})
        self.asked = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        self.server.asked.append((address.path, query))
        status, body = self.server.answer(unquote(address.path), query)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_address[1]}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def item(name, size=3, **more):
    return {"name": name, "size": str(size), "crc32c": CRC32C_OF_ONE, **more}


def test_all_pages_are_read_and_sorted_and_placeholders_left_out(server):
    pages = {
        None: {"items": [item("own/b.wav", md5Hash=MD5_OF_ONE), item("own/", 0)], "nextPageToken": "two"},
        "two": {"items": [item("own/sub/", 0), item("own/a+b #1.wav")]},
    }
    server.answer = lambda path, query: (200, pages[query.get("pageToken")])
    found = Bucket("gs://lungs/own/").objects()
    assert found == [
        RemoteObject("a+b #1.wav", 3, CRC32C_OF_ONE, None),
        RemoteObject("b.wav", 3, CRC32C_OF_ONE, MD5_OF_ONE),
    ]
    assert [query["prefix"] for _, query in server.asked] == ["own/", "own/"]


def test_a_whole_bucket_may_be_the_root(server):
    server.answer = lambda path, query: (200, {"items": [item("b.wav")]})
    assert [found.name for found in Bucket("gs://lungs").objects()] == ["b.wav"]


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (404, {}, "there is no bucket or object of this name"),
        (403, {"error": {"message": "no permission"}}, "access is refused (Forbidden"),
        (401, {"error": {"message": "Anonymous caller"}}, "GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json"),
        (400, {"error": {"message": "what is this"}}, "the bucket answers with an error"),
        (400, {"error": {"message": "invalid argument"}}, "the bucket answers with an error"),
        (200, {}, "holds no object"),
    ],
)
def test_each_answer_is_one_clear_sentence(server, status, body, part):
    server.answer = lambda path, query: (status, body)
    with pytest.raises(DataError) as raised:
        Bucket("gs://lungs/own").objects()
    assert str(raised.value).startswith("gs://lungs/own: ")
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("md5", [MD5_OF_ONE, None])
def test_what_came_is_held_against_the_checksum(server, tmp_path, md5):
    server.answer = lambda path, query: (200, b"one")
    wanted = RemoteObject("a/1.wav", 3, CRC32C_OF_ONE, md5)
    bucket = Bucket("gs://lungs/own")
    bucket.download(wanted, tmp_path / "1.wav")
    assert (tmp_path / "1.wav").read_bytes() == b"one"
    assert equals(tmp_path / "1.wav", wanted)
    server.answer = lambda path, query: (200, b"onE")
    with pytest.raises(DataError, match=r"a/1.wav: what came has another checksum than the bucket states"):
        bucket.download(wanted, tmp_path / "1.wav")


def test_what_cannot_be_kept_here_is_told_as_such(server, tmp_path):
    server.answer = lambda path, query: (200, b"one")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="gs://lungs/own: cannot be kept here: "):
        Bucket("gs://lungs/own").download(RemoteObject("a", 3, CRC32C_OF_ONE, None), tmp_path / "file" / "a")


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (FileNotFoundError("b/o"), "remote x: there is no bucket or object of this name; look elsewhere"),
        (TimeoutError(), "remote x: cannot be reached (no answer within 15 s); check the network"),
        (
            ConnectionRefusedError(111, "refused"),
            "remote x: cannot be reached ([Errno 111] refused); check the network",
        ),
        (OSError("Forbidden: b"), "remote x: access is refused (Forbidden: b); log in"),
        (RefreshError("invalid_grant: bad"), "remote x: the credentials are not usable (invalid_grant: bad); log in"),
        (PermissionError(13, "not allowed", "/a"), "remote x: cannot be kept here: not allowed (/a)"),
        (ValueError("strange\nanswer"), "remote x: the bucket answers with an error (strange answer)"),
    ],
)
def test_whoever_asks_a_bucket_has_its_faults_in_the_same_words(raised, text):
    with pytest.raises(BucketError) as said, clear_faults("remote x", missing="look elsewhere", login="log in"):
        raise raised
    assert str(said.value).startswith(text)
    assert str(said.value) == "; ".join(filter(None, [said.value.fault, said.value.remedy]))


def test_a_fault_of_the_program_itself_is_not_translated():
    with pytest.raises(KeyError), clear_faults("remote x", missing="", login=""):
        raise KeyError("a")
