"""Killed with SIGKILL at 20 random moments, inside saves too: the result is that of an uninterrupted training."""

import multiprocessing
import os
import signal
import time

import numpy as np
import psutil
import pytest
from tests.unit.training.test_stop import progress_of
from tests.unit.training.test_training_run import ALL_THAT_HAS_A_STATE, AUGMENT, results, train

from auscult.examples import load_examples
from auscult.models import load_model

N_KILLS = 20
N_KILLS_IN_A_SAVE = 6
FORK = multiprocessing.get_context("fork")


def files_being_written(folder):
    return list(folder.glob("state/*/.*.tmp*"))


def kill_at_a_moment(process, folder, moment_s, *, in_a_save):
    """Return whether it was killed, and whether a file of a save was half written then."""
    end = time.monotonic() + moment_s
    children = []
    while process.is_alive() and (time.monotonic() < end or (in_a_save and not files_being_written(folder))):
        time.sleep(0 if in_a_save else 0.002)
    if process.is_alive():
        os.kill(process.pid, signal.SIGSTOP)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL, bool(files_being_written(folder)), children


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_twenty_kills_change_nothing(setup, tmp_path, workers):
    settings = ALL_THAT_HAS_A_STATE | {"epochs": 300, "early_stopping": None}
    if workers:
        settings |= {"batches": {"place": "stream", "window_clips": 12, "workers": workers}}
    job = setup.with_train(**settings).model_copy(update={"augment": AUGMENT})
    # The uninterrupted one reads without workers.
    alone = {**settings, "batches": {**settings.get("batches", {}), "workers": 0}}
    train(setup, tmp_path / "whole", setup.with_train(**alone).model_copy(update={"augment": AUGMENT}))

    cut = tmp_path / "cut"
    rng = np.random.default_rng(workers)
    n_kills, n_in_a_save, orphans, reached = 0, 0, [], []
    while n_kills < N_KILLS:
        process = FORK.Process(target=train, args=(setup, cut, job))
        process.start()
        in_a_save = n_kills < N_KILLS_IN_A_SAVE
        killed, was_saving, children = kill_at_a_moment(process, cut, rng.uniform(0.05, 1.0), in_a_save=in_a_save)
        assert killed, f"the training ended after {n_kills} kills: give it more epochs"
        n_kills += 1
        n_in_a_save += was_saving
        orphans += children
        saves = sorted(path.stem for path in cut.glob("state/*/[0-9]*-[0-9]*.json"))
        reached.append(saves[-1] if saves else "")
    assert n_in_a_save >= N_KILLS_IN_A_SAVE
    process = FORK.Process(target=train, args=(setup, cut, job))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert progress_of(cut)["attempt"] == N_KILLS + 1
    # They hit many places, within epochs and between them; how many depends on how quickly this machine starts anew.
    assert len(set(reached)) > N_KILLS // 4
    assert len({save.partition("-")[0] for save in reached}) > 2

    ours, theirs = results(cut), results(tmp_path / "whole")
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    assert ours[1]["thresholds"] == theirs[1]["thresholds"]
    test = load_examples(setup.features, setup.tables, setup.split, setup.task, ("test",))
    spectrograms = test.spectrograms(np.arange(len(test)))
    answers = [load_model(folder).predict_proba(spectrograms) for folder in (cut, tmp_path / "whole")]
    assert (answers[0] == answers[1]).all()

    # Workers see that their training is gone.
    _, alive = psutil.wait_procs(orphans, timeout=20)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
