import pytest
from tests.unit.training.test_train import OUTPUTS, train

from auscult.config import JobSettings, TaskSettings
from auscult.errors import DataError
from auscult.models import load_model
from auscult.storage.files import sha256_file


@pytest.fixture
def trained(setup, tmp_path):
    train(setup, tmp_path / "trained", setup.with_train(epochs=2))
    return tmp_path / "trained"


def judging(setup, trained, **changes):
    return JobSettings.model_validate(setup.job.model_dump(mode="json") | {"evaluate_only": str(trained)} | changes)


def test_the_model_is_taken_as_it_is(setup, trained, tmp_path, caplog):
    with caplog.at_level("INFO"):
        train(setup, tmp_path / "judged", judging(setup, trained))
    for name in OUTPUTS:
        assert (tmp_path / "judged" / name).read_bytes() == (trained / name).read_bytes()
    assert not (tmp_path / "judged" / "state").exists()
    assert load_model(tmp_path / "judged").meta == load_model(trained).meta
    assert "trained on toy as well" in caplog.text
    assert sha256_file(trained / "model.safetensors") in caplog.text


def test_a_model_of_other_sounds_or_another_network_is_refused(setup, trained, tmp_path):
    job = judging(setup, trained, model={"name": "mixednet"}, clips={"length_s": 2, "sample_rate_hz": 4000})
    with pytest.raises(DataError, match=r"model.name: test_cnn -> mixednet.*clips.length_s: 1.0 -> 2.0"):
        train(setup, tmp_path / "judged", job)
    assert not (tmp_path / "judged").exists()


def test_a_model_of_another_task_is_refused(setup, trained, tmp_path):
    from auscult.training.train import train as stage

    rules = {"toy": {"well": {"column": "health", "positive": ["well"], "negative": "others"}}}
    changes = {"targets": ["well"], "datasets": rules}
    other = TaskSettings.model_validate(setup.task.model_dump(mode="json") | changes)
    with pytest.raises(DataError, match=r"task.targets.1: sick -> well"):
        stage(**setup.inputs | {"task": other}, job=judging(setup, trained), output_dir=tmp_path / "x")


def test_a_model_that_changes_meanwhile_is_not_taken(setup, trained, tmp_path, monkeypatch):
    from auscult.training import pretrained

    def load_and_change(result):
        model = load_model(result)
        (result / "history.csv").write_text("of another training")
        return model

    monkeypatch.setattr(pretrained, "load_model", load_and_change)
    with pytest.raises(DataError, match=r"history\.csv changed while it was copied"):
        train(setup, tmp_path / "judged", judging(setup, trained))
    assert not (tmp_path / "judged" / "history.csv").exists()


def test_a_result_that_is_not_there_is_named(setup, tmp_path):
    with pytest.raises(DataError, match="absent"):
        train(setup, tmp_path / "x", judging(setup, tmp_path / "absent"))
    with pytest.raises(ValueError, match="trains nothing"):
        judging(setup, tmp_path, seeds=[1, 2])
