"""Encoders by tasks: which results share a cell, a row and a column, and what the cells say."""

import pytest
from sklearn.metrics import roc_auc_score

from auscult.errors import ConfigError
from auscult.evaluation.probe_table import gather_probes
from auscult.formatting.terminal import Console
from auscult.reports.probe_page import print_probes, write_probes
from auscult.storage.tables import read_predictions


def probed(encoder, *, method="linear", task_name="toy", has_same_split=True, datasets=("toy",)):
    training = {
        "settings": {"epochs": 3, "seed": 0},
        "split": {"kind": "patients", "seed": 1},
        "probe": {
            "settings": {"method": method, "layer": "backbone", "encoder": f"results/{encoder}"},
            "encoder": {
                "folder": f"results/{encoder}",
                "weights_sha256": encoder,
                "datasets": list(datasets),
                "has_same_split": has_same_split,
            },
        },
    }
    return {"task_name": task_name, "training": training}


def test_encoders_are_rows_and_test_sets_columns(make_result, tmp_path):
    make_result("a/1", meta=probed("first/1"), skill=3.0)
    make_result("a/2", meta=probed("second/1", has_same_split=False), skill=0.5, seed=1)
    make_result("a/3", skill=2.0, seed=2)
    make_result("b/1", meta=probed("first/1", task_name="other"), truth_seed=5, n_patients=30)
    found = gather_probes([tmp_path / "a", tmp_path / "b"], resamples=50)
    assert [(row.label, row.method) for row in found.rows] == [
        ("first/1 (mixednet)", "linear"), ("second/1 (mixednet)", "linear"), ("mixednet", "trained"),
    ]  # fmt: skip
    assert [column.label for column in found.columns] == ["toy: toy (40 patients)", "other: toy (30 patients)"]
    first, second, trained = found.rows
    toy, other = found.columns
    assert (first, other) in found.cells and (second, other) not in found.cells
    assert [found.cells[row, toy].is_seen for row in (first, second, trained)] == [False, True, False]
    score = found.cells[first, toy].score
    assert score.low <= score.mean <= score.high and score.deviation is None

    write_probes(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert found.cells[second, toy].score.text in page and "†" in page
    with Console(width=200, record=True) as console:
        print_probes(found, console)
    assert "second/1 (mixednet)" in console.export_text()


def test_seeds_of_a_job_are_one_cell(make_result, tmp_path):
    folders = [make_result(f"a/1/seed{seed}", meta=probed("first/1"), seed=seed, level="clip") for seed in (0, 1, 2)]
    found = gather_probes([tmp_path / "a"], resamples=50)
    (cell,) = found.cells.values()
    areas = []
    for folder in folders:
        table = read_predictions(folder / "predictions.parquet", found_task(folder))
        areas.append(roc_auc_score(table["target_ill"], table["prob_ill"]))
    assert cell.score.n_runs == 3
    assert cell.score.mean == pytest.approx(sum(areas) / 3)
    assert cell.text.count("±") == 1 and "3 runs" in cell.text


def found_task(folder):
    from auscult.evaluation.compare import read_result

    return read_result(folder).task


def test_a_second_job_of_the_same_kind_gets_a_row_of_its_own(make_result, tmp_path):
    make_result("a/1", meta=probed("first/1"))
    make_result("a/2", meta=probed("first/1"), seed=1)
    make_result("a/3", meta=probed("first/1", method="knn"), seed=2)
    found = gather_probes([tmp_path / "a"], resamples=0)
    assert [(row.label, row.method) for row in found.rows] == [
        ("first/1 (mixednet)", "linear"), ("first/1 (mixednet) #2", "linear"), ("first/1 (mixednet)", "knn"),
    ]  # fmt: skip


def test_the_metric_is_that_of_the_mean_over_targets_or_classes(make_result, tmp_path):
    make_result("a/1", "multi_label", meta={})
    make_result("b/1", "multi_class", meta={})
    for metric in ("auroc", "auprc"):
        assert len(gather_probes([tmp_path / "a", tmp_path / "b"], metric=metric, resamples=0).cells) == 2
    with pytest.raises(ConfigError, match="auroc"):
        gather_probes([tmp_path / "a"], metric="aurocc", resamples=0)
