"""How many models a test set has judged."""

from auscult.storage.test_readings import key_of_test_set, note_reading, read_readings


def test_a_model_counts_once_and_another_test_set_apart(tmp_path):
    key, other = key_of_test_set(["d/1", "d/2", "d/2"]), key_of_test_set(["d/1", "d/3"])
    assert key == key_of_test_set(["d/2", "d/1"]) != other
    for model in ("a", "a", "b"):
        note_reading(tmp_path / "readings", key, model, f"work/runs/t/{model}/1")
    assert [reading["model"] for reading in read_readings(tmp_path / "readings", key)] == ["a", "b"]
    assert read_readings(tmp_path / "readings", other) == []


def test_a_line_cut_short_is_left_out(tmp_path):
    note_reading(tmp_path, "k", "a", "work/runs/t/a/1")
    with (tmp_path / "k.jsonl").open("a") as stream:
        stream.write('{"model": "b", "res')
    assert len(read_readings(tmp_path, "k")) == 1
