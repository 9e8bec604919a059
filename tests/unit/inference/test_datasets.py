"""A stored model on a whole dataset: judged, and turned into features."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import auscult
from auscult.cli import app
from auscult.config import paths
from auscult.config.description import write_description
from auscult.errors import ConfigError, DataError
from auscult.inference import embeddings
from auscult.inference.dataset import job_like, prepare, settings_of
from auscult.inference.evaluate_model import default_output, evaluate_model, headline_of
from auscult.models import load_model as load_saved

pytestmark = pytest.mark.usefixtures("plain_figures")


def edit_meta(folder, **changes):
    write_description(folder, json.loads((folder / "model.json").read_text()) | changes)


def with_history(folder):
    meta = json.loads((folder / "model.json").read_text())
    edit_meta(folder, training={**meta["training"], "at_best_epoch": {"epoch": 2, "train/loss": 0.5, "val/loss": 0.6}})
    return folder


def test_a_stored_model_is_judged_on_all_patients_of_another_dataset(project, make_model):
    folder = with_history(make_model())
    report = evaluate_model(folder, "clinic", output_dir=project / "out")
    assert report == project / "out" / "report.html"
    page = report.read_text(encoding="utf-8")
    assert "auscult evaluate" in page
    assert "snakemake --cores" not in page
    table = pd.read_parquet(project / "out" / "1" / "predictions.parquet")
    assert set(table["split"]) == {"test"}
    assert table["patient_id"].nunique() == 9
    answers = auscult.load_model(folder).predict(project / "raw").clips.set_index(["file", "clip"])["prob_ill"]
    keys = [
        (str(project / "raw" / f"{clip.split('/')[1].split(':')[0]}.wav"), int(clip.split(":")[1]))
        for clip in table["clip_id"]
    ]
    np.testing.assert_allclose(table["prob_ill"], answers.loc[keys], atol=1e-5)
    by_patient = table.groupby("patient_id").agg({"prob_ill": "mean", "target_ill": "max"})
    numbers = json.loads((project / "out" / "metrics.json").read_text())["jobs"]["1"]
    assert numbers["auroc"] == pytest.approx(roc_auc_score(by_patient["target_ill"], by_patient["prob_ill"]))
    assert re.search(
        rf"^AUROC +{numbers['auroc']:.3f} .*\d+ patients? \(\d+ \+, \d+ −\)$",
        headline_of(project / "out"),
        flags=re.MULTILINE,
    )
    report_text = (project / "out" / "1" / "report.txt").read_text()
    assert "VALIDATION" not in report_text
    for name in ("outcomes", "figures", "spectrograms"):
        assert any((project / "out" / "1" / name).iterdir())
    assert not list(project.glob(".evaluate-*"))
    assert not (project / "work").exists()
    with pytest.raises(ConfigError, match="holds a result already"):
        evaluate_model(folder, "clinic", output_dir=project / "out")


def test_the_page_has_study_ids_their_key_lies_beside_the_result_and_the_data_are_named_by_content(project, make_model):
    (project / "data.dvc").write_text("outs:\n- md5: of.other.data\n  path: data\n")
    report = evaluate_model(with_history(make_model()), "clinic", output_dir=project / "out")
    page = report.read_text(encoding="utf-8")
    assert "clinic/p" not in page
    key = pd.read_csv(project / "out.study_ids.csv").set_index("study_id")
    shown = set(re.findall(r"clinic-r\d{3}", page))
    assert shown
    assert shown <= set(key.index)
    assert key["path"].str.endswith(".wav").all()
    data = json.loads((project / "out" / "provenance.json").read_text())["data"]
    assert (data["md5"], list(data["content_sha256"])) == ("unknown", ["clinic"])


def test_patients_that_the_model_knows_are_not_judged_unless_they_are_its_test_part(project, make_model):
    folder = with_history(make_model())
    edit_meta(folder, datasets=["clinic"])
    with pytest.raises(DataError, match=r"it knows patients of clinic and would look better .*--test-part"):
        evaluate_model(folder, "clinic", output_dir=project / "out")
    names = [
        f"clinic/p{patient}_{('ill', 'well')[patient % 2]}_{number}" for patient in range(6) for number in range(2)
    ]
    own = pd.DataFrame({"recording_id": names, "patient_id": "x", "clip_id": "x", "dataset": "clinic"})
    own = own.assign(start_s=0.0, end_s=1.0, target_ill=0.0, prob_ill=0.0, split=np.repeat(["test", "val"], [8, 4]))
    own.to_parquet(folder / "predictions.parquet")
    evaluate_model(folder, "clinic", output_dir=project / "out", test_set_only=True)
    table = pd.read_parquet(project / "out" / "1" / "predictions.parquet")
    assert sorted(set(table["recording_id"])) == names[:8]
    assert "not in the model&#39;s test set" in (project / "out" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="was not trained on other"):
        evaluate_model(folder, "other", output_dir=project / "out2", test_set_only=True)


@pytest.mark.parametrize(
    ("dataset", "changes", "part"),
    [
        ("clinik", {}, "has labels for clinic, other, not for 'clinik'"),
        ("clinic", {"task_name": "cough"}, "unknown task 'cough'"),
        ("clinic", {"root": "nowhere"}, "there is no such folder"),
    ],
)
def test_a_mistake_is_named(project, make_model, dataset, changes, part):
    with pytest.raises((ConfigError, DataError), match=part):
        evaluate_model(make_model(), dataset, output_dir=project / "out", **changes)
    assert not (project / "out").exists()


def test_a_misspelt_value_stops_the_evaluation_with_the_one_that_was_meant(project, make_model):
    folder = make_model(datasets=["other"])
    path = project / "config" / "tasks" / "binary.yaml"
    path.write_text(path.read_text().replace("positive: [ill]", "positive: [il]"))
    with pytest.raises(ConfigError, match=r"task binary, dataset clinic, target ill: .*'il', which .*mean 'ill'"):
        evaluate_model(folder, "clinic", output_dir=project / "out")


def test_a_task_that_asks_something_else_and_a_strange_folder_are_refused(project, make_model):
    path = project / "config" / "tasks" / "binary.yaml"
    path.write_text(path.read_text().replace("ill]", "sick]").replace("{ill:", "{sick:"))
    with pytest.raises(ConfigError, match=r"its targets is \['sick'\], the model predicts \['ill'\]"):
        evaluate_model(make_model(), "clinic", output_dir=project / "out")
    with pytest.raises(ConfigError, match="exists already and is no result"):
        evaluate_model(project / "model", "clinic", output_dir=project / "raw", is_forced=True)
    name = json.loads((project / "model" / "model.json").read_text())["weights_sha256"][:8]
    assert default_output(project / "model", "clinic", None).as_posix() == f"evaluations/binary/clinic/{name}"


@pytest.mark.parametrize("layer", ["backbone", "head"])
@pytest.mark.parametrize("frontend", [None, {"name": "mel"}])
def test_a_dataset_is_embedded_with_its_ids(project, make_model, layer, frontend):
    model = {"name": "test_cnn", "head": {"hidden_size": 5}, "frontend": frontend}
    loaded = auscult.load_model(make_model(model=model))
    job = job_like(loaded.saved.meta, ("clinic",))
    prepared = prepare(
        "clinic", settings_of("clinic", project / "config"), job, project / "made", ignores_workflow=False
    )
    ids, features = embeddings.embed_dataset(loaded, prepared, layer, batch_clips=3)
    files, of_files, errors = loaded.embed(project / "raw", layer)
    assert errors == {}
    assert features.shape == (len(ids), 5 if layer == "head" else features.shape[1])
    assert ids["clip_id"].str.split(":").str[0].str.removeprefix("clinic/").tolist() == [
        re.sub(r".*/|\.wav", "", file) for file in files["file"]
    ]
    np.testing.assert_allclose(features, of_files, atol=1e-5)
    written = embeddings.write_embeddings(project / "emb" / "clinic.v1", ids, features)
    assert [path.name for path in written] == ["clinic.v1.parquet", "clinic.v1.npy"]
    table = pd.read_parquet(written[0])
    np.testing.assert_array_equal(np.load(written[1]), features)
    np.testing.assert_array_equal(table[[f"f{number}" for number in range(features.shape[1])]].to_numpy(), features)
    assert table["patient_id"].nunique() == 10


def test_what_the_workflow_made_is_used_and_another_root_is_read_anew(project, make_model):
    loaded = auscult.load_model(make_model())
    settings, job = settings_of("clinic", project / "config"), job_like(loaded.saved.meta, ("clinic",))
    made = prepare("clinic", settings, job, project, ignores_workflow=False)
    made.tables.rename(project / "work" / "tables")  # where the workflow has them
    (project / "work" / "tables").rename(project / "moved")
    (project / "work" / "tables").mkdir()
    (project / "moved").rename(project / paths.tables_dir("clinic"))
    again = prepare("clinic", settings, job, project / "second", ignores_workflow=False)
    assert [str(path) for path in again.features] == paths.features_paths("clinic", settings, job)
    assert not (project / "second").exists()
    anew = prepare("clinic", settings, job, project / "third", ignores_workflow=True)
    assert all(path.is_relative_to(project / "third") for path in (*anew.clips, *anew.features, anew.tables))


def test_features_give_the_model_s_own_answers_back(project, make_model):
    saved = load_saved(make_model())
    clips = np.random.default_rng(0).normal(-50, 10, (7, *saved.input_shape)).astype(np.float16)
    linear = saved.module.head.linear
    logits = saved.embed(clips) @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(logits, saved.logits(clips), atol=1e-4)
    np.testing.assert_allclose(
        np.concatenate([saved.embed(clip[None]) for clip in clips]), saved.embed(clips), atol=1e-5
    )


def test_the_commands_write_and_refuse(project, make_model):
    folder = str(make_model())
    (project / "raw" / "p0_torn_3.wav").write_bytes(b"RIFF")
    finished = CliRunner().invoke(app, ["embed", folder, "raw", "--out", "emb/raw"])
    assert finished.exit_code == 1
    assert "error: raw/p0_torn_3.wav: unreadable" in finished.stderr
    assert len(np.load(project / "emb" / "raw.npy")) == len(pd.read_parquet(project / "emb" / "raw.parquet"))
    again = CliRunner().invoke(app, ["embed", folder, "clinic", "--out", "emb/raw"])
    assert "is there already" in str(again.exception)
    strange = CliRunner().invoke(app, ["embed", folder, "clinik", "--out", "emb/x"])
    assert "did you mean 'clinic'" in str(strange.exception)
