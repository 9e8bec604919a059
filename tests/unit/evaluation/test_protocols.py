"""The epoch that validation chose beside the one that is best on the test set."""

import json

import numpy as np
import pytest

from auscult.config.description import write_description
from auscult.errors import DataError
from auscult.evaluation.evaluate import evaluate as run
from auscult.evaluation.protocols import compare_protocols
from auscult.models import load_model
from auscult.storage.files import read_json
from auscult.training.dataset import load_clip_dataset


def asking(world, **changes):
    return world.job.model_copy(
        update={"evaluate": world.job.evaluate.model_copy(update={"best_on_test": True, **changes})}
    )


@pytest.fixture
def found(judge_once):
    """Of each kind of task: world and protocols."""

    def evaluate(kind, **changes):
        world, _ = judge_once(kind)
        examples = load_clip_dataset(world.features, world.tables, world.split, world.task, ("val", "test"))
        return world, compare_protocols(
            load_model(world.model_dir),
            world.model_dir,
            examples,
            job=asking(world, **changes),
            task=world.task,
            generator=np.random.default_rng(0),
        )

    return evaluate


def test_every_epoch_is_judged_and_the_best_on_test_is_no_worse(found):
    _, protocols = found("binary")
    assert [entry["epoch"] for entry in protocols["epochs"]] == [1, 2, 3]
    assert protocols["metric"] == "auroc"
    # The third epoch predicts the opposite, the first in the same order as the second.
    values = {entry["epoch"]: entry["test"] for entry in protocols["epochs"]}
    assert values[1] == pytest.approx(values[2], abs=0.1)
    assert values[2] + values[3] == pytest.approx(1, abs=0.1)
    chosen, best = protocols["validation_chosen"], protocols["best_on_test"]
    assert chosen["epoch"] == 2
    assert values[best["epoch"]] == max(values.values())
    gap = protocols["gap"]["ill"]["auroc"]
    assert gap["value"] == pytest.approx(
        best["views"]["ill"]["auroc"]["value"] - chosen["views"]["ill"]["auroc"]["value"]
    )
    assert gap["value"] >= 0
    # Six test patients: a gap without an interval, and the reason.
    assert gap["low"] is None and "at least 10 are needed" in gap["reason"]


def test_the_chosen_epoch_is_the_result_itself(found, judge_once):
    world, protocols = found("binary")
    _, folder = judge_once("binary")
    test = json.loads((folder / "metrics.json").read_text())["test"][world.task.level]
    for metric in ("auroc", "auprc"):
        found_value = protocols["validation_chosen"]["views"]["ill"][metric]["value"]
        assert found_value == pytest.approx(test["ill"][metric]["value"])


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_each_epoch_has_a_calibration_of_its_own(found, calibration):
    _, plain = found("binary")
    _, fitted = found("binary", calibration=calibration)
    for name in ("validation_chosen", "best_on_test"):
        assert plain[name]["thresholds"] != fitted[name]["thresholds"]
    auroc, other = (each["validation_chosen"]["views"]["ill"]["auroc"]["value"] for each in (plain, fitted))
    # A patient's probability is the mean over clips, so that a curve may change the order of patients a little.
    assert other == pytest.approx(auroc, abs=0.15)


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_other_tasks_have_both_protocols_too(found, kind):
    _, protocols = found(kind, calibration="temperature")
    json.dumps(protocols, allow_nan=False)
    assert protocols["best_on_test"] is not None
    assert set(protocols["gap"]) == set(protocols["validation_chosen"]["views"])


def test_report_and_figure_say_which_is_optimistic(judge_once, tmp_path):
    world, _ = judge_once("binary")
    run(**world.arguments(tmp_path, job=asking(world)))
    text = (tmp_path / "report.txt").read_text()
    assert "choice of the epoch, patient level" in text
    assert "best on test (optimistic), epoch" in text
    assert "validation-chosen, epoch 2" in text
    assert "choosing on the test set would add" in text or "so nothing differs" in text
    assert (tmp_path / "figures" / "protocols.svg").is_file()
    assert any(entry["name"] == "protocols" for entry in read_json(tmp_path / "figures" / "index.json"))


def test_a_training_that_kept_no_epochs_is_refused(judge_once, tmp_path):
    world, folder = judge_once("binary")
    assert read_json(folder / "metrics.json")["protocols"] is None
    for name in ("model.safetensors", "history.csv"):
        (tmp_path / name).write_bytes((world.model_dir / name).read_bytes())
    meta = read_json(world.model_dir / "model.json")
    write_description(tmp_path, {**meta, "epochs": []})
    with pytest.raises(DataError, match="kept none"):
        run(**world.arguments(tmp_path / "out", model_dir=tmp_path, job=asking(world)))
    write_description(tmp_path, meta)
    with pytest.raises(DataError, match="missing or not the file"):
        run(**world.arguments(tmp_path / "out", model_dir=tmp_path, job=asking(world)))
