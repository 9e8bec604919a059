"""The commands and the Python of docs/use-a-model.md, run as they stand on small trainings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.workflow.conftest import take_what_is_made
from typer.main import get_command

from auscult.cli import app

EXPERIMENTS = ("pneumonia/train2356", "crackles_wheezes/train2356")


def blocks(page: Path, kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [text for of_kind, text in found if of_kind == kind]


def make_small(path: Path) -> None:
    """Leave data and split of an experiment as they are, and train small models on them."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    written |= {"model": {"name": "test_cnn"}, "augment": {}}
    written["evaluate"] = {"bootstrap_draws": 20, "n_examples": 2, "outcomes": {"max_clips": 1}}
    written["train"] = {"epochs": 1, "monitor": written["train"]["monitor"]}
    jobs = [{}, {"train": {"epochs": 2}}] if written["task"] == "pneumonia" else [{}]
    path.write_text(yaml.safe_dump({**written, "jobs": jobs}), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_leads_from_a_result_to_answers(workflow_dir: Path, project_dir: Path) -> None:
    page = project_dir / "docs" / "use-a-model.md"
    # Where `make run` has just made the demo's result, the page goes on from that one.
    made_in = os.environ.get("AUSCULT_DEMO_MADE_IN")
    if made_in:
        take_what_is_made(Path(made_in), workflow_dir)
    for name in EXPERIMENTS[1 if made_in else 0 :]:
        make_small(workflow_dir / "config" / "experiments" / f"{name}.yaml")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*command: str) -> str:
        finished = subprocess.run(
            command, cwd=workflow_dir, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
        return finished.stdout

    shown = [run("bash", "-euo", "pipefail", "-c", commands) for commands in blocks(page, "bash")]
    assert len(shown) == 7
    (program, of_onnx), (expected,) = blocks(page, "python"), blocks(page, "")
    assert max(len(text.splitlines()) for text in (program, of_onnx)) <= 10
    mask = re.compile(r"pneumonia 0\.\d\d|pneumonia 1\.00")
    assert mask.sub("pneumonia #", run(sys.executable, "-c", program)) == mask.sub("pneumonia #", expected)

    assert any("of the job's validation set" in text for text in shown)

    answers = pd.read_csv(workflow_dir / "answers.csv")
    assert answers["error"].isna().all()
    one = answers[answers["file"].str.contains("122_1b1_Pl") & (answers["level"] == "recording")].iloc[0]
    found = re.fullmatch(r"pneumonia (\d\.\d+), positive: (True|False)\n", run(sys.executable, "-c", of_onnx))
    assert found is not None
    assert float(found[1]) == pytest.approx(one["prob_pneumonia"], abs=2e-3)
    predictions = pd.read_parquet(workflow_dir / "results" / "pneumonia" / "train2356" / "1" / "predictions.parquet")
    names = answers["file"].str.extract(r"/([^/]+)\.wav$")[0]
    of_clips = answers[answers["level"] == "clip"].set_index(names[answers["level"] == "clip"])
    own = predictions[predictions["dataset"] == "icbhi"]
    assert len(own) > 3
    np.testing.assert_allclose(
        of_clips.loc[own["recording_id"].str.removeprefix("icbhi/"), "prob_pneumonia"], own["prob_pneumonia"], atol=1e-5
    )
    assert [path.name for path in (workflow_dir / "pictures").iterdir()] == ["122_1b1_Pl_sc_AKGC417L.wav.png"]
    assert "a stored model on perch" in (workflow_dir / "evaluations" / "perch" / "report.html").read_text().lower()
    assert len(np.load(workflow_dir / "embeddings" / "icbhi.npy")) == 70
    assert (workflow_dir / "probes.html").is_file()
    assert ": 2 results</h1>" in (workflow_dir / "compared.html").read_text(encoding="utf-8")


def test_the_page_names_options_that_there_are(project_dir: Path) -> None:
    lines = [line for text in blocks(project_dir / "docs" / "use-a-model.md", "bash") for line in text.splitlines()]
    commands = [line.split("#")[0].split() for line in lines if line.startswith("auscult ")]
    assert {words[1] for words in commands} == {"predict", "evaluate", "embed", "export", "probes", "compare"}
    known = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    for words in commands:
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
