import ast
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.conftest import make_world
from tests.unit.metrics.reference_scores import auroc, brier

from auscult import evaluation
from auscult.config.description import write_description
from auscult.errors import DataError
from auscult.evaluation import clip_pictures
from auscult.evaluation.evaluate import evaluate as run
from auscult.labels import clip_targets
from auscult.metrics.aggregation import aggregate
from auscult.metrics.score_intervals import undefined
from auscult.reports.job_text import report_text
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import (
    probabilities_of,
    read_events,
    read_predictions,
    read_recordings,
    read_split,
    truth_of,
)


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_written_and_a_rerun_gives_the_same_bytes(judge_once, tmp_path):
    world, folder = judge_once("multi_label")
    stale = tmp_path / "figures" / "confusion_old.svg"
    stale.parent.mkdir()
    stale.write_text("of an earlier run")

    run(**world.arguments(tmp_path))

    one, two = _files(folder), _files(tmp_path)
    assert one == two
    expected = {"predictions.parquet", "metrics.json", "report.txt", "outcomes.csv"}
    expected |= {"tps.txt", "tns.txt", "fps.txt", "fns.txt", "figures/index.json", "spectrograms/index.json"}
    assert expected <= set(one)


def test_predictions_hold_each_clip_of_validation_and_test_once_and_no_other(judged):
    world, folder = judged

    table = read_predictions(folder / "predictions.parquet", world.task)

    subset = read_split(world.split).set_index("recording_id")["split"]
    assert table["clip_id"].is_unique
    assert set(table["split"]) == {"val", "test"}
    assert (table["split"].to_numpy() == subset.loc[table["recording_id"]].to_numpy()).all()
    recordings = read_recordings(world.tables["toy"] / "recordings.parquet")
    events = read_events(world.tables["toy"] / "events.parquet")
    np.testing.assert_array_equal(truth_of(table, world.task), clip_targets(table, recordings, events, world.task))
    assert ((probabilities_of(table, world.task) > 0) & (probabilities_of(table, world.task) < 1)).all()


def test_metrics_follow_from_the_predictions(judged_binary):
    world, folder = judged_binary

    table = read_predictions(folder / "predictions.parquet", world.task)
    metrics = json.loads((folder / "metrics.json").read_text())

    for subset in ("test", "val"):
        part = table[table["split"] == subset]
        _, prob, truth = aggregate(
            probabilities_of(part, world.task), truth_of(part, world.task), part["patient_id"], "mean"
        )
        found = metrics[subset]["patient"]["ill"]
        assert found["auroc"]["value"] == pytest.approx(auroc(truth[:, 0], prob[:, 0]))
        assert found["brier"]["value"] == pytest.approx(brier(truth[:, 0], prob[:, 0]))
        assert found["auroc"]["low"] <= found["auroc"]["value"] <= found["auroc"]["high"]
    assert metrics["level"] == "patient"
    assert metrics["best_epoch"] == 2
    assert metrics["thresholds"] == {"ill": 0.5}


def test_report_txt_says_the_numbers_of_metrics_json(judged_binary):
    _, folder = judged_binary

    text = (folder / "report.txt").read_text()
    number = json.loads((folder / "metrics.json").read_text())["test"]["patient"]["ill"]["auroc"]

    line = next(line for line in text.splitlines() if line.startswith("  AUROC"))
    assert line.endswith(f"{number['value']:.3f} ({number['low']:.3f}–{number['high']:.3f})")
    assert "undefined, patient level: no patient was predicted positive (PPV)" in text
    assert "nan" not in text.lower().replace("predominan", "")


def test_report_txt_says_what_was_declared(judged_binary):
    world, folder = judged_binary
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "declared" not in report_text(metrics, world.job, world.task)

    split = world.job.split.model_copy(update={"allow_leaks": {"near_duplicate_audio": "two ids of one person"}})
    job = world.job.model_copy(update={"split": split, "allow_doubtful": ("toy",)})
    text = report_text(metrics, job, world.task)

    assert "near_duplicate_audio may cross subsets: two ids of one person" in text
    assert "the labels of toy are in doubt for this task (allow_doubtful)" in text


def test_report_txt_says_where_a_model_came_from(judged_binary):
    world, folder = judged_binary
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "kept epoch" in report_text(metrics, world.job, world.task)

    job = world.job.model_copy(update={"evaluate_only": "results/toy/first/1"})
    text = report_text(metrics, job, world.task)

    assert "kept epoch" not in text
    assert re.search(r"not trained +the model of results/toy/first/1, epoch \d+", text)


def test_outcome_lists_hold_each_known_clip_of_the_test_part_once(judged_binary):
    world, folder = judged_binary

    lines = [
        line for kind in ("tps", "tns", "fps", "fns") for line in (folder / f"{kind}.txt").read_text().splitlines()
    ]
    listed = [line.split("\t")[0] for line in lines]
    listed = [clip_id for clip_id in listed if clip_id != "clip"]
    ids = StudyIds.read(world.tables)
    table = read_predictions(folder / "predictions.parquet", world.task)
    assert sorted(listed) == sorted(map(ids.clip, table.loc[table["split"] == "test", "clip_id"]))


def test_files_pictures_and_lists_have_study_ids_and_the_two_tables_the_names(judged_binary, monkeypatch, tmp_path):
    world, folder = judged_binary
    recordings = read_recordings(world.tables["toy"] / "recordings.parquet")
    names = [name.partition("/")[2] for name in recordings["recording_id"]]
    for name, content in _files(folder).items():
        if name in {"predictions.parquet", "outcomes.csv"} or name.endswith(".png"):
            assert not any(part in name for part in names)
            continue
        # Sounds are looked at too: their headers are text among bytes.
        text = f"{name}\n{content.decode(errors='replace')}"
        assert not [part for part in names if part in text], name
    titles = []
    draw = clip_pictures.clip_picture
    monkeypatch.setattr(
        clip_pictures,
        "clip_picture",
        lambda *given, **said: titles.append(said["subtitle"]) or draw(*given, **said),
    )
    run(**world.arguments(tmp_path))
    assert titles
    assert all(title.startswith("toy-r") for title in titles)


def test_names_are_published_where_the_project_says_so(judged_binary, tmp_path):
    world, _ = judged_binary
    run(**world.arguments(tmp_path, show_names=True))
    entries = json.loads((tmp_path / "spectrograms" / "index.json").read_text())
    assert all(entry["clip"].startswith("toy/p") for entry in entries)
    assert all("toy_p" in entry["file"] for entry in entries)


def test_names_of_300_characters_do_not_end_an_evaluation(tmp_path):
    """Pictures were named after recordings in full, and file systems end at 255 bytes: all failed, after a training."""
    world = make_world(tmp_path / "world", "binary", prefix="a folder of patients and visits/" * 9)
    run(**world.arguments(tmp_path / "out", show_names=True))
    names = [path.name for path in (tmp_path / "out" / "outcomes").rglob("*.png")]
    assert names
    assert max(map(len, names)) < 140


def test_every_figure_of_the_index_is_there_or_says_why_not(judged):
    _, folder = judged

    entries = json.loads((folder / "figures" / "index.json").read_text())

    drawn = {entry["name"] for entry in entries if entry["undefined"] is None}
    files = {path.name for path in (folder / "figures").iterdir()} - {"index.json"}
    assert files == {f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")}
    assert {"roc", "precision_recall", "confusion", "learning"} <= drawn
    assert all(entry["title"] and entry["caption"].endswith(".") for entry in entries)


def test_example_spectrograms_are_of_the_test_part(judged):
    world, folder = judged

    entries = json.loads((folder / "spectrograms" / "index.json").read_text())
    table = read_predictions(folder / "predictions.parquet", world.task)
    table = table.set_index(table["clip_id"].map(StudyIds.read(world.tables).clip))

    assert len(entries) == 4
    assert set(table.loc[[entry["clip"] for entry in entries], "split"]) == {"test"}
    assert all((folder / "spectrograms" / entry["file"]).is_file() for entry in entries)


def test_a_test_part_of_one_class_is_undefined_and_no_crash(judged_binary, tmp_path):
    world, _ = judged_binary
    split = pd.read_csv(world.split, dtype=str)
    recordings = read_recordings(world.tables["toy"] / "recordings.parquet").set_index("recording_id")
    is_ill = (recordings.loc[split["recording_id"], "label_state"] == "ill").to_numpy()
    split = split[(split["split"] != "test") | ~is_ill]
    split.to_csv(tmp_path / "split.csv", index=False)

    run(**world.arguments(tmp_path / "out", split=tmp_path / "split.csv"))

    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["test"]["patient"]["ill"]["auroc"] == undefined()
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "out" / "figures" / "index.json").read_text())}
    assert entries["roc"]["undefined"] == "no positive patient"
    assert not (tmp_path / "out" / "figures" / "roc.svg").exists()
    assert "no positive patient" in (tmp_path / "out" / "report.txt").read_text()


def test_a_model_of_another_task_is_refused(judged_binary, tmp_path):
    world, _ = judged_binary
    other = world.task.model_copy(update={"targets": ("well",)})

    with pytest.raises(DataError, match=r"predicts \['ill'\], the task has the targets \['well'\]"):
        run(**world.arguments(tmp_path, task=other))


def test_a_model_without_thresholds_is_refused(judged_binary, tmp_path):
    world, _ = judged_binary
    folder = tmp_path / "model"
    shutil.copytree(world.model_dir, folder)
    meta = json.loads((folder / "model.json").read_text())
    meta["thresholds"] = {}
    write_description(folder, meta)

    with pytest.raises(DataError, match="expected one for each of"):
        run(**world.arguments(tmp_path / "out", model_dir=folder))


def test_evaluation_imports_of_training_the_dataset_alone_and_nothing_of_reporting():
    imported = set()
    for path in Path(evaluation.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}

    stages = ("auscult.training", "auscult.reporting")
    assert {name for name in imported if name.startswith(stages)} == {"auscult.training.dataset"}
    assert "matplotlib.pyplot" not in sys.modules or "pyplot" not in " ".join(imported)


def test_conformal_sets_of_the_model_are_judged_on_the_test_set(tmp_path):
    world = make_world(tmp_path / "world", "binary", draws=0, n_examples=0)
    meta = json.loads((world.model_dir / "model.json").read_text())
    classes = {"negative": {"quantile": 1.0, "n": 2}, "positive": {"quantile": 0.0, "n": 12}}
    meta["conformal"] = {"alpha": 0.1, "level": "patient", "classes": {"ill": classes}}
    write_description(world.model_dir, meta)
    run(**world.arguments(tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    n = found["test"]["patient"]["ill"]["n"]
    judged = found["conformal"]["views"]["ill"]
    # No probability is 1: the positive class is in no set, the negative one in every set.
    assert judged["positive"] == {
        "patients": n["positive"], "covered": 0, "rows": n["positive"], "one": n["positive"], "several": 0, "none": 0
    }  # fmt: skip
    assert judged["negative"]["covered"] == n["negative"]
    risk = pd.read_csv(tmp_path / "out" / "risk_coverage.csv")
    cells = found["test"]["patient"]["ill"]["confusion"]
    assert risk["coverage"].iloc[-1] == 1
    assert risk["risk"].iloc[-1] == pytest.approx((cells["fp"] + cells["fn"]) / sum(cells.values()))
    assert (tmp_path / "out" / "figures" / "risk_coverage.svg").is_file()
