import json

import pytest
import torch

from auscult.errors import ConfigError
from auscult.training.checkpoint import Checkpoint, CheckpointStore, Position

BINDING = {"train": {"lr": 0.1, "epochs": 3}, "data": "abc"}


def checkpoint(epoch, best_epoch=None, batch=0):
    best = {} if best_epoch is None else {"w": torch.full((3,), float(best_epoch))}
    return Checkpoint(
        Position(epoch, batch),
        {"model": {"w": torch.arange(3.0) + epoch}, "history": [{"epoch": epoch}]},
        best_epoch,
        best,
    )


def filled(folder, *epochs):
    store = CheckpointStore(folder, BINDING)
    for epoch in epochs:
        store.save(checkpoint(epoch, best_epoch=epoch))
    return store


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert CheckpointStore(tmp_path, BINDING).load() is None


def test_what_was_saved_last_is_loaded(tmp_path):
    filled(tmp_path, 1, 2)
    loaded = CheckpointStore(tmp_path, BINDING).load()
    assert (loaded.at.epoch, loaded.best_epoch) == (2, 2)
    assert loaded.state["model"]["w"].tolist() == [2, 3, 4]
    assert loaded.best_weights["w"].tolist() == [2, 2, 2]


def test_two_checkpoints_and_the_weights_they_name_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, BINDING)
    for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        store.save(checkpoint(epoch, best))
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == [
        "00004-000000.json",
        "00004-000000.pt",
        "00005-000000.json",
        "00005-000000.pt",
        "best-00002.safetensors",
        "binding.json",
    ]


def test_a_training_without_a_best_epoch_yet_is_kept_too(tmp_path):
    CheckpointStore(tmp_path, BINDING).save(checkpoint(1))
    loaded = CheckpointStore(tmp_path, BINDING).load()
    assert (loaded.best_epoch, loaded.best_weights) == (None, {})


@pytest.mark.parametrize("victim", ["00003-000000.pt", "best-00003.safetensors", "00003-000000.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, victim, harm, caplog):
    store = filled(tmp_path, 1, 2, 3)
    path = store.folder / victim
    if harm == "flip":
        flip_a_byte(path)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    loaded = CheckpointStore(tmp_path, BINDING).load()
    assert loaded.at.epoch == 2
    assert loaded.best_weights["w"].tolist() == [2, 2, 2]
    # Without its list an epoch simply never finished; damage is reported.
    assert ("is damaged" in caplog.text) == ((victim, harm) != ("00003-000000.json", "remove"))
    again = CheckpointStore(tmp_path, BINDING)
    again.save(checkpoint(3, 3))
    assert again.load().at.epoch == 3


def test_when_both_are_damaged_the_training_starts_anew(tmp_path, caplog):
    store = filled(tmp_path, 1, 2, 3)
    flip_a_byte(store.folder / "00002-000000.pt")
    flip_a_byte(store.folder / "00003-000000.pt")
    assert store.load() is None
    assert caplog.text.count("is damaged") == 2
    store.save(checkpoint(1, 1))
    assert store.load().at.epoch == 1


def test_pickled_code_is_never_run(tmp_path):
    store = filled(tmp_path, 1)

    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = store.folder / "00001-000000.pt"
    torch.save({"model": Bomb()}, path)
    manifest = store.folder / "00001-000000.json"
    from auscult.storage.files import sha256_file

    content = json.loads(manifest.read_text())
    content["sha256"]["00001-000000.pt"] = sha256_file(path)
    manifest.write_text(json.dumps(content))
    assert store.load() is None
    assert not (tmp_path / "ran").exists()


OTHER = {"train": {"lr": 0.2, "epochs": 3}, "data": "abc"}


def test_later_batches_come_after_earlier_ones(tmp_path):
    store = CheckpointStore(tmp_path, BINDING)
    for epoch, batch in ((1, 900), (2, 0), (2, 7), (2, 10)):
        store.save(checkpoint(epoch, batch=batch))
    assert store.load().at == Position(2, 10)
    flip_a_byte(store.folder / "00002-000010.pt")
    assert store.load().at == Position(2, 7)


def test_an_unfinished_training_of_other_settings_is_not_pushed_aside(tmp_path):
    filled(tmp_path, 1, 2)
    with pytest.raises(ConfigError, match=r"unfinished.*epoch 2.*: train\.lr: 0\.1 -> 0\.2\. .*fresh=true"):
        CheckpointStore(tmp_path, OTHER)
    assert CheckpointStore(tmp_path, BINDING).load().at.epoch == 2


@pytest.mark.parametrize("harm", ["cut", "folder"])
def test_unreadable_settings_beside_an_unfinished_training_do_not_hide_it(tmp_path, harm, caplog):
    (tmp_path / "0").mkdir()
    if harm == "cut":
        (tmp_path / "0" / "binding.json").write_text("{")
    else:
        (tmp_path / "0" / "binding.json").mkdir()
    filled(tmp_path, 1)
    with pytest.raises(ConfigError, match="unfinished training"):
        CheckpointStore(tmp_path, OTHER)
    assert "unreadable" in caplog.text


def test_a_finished_training_of_other_settings_stays_until_the_new_one_is_finished(tmp_path, caplog):
    filled(tmp_path, 1).finish()
    with caplog.at_level("INFO"):
        other = CheckpointStore(tmp_path, OTHER)
    assert "train.lr: 0.1 -> 0.2" in caplog.text
    assert "epochs" not in caplog.text
    assert other.load() is None
    assert CheckpointStore(tmp_path, BINDING).load().at.epoch == 1
    other.finish()
    assert CheckpointStore(tmp_path, BINDING).load() is None


def test_the_state_of_older_code_is_in_nobodys_way(tmp_path):
    CheckpointStore(tmp_path, BINDING | {"state_version": 1}).save(checkpoint(1))
    assert CheckpointStore(tmp_path, BINDING | {"state_version": 2}).load() is None


@pytest.mark.parametrize("binding", [BINDING, OTHER])
def test_started_over_sets_aside_what_was_there(tmp_path, binding):
    old = filled(tmp_path, 1, 2)
    fresh = CheckpointStore(tmp_path, binding, fresh=True)
    assert fresh.load() is None
    aside = tmp_path / f"previous-{old.folder.name}"
    assert (aside / "00002-000000.pt").is_file()
    fresh.save(checkpoint(1))
    # The next attempt goes on with the new one.
    assert CheckpointStore(tmp_path, binding).load().at.epoch == 1
    fresh.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.folder.name]


def test_a_save_may_be_refused(tmp_path):
    def refuse():
        raise ConfigError("not mine")

    store = CheckpointStore(tmp_path, BINDING, before_save=refuse)
    with pytest.raises(ConfigError, match="not mine"):
        store.save(checkpoint(1))
    assert store.load() is None


def test_a_half_written_file_is_swept_away(tmp_path):
    store = filled(tmp_path, 1)
    (store.folder / ".00002-abc.tmp.pt").write_bytes(b"half")
    store.save(checkpoint(2, 1))
    assert not list(store.folder.glob(".*"))
