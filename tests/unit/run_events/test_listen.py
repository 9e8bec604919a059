import json
import sys

import pytest
from tests.unit.run_events.conftest import ids_of, write_events
from typer.testing import CliRunner

from auscult.cli import app
from auscult.errors import ConfigError
from auscult.run_events.buses import FileFeed, Received
from auscult.run_events.listen import Wanted, listen
from auscult.run_events.outbox import Outbox


class Messages:
    """A bus that gives what it is given, and ends."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.n_done = self.n_kept = 0

    def poll(self):
        if not self.texts:
            raise EOFError
        return Received(self.texts.pop(0), self.done, self.keep)

    def done(self):
        self.n_done += 1

    def keep(self):
        self.n_kept += 1

    def close(self):
        pass


def messages(folder, *more):
    write_events(folder, 2)
    return (folder / "events.jsonl").read_bytes().splitlines() + list(more)


def test_an_event_that_comes_twice_is_shown_once_and_what_is_none_of_ours_is_passed_over(tmp_path):
    lines = messages(tmp_path)
    feed = Messages(*lines, b'{"not": "ours"}', b"\xff", *lines)
    shown = []
    with pytest.raises(EOFError):
        listen(feed, Wanted(), shown.append)
    assert [json.loads(line)["id"] for line in shown] == ids_of(tmp_path / "events.jsonl")
    assert feed.n_done == 2 * len(lines) + 2


def test_a_command_gets_the_event_that_was_waited_for_and_gives_its_status(tmp_path):
    code = (
        "import json, os, sys; event = json.load(sys.stdin); assert event['id'] == os.environ['AUSCULT_EVENT_ID']; "
        f"text = os.environ['AUSCULT_EVENT_TYPE'] + str(event['data']['epoch']); "
        f"open({str(tmp_path / 'out')!r}, 'a').write(text); sys.exit(3)"
    )
    feed = Messages(*messages(tmp_path))
    command = f'{sys.executable} -c "{code}"'
    assert listen(feed, Wanted(["saved"]), lambda _: None, command=command, once=True) == 3
    assert (tmp_path / "out").read_text() == "saved2"
    assert feed.n_done == 3  # started, epoch, and the one that was handled; the rest is left to the next listener


def test_a_command_that_takes_long_keeps_its_message(tmp_path, monkeypatch):
    monkeypatch.setattr("auscult.run_events.listen.POLL_S", 0.05)
    feed = Messages(*messages(tmp_path))
    assert listen(feed, Wanted(), lambda _: None, command="sleep 0.3", once=True) == 0
    assert feed.n_kept >= 2


def test_a_command_that_is_not_there_is_named_and_its_event_is_not_lost(tmp_path):
    feed = Messages(*messages(tmp_path))
    with pytest.raises(ConfigError, match="--run 'no-such-program' cannot be started"):
        listen(feed, Wanted(), lambda _: None, command="no-such-program")
    assert feed.n_done == 0


def test_a_file_is_followed_from_its_end_line_by_line(tmp_path):
    path = tmp_path / "bus.jsonl"
    early = FileFeed(path, from_start=False)
    path.write_bytes(b"1\n2")
    late, all_of_it = (FileFeed(path, from_start=from_start) for from_start in (False, True))
    with path.open("ab") as stream:
        stream.write(b"3\n4\n")
    assert [early.poll().text for _ in range(3)] == [b"1", b"23", b"4"]
    assert [all_of_it.poll().text for _ in range(3)] == [b"1", b"23", b"4"]
    assert [late.poll().text for _ in range(2)] == [b"3", b"4"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("events: {file: bus.jsonl}\n")
    write_events(tmp_path / "work" / "runs" / "pneumonia" / "train2356" / "1", 1)
    of_other = Outbox(tmp_path / "work" / "runs" / "digits" / "fsdd", ("digits", "fsdd"))
    of_other.append("published", {"result": "results/digits/fsdd", "jobs": ("1",), "checksums_sha256": "0" * 64})
    return tmp_path


def test_the_commands_send_what_was_missed_and_wait_for_what_is_asked(project):
    runner = CliRunner()
    sent = runner.invoke(app, ["events", "send"])
    assert (sent.exit_code, sent.output) == (0, "file:bus.jsonl: 4 events sent\n")
    assert runner.invoke(app, ["events", "send"]).output == "file:bus.jsonl: 0 events sent\n"
    listen_to = ["events", "listen", "--from-start", "--once"]
    heard = runner.invoke(app, [*listen_to, "--when", "published"])
    assert (heard.exit_code, json.loads(heard.output)["subject"]) == (0, "digits/fsdd")
    heard = runner.invoke(app, [*listen_to, "results/pneumonia/train2356", "--when", "saved", "--run", "false"])
    assert (heard.exit_code, json.loads(heard.output)["type"]) == (1, "auscult.run.saved")


def test_the_commands_say_what_is_wrong(project):
    runner = CliRunner()
    (project / "config" / "config.yaml").write_text("events: {file: nowhere/bus.jsonl}\n")
    failed = runner.invoke(app, ["events", "send"])
    assert failed.exit_code == 1
    assert "0 events sent; not all: events.file: nowhere/bus.jsonl: there is no such folder" in failed.output
    for arguments, words in (
        (["listen", "--when", "publish"], "did you mean 'published'?"),
        (["listen", "--bus", "kafka"], "--bus kafka: events in config/config.yaml names file"),
    ):
        assert words in str(runner.invoke(app, ["events", *arguments]).exception)
    (project / "config" / "config.yaml").write_text("{}\n")
    assert "found no bus to send to" in str(runner.invoke(app, ["events", "send"]).exception)
    assert "found none, expected one bus" in str(runner.invoke(app, ["events", "listen"]).exception)
