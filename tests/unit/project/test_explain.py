import json
import subprocess

import pytest
from rich.console import Console

from auscult.errors import ConfigError, DataError
from auscult.project import explain as explain_module
from auscult.project.changes import differing, params_changes, result_changes
from auscult.project.explain import explain, read_reasons
from auscult.project.explain_text import print_explanation
from auscult.project.rule_texts import expected_cost, read_rules

DRY_RUN = """
Building DAG of jobs...
[Sat Nov 21 15:15:36 2026]
Job 9: Training pneumonia/tiny, job 1
Reason: Missing output files: work/runs/pneumonia/tiny/1/model.json; Input files updated by another job: work/a.h5
[Sat Nov 21 15:15:36 2026]
Job 11: Training pneumonia/tiny, job 2
Reason: Params have changed since last execution: Union of exclusive params before and now across all output: \
before: {'train': {'epochs': 3}, 'note': ''},'x' now: {'train': {'epochs': 4}, 'note': ''},'x'
[Sat Nov 21 15:15:36 2026]
Job 0: Reading dataset icbhi
Reason: Updated input files: data.dvc; Code has changed since last execution
"""


def write_benchmark(path, seconds, memory):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n1.0\t0:00:01\t1.0\n{seconds}\t0:01:05\t{memory}\n")


@pytest.fixture
def project(project_dir, tmp_path, monkeypatch):
    (tmp_path / "rules").symlink_to(project_dir / "rules")
    (tmp_path / "config").symlink_to(project_dir / "config")
    (tmp_path / "Snakefile").write_text("")
    monkeypatch.setattr(explain_module, "dry_run", lambda *_: DRY_RUN)
    return tmp_path


def test_every_rule_says_what_it_does_and_where_its_cost_stands(project_dir):
    rules = {rule.name: rule for rule in read_rules(project_dir / "rules")}
    listed = (project_dir / "rules").glob("*.smk")
    named = {
        line.split()[1].rstrip(":") for path in listed for line in path.read_text().splitlines() if line[:5] == "rule "
    }
    assert set(rules) == named >= {"ingest", "train", "evaluate", "track", "publish"}
    message = "Training pneumonia/train2356, job 2/fold1_seed0"
    assert [name for name, rule in rules.items() if rule.wildcards_in(message)] == ["train"]
    assert rules["train"].wildcards_in(message)["job"] == "2/fold1_seed0"


def test_a_cost_is_that_of_last_time_or_the_median_of_its_rule(project, project_dir):
    rules = read_rules(project_dir / "rules")
    folder = project / "benchmarks" / "train" / "pneumonia"
    write_benchmark(folder / "tiny" / "1.tsv", 65.0, 800.0)
    write_benchmark(folder / "tiny" / "3.tsv", 100.0, 900.0)
    write_benchmark(folder / "other" / "1" / "fold1.tsv", 200.0, 1000.0)
    own = expected_cost("Training pneumonia/tiny, job 1", rules, project)
    assert (own.seconds, own.memory_mb, own.basis) == (65.0, 800.0, "last time")
    new = expected_cost("Training pneumonia/new, job 1", rules, project)
    assert (new.seconds, new.basis) == (100.0, "median of 3 of rule train")
    never = expected_cost("Publishing results/pneumonia/tiny", rules, project)
    assert (never.seconds, never.basis) == (None, "rule publish was not run here yet")


def test_what_would_run_and_why_is_told(project):
    write_benchmark(project / "benchmarks" / "train" / "pneumonia" / "tiny" / "2.tsv", 65.0, 800.0)
    found = explain("results/pneumonia/tiny", project_dir=project)
    assert {job.message: job.reasons for job in found.jobs} == {
        "Training pneumonia/tiny, job 1": (
            "not made yet: work/runs/pneumonia/tiny/1/model.json",
            "what it reads is made anew",
        ),
        "Training pneumonia/tiny, job 2": ("setting train.epochs: 3 -> 4",),
        "Reading dataset icbhi": ("changed since: data.dvc", "its script or rule has changed"),
    }
    assert (found.known_s, found.n_unknown) == (130.0, 1)
    console = Console(record=True, width=140)
    print_explanation(found, console)
    text = console.export_text()
    assert "1 min 5 s (last time)" in text
    assert "3 jobs, about 2 min 10 s one after another, at most 800 MB at a time; 1 without an estimate" in text


def test_nothing_to_do_is_said(project, monkeypatch):
    monkeypatch.setattr(explain_module, "dry_run", lambda *_: "Nothing to be done (all requested files are present)")
    console = Console(record=True)
    print_explanation(explain("results/pneumonia/tiny", project_dir=project), console)
    assert console.export_text() == "results/pneumonia/tiny is up to date: nothing would run\n"


def test_params_that_cannot_be_read_are_told_as_such():
    text = "Params have changed since last execution: Union: before: <nothing exclusive> now: <Foo at 0x1>"
    assert read_reasons(text) == ["its settings have changed"]
    # Of two parameters those are compared that are alike.
    before, now = "{'a': 1, 'b': 2},{'x': 1}", "{'x': 2},{'a': 1, 'b': 3}"
    assert params_changes(before, now) == ["x: 1 -> 2", "b: 2 -> 3"]
    assert differing([{"name": "mixup"}], [{"name": "mixup"}, {"name": "augmix"}]) == [
        "2: absent -> {'name': 'augmix'}"
    ]


def test_what_changed_since_a_result_was_published(project, project_dir, tmp_path):
    result = tmp_path / "results" / "pneumonia" / "train2356"
    result.mkdir(parents=True)
    shown = subprocess.run(
        ["auscult", "experiment", "show", "pneumonia/train2356"],
        cwd=project_dir,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (result / "experiment.yaml").write_text(shown.replace("batch_size: 32", "batch_size: 16", 1))
    git = {"commit": "unknown"}
    (result / "provenance.json").write_text(json.dumps({"data": {"md5": "a.dir"}, "git": git}))
    (tmp_path / "data.dvc").write_text("outs:\n- md5: b.dir\n  path: data\n")
    changes = result_changes(result, "pneumonia", "train2356", config_dir=project / "config", project_dir=tmp_path)
    assert changes[0].startswith("settings: jobs.1.train.batch_size: 16 -> 32")
    assert changes[-1].startswith("data: made from the data a.dir; data.dvc pins b.dir now")
    assert len(changes) == 2


def test_modules_that_changed_since_are_told(project, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    module = tmp_path / "src" / "auscult" / "io.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    git("init", "-q")
    git("add", "src")
    git("commit", "-q", "-m", "first")
    result = tmp_path / "results" / "pneumonia" / "tiny"
    result.mkdir(parents=True)
    commit = git("rev-parse", "HEAD")
    (result / "provenance.json").write_text(json.dumps({"data": {"md5": "unknown"}, "git": {"commit": commit}}))
    paths = {"config_dir": project / "config", "project_dir": tmp_path}
    assert result_changes(result, "pneumonia", "tiny", **paths) == []
    module.write_text("x = 2\n")
    (change,) = result_changes(result, "pneumonia", "tiny", **paths)
    assert change.startswith(f"code: 1 files of src/auscult differ from commit {commit[:12]}")


def test_another_folder_and_a_refused_target_are_explained(tmp_path, project_dir):
    with pytest.raises(ConfigError, match="run this in the project's folder"):
        explain("results/pneumonia/tiny", project_dir=tmp_path)
    with pytest.raises(DataError, match="did you mean 'train2356'"):
        explain("results/pneumonia/train2355", project_dir=project_dir)
