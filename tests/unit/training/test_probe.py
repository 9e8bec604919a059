"""Probes against scikit-learn: what is chosen, what is folded into the head, and what is never read."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.unit.evaluation.conftest import N_FRAMES, N_MELS, TASKS, make_world

from auscult.config import JobSettings, TaskSettings
from auscult.config.description import write_description
from auscult.errors import ConfigError, DataError, InfeasibleError
from auscult.evaluation.evaluate import evaluate
from auscult.inference.loaded_model import LoadedModel
from auscult.inference.onnx_export import ParityClips, export_onnx
from auscult.models import Normalisation, SavedModel, build_model, describe_model, load_model, save_model
from auscult.models.embeddings import EmbeddingStore, embed_clips
from auscult.models.neighbours import NeighbourHead
from auscult.storage.seal import seal
from auscult.storage.tables import read_predictions
from auscult.training.dataset import load_clip_dataset
from auscult.training.probe_heads import fit_linear
from auscult.training.train import train

PENALTIES = (0.01, 1.0, 100.0)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """A world for each kind of task, and the embeddings of its model; each is made once."""
    made = {}

    def world_of(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            world = make_world(folder / "world", kind, n_patients=48)
            made[kind] = (world, embed(world, world.model_dir, folder / "embeddings.h5"))
        return made[kind]

    return world_of


def embed(world, encoder, output):
    (stored,) = world.features["toy"]
    embed_clips(stored=stored, encoder=encoder, output=output, full_settings={})
    return output


def probing(world, *, encoder=None, settings=None, **changes):
    probe = {"encoder": str(encoder or world.model_dir), "penalties": PENALTIES, **(settings or {})}
    train_settings = world.job.train.model_dump(mode="json") | {"loss": {"class_weights": "none"}}
    values = world.job.model_dump(mode="json") | {"probe": probe, "train": train_settings} | changes
    return JobSettings.model_validate(values)


def fit(world, store, output_dir, job):
    train(
        world.features, world.tables, world.split, embeddings={"toy": [store]}, job=job, task=world.task,
        output_dir=output_dir,
    )  # fmt: skip
    return load_model(output_dir)


def known_clips(world, store):
    """Features and targets of the clips to fit and to choose on, and the dataset of both."""
    dataset = load_clip_dataset(
        world.features, world.tables, world.split, world.task, ("train", "val"), embeddings={"toy": [store]}
    )
    digest = load_model(world.model_dir).meta["weights_sha256"]
    rows = {name: dataset.subset(name) for name in ("train", "val")}
    embeddings = {name: dataset.embeddings(indices, digest) for name, indices in rows.items()}
    return dataset, rows, embeddings, {name: dataset.targets[indices] for name, indices in rows.items()}


def pipelines(kind, embeddings, targets, classifier):
    """What scikit-learn fits by itself: one classifier a target, or one for all classes."""
    labels = [targets.argmax(axis=1)] if kind == "multi_class" else list(targets.T.astype(int))
    return [make_pipeline(StandardScaler(), classifier()).fit(embeddings, each) for each in labels]


def probabilities_of(kind, fitted, embeddings):
    found = [each.predict_proba(embeddings) for each in fitted]
    return found[0] if kind == "multi_class" else np.stack([each[:, 1] for each in found], axis=1)


@pytest.mark.parametrize("kind", TASKS)
def test_the_folded_head_gives_the_probabilities_of_scikit_learn(worlds, tmp_path, kind):
    world, store = worlds(kind)
    model = fit(world, store, tmp_path, probing(world))
    dataset, rows, embeddings, targets = known_clips(world, store)
    penalty = model.meta["training"]["probe"]["penalty"]
    fitted = pipelines(
        kind,
        embeddings["train"].astype(np.float64),
        targets["train"],
        lambda: LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000),
    )
    expected = probabilities_of(kind, fitted, embeddings["val"].astype(np.float64))
    np.testing.assert_allclose(model.predict_proba(dataset.spectrograms(rows["val"])), expected, atol=1e-6)
    assert model.meta["thresholds"].keys() == (set() if kind == "multi_class" else set(world.task.targets))


def test_the_penalty_is_the_best_on_validation(worlds, tmp_path):
    world, store = worlds("multi_label")  # judged clip by clip, so scikit-learn's AUROC is the monitored one
    model = fit(world, store, tmp_path, probing(world))
    _, _, embeddings, targets = known_clips(world, store)
    areas = {}
    for penalty in PENALTIES:
        fitted = pipelines(
            "multi_label", embeddings["train"], targets["train"], lambda C=1 / penalty: LogisticRegression(C=C)
        )
        found = probabilities_of("multi_label", fitted, embeddings["val"])
        areas[penalty] = np.mean([roc_auc_score(targets["val"][:, k], found[:, k]) for k in range(2)])
    about = model.meta["training"]["probe"]
    assert len(set(areas.values())) == len(areas), "a tie would leave the choice open"
    assert about["penalty"] == max(areas, key=areas.get)
    for candidate in about["candidates"]:
        assert candidate["val/auroc"] == pytest.approx(areas[candidate["penalty"]], abs=1e-3)
    assert [each["penalty"] for each in about["candidates"]] == sorted(PENALTIES, reverse=True)


@pytest.mark.parametrize("kind", TASKS)
def test_neighbours_vote_as_in_scikit_learn(worlds, tmp_path, kind):
    world, store = worlds(kind)
    model = fit(world, store, tmp_path, probing(world, settings={"method": "knn", "neighbours": [5]}))
    dataset, rows, embeddings, targets = known_clips(world, store)
    fitted = pipelines(kind, embeddings["train"], targets["train"], lambda: KNeighborsClassifier(5, weights="distance"))
    expected = probabilities_of(kind, fitted, embeddings["val"])
    np.testing.assert_allclose(model.predict_proba(dataset.spectrograms(rows["val"])), expected, atol=1e-3)
    assert json.loads((tmp_path / "model.json").read_text())["format_version"] == 3


def test_the_head_layer_folds_too(worlds, tmp_path):
    world, _ = worlds("multi_label")
    hidden = JobSettings.model_validate(
        world.job.model_dump(mode="json") | {"model": {"name": "test_cnn", "head": {"hidden_size": 5}}}
    )
    module = build_model(hidden.model, 2, (N_MELS, N_FRAMES), seed=9).eval()
    scale = Normalisation.from_bands(np.full(N_MELS, -60.0), np.full(N_MELS, 8.0))
    meta = describe_model(
        module, normalisation=scale, job=hidden, task=world.task, input_shape=(N_MELS, N_FRAMES),
        training={"best_epoch": 1},
    )  # fmt: skip
    meta["thresholds"] = dict.fromkeys(world.task.targets, 0.5)
    save_model(tmp_path / "encoder", SavedModel(module, scale, meta))
    store = embed(world, tmp_path / "encoder", tmp_path / "embeddings.h5")
    settings = {"layer": "head", "penalties": [0.5]}
    model = fit(world, store, tmp_path / "linear", probing(world, encoder=tmp_path / "encoder", settings=settings))
    dataset = load_clip_dataset(world.features, world.tables, world.split, world.task, ("train", "val"))
    train_rows, val_rows = dataset.subset("train"), dataset.subset("val")
    encoder = load_model(tmp_path / "encoder")
    at_head = {
        name: encoder.embed(dataset.spectrograms(each), "head")
        for name, each in (("train", train_rows), ("val", val_rows))
    }
    assert at_head["val"].shape[1] == 5
    fitted = pipelines(
        "multi_label",
        at_head["train"].astype(np.float64),
        dataset.targets[train_rows],
        lambda: LogisticRegression(C=2, tol=1e-8),
    )
    expected = probabilities_of("multi_label", fitted, at_head["val"].astype(np.float64))
    np.testing.assert_allclose(model.predict_proba(dataset.spectrograms(val_rows)), expected, atol=1e-5)
    knn = {"layer": "head", "method": "knn", "neighbours": [3]}
    voted = fit(world, store, tmp_path / "knn", probing(world, encoder=tmp_path / "encoder", settings=knn))
    np.testing.assert_allclose(
        voted.embed(dataset.spectrograms(val_rows), "head"), at_head["val"], rtol=1e-5, atol=1e-5
    )


def test_an_unknown_label_is_left_out_and_no_negative():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 4))
    targets = (features[:, :2] + rng.standard_normal((60, 2)) > 0).astype(np.float32)
    targets[::3, 1] = np.nan
    task = TASKS["multi_label"]
    weight, bias = fit_linear(features, targets, task, np.ones((2, 2), np.float32), 1.0)
    known = ~np.isnan(targets[:, 1])
    alone = LogisticRegression(tol=1e-8).fit(features[known], targets[known, 1])
    np.testing.assert_allclose([*weight[1], bias[1]], [*alone.coef_[0], *alone.intercept_], atol=1e-4)

    head = NeighbourHead(1, 2, k=2, n_clips=3, is_exclusive=False)
    head.clips.copy_(torch.tensor([[0.0], [1.0], [3.0]]))
    head.targets.copy_(torch.tensor([[1.0, torch.nan], [0.0, 1.0], [0.0, 0.0]]))
    shares = head(torch.tensor([[-1.0]])).sigmoid()[0].tolist()
    # Distances 1, 2, 4: the first target asks the first two clips, the second one those that know it.
    assert shares == pytest.approx([1 / (1 + 1 / 2), (1 / 2) / (1 / 2 + 1 / 4)])


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_the_test_subset_shapes_nothing(worlds, tmp_path, method):
    world, store = worlds("binary")
    job = probing(world, settings={"method": method})
    fit(world, store, tmp_path / "whole", job)
    poisoned = tmp_path / "poisoned.h5"
    poisoned.write_bytes(store.read_bytes())
    with EmbeddingStore(store) as found:
        patients = found.table["patient_id"].str.slice(5).astype(int).to_numpy()
    with h5py.File(poisoned, "r+") as file:
        values = file["embedding"][:]
        values[patients >= 32] = np.nan
        file["embedding"][:] = values
    seal(poisoned)
    fit(world, poisoned, tmp_path / "blind", job)
    for name in ("model.safetensors", "model.json", "metrics.jsonl", "history.csv"):
        assert (tmp_path / "blind" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_seed_draws_patients_and_the_same_seed_the_same_ones(worlds, tmp_path):
    world, store = worlds("binary")
    weights = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        job = probing(world, settings={"resample": "patients"})
        job = job.model_copy(update={"train": job.train.model_copy(update={"seed": seed})})
        fit(world, store, tmp_path / name, job)
        weights[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert weights["a"] == weights["b"] != weights["c"]


def test_kept_neighbours_are_bounded(worlds, tmp_path):
    world, store = worlds("binary")
    model = fit(world, store, tmp_path, probing(world, settings={"method": "knn", "max_clips": 20}))
    assert model.meta["neighbours"]["n_clips"] == 20
    assert model.module.state_dict()["head.clips"].shape[0] == 20
    with pytest.raises(ConfigError, match="not exported"):
        export_onnx(LoadedModel(model), ParityClips("", np.zeros((0, 1000), np.int16)), tmp_path)


def test_evaluation_reads_the_embeddings_and_says_what_the_model_says(worlds, tmp_path):
    world, store = worlds("binary")
    job = probing(world, settings={"method": "knn"})
    fit(world, store, tmp_path, job)
    arguments = world.arguments(tmp_path / "computed", model_dir=tmp_path, job=job, readings=tmp_path / "readings")
    evaluate(**arguments)
    evaluate(**arguments | {"output_dir": tmp_path / "read", "embeddings": {"toy": [store]}})
    computed, read = (
        read_predictions(tmp_path / name / "predictions.parquet", world.task) for name in ("computed", "read")
    )
    np.testing.assert_allclose(read["prob_ill"], computed["prob_ill"], atol=1e-4)
    assert "probe" in (tmp_path / "read" / "report.txt").read_text()


def test_an_encoder_of_other_settings_or_weights_is_refused(worlds, tmp_path):
    world, store = worlds("binary")
    other = probing(world, clips={"length_s": 2.0, "sample_rate_hz": 1000})
    with pytest.raises(DataError, match=r"clips\.length_s: 1\.0 -> 2\.0"):
        fit(world, store, tmp_path, other)
    strange = make_world(tmp_path / "strange", "multi_label")
    with pytest.raises(DataError, match=r"of an encoder with weights \w+…, expected"):
        fit(world, embed(world, strange.model_dir, tmp_path / "strange.h5"), tmp_path, probing(world))
    (stored,) = world.features["toy"]
    changed = json.loads((strange.model_dir / "model.json").read_text())
    changed["spectrogram"]["hop_samples"] = 25
    write_description(strange.model_dir, changed)
    with pytest.raises(DataError, match=r"spectrogram\.hop_samples: 25 -> 24"):
        embed_clips(stored=stored, encoder=strange.model_dir, output=tmp_path / "x.h5", full_settings={})


def test_a_class_that_is_absent_is_named(worlds, tmp_path):
    world, store = worlds("binary")
    rules = {"toy": {"ill": {"column": "state", "positive": ["absent"], "negative": "others"}}}
    task = TaskSettings.model_validate(world.task.model_dump(mode="json") | {"datasets": rules})
    with pytest.raises(InfeasibleError, match="ill is positive in no clip"):
        train(
            world.features, world.tables, world.split, embeddings={"toy": [store]}, job=probing(world), task=task,
            output_dir=tmp_path,
        )  # fmt: skip


def test_an_encoder_that_may_have_seen_the_test_patients_is_named(worlds, tmp_path, caplog):
    world, store = worlds("binary")
    fit(world, store, tmp_path, probing(world))
    assert "by another split" in caplog.text
    about = json.loads((tmp_path / "model.json").read_text())["training"]["probe"]["encoder"]
    assert (about["datasets"], about["has_same_split"]) == (["toy"], False)


def test_published_weights_that_stayed_frozen_know_no_patient(worlds, tmp_path, caplog):
    world, store = worlds("binary")
    frozen = {"freeze": "backbone", "thaw_epoch": None, "pretrained": {"published": "ast.safetensors"}}
    shutil.copytree(world.model_dir, tmp_path / "encoder")
    meta = json.loads((tmp_path / "encoder" / "model.json").read_text())
    write_description(tmp_path / "encoder", meta | {"training": {"best_epoch": 1, "settings": frozen}})
    model = fit(world, store, tmp_path / "probe", probing(world, encoder=tmp_path / "encoder"))
    assert model.meta["training"]["probe"]["encoder"]["datasets"] == []
    assert "by another split" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1]}, "resample: patients"),
        ({"augment": {"spectrogram": [{"name": "mixup", "quantity": 0.2, "classes": [0, 1]}]}}, "augment"),
        ({"evaluate_only": "results/a/b/1"}, "evaluate_only"),
        ({"train": {"loss": {"name": "focal"}}}, "focal"),
    ],
)
def test_what_a_probe_would_pass_over_is_refused(worlds, changes, message):
    world, _ = worlds("binary")
    with pytest.raises(ValueError, match=message):
        probing(world, **changes)
