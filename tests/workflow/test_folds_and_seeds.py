"""Folds and seeds: each is a training of its own below its job, and the result takes them together."""

import json
from pathlib import Path

import pandas as pd
import pytest

import auscult


@pytest.fixture
def repeated_experiment(workflow_dir: Path, tiny_experiment: str) -> str:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("  - {train: {epochs: 3}}", "  - {folds: 2, seeds: [0, 1]}"))
    return tiny_experiment


def test_each_fold_and_seed_is_planned_and_folds_share_splits(snakemake, repeated_experiment: str) -> None:
    finished = snakemake("--dry-run", repeated_experiment)
    assert finished.returncode == 0, finished.stdout
    counts = {
        name: int(count)
        for line in finished.stdout.splitlines()
        if len(words := line.split()) == 2 and (count := words[1]).isdigit() and (name := words[0]) != "total"
    }
    assert counts["train"] == counts["evaluate"] == 1 + 2 * 2
    assert counts["make_split"] == 1 + 2
    assert counts["make_spectrograms"] == 2


def test_a_fold_that_is_not_there_is_refused(snakemake, repeated_experiment: str) -> None:
    finished = snakemake("--dry-run", "work/runs/pneumonia/tiny/2/fold3_seed0/model.json")
    assert finished.returncode != 0
    assert "pneumonia/tiny has the jobs 1, 2/fold1_seed0" in finished.stdout
    assert "2/fold3_seed0 was asked for" in finished.stdout


def test_a_calibration_subset_makes_a_split_of_its_own(snakemake, workflow_dir: Path, tiny_experiment: str) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("  - {train: {epochs: 3}}", "  - {split: {calibration_fraction: 0.5}}"))
    finished = snakemake("--dry-run", tiny_experiment)
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout.count("Dividing the patients of pneumonia") == 2
    path.write_text(path.read_text().replace("calibration_fraction: 0.5}", "calibration_fraction: 0.5}, val_folds: 2"))
    finished = snakemake("--dry-run", tiny_experiment)
    assert finished.returncode != 0
    assert "calibration_fraction with folds of validation" in finished.stdout


def test_each_left_out_value_is_planned_with_a_split_of_its_own(
    snakemake, workflow_dir: Path, tiny_experiment: str
) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    shared, _, _ = path.read_text().partition("jobs:")
    jobs = """jobs:
  - {matrix: {leave_out: dataset}, seeds: [0, 1]}
  - {matrix: {leave_out: device, values: [Litt 3200/B, "7", Meditron]}}
"""
    path.write_text(shared + jobs)
    finished = snakemake("--dry-run", tiny_experiment)
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout.count("Training pneumonia/tiny, job 1/without_") == 2 * 2
    for name in ("1/without_bd_seed1", "2/without_Litt-3200-B", "2/without_7", "2/without_Meditron"):
        assert f"Training pneumonia/tiny, job {name}" in finished.stdout
    assert finished.stdout.count("Dividing the patients of pneumonia") == 2 + 3
    one = snakemake("--dry-run", "work/runs/pneumonia/tiny/2/without_Litt-3200-B/model.json")
    assert one.returncode == 0, one.stdout


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.usefixtures("prepared_experiment")
def test_left_out_datasets_are_published_as_one_table(snakemake, tiny_experiment: str, workflow_dir: Path) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    shared, _, _ = path.read_text().partition("jobs:")
    path.write_text(shared + "jobs:\n  - {matrix: {leave_out: dataset}}\n")
    finished = snakemake(tiny_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    result = workflow_dir / tiny_experiment
    table = pd.read_csv(result / "left_out.csv")
    assert table["value"].dropna().tolist() == ["icbhi", "bd"]
    for name in ("icbhi", "bd"):
        predictions = pd.read_parquet(result / "1" / f"without_{name}" / "predictions.parquet")
        assert set(predictions.loc[predictions["split"] == "test", "dataset"]) == {name}
        assert name not in set(predictions.loc[predictions["split"] != "test", "dataset"])
    page = (result / "report.html").read_text()
    assert 'id="matrix"' in page and "Mean over folds and seeds" not in page


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.usefixtures("prepared_experiment")
def test_every_patient_is_tested_once_by_the_folds_and_one_more_seed_trains_alone(
    snakemake, repeated_experiment: str, workflow_dir: Path
) -> None:
    finished = snakemake(repeated_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    result = workflow_dir / repeated_experiment
    tested = []
    for fold in (1, 2):
        predictions = pd.read_parquet(result / "2" / f"fold{fold}_seed0" / "predictions.parquet")
        tested += predictions.loc[predictions["split"] == "test", "patient_id"].drop_duplicates().tolist()
    assert len(tested) == len(set(tested))
    split = pd.concat(
        pd.read_csv(path.with_name(path.name.replace(".audit.json", ".csv")))
        for path in (workflow_dir / "work" / "splits" / "pneumonia").glob("folds-*.audit.json")
    )
    assert set(tested) == set(split["patient_id"])
    jobs = json.loads((result / "metrics.json").read_text())["jobs"]
    assert jobs["2"]["runs"] == 4
    first, second = (result / "2" / f"fold1_seed{seed}" / "model.safetensors" for seed in (0, 1))
    assert first.read_bytes() != second.read_bytes()

    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    planned = snakemake("--dry-run", repeated_experiment)
    assert planned.stdout.count("Training pneumonia/tiny, job 2/fold") == 2
    assert "seed2" in planned.stdout
    assert "Training pneumonia/tiny, job 2/fold1_seed0" not in planned.stdout


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.usefixtures("prepared_experiment")
def test_an_ensemble_is_a_row_of_its_own_and_a_model_like_any_other(
    snakemake, tiny_experiment: str, workflow_dir: Path
) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    shared, _, _ = path.read_text().partition("jobs:")
    path.write_text(shared + "jobs:\n  - {seeds: [0, 1], ensemble: true}\n")
    finished = snakemake(tiny_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    result = workflow_dir / tiny_experiment
    jobs = json.loads((result / "metrics.json").read_text())["jobs"]
    assert list(jobs) == ["1", "1/seed0", "1/seed1", "1/ensemble"]
    # The mean over seeds is that of the trainings alone.
    assert jobs["1"]["runs"] == 2
    tables = [pd.read_parquet(result / "1" / name / "predictions.parquet") for name in ("seed0", "seed1", "ensemble")]
    one, other, mean = (table.set_index("clip_id")["prob_pneumonia"] for table in tables)
    assert (one - other).abs().max() > 0
    pd.testing.assert_series_equal(mean, (one + other.loc[one.index]) / 2, check_exact=False, atol=1e-6)
    assert "mean probability of the 2 trainings 1/seed0, 1/seed1" in (result / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("prepared_experiment")
def test_folds_of_validation_become_one_model_that_is_judged_on_their_common_test_set(
    snakemake, tiny_experiment: str, workflow_dir: Path
) -> None:
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    shared, _, _ = path.read_text().partition("jobs:")
    shared = shared.replace("evaluate: {", "evaluate: {calibration: temperature, conformal: {alpha: 0.2}, ")
    path.write_text(shared + "jobs:\n  - {val_folds: 2, ensemble: true}\n")
    finished = snakemake(tiny_experiment)
    assert finished.returncode == 0, finished.stdout[-6000:]
    result = workflow_dir / tiny_experiment
    names = ("val1", "val2", "ensemble")
    tables = {name: pd.read_parquet(result / "1" / name / "predictions.parquet") for name in names}
    one, other, mean = (
        table[table["split"] == "test"].set_index("clip_id")["prob_pneumonia"] for table in tables.values()
    )
    raw = json.loads((result / "1" / "ensemble" / "model.json").read_text())
    assert set(one.index) == set(other.index) == set(mean.index)
    validated = [set(tables[name].query("split == 'val'")["patient_id"]) for name in names]
    assert validated[0] and validated[1] and not validated[0] & validated[1] and not validated[2]
    assert raw["chosen_on"] == raw["calibration"]["fitted_on"] == "out_of_fold"
    assert raw["training"]["n_val"] == sum(int((tables[name]["split"] == "val").sum()) for name in names)
    # The operating point is the ensemble's own.
    assert raw["thresholds"] not in [
        json.loads((result / "1" / n / "model.json").read_text())["thresholds"] for n in names[:2]
    ]
    metrics = json.loads((result / "1" / "ensemble" / "metrics.json").read_text())
    assert "val" not in metrics and metrics["thresholds"] == raw["thresholds"]
    model = auscult.load_model(result / "1" / "ensemble")
    assert model.thresholds == pytest.approx(raw["thresholds"])
    page, text = ((result / name).read_text() for name in ("report.html", "1/ensemble/report.txt"))
    assert "chosen out of fold, each patient is judged by the trainings that did not learn from them" in page
    assert "fitted on out-of-fold validation" in page and "calibrated on out-of-fold validation" in page
    assert "chosen on out-of-fold validation" in text and "VALIDATION SET" not in text
    jobs = json.loads((result / "metrics.json").read_text())["jobs"]
    assert list(jobs) == ["1", "1/val1", "1/val2", "1/ensemble"] and jobs["1"]["runs"] == 2
