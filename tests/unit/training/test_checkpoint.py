import json

import pytest
import torch

from auscult.training.checkpoint import Checkpoint, CheckpointStore

BINDING = {"train": {"lr": 0.1, "epochs": 3}, "data": "abc"}


def checkpoint(epoch, best_epoch=None):
    best = {} if best_epoch is None else {"w": torch.full((3,), float(best_epoch))}
    return Checkpoint(
        epoch, {"model": {"w": torch.arange(3.0) + epoch}, "history": [{"epoch": epoch}]}, best_epoch, best
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
    assert (loaded.epoch, loaded.best_epoch) == (2, 2)
    assert loaded.state["model"]["w"].tolist() == [2, 3, 4]
    assert loaded.best_weights["w"].tolist() == [2, 2, 2]


def test_two_checkpoints_and_the_weights_they_name_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, BINDING)
    for epoch, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        store.save(checkpoint(epoch, best))
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["00004.json", "00004.pt", "00005.json", "00005.pt", "best-00002.safetensors", "binding.json"]


def test_a_training_without_a_best_epoch_yet_is_kept_too(tmp_path):
    CheckpointStore(tmp_path, BINDING).save(checkpoint(1))
    loaded = CheckpointStore(tmp_path, BINDING).load()
    assert (loaded.best_epoch, loaded.best_weights) == (None, {})


@pytest.mark.parametrize("victim", ["00003.pt", "best-00003.safetensors", "00003.json"])
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
    assert loaded.epoch == 2
    assert loaded.best_weights["w"].tolist() == [2, 2, 2]
    # Without its list an epoch simply never finished; damage is reported.
    assert ("is damaged" in caplog.text) == ((victim, harm) != ("00003.json", "remove"))
    store.save(checkpoint(3, 3))
    assert store.load().epoch == 3


def test_when_both_are_damaged_the_training_starts_anew(tmp_path, caplog):
    store = filled(tmp_path, 1, 2, 3)
    flip_a_byte(store.folder / "00002.pt")
    flip_a_byte(store.folder / "00003.pt")
    assert store.load() is None
    assert caplog.text.count("is damaged") == 2
    store.save(checkpoint(1, 1))
    assert store.load().epoch == 1


def test_pickled_code_is_never_run(tmp_path):
    store = filled(tmp_path, 1)

    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = store.folder / "00001.pt"
    torch.save({"model": Bomb()}, path)
    manifest = store.folder / "00001.json"
    from auscult.io import sha256_file

    content = json.loads(manifest.read_text())
    content["sha256"]["00001.pt"] = sha256_file(path)
    manifest.write_text(json.dumps(content))
    assert store.load() is None
    assert not (tmp_path / "ran").exists()


def test_other_settings_have_their_own_state_until_the_new_training_is_done(tmp_path, caplog):
    filled(tmp_path, 1)
    with caplog.at_level("INFO"):
        other = CheckpointStore(tmp_path, {"train": {"lr": 0.2, "epochs": 3}, "data": "abc"})
    assert "train.lr: 0.1 -> 0.2" in caplog.text
    assert "epochs" not in caplog.text
    assert other.load() is None
    assert CheckpointStore(tmp_path, BINDING).load().epoch == 1
    other.finish()
    assert CheckpointStore(tmp_path, BINDING).load() is None


def test_a_half_written_file_is_swept_away(tmp_path):
    store = filled(tmp_path, 1)
    (store.folder / ".00002-abc.tmp.pt").write_bytes(b"half")
    store.save(checkpoint(2, 1))
    assert not list(store.folder.glob(".*"))
