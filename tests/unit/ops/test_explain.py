import re
import subprocess
import sys

import pytest

from auscult.errors import ConfigError, DataError
from auscult.formatting.terminal import Console
from auscult.ops import explain as explain_module
from auscult.ops.explain import dry_run, expected_cost, explain, params_changes, read_reasons
from auscult.reports.workflow_text import print_explanation

SNAKEFILE = """
rule first:
    input: "raw.txt"
    output: "work/{name}.txt"
    params: settings=SETTINGS
    benchmark: "benchmarks/first/{name}.tsv"
    message: "Making {wildcards.name}"
    shell: "cp {input} {output}"


rule second:
    input: expand("work/{name}.txt", name=["a", "b"])
    output: "all.txt"
    shell: "cat {input} > {output}"
"""


def write_workflow(folder, settings):
    (folder / "Snakefile").write_text(f"SETTINGS = {settings!r}\n{SNAKEFILE}")


@pytest.fixture
def workflow(tmp_path):
    """A workflow of two rules, which Snakemake itself reads."""
    write_workflow(tmp_path, {"train": {"epochs": 3}, "note": "a; B"})
    (tmp_path / "raw.txt").write_text("x")
    return tmp_path


def run(folder):
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "all.txt"], cwd=folder, check=True, capture_output=True
    )


def write_benchmark(path, seconds, memory):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n1.0\t0:00:01\t1.0\n{seconds}\t0:01:05\t{memory}\n")


def reasons(folder):
    return {job.message: job.reasons for job in explain("all.txt", project_dir=folder).jobs}


def test_what_snakemake_plans_is_told_with_its_reasons(workflow):
    first = explain("all.txt", ["--config", "device=cpu"], project_dir=workflow)
    assert {job.message: (job.reasons, job.cost.basis) for job in first.jobs} == {
        "Making a": (("not made yet: work/a.txt",), "rule first was not run here yet"),
        "Making b": (("not made yet: work/b.txt",), "rule first was not run here yet"),
        "second": (("not made yet: all.txt", "what it reads is made anew"), "rule second keeps no times"),
    }
    assert first.jobs[-1].message == "second"
    run(workflow)
    # Another setting and a lost file, each by name.
    write_workflow(workflow, {"train": {"epochs": 4}, "note": "a; B"})
    (workflow / "work" / "b.txt").unlink()
    changed = reasons(workflow)
    assert changed["Making a"] == ("setting train.epochs: 3 -> 4",)
    assert changed["Making b"][0] == "not made yet: work/b.txt"
    # The setting as before, and another input.
    write_workflow(workflow, {"train": {"epochs": 3}, "note": "a; B"})
    (workflow / "raw.txt").write_text("other")
    (again,) = explain("work/a.txt", project_dir=workflow).jobs
    assert (again.reasons, again.cost.basis) == (("changed since: raw.txt",), "last time")


def test_a_cost_is_that_of_last_time_or_the_median_of_its_rule(tmp_path):
    folder = tmp_path / "benchmarks" / "train" / "pneumonia"
    write_benchmark(folder / "tiny" / "1.tsv", 65.0, 800.0)
    write_benchmark(folder / "tiny" / "3.tsv", 100.0, 900.0)
    write_benchmark(folder / "other" / "1" / "fold1.tsv", 200.0, 1000.0)
    own = expected_cost("train", "benchmarks/train/pneumonia/tiny/1.tsv", tmp_path)
    assert (own.seconds, own.memory_mb, own.basis) == (65.0, 800.0, "last time")
    new = expected_cost("train", "benchmarks/train/pneumonia/new/1.tsv", tmp_path)
    assert (new.seconds, new.basis) == (100.0, "median of 3 of rule train")
    never = expected_cost("publish", "benchmarks/publish/pneumonia/tiny.tsv", tmp_path)
    assert (never.seconds, never.basis) == (None, "rule publish was not run here yet")


def test_every_rule_keeps_what_it_took_in_a_folder_of_its_name(project_dir):
    for path in (project_dir / "rules").glob("*.smk"):
        named = re.findall(r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:", path.read_text(), re.MULTILINE)
        assert re.findall(r'"benchmarks/(\w+)/', path.read_text()) == named


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A plan of two trainings, one of which was run before."""
    (tmp_path / "Snakefile").write_text("")
    write_benchmark(tmp_path / "benchmarks" / "train" / "2.tsv", 65.0, 800.0)
    jobs = [
        {
            "rule": "train",
            "message": f"Training {n}",
            "benchmark": f"benchmarks/train/{n}.tsv",
            "reason": "Forced execution",
        }
        for n in (1, 2)
    ]
    jobs.append({"rule": "ingest", "message": "Reading", "benchmark": "benchmarks/ingest/a.tsv", "reason": ""})
    monkeypatch.setattr(explain_module, "dry_run", lambda *_: jobs)
    return tmp_path


def test_what_would_run_is_printed_with_an_estimate(planned):
    found = explain("results/pneumonia/tiny", project_dir=planned)
    assert (found.known_s, found.n_unknown) == (130.0, 1)
    console = Console(record=True, width=140)
    print_explanation(found, console)
    text = console.export_text()
    assert "1 min 5 s (last time)" in text
    assert "3 jobs, about 2 min 10 s one after another, at most 800 MB at a time; 1 without an estimate" in text


def test_nothing_to_do_is_said(planned, monkeypatch):
    monkeypatch.setattr(explain_module, "dry_run", lambda *_: [])
    console = Console(record=True)
    print_explanation(explain("results/pneumonia/tiny", project_dir=planned), console)
    assert console.export_text() == "results/pneumonia/tiny is up to date: nothing would run\n"


def test_params_that_cannot_be_read_are_told_as_such():
    text = "Params have changed since last execution: Union: before: <nothing exclusive> now: <Foo at 0x1>"
    assert read_reasons(text) == ["its settings have changed"]
    assert read_reasons("Params have changed, in other words; Software environment definition has changed") == [
        "its environment has changed",
        "its settings have changed",
    ]
    # Of two parameters those are compared that are alike.
    before, now = "{'a': 1, 'b': 2},{'x': 1}", "{'x': 2},{'a': 1, 'b': 3}"
    assert params_changes(before, now) == ["x: 1 -> 2", "b: 2 -> 3"]


def test_another_folder_and_a_refused_target_are_explained(tmp_path, project_dir):
    with pytest.raises(ConfigError, match="run this in the project's folder"):
        explain("results/pneumonia/tiny", project_dir=tmp_path)
    with pytest.raises(DataError, match="did you mean 'train2356'"):
        dry_run("results/pneumonia/train2355", [], project_dir)
