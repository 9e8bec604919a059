import json

import pytest
from tests.unit.training.conftest import make_setup

from auscult.training import run as training
from auscult.training.stop import Stop, StopReason, TrainingStopped


class Told:
    """Remembers what it is told, and what `metrics.jsonl` held at that moment."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []

    def written(self):
        path = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def start(self, rows):
        self.calls.append(("start", [row["epoch"] for row in rows]))

    def saved(self, rows):
        # metrics.jsonl comes first: nothing is told that does not stand in it.
        assert self.written()[: len(rows)] == list(rows)
        self.calls.append(("saved", [row["epoch"] for row in rows]))


def test_a_journal_is_told_of_saved_epochs_alone_also_after_a_stop(tmp_path, monkeypatch):
    setup = make_setup(tmp_path / "data")
    job = setup.with_train(epochs=3)
    folder = tmp_path / "run"
    told = Told(folder)

    reasons = Stop.reason.fget

    def stop_after_two(self):
        return StopReason("enough", 75) if ("saved", [1, 2]) in told.calls else reasons(self)

    with monkeypatch.context() as patch:
        patch.setattr(Stop, "reason", property(stop_after_two))
        with pytest.raises(TrainingStopped):
            training.run(**{**setup.inputs, "job": job}, output_dir=folder, device="cpu", journal=told)
    assert told.calls[0] == ("start", [])
    assert told.calls[1:3] == [("saved", [1]), ("saved", [1, 2])]

    again = Told(folder)
    training.run(**{**setup.inputs, "job": job}, output_dir=folder, device="cpu", journal=again)
    assert again.calls[0] == ("start", [1, 2])
    assert again.calls[-1] == ("saved", [1, 2, 3])
