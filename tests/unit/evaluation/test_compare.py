import io
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from auscult.cli import app
from auscult.errors import ConfigError, DataError
from auscult.evaluation.compare import compare
from auscult.formatting.terminal import Console
from auscult.metrics.intervals import resample_weights
from auscult.reports.comparison_page import print_comparison, render, write_page


def patients_of(folder):
    table = pd.read_parquet(folder / "predictions.parquet").groupby("patient_id")
    return table["target_ill"].max().to_numpy(), table["prob_ill"].mean().to_numpy()


def as_text(found):
    stream = io.StringIO()
    print_comparison(found, Console(file=stream, width=200))
    return stream.getvalue()


def test_differences_and_their_intervals_equal_scores_of_the_same_drawn_patients(make_result):
    a, b = make_result("a", skill=0.4, seed=1), make_result("b", skill=1.2, seed=2)
    found = compare([a, b], resamples=200, seed=9)
    (truth, first), (_, second) = patients_of(a), patients_of(b)
    lines = {line.metric: line for line in found.views[0].lines}
    weights = resample_weights(len(truth), 200, np.random.default_rng(9))
    for metric, score in (("AUROC", roc_auc_score), ("AUPRC", average_precision_score)):
        differences = []
        for draw in weights.T[1:]:
            chosen = np.repeat(np.arange(len(truth)), draw.astype(int))
            differences.append(score(truth[chosen], second[chosen]) - score(truth[chosen], first[chosen]))
        number = lines[metric].differences[0]
        assert number.value == pytest.approx(score(truth, second) - score(truth, first))
        n = int(min(truth.sum(), len(truth) - truth.sum()))
        far = t.ppf(0.975, n - 1) * np.std(differences, ddof=1) * np.sqrt(n / (n - 1))
        assert (number.low, number.high) == pytest.approx((number.value - far, number.value + far))
    predicted = {name: scores >= 0.5 for name, scores in (("a", first), ("b", second))}
    sensitivity = [predicted[name][truth == 1].mean() for name in "ab"]
    assert lines["Sensitivity"].differences[0].value == pytest.approx(sensitivity[1] - sensitivity[0])


def test_a_result_does_not_differ_from_itself(make_result):
    found = compare([make_result("a", seed=1), make_result("b", seed=1)], resamples=50)
    for line in found.views[0].lines:
        assert line.differences[0].value == 0 and line.differences[0].low is None
        assert "the same value" in line.differences[0].no_interval
    assert found.views[0].delong[0].p == 1
    assert found.settings == []


def of_three_patients(table):
    """One ill, two healthy."""
    ill = sorted(set(table.loc[table["target_ill"] == 1, "patient_id"]))[:1]
    healthy = sorted(set(table["patient_id"]) - set(table.loc[table["target_ill"] == 1, "patient_id"]))[:2]
    return table[table["patient_id"].isin([*ill, *healthy])]


def test_three_patients_are_never_called_better_or_worse(make_result):
    folders = [
        make_result(name, skill=skill, seed=seed, edit=of_three_patients)
        for name, skill, seed in (("a", 0.0, 1), ("b", 9.0, 1))
    ]
    found = compare(folders, resamples=300)
    (view,) = found.views
    assert view.people == "3 patients (1 +, 2 −)"
    assert all(not line.verdict(0) and line.differences[0].low is None for line in view.lines)
    assert view.delong == [None]
    text, page = as_text(found), render(found)
    few = "Too few patients to call a result better or worse: 1 patient of a class, at least 10 are needed."
    assert few in text and few in page
    assert not re.search(r"\b(better|worse)\b", text.replace(few, "").split("What differs")[0].split("\n\n", 1)[1])


def test_equal_seeds_give_equal_intervals(make_result):
    folders = [make_result("a", skill=0.4, seed=1), make_result("b", seed=2)]
    first, again, other = (compare(folders, resamples=100, seed=seed) for seed in (3, 3, 4))
    assert first.views == again.views
    assert first.views != other.views


@pytest.mark.parametrize(
    ("kind", "views"),
    [
        ("binary", ["ill"]),
        ("multi_label", ["four classes (ICBHI)", "mean of targets", "crackle", "wheeze"]),
        ("multi_class", ["3 classes", "a against the rest", "b against the rest", "c against the rest"]),
    ],
)
def test_each_kind_of_task_is_compared_in_terminal_and_page(make_result, tmp_path, kind, views):
    folders = [
        make_result(name, kind, skill=skill, seed=seed)
        for name, skill, seed in (("a", 0.3, 1), ("b", 2, 2), ("c", 0, 3))
    ]
    found = compare(folders, resamples=60)
    assert [view.name for view in found.views] == views
    text = as_text(found)
    assert "B − A" in text
    assert "C − A" in text
    assert "nan" not in text
    write_page(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "nan" not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL).lower()
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert len(re.findall(r"ROC curves</h4>", page)) == len([view for view in found.views if view.target is not None])
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_settings_that_differ_are_named_and_others_are_not(make_result):
    a = make_result("a")
    b = make_result(
        "b", seed=1, meta={"architecture": {"name": "timm/x", "pretrained": True}, "clips": {"length_s": 5.0}}
    )
    found = compare([a, b], resamples=0)
    assert found.settings == [("clips.length_s", [10.0, 5.0]), ("model.name", ["mixednet", "timm/x"])]
    text = as_text(found)
    assert re.search(r"clips.length_s +10 +5", text)
    assert "pretrained" not in text


def test_an_experiment_stands_for_its_jobs_and_tells_its_settings(make_result, tmp_path):
    make_result("e/2", seed=2)
    make_result("e/1", seed=1)
    make_result("e/10", seed=3)
    (tmp_path / "e" / "experiment.yaml").write_text("jobs: [{augment: {x: 1}}, {augment: {x: 2}}, {augment: {x: 1}}]")
    found = compare([tmp_path / "e"], resamples=0)
    assert [result.folder.name for result in found.results] == ["1", "2", "10"]
    assert found.settings == [("augment.x", [1, 2, None])]


def drop_a_patient(table):
    return table[table["patient_id"] != "toy/p03"]


def change_a_label(table):
    return table.assign(
        target_ill=np.where(table["patient_id"] == "toy/p05", 1 - table["target_ill"], table["target_ill"])
    )


def rename_clips(table):
    return table.assign(clip_id=table["clip_id"] + "0")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"edit": drop_a_patient}, r"different patients: 1 of 40 are in .*a alone \(toy/p03\)"),
        ({"edit": change_a_label}, r"1 of 40 patients of the test set have other labels \(toy/p05\)"),
        ({"kind": "multi_label"}, "different tasks: type multi_label and binary"),
        ({"edit": lambda table: table.assign(split="val")}, "holds no test set"),
        ({"meta": {"task": {"type": "?"}}}, "not the description of a trained job"),
    ],
)
def test_results_of_other_splits_labels_or_tasks_are_refused(make_result, changes, part):
    with pytest.raises(DataError, match=part):
        compare([make_result("a"), make_result("b", **changes)], resamples=0)


def test_clips_cut_otherwise_compare_by_recording_alone(make_result):
    folders = [make_result("a", level="clip"), make_result("b", level="clip", seed=1, edit=rename_clips)]
    with pytest.raises(DataError, match=r"different clips: 160 of 160 .*--level recording"):
        compare(folders, resamples=0)
    assert len(compare(folders, level="recording", resamples=0).rows[0].ids) == 80


@pytest.mark.parametrize(
    ("names", "level", "part"),
    [
        (["a"], None, "two jobs at least, found only"),
        (["a", "nothing"], None, "no such folder"),
        (["a", "b"], "room", "level: found 'room'"),
    ],
)
def test_a_mistake_is_named(make_result, tmp_path, names, level, part):
    make_result("a")
    make_result("b")
    with pytest.raises((ConfigError, DataError), match=part):
        compare([tmp_path / name for name in names], level=level, resamples=0)


def test_one_class_only_is_undefined_and_no_crash(make_result):
    healthy = {"edit": lambda table: table.assign(target_ill=np.float32(0))}
    found = compare([make_result("a", **healthy), make_result("b", seed=1, **healthy)], resamples=20)
    assert found.views[0].delong == [None]
    assert "undefined" in as_text(found)
    assert "Undefined: the test set has one class only" in render(found)


def test_the_command_prints_writes_the_page_once_and_names_mistakes(make_result, tmp_path):
    arguments = ["compare", str(make_result("a")), str(make_result("b", seed=1)), "--draws", "20"]
    page = tmp_path / "page.html"
    first = CliRunner().invoke(app, [*arguments, "--out", str(page)])
    assert first.exit_code == 0
    assert "AUROC by DeLong, B − A" in first.output
    assert page.is_file()
    again = CliRunner().invoke(app, [*arguments, "--out", str(page)])
    assert isinstance(again.exception, ConfigError)
    assert "is there already" in str(again.exception)
    assert CliRunner().invoke(app, [*arguments, "--out", str(page), "--force"]).exit_code == 0
