"""A task of which 40% of the cells are unknown trains, and is judged, as if these cells were not there."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from auscult.audio.clip_store import create_clips
from auscult.config import JobSettings, TaskSettings
from auscult.evaluation.evaluate import evaluate
from auscult.spectrograms.store import write_features
from auscult.storage.tables import events_frame, probabilities_of, read_predictions, truth_of, write_csv, write_parquet
from auscult.training.train import train

TARGETS = ("crackle", "wheeze")
N_PATIENTS, PER_PATIENT, CLIPS_EACH = 48, 2, 2
N_MELS, N_FRAMES = 16, 38
SHARE_UNKNOWN = 0.4
RULE = {"positive": ["yes"], "negative": ["no"]}
TASK = TaskSettings(
    description="Which sounds?",
    type="multi_label",
    targets=TARGETS,
    level="clip",
    datasets={"toy": {target: {"column": target, **RULE} for target in TARGETS}},
)
JOB = JobSettings(
    task="toy",
    datasets=("toy",),
    clips={"length_s": 1, "sample_rate_hz": 4000},
    spectrogram={"n_fft": 256, "hop_samples": 100, "n_mels": N_MELS},
    split={"kind": "patients"},
    model={"name": "test_cnn"},
    train={
        "epochs": 4,
        "batch_size": 16,
        "optimizer": {"lr": 0.01},
        "monitor": "val/auroc",
        "loss": {"class_weights": "none"},
    },
    evaluate={"bootstrap_draws": 20, "n_examples": 1},
)


@dataclass(frozen=True)
class Finished:
    """The run folder of one training and evaluation."""

    folder: Path

    @property
    def history(self) -> pd.DataFrame:
        """Without what the clock says."""
        table = pd.read_csv(self.folder / "history.csv")
        return table.drop(columns=[name for name in table if name.endswith("_s") or name == "data_wait_share"])

    @property
    def metrics(self) -> dict:
        return json.loads((self.folder / "metrics.json").read_text())

    def answers(self, subset: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth (with NaN) and probabilities of one subset, shape [clip, target]."""
        table = read_predictions(self.folder / "predictions.parquet", TASK)
        table = table[table["split"] == subset]
        return truth_of(table, TASK), probabilities_of(table, TASK)


def labels() -> np.ndarray:
    """`yes`, `no` or None, shape [recording, target]: 40% None, a third of these where nothing else is known either."""
    rng = np.random.default_rng(3)
    n = N_PATIENTS * PER_PATIENT
    values = rng.choice(np.array(["yes", "no"], dtype=object), (n, len(TARGETS)))
    order = rng.permutation(n)
    n_unknown = round(SHARE_UNKNOWN * values.size)
    n_both = n_unknown // 6
    values[order[:n_both]] = None
    single = order[n_both : n_unknown - n_both]
    values[single, rng.integers(len(TARGETS), size=len(single))] = None
    return values


def go(folder: Path, values: np.ndarray, kept: np.ndarray) -> Finished:
    """Write tables and spectrograms of the recordings in `kept`, train and evaluate."""
    rng = np.random.default_rng(5)
    n = len(values)
    names = [f"toy/p{k // PER_PATIENT:02d}_{k % PER_PATIENT}" for k in range(n)]
    empty = pd.array([None] * n, dtype="str")
    recordings = pd.DataFrame(
        {
            "recording_id": names,
            "dataset": "toy",
            "patient_id": [name.rsplit("_", 1)[0] for name in names],
            "path": [f"{k}.wav" for k in range(n)],
            "site": empty,
            "device": empty,
            "age_years": np.nan,
            "sex": empty,
            "sample_rate_hz": 4000,
            "n_channels": 1,
            "n_samples": 8000,
            "duration_s": 2.0,
            "encoding": "PCM_16",
            "sha256": [f"{k:064x}" for k in range(n)],
            "fingerprint": empty,
            **{f"label_{target}": pd.array(values[:, k], dtype="str") for k, target in enumerate(TARGETS)},
        }
    )
    clips = pd.DataFrame(
        [
            (f"{row.recording_id}:{k:04d}", row.recording_id, row.patient_id, "toy", float(k), float(k + 1), 4000)
            for row in recordings.itertuples()
            for k in range(CLIPS_EACH)
        ],
        columns=["clip_id", "recording_id", "patient_id", "dataset", "start_s", "end_s", "n_valid"],
    )
    levels_db = rng.normal(-50, 8, (len(clips), N_MELS, N_FRAMES)).astype(np.float32)
    for column in range(len(TARGETS)):
        sounds = np.repeat(values[:, column] == "yes", CLIPS_EACH)
        levels_db[sounds, 6 * column : 6 * column + 4] += 12
    settings = {"clips": JOB.clips.model_dump(mode="json"), "spectrogram": JOB.spectrogram.model_dump(mode="json")}
    subsets = np.array(["train", "val", "test", "train"])[np.arange(n) // PER_PATIENT % 4]
    of_clips = np.repeat(kept, CLIPS_EACH)
    tables = folder / "tables"
    write_parquet(tables / "recordings.parquet", recordings[kept].reset_index(drop=True))
    write_parquet(tables / "events.parquet", events_frame([]))
    write_features(
        folder / "features.h5",
        clips[of_clips].reset_index(drop=True),
        levels_db[of_clips],
        np.full(of_clips.sum(), N_FRAMES),
        settings,
    )
    split = recordings[["recording_id", "patient_id", "dataset"]].assign(split=subsets)[kept]
    write_csv(folder / "split.csv", split)
    with create_clips(folder / "clips.h5", n_samples=4000, settings=settings) as writer:
        # Only drawn beside the answers: any sound will do.
        writer.append(clips[of_clips].reset_index(drop=True), np.ones((of_clips.sum(), 4000), dtype=np.int16))
    sounds = {"toy": [folder / "clips.h5"]}
    inputs = {"features": {"toy": [folder / "features.h5"]}, "tables": {"toy": tables}, "split": folder / "split.csv"}
    output = folder / "run"
    train(**inputs, job=JOB, task=TASK, output_dir=output, device="cpu", threads=1)
    evaluate(**inputs, clips=sounds, model_dir=output, job=JOB, task=TASK, output_dir=output, device="cpu")
    return Finished(output)


@pytest.fixture(scope="module")
def with_unknown(tmp_path_factory) -> Finished:
    return go(tmp_path_factory.mktemp("with"), labels(), np.ones(len(labels()), dtype=bool))


@pytest.fixture(scope="module")
def without_unknown_rows(tmp_path_factory) -> Finished:
    """The same, and the recordings of which nothing is known are nowhere: not in tables, stores or split."""
    values = labels()
    return go(tmp_path_factory.mktemp("without"), values, np.any(values != None, axis=1))  # noqa: E711


def test_the_construction_holds() -> None:
    unknown = labels() == None  # noqa: E711
    assert unknown.mean() == pytest.approx(SHARE_UNKNOWN, abs=0.01)
    assert unknown.all(axis=1).sum() >= 10
    assert (unknown.sum(axis=1) == 1).sum() >= 30


def test_removing_the_rows_of_which_nothing_is_known_changes_no_bit(with_unknown, without_unknown_rows) -> None:
    pd.testing.assert_frame_equal(with_unknown.history, without_unknown_rows.history, check_exact=True)
    assert with_unknown.metrics == without_unknown_rows.metrics
    for name in ("model.safetensors", "predictions.parquet", "report.txt", "roc.csv", "outcomes.csv"):
        one, other = with_unknown.folder / name, without_unknown_rows.folder / name
        assert one.read_bytes() == other.read_bytes(), name


def test_it_learns(with_unknown) -> None:
    assert with_unknown.history["train/loss"].is_monotonic_decreasing
    assert with_unknown.metrics["test"]["clip"]["macro"]["auroc"]["value"] > 0.8


def test_the_validation_loss_is_that_of_the_known_cells_alone(with_unknown) -> None:
    """Brute force: the cells that are unknown are taken out, and scikit-learn sees the rest."""
    truth, probability = with_unknown.answers("val")
    known = ~np.isnan(truth)
    assert 1 - known.mean() > 0.2
    history = with_unknown.history.set_index("epoch")
    of_best = history.loc[with_unknown.metrics["best_epoch"]]
    assert of_best["val/loss"] == pytest.approx(log_loss(truth[known], probability[known]), rel=1e-5)
    by_target = [roc_auc_score(truth[at, column], probability[at, column]) for column, at in enumerate(known.T)]
    assert of_best["val/auroc"] == pytest.approx(np.mean(by_target), rel=1e-6)


@pytest.mark.parametrize("subset", ["val", "test"])
def test_the_metrics_are_those_of_the_known_cells_alone(with_unknown, subset) -> None:
    truth, probability = with_unknown.answers(subset)
    found = with_unknown.metrics[subset]["clip"]
    thresholds = with_unknown.metrics["thresholds"]
    for column, target in enumerate(TARGETS):
        at = ~np.isnan(truth[:, column])
        assert 0 < at.sum() < len(at)
        labelled, answered = truth[at, column], probability[at, column]
        positive = answered >= thresholds[target]
        expected = {
            "auroc": roc_auc_score(labelled, answered),
            "auprc": average_precision_score(labelled, answered),
            "brier": brier_score_loss(labelled, answered),
            "sensitivity": positive[labelled == 1].mean(),
            "specificity": 1 - positive[labelled == 0].mean(),
            "accuracy": (positive == labelled).mean(),
        }
        for name, value in expected.items():
            assert found[target][name]["value"] == pytest.approx(value, rel=1e-6), (target, name)
