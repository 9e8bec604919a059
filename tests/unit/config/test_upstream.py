"""What a job takes from an earlier training: the files that have to be there first, and where they are read."""

import pytest

from auscult.config import Experiment, JobSettings
from auscult.config.upstream import RunName, UpstreamResults
from auscult.errors import ConfigError

FILES = ("model.safetensors", "model.json", "history.csv")


def project(tmp_path, **experiments):
    """Experiments of the task `toy`, each a list of what differs in its jobs."""

    def runs(task, name):
        jobs = [
            JobSettings.model_validate(
                {
                    "task": task,
                    "datasets": ["toy"],
                    "clips": {"length_s": 1, "sample_rate_hz": 4000},
                    "spectrogram": {"n_fft": 256, "hop_samples": 96},
                    "split": {"kind": "patients"},
                    "model": {"name": "test_cnn"},
                }
                | difference
            )
            for difference in experiments[name]
        ]
        experiment = Experiment(name=name, group=task, task=task, description="", jobs=tuple(jobs))
        return {run.id: run.settings for run in experiment.runs}

    return UpstreamResults([("toy", name) for name in experiments], runs, tmp_path)


def starting(**start):
    return {"train": {"pretrained": start}}


def test_a_job_that_takes_nothing(tmp_path):
    assert project(tmp_path, a=[{}]).of(RunName("toy", "a", "1")) is None
    assert project(tmp_path, a=[starting(timm="hub")]).of(RunName("toy", "a", "1")) is None


@pytest.mark.parametrize("path", ["results/toy/b/2", "./results/toy/b/2/", "{root}/results/toy/b/2"])
def test_the_result_of_another_experiment_is_published_first_and_read_there(tmp_path, path):
    written = path.format(root=tmp_path)
    for difference, setting in (({"evaluate_only": written}, "evaluate_only"), (starting(result=written), "train")):
        earlier = project(tmp_path, a=[difference], b=[{}, {}]).of(RunName("toy", "a", "1"))
        assert earlier.setting.startswith(setting)
        assert earlier.needs == ("results/toy/b",)
        assert earlier.read == written
        assert [run.run for run in earlier.runs] == ["1", "2"]


def test_another_job_of_the_same_experiment_is_read_before_it_is_published(tmp_path):
    jobs = [{"folds": 2}, {"evaluate_only": "results/toy/a/1/fold2"}, starting(result="results/toy/a/1/fold1")]
    results = project(tmp_path, a=jobs)
    judged, started = (results.of(RunName("toy", "a", run)) for run in ("2", "3"))
    assert judged.needs == tuple(f"work/runs/toy/a/1/fold2/{name}" for name in FILES)
    assert started.needs == ("work/runs/toy/a/1/fold1/model.safetensors",)
    *_, second, third = results.runs("toy", "a").values()
    assert judged.read_by(second).evaluate_only == "work/runs/toy/a/1/fold2"
    assert started.read_by(third).train.pretrained.result == "work/runs/toy/a/1/fold1"


def test_a_file_of_weights_inside_a_result_or_a_run(tmp_path):
    inside = starting(weights="results/toy/b/1/model.safetensors")
    at_work = starting(weights="work/runs/toy/b/1/model.safetensors")
    results = project(tmp_path, a=[inside, at_work], b=[{}])
    assert results.of(RunName("toy", "a", "1")).needs == ("results/toy/b",)
    assert results.of(RunName("toy", "a", "2")).needs == ("work/runs/toy/b/1/model.safetensors",)


def test_files_from_elsewhere_are_needed_as_they_are(tmp_path):
    jobs = [
        {"evaluate_only": "shared/model/1"},
        starting(result="results/toy/long_gone/1"),
        starting(weights="/far/away.safetensors"),
        starting(timm="weights/timm.pth"),
    ]
    results = project(tmp_path, a=jobs)
    found = [results.of(RunName("toy", "a", str(number))) for number in (1, 2, 3, 4)]
    assert [earlier.needs for earlier in found] == [
        tuple(f"shared/model/1/{name}" for name in FILES),
        ("results/toy/long_gone/1/model.safetensors",),
        ("/far/away.safetensors",),
        ("weights/timm.pth",),
    ]
    assert not any(earlier.runs for earlier in found)
    assert all(earlier.read == earlier.written for earlier in found)


def test_a_job_that_is_not_there_is_named(tmp_path):
    results = project(tmp_path, a=[{"evaluate_only": "results/toy/b/3"}], b=[{}, {"seeds": [4, 5]}])
    with pytest.raises(ConfigError, match=r"results/toy/b/3: toy/b has the jobs 1, 2/seed4, 2/seed5"):
        results.of(RunName("toy", "a", "1"))


def test_a_job_that_needs_itself_is_told_by_which_way(tmp_path):
    itself = project(tmp_path, a=[{}, {"evaluate_only": "results/toy/a/2"}])
    with pytest.raises(ConfigError, match=r"evaluate_only: results/toy/a/2 needs this job itself first"):
        itself.of(RunName("toy", "a", "2"))
    # b is published when both of its jobs are there, one of which waits for a.
    around = project(
        tmp_path,
        a=[starting(result="results/toy/b/1")],
        b=[{}, {"evaluate_only": "results/toy/a/1"}],
        c=[starting(result="results/toy/a/1")],
    )
    for name in ("a", "c"):
        with pytest.raises(ConfigError, match=r"toy/a, job 1 <- toy/b, job 2 <- toy/a, job 1"):
            around.of(RunName("toy", name, "1"))


def test_a_probe_takes_the_weights_and_the_description_of_its_encoder(tmp_path):
    jobs = [{}, {"probe": {"encoder": "results/toy/a/1"}}]
    results = project(tmp_path, a=jobs, b=[{"probe": {"encoder": "results/toy/a/1"}}])
    inside, outside = results.of(RunName("toy", "a", "2")), results.of(RunName("toy", "b", "1"))
    assert inside.needs == ("work/runs/toy/a/1/model.safetensors", "work/runs/toy/a/1/model.json")
    assert inside.read_by(results.runs("toy", "a")["2"]).probe.encoder == "work/runs/toy/a/1"
    assert outside.needs == ("results/toy/a",)


def test_an_ensemble_takes_the_trainings_of_its_job(tmp_path):
    results = project(tmp_path, a=[{"seeds": [0, 3], "ensemble": True}])
    found = results.of(RunName("toy", "a", "1/ensemble"))
    assert found.needs == tuple(
        f"work/runs/toy/a/1/seed{seed}/{name}" for seed in (0, 3) for name in ("model.safetensors", "model.json")
    )
    assert [run.run for run in found.runs] == ["1/seed0", "1/seed3"]
    read = found.read_by(results.runs("toy", "a")["1/ensemble"])
    assert read.ensemble == ("work/runs/toy/a/1/seed0", "work/runs/toy/a/1/seed3")


def test_a_state_is_read_in_the_run_folder_of_its_job_alone(tmp_path):
    found = project(tmp_path, base=[{}, {}], further=[starting(result="results/toy/base/2", state=True)])
    upstream = found.of(RunName("toy", "further", "1"))
    assert upstream.read == "work/runs/toy/base/2"
    assert upstream.needs == ("work/runs/toy/base/2/model.safetensors",)
    assert upstream.runs == (RunName("toy", "base", "2"),)
