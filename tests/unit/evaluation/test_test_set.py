"""The test set is read in `evaluate` and nowhere else."""

import ast
from pathlib import Path

import numpy as np
import pytest

import auscult
from auscult.audio.clip_store import ClipStore
from auscult.config import JobSettings
from auscult.config.split import PatientSplit
from auscult.evaluation.evaluate import evaluate
from auscult.spectrograms.store import FeatureStore
from auscult.storage.tables import read_split
from auscult.training.dataset import training_subsets
from auscult.training.train import train

SOURCE = Path(auscult.__file__).parent
ALLOWED = {"evaluation"}


@pytest.fixture
def guard_test_part(monkeypatch):
    """Return a function that makes every read of a test clip's spectrogram, sums or sound an error."""

    def guard(split):
        sides = read_split(split).set_index("recording_id")["split"]

        def guarded(read):
            def checked(self, rows, *arguments):
                recordings = self.table["recording_id"].to_numpy()[np.asarray(rows)]
                touched = [name for name in recordings if sides.get(name) == "test"]
                if touched:
                    raise AssertionError(f"the test set was read: {touched[:3]}")
                return read(self, rows, *arguments)

            return checked

        for store, names in ((FeatureStore, ("read", "sums", "n_frames_valid")), (ClipStore, ("read",))):
            for name in names:
                monkeypatch.setattr(store, name, guarded(getattr(store, name)))

    return guard


def test_training_never_reads_the_test_part_and_evaluation_does(judge_once, tmp_path, guard_test_part):
    world, _ = judge_once("binary")
    job = JobSettings.model_validate(
        world.job.model_dump(mode="json")
        | {"train": {"epochs": 1, "batch_size": 8}, "evaluate": {"best_on_test": True}}
    )
    guard_test_part(world.split)
    train(
        world.features,
        world.tables,
        world.split,
        job=job,
        task=world.task,
        output_dir=tmp_path / "run",
        device="cpu",
        threads=1,
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()
    with pytest.raises(AssertionError, match="the test set was read"):
        evaluate(**world.arguments(tmp_path / "judged"))


def _asks_for_test(call: ast.Call) -> bool:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(isinstance(node, ast.Constant) and node.value == "test" for value in values for node in ast.walk(value))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("train", "val")),
        ({"calibration_fraction": 0.3}, ("train", "val", "calibration")),
        ({"val_fold": {"n_folds": 3, "fold": 2}}, ("train", "val")),
        ({"val_fold": {"n_folds": 3, "fold": None}}, ("train",)),
    ],
)
def test_a_training_asks_for_what_its_split_has_and_never_for_the_test_set(changes, expected):
    assert training_subsets(PatientSplit.model_validate({"kind": "patients", **changes})) == expected


def test_no_other_stage_asks_for_its_examples():
    """Whoever loads examples names the sides in the call, and none but `evaluate` names this one."""
    seen = set()
    for path in SOURCE.rglob("*.py"):
        stage = path.relative_to(SOURCE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_clip_dataset":
                seen.add(stage)
                subsets = [keyword.value for keyword in node.keywords if keyword.arg == "subsets"] or node.args[4:5]
                assert subsets, f"{path}: load_clip_dataset is called without subsets"
                names_them = (
                    isinstance(subsets[0], ast.Call) and getattr(subsets[0].func, "id", "") == "training_subsets"
                )
                is_written_out = names_them or isinstance(subsets[0], ast.Tuple)
                assert is_written_out or stage in ALLOWED, f"{path}: subsets must be written out in the call"
                assert not _asks_for_test(node) or stage in ALLOWED, f"{path} reads the test set"
    assert {"training", "evaluation"} <= seen
