"""A file of a published result that was changed afterwards: whoever reads it names it, or answers as before."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.deadline import at_most

from auscult.config import load_experiment
from auscult.config.description import write_description
from auscult.errors import AuscultError, DataError
from auscult.evaluation.compare import compare
from auscult.ops.rerun import write_rerun
from auscult.ops.verify import verify_result
from auscult.reports.result_page import experiment_yaml

MOST_S = 20  # on a busy machine too; each takes a fraction of a second


@pytest.fixture
def result(
    make_result: Callable[..., Path], project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Two jobs, published."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", "config")
    folder = Path("results/pneumonia/train2356")
    for job, skill in (("1", 0.4), ("2", 1.2)):
        made = make_result(folder / job, skill=skill, seed=int(job))
        write_description(made, json.loads((made / "model.json").read_text()))
        (made / "metrics.json").write_text('{"auroc": 0.8, "test_set": "a1"}')
    experiment = load_experiment(Path("config"), "pneumonia", "train2356")
    (folder / "experiment.yaml").write_text(experiment_yaml(experiment))
    (folder / "provenance.json").write_text('{"data": {"md5": "aaaa.dir"}}')
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "checksums.txt").write_text("".join(lines))
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def edited(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda path: change(pd.read_parquet(path)).to_parquet(path)


def other_job(path: Path) -> None:
    shutil.copy(path.parent.parent / "2" / path.name, path)


def without_its_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


PREDICTIONS = "1/predictions.parquet"
EDITS: list[tuple[str, Callable[[Path], None]]] = [
    (PREDICTIONS, flip),
    (PREDICTIONS, halve),
    (PREDICTIONS, empty),
    (PREDICTIONS, Path.unlink),
    (PREDICTIONS, other_job),
    (PREDICTIONS, edited(lambda table: table.assign(prob_ill=table["prob_ill"] * 0.999))),
    (PREDICTIONS, edited(lambda table: table.assign(target_ill=1 - table["target_ill"]))),
    (PREDICTIONS, edited(lambda table: table.iloc[4:])),
    (PREDICTIONS, edited(lambda table: table.assign(patient_id=table["clip_id"]))),
    ("experiment.yaml", replaced("seed: 1", "seed: 2")),
    ("experiment.yaml", replaced("task: pneumonia", "task: crackles_wheezes")),
    ("experiment.yaml", flip),
    ("experiment.yaml", halve),
    ("experiment.yaml", empty),
    ("experiment.yaml", Path.unlink),
    ("checksums.txt", replaced("  1/predictions.parquet", "  ../outside")),
    ("checksums.txt", flip),
    ("checksums.txt", empty),
    ("checksums.txt", without_its_last_line),
    ("checksums.txt", Path.unlink),
    ("1/metrics.json", replaced("0.8", "0.9")),
    ("provenance.json", replaced("aaaa", "bbbb")),
]


def answers(result: Path) -> list[object]:
    """What is answered from a result: scores that are compared, and the settings of the same experiment again."""
    found = compare([result], resamples=20)
    scores = [line.values[0].value for view in found.views for line in view.lines]
    made = write_rerun(Path("config"), result, {}, "again")
    text = made.path.read_text()
    made.path.unlink()
    return [*scores, text]


@pytest.mark.parametrize(("name", "edit"), EDITS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_edit_is_named_by_verify_and_changes_no_answer_in_silence(
    result: Path, name: str, edit: Callable[[Path], None]
) -> None:
    before = answers(result)
    edit(result / name)
    with at_most(MOST_S):
        try:
            after = answers(result)
        except AuscultError as error:
            assert name.rpartition("/")[2] in str(error)
        else:
            assert after == before
        try:
            found = verify_result(result)
        except DataError as error:
            assert "checksums.txt" in str(error)
        else:
            assert not found.is_whole


def test_a_changed_prediction_is_told_with_what_to_do(result: Path) -> None:
    assert len(answers(result)) > 3
    edited(lambda table: table.assign(prob_ill=table["prob_ill"] * 0.999))(result / PREDICTIONS)
    with pytest.raises(DataError, match=r"predictions\.parquet: changed since the result was published.*Take the"):
        compare([result], resamples=20)
