"""The plan: which files a job reads, what each is made with, and what says that its data changed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from tests.unit.config.test_plugins import write_documented

from auscult.config import load_experiment, load_project
from auscult.config.plan import Plan
from auscult.errors import ConfigError

MAIN = ("pneumonia", "train2356")


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(project_dir / "config", tmp_path / "config"))


def plan_of(config_dir: Path, **settings) -> Plan:
    return Plan(config_dir, load_project(settings, config_dir))


def write(config_dir: Path, name: str, **changes) -> None:
    raw = yaml.safe_load((config_dir / "experiments/pneumonia/train2356.yaml").read_text())
    (config_dir / f"experiments/pneumonia/{name}.yaml").write_text(yaml.safe_dump(raw | changes))


def test_each_keyed_file_of_a_job_remembers_what_it_is_made_with(config_dir: Path) -> None:
    plan = plan_of(config_dir)
    files, job = plan.files(*MAIN, "1"), plan.job(*MAIN, "1")
    assert list(files.spectrograms) == list(files.clips) == list(job.datasets) == ["icbhi", "jordan", "bd"]
    made = plan.made_with(files.spectrograms["bd"][0])
    assert made["clips"] == files.clips["bd"][0]
    assert made["settings"] == job.spectrogram.model_dump(mode="json")
    assert plan.made_with(files.clips["bd"][0])["shard"] == {"index": 0, "count": 1}
    assert plan.made_with(files.split)["datasets"] == job.datasets


def test_a_job_on_a_cluster_finds_the_settings_without_the_experiment_that_asked(config_dir: Path) -> None:
    path = plan_of(config_dir).files(*MAIN, "1").clips["icbhi"][0]
    (config_dir / "experiments/pneumonia/broken.yaml").write_text("task: [")
    fresh = plan_of(config_dir)
    assert fresh.made_with(path) == plan_of(config_dir).made_with(path)
    with pytest.raises(ConfigError, match=r"no experiment in .* makes work/clips/icbhi/none\.h5"):
        fresh.made_with("work/clips/icbhi/none.h5")


def test_shards_are_read_in_order_and_cut_apart(config_dir: Path) -> None:
    dataset = config_dir / "datasets/bd.yaml"
    dataset.write_text(dataset.read_text() + "shards: 2\n")
    plan = plan_of(config_dir)
    first, second = plan.files(*MAIN, "1").clips["bd"]
    assert first.endswith("-part-00000-of-00002.h5") and second.endswith("-part-00001-of-00002.h5")
    assert plan.made_with(second)["shard"] == {"index": 1, "count": 2}
    assert plan.dataset_params("bd")["shards"] == 2
    assert plan.dataset_params("icbhi")["shards"] == 1


def test_a_job_that_is_not_there_is_named_with_those_that_are(config_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"pneumonia/train2356 has the jobs 1, 2; 9 was asked for"):
        plan_of(config_dir).job(*MAIN, "9")


def test_what_says_that_raw_data_changed(config_dir: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    plan = plan_of(config_dir, roots={"icbhi": str(own), "bd": "gs://bucket/bd"})
    assert plan.raw_data("jordan") == ["data.dvc"] and plan.raw_inventory("jordan") == ""
    assert plan.raw_data("bd") == ["work/raw/bd.json"] and plan.raw_inventory("bd") == ""
    assert plan.raw_data("icbhi") == []
    before = plan.raw_inventory("icbhi")
    (own / "new.wav").write_bytes(b"RIFF")
    assert plan_of(config_dir, roots={"icbhi": str(own)}).raw_inventory("icbhi") != before


def test_only_what_a_training_uses_is_among_its_params(config_dir: Path) -> None:
    params = plan_of(config_dir).train_params(*MAIN, "1")
    write(config_dir, "noted", jobs=[{"note": "another note", "evaluate": {"outcomes": {"max_clips": 3}}}])
    assert plan_of(config_dir).train_params("pneumonia", "noted", "1") == params
    write(config_dir, "longer", jobs=[{"train": {"epochs": 31}}])
    assert plan_of(config_dir).train_params("pneumonia", "longer", "1") != params


def test_a_file_of_plugins_that_changes_reruns_who_uses_it_alone(config_dir: Path, tmp_path: Path) -> None:
    write_documented(tmp_path)
    jobs = [{}, {"model": {"name": "gated_cnn"}}, {"train": {"loss": {"name": "squared_hinge"}}}]
    write(config_dir, "own", jobs=jobs)
    ward = {"description": "toy", "layout": "ward", "root": "data/ward"}
    (config_dir / "datasets/ward.yaml").write_text(yaml.safe_dump(ward))

    def planned():
        plan = plan_of(config_dir)
        trainings = [plan.train_params("pneumonia", "own", str(number)) for number in (1, 2, 3)]
        return [*trainings, plan.dataset("ward").model_dump(mode="json")], plan.plugins("pneumonia", "own")

    before, used = planned()
    assert set(used) == {"plugins/gated.py", "plugins/hinge.py"}
    for name, changed in (("gated", [1]), ("hinge", [2]), ("ward", [3]), ("steps", [])):
        path = tmp_path / f"plugins/{name}.py"
        path.write_text(path.read_text() + "# a comment\n")
        after, _ = planned()
        assert [place for place, params in enumerate(after) if params != before[place]] == changed
        before = after
    assert {place for place, digest in planned()[1].items() if digest != used[place]} == set(used)

    (tmp_path / "plugins/broken.py").write_text("def (\n")
    with pytest.raises(ConfigError, match=r"plugins/broken\.py:1: no Python"):
        plan_of(config_dir).runs(*MAIN)


def test_steps_of_plugins_are_refused_where_there_are_no_logits_of_clips(config_dir: Path, tmp_path: Path) -> None:
    write_documented(tmp_path)
    train = {"epochs": 1, "test_step": {"name": "both_ways"}}
    write(config_dir, "reused", jobs=[{"train": train, "evaluate_only": "results/pneumonia/train2356/1"}])
    with pytest.raises(ConfigError, match=r"train\.test_step: evaluate_only takes a model as it decides"):
        plan_of(config_dir).runs("pneumonia", "reused")


def test_clips_are_read_only_where_the_model_makes_its_spectrograms_itself(config_dir: Path) -> None:
    plan = plan_of(config_dir)
    job = load_experiment(config_dir, *MAIN).jobs[0]
    assert (job.frontend == "stored") == (plan.clips_read(*MAIN, "1") == {})


def test_results_of_data_that_dvc_tracks(config_dir: Path) -> None:
    found = plan_of(config_dir).results_of_tracked_data()
    assert "results/pneumonia/train2356" in found
    assert "results/digits/fsdd" not in found


def test_a_fault_in_an_experiment_is_told_when_it_is_asked_for(config_dir: Path) -> None:
    write(config_dir, "misspelt", model={"name": "mixedned"})
    plan = plan_of(config_dir)
    plan.check_targets(["--cores", "2", "results/pneumonia/train2356/", "elsewhere/results.html"])
    with pytest.raises(ConfigError, match="mixednet"):
        plan.check_targets(["results/pneumonia/misspelt"])


def test_a_file_of_a_result_is_no_target_and_says_what_is(config_dir: Path) -> None:
    plan = plan_of(config_dir)
    with pytest.raises(ConfigError, match=r"ask for that: snakemake --cores all results/pneumonia/train2356$"):
        plan.check_targets(["--cores", "1", "results/pneumonia/train2356/report.html"])
    plan.check_targets(["results/pneumonia/train2356", "--report", "results/pneumonia/train2356/workflow.html"])


def test_a_root_that_is_not_there_is_missed_before_anything_runs(config_dir: Path, tmp_path: Path) -> None:
    plan = plan_of(config_dir, roots={"icbhi": str(tmp_path / "gone")})
    with pytest.raises(
        ConfigError, match=r"root .*gone: there is no such folder; .*--config roots='\{icbhi: FOLDER\}'"
    ):
        plan.raw_inventory("icbhi")


def test_a_root_in_the_home_folder_may_be_written_with_a_tilde(config_dir: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for roots in ({"icbhi": "~/own"}, {}):
        plan = plan_of(config_dir, roots=roots)
        assert plan.dataset("icbhi").root == (str(tmp_path / "own") if roots else "data/icbhi")


PROBE = {"probe": {"encoder": "results/pneumonia/train2356/1"}}


def test_probes_of_one_encoder_share_its_embeddings(config_dir: Path) -> None:
    layer = {"probe": {**PROBE["probe"], "layer": "head", "method": "knn"}}
    other = {"probe": {"encoder": "results/pneumonia/train2356/2"}}
    plain = {"augment": {}}
    write(config_dir, "probed", jobs=[PROBE, layer | {"folds": 2}, other], **plain)
    plan = plan_of(config_dir)
    first, second, third, elsewhere = (
        plan.files("pneumonia", "probed", run).embeddings for run in ("1", "2/fold1", "2/fold2", "3")
    )
    assert first == second == third
    assert list(first) == ["icbhi", "jordan", "bd"]
    assert not set(first["bd"]) & set(elsewhere["bd"])
    made = plan_of(config_dir).made_with(first["bd"][0])
    assert made["stored"] == plan.files("pneumonia", "probed", "1").spectrograms["bd"][0]
    assert made["needs"] == ["results/pneumonia/train2356"]
    assert plan.files(*MAIN, "1").embeddings == {}


def test_an_ensemble_reads_the_splits_of_members_that_differ_in_them(config_dir: Path) -> None:
    write(config_dir, "parts", jobs=[{"val_folds": 2, "seeds": [0, 1], "ensemble": True}])
    write(config_dir, "seeds", jobs=[{"seeds": [0, 1], "ensemble": True}])
    plan = plan_of(config_dir)
    splits = plan.member_splits("pneumonia", "parts", "1/ensemble")
    assert splits == [plan.files("pneumonia", "parts", run).split for run in list(plan.runs("pneumonia", "parts"))[:4]]
    assert len(set(splits)) == 2 and plan.files("pneumonia", "parts", "1/ensemble").split not in splits
    assert plan.member_splits("pneumonia", "parts", "1/val1_seed0") == []
    assert plan.member_splits("pneumonia", "seeds", "1/ensemble") == []


def test_an_encoder_from_elsewhere_is_known_by_its_weights(config_dir: Path, tmp_path: Path) -> None:
    paths = []
    for folder, digest in (("a", "1" * 64), ("b", "1" * 64), ("c", "2" * 64)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.json").write_text(json.dumps({"weights_sha256": digest}))
        write(config_dir, folder, jobs=[{"probe": {"encoder": folder}}], augment={})
        paths.append(plan_of(config_dir).files("pneumonia", folder, "1").embeddings["bd"])
    assert paths[0] == paths[1] != paths[2]


def test_study_yaml_is_read_by_a_result_and_is_no_experiment(config_dir: Path) -> None:
    assert plan_of(config_dir).studies(*MAIN) == []
    for folder in (config_dir, config_dir / "experiments/pneumonia", config_dir / "experiments/icbhi"):
        (folder / "study.yaml").write_text("funding: none\n")
    plan = plan_of(config_dir)
    folder = config_dir.as_posix()
    assert plan.studies(*MAIN) == [f"{folder}/study.yaml", f"{folder}/experiments/pneumonia/study.yaml"]
    assert not [name for _, name in plan.experiments if name == "study"]
