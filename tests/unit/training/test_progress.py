import json
import os
import time
from dataclasses import asdict, replace

import pytest

from auscult.formatting.terminal import Console
from auscult.reports.workflow_text import trainings_table
from auscult.training import progress as module
from auscult.training.lock import LOCK_FILE, OWNER_FILE, Owner
from auscult.training.progress import Progress, find_trainings, read_progress
from auscult.training.session import StopReason, TrainingStopped


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


def test_it_is_written_once_a_second_with_speed_and_time_left(tmp_path):
    clock = Clock()
    progress = Progress(tmp_path, "me", clock)
    asked = []

    def loss():
        asked.append(clock.now)
        return 0.25

    with progress.reporting():
        progress.report("training", epochs=2)
        for batch in range(1, 41):
            clock.now += 0.25
            progress.report_batch(
                {"epoch": 1, "batch": batch, "n_batches": 40}, 8, n_batches_left=80 - batch, loss=loss
            )
        # A quarter of a second a batch: every fourth is written, and only then the device is waited for.
        assert len(asked) == 10
        values = read_progress(tmp_path / "progress.json")
        assert (values["status"], values["batch"], values["epochs"]) == ("training", 40, 2)
        assert values["samples_per_s"] == pytest.approx(32)
        assert values["eta_s"] == pytest.approx(10)
        assert values["train/loss"] == 0.25
    assert read_progress(tmp_path / "progress.json")["status"] == "finished"
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (TrainingStopped(StopReason("SIGTERM", 143)), "stopped", "stopped: SIGTERM"),
        (ValueError("odd"), "failed", "failed: ValueError: odd"),
        (None, "finished", "it was finished; its outputs are written again"),
    ],
)
def test_the_next_session_knows_how_the_one_before_ended(tmp_path, error, status, why):
    try:
        with Progress(tmp_path, "me").reporting():
            if error is not None:
                raise error
    except (TrainingStopped, ValueError):
        pass
    assert read_progress(tmp_path / "progress.json")["status"] == status
    again = Progress(tmp_path, "me")
    assert (again.values["attempt"], again.values["resumed_because"]) == (2, why)


def test_one_that_reported_no_end_was_killed(tmp_path):
    Progress(tmp_path, "process 5 on node17").report("training", epoch=3)
    assert Progress(tmp_path, "me").values["resumed_because"] == (
        "process 5 on node17 was killed or lost while training"
    )


def test_a_torn_or_strange_file_is_as_none(tmp_path):
    for text in ('{"attempt": ', "[]", ""):
        (tmp_path / "progress.json").write_text(text)
        assert Progress(tmp_path, "me").values["attempt"] == 1


def test_a_folder_that_cannot_be_written_ends_no_training(tmp_path, caplog):
    (tmp_path / "state").write_text("a file where a folder should be")
    with Progress(tmp_path / "state", "me").reporting():
        pass
    assert "could not be written" in caplog.text


def test_numbers_that_are_none_are_null(tmp_path):
    progress = Progress(tmp_path, "me", Clock())
    progress.report_batch({"epoch": 1}, 8, n_batches_left=1, loss=lambda: float("nan"))
    assert json.loads((tmp_path / "progress.json").read_text())["train/loss"] is None


def run_dir(folder, name, owner, **values):
    state = folder / name / "state"
    Progress(state, "x").report(values.pop("status"), at_once=True, **values)
    if owner is not None:
        (state / OWNER_FILE).write_text(json.dumps(asdict(owner)))
        (state / LOCK_FILE).touch()
    return state


def test_watch_shows_who_runs_and_who_is_dead(tmp_path):
    me = Owner.of_this_process()
    far = replace(me, host="node17")
    run_dir(tmp_path, "pneumonia/a/1", me, status="training", epoch=3, epochs=30, **{"train/loss": 0.5})
    run_dir(tmp_path, "pneumonia/a/2", None, status="training", epoch=1, epochs=30)
    run_dir(tmp_path, "pneumonia/b/1", far, status="validating")
    silent = run_dir(tmp_path, "pneumonia/b/2", far, status="training")
    long_ago = time.time() - 1000
    os.utime(silent / LOCK_FILE, (long_ago, long_ago))
    run_dir(tmp_path, "pneumonia/c/1", replace(me, started="2001-01-01T00:00:00+00:00"), status="saving")
    run_dir(tmp_path, "pneumonia/d/1", None, status="finished")
    found = {training.name: training.status for training in find_trainings(tmp_path)}
    assert found == {
        "pneumonia/a/1": "training",
        "pneumonia/a/2": "dead (training)",
        "pneumonia/b/1": "validating",
        "pneumonia/b/2": "dead (training)",
        "pneumonia/c/1": "dead (saving)",
    }
    everything = find_trainings(tmp_path, everything=True)
    assert everything[-1].status == "finished"
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(trainings_table(everything))
    console.file.close()
    text = console.export_text()
    assert "pneumonia/a/1" in text
    assert "3/30" in text
    assert "0.5000" in text


def test_the_command_prints_once_where_there_is_no_terminal(tmp_path):
    from typer.testing import CliRunner

    from auscult.cli import app

    run_dir(tmp_path, "digits/fsdd/1", Owner.of_this_process(), status="training", epoch=2, epochs=9)
    result = CliRunner().invoke(app, ["watch", str(tmp_path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "digits/fsdd/1" in result.output
    assert "2/9" in result.output


def test_a_bar_is_drawn_on_a_terminal_and_one_training_alone_draws_it(tmp_path, monkeypatch):
    import pty
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(module.sys, "stderr", stream)
        with Progress(tmp_path / "a", "me").reporting() as first, Progress(tmp_path / "b", "me").reporting() as second:
            assert first._bar is not None
            assert second._bar is None
            first.report("training", at_once=True, epochs=2, epoch=1, batch=5, n_batches=10, **{"train/loss": 0.5})
            first._bar.rich.refresh()
            drawn, deadline = "", time.monotonic() + 20
            while "training epoch 1/2, loss 0.5000" not in drawn:
                assert time.monotonic() < deadline, drawn
                drawn += os.read(main, 10_000).decode()
    os.close(main)
