"""The commands of docs/own-data.md, run as they stand: each layout and each habit goes from folder to result."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from tests.lab_collections import WRITERS
from tests.workflow.conftest import CORES

SECTIONS = {
    "A table of recordings": "results/wheeze/clinic",
    "Folders named by what is heard": "results/added_sounds/ward",
    "A list of files and their types": "results/sound_type/survey",
    "A folder for each recording": "results/crackle/archive",
}


HABITS = "Ten habits of labs"
HEALTHY = {"negative", "Normal", "none", "normal", "Healthy", "nothing", "clear"}
"""What the writers of the ten collections call lungs without a finding."""
FROM_EVENTS = ("respanno", "praat")
"""These say by intervals what was heard, and listened to all."""
LOST = {"coughs": "missing", "raters": "empty", "visits": "truncated"}
"""In these a recording is spoilt before the ingest; the class of reason that must stand in the flow."""
SMALL = "evaluate: {bootstrap_draws: 50, n_examples: 1, outcomes: {max_clips: 1}}\n"


class Story(NamedTuple):
    """A section of the page: its blocks of commands and its one YAML file."""

    commands: list[str]
    yaml_path: str
    yaml_text: str


def blocks_of(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def section_of(page: Path, title: str) -> str:
    return page.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def read_story(page: Path, title: str) -> Story:
    section = section_of(page, title)
    texts = blocks_of(section, "yaml")
    paths = re.findall(r"`(config/experiments/[^`]+\.yaml)`", section)
    assert len(texts) == len(paths) == 1
    return Story(blocks_of(section, "bash"), paths[0], texts[0])


def run_bash(workflow_dir: Path, commands: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=workflow_dir, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-6000:]
    return finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[pytest.mark.soak] * (n > 0)) for n, title in enumerate(SECTIONS)]
)
def test_the_page_leads_from_a_folder_to_a_result(title: str, workflow_dir: Path, project_dir: Path) -> None:
    story = read_story(project_dir / "docs" / "own-data.md", title)
    assert len(story.commands) == 2
    path = workflow_dir / story.yaml_path
    path.parent.mkdir(parents=True)
    path.write_text(story.yaml_text, encoding="utf-8")
    for commands in story.commands:
        run_bash(workflow_dir, commands)
    result = workflow_dir / SECTIONS[title]
    assert SECTIONS[title] in story.commands[1]
    assert "The sounds of" in (result / "report.html").read_text(encoding="utf-8")
    predictions = pd.read_parquet(result / "1" / "predictions.parquet")
    assert set(predictions["split"]) == {"val", "test"}
    targets = [column for column in predictions.columns if column.startswith("target_")]
    assert predictions[targets].notna().any().all()
    rejected = pd.read_csv(workflow_dir / "work" / "tables" / predictions["dataset"].iloc[0] / "rejected.csv")
    assert rejected.empty


def test_the_page_names_every_general_layout(project_dir: Path) -> None:
    page = (project_dir / "docs" / "own-data.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == [*SECTIONS, HABITS, "When it grows"]
    assert set(re.findall(r"auscult simulate dataset (\w+)", page)) == {
        "manifest", "label_folders", "files_csv", "uid_json",
    }  # fmt: skip


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_collections_of_labs_lead_to_reports_that_count_what_was_written(
    workflow_dir: Path, project_dir: Path, soak: bool
) -> None:
    # Ten at full length; else three, a spoilt recording in each.
    names = list(WRITERS) if soak else list(LOST)
    truths = {name: WRITERS[name](workflow_dir / "collections" / name, np.random.default_rng(7)) for name in names}
    verify, snakemake = write_habits(project_dir / "docs" / "own-data.md", workflow_dir, names)
    with ThreadPoolExecutor(CORES) as pool:
        assert len(list(pool.map(partial(run_bash, workflow_dir), verify))) == len(names)
    lost = spoil(workflow_dir / "collections", truths)
    # One call for all: the page's command with the ten results.
    targets = [command.split()[-1] for command in snakemake]
    assert {f"snakemake --cores all {target}" for target in targets} == {command.strip() for command in snakemake}
    run_bash(workflow_dir, f"snakemake --cores {CORES} {' '.join(targets)}")
    for name, truth in truths.items():
        known = truth.assign(finding=finding(truth, name), is_lost=truth["path"] == lost.get(name))
        known["recording_id"] = f"{name}/" + known["path"].str.replace(r"\.[^.]+$", "", regex=True)
        check_tables(workflow_dir / "work" / "tables" / name, known, LOST.get(name))
        split = check_split(workflow_dir / "work" / "splits" / "heard", known, name)
        check_result(workflow_dir / "results" / "heard" / name, known, split)


def write_habits(page: Path, workflow_dir: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Write the page's task, datasets and experiments; return its commands, a collection each."""
    shared, *sections = section_of(page, HABITS).split("\n### ")
    config = workflow_dir / "config"
    (config / "experiments" / "heard").mkdir()
    task, experiment = blocks_of(shared, "yaml")
    (config / "tasks" / "heard.yaml").write_text(task, encoding="utf-8")
    commands: list[list[str]] = []
    by_name = {section.split("\n")[0]: section for section in sections}
    assert set(by_name) == set(WRITERS)
    for name in names:
        section = by_name[name]
        (dataset,), (block,) = blocks_of(section, "yaml"), blocks_of(section, "bash")
        (config / "datasets" / f"{name}.yaml").write_text(dataset, encoding="utf-8")
        own = experiment.replace("coughs", name) + SMALL
        (config / "experiments" / "heard" / f"{name}.yaml").write_text(own, encoding="utf-8")
        commands.append(block.splitlines())
    verify, snakemake = zip(*commands, strict=True)
    return list(verify), list(snakemake)


def spoil(collections: Path, truths: dict[str, pd.DataFrame]) -> dict[str, str]:
    """Take a file away, empty one, and cut one short; return what is lost of each collection."""
    lost = {name: str(truths[name]["path"].iloc[-1]) for name in LOST}
    (collections / "coughs" / lost["coughs"]).unlink()
    (collections / "raters" / lost["raters"]).write_bytes(b"")
    cut = collections / "visits" / lost["visits"]
    cut.write_bytes(cut.read_bytes()[:3000])
    return lost


def finding(truth: pd.DataFrame, name: str) -> pd.Series:
    """Return what the task must know of each recording, from what was written alone: 1, 0 or NaN."""
    if name in FROM_EVENTS:
        return (truth["events"] > 0).astype(float)
    return (~truth["label"].isin(HEALTHY)).astype(float).where(truth["label"].notna())


def counted(found: pd.DataFrame, step: str) -> tuple[int, int]:
    """Return recordings and patients of a step of the flow, over its reasons."""
    rows = found[found["step"] == step]
    return int(rows["recordings"].sum()), int(rows["patients"].sum())


def check_tables(tables: Path, known: pd.DataFrame, reason: str | None) -> None:
    kept = known[~known["is_lost"]].sort_values("recording_id")
    recordings = pd.read_parquet(tables / "recordings.parquet").sort_values("recording_id")
    assert recordings["path"].tolist() == kept["path"].tolist()
    assert recordings["patient_id"].nunique() == kept["patient"].nunique()
    events = pd.read_parquet(tables / "events.parquet")
    marked = events.loc[events["kind"] != "annotated", "recording_id"].value_counts()
    assert kept["recording_id"].map(marked).fillna(0).tolist() == kept["events"].tolist()
    flow = pd.read_csv(tables / "flow.csv")
    assert sorted(flow["recording_id"].fillna(flow["file"])) == sorted(known["recording_id"])
    lost = flow[flow["status"] != "read"]
    assert [text.split(":")[0] for text in lost["reason"]] == ([] if reason is None else [reason])
    assert len(pd.read_csv(tables / "rejected.csv")) == len(lost) == known["is_lost"].sum()


def check_split(splits: Path, known: pd.DataFrame, name: str) -> pd.DataFrame:
    """Compare the split, its audit and its flow with what was written; return the split."""
    flows = {path: pd.read_csv(path) for path in splits.glob("*.flow.csv")}
    (path,) = (path for path, flow in flows.items() if set(flow["dataset"]) == {name})
    flow = flows[path]
    kept = known[~known["is_lost"]]
    usable = kept[kept["finding"].notna()]
    for step, rows in {"found": known, "read": kept, "used": usable}.items():
        patients = 0 if name == "manikin" else rows["patient"].nunique()
        assert counted(flow, step) == (len(rows), patients), (name, step)
    assert counted(flow, "lost")[0] == known["is_lost"].sum()
    assert counted(flow, "left_out")[0] == kept["finding"].isna().sum()
    split = pd.read_csv(path.with_name(path.name.replace(".flow.csv", ".csv")))
    assert sorted(split["recording_id"]) == sorted(usable["recording_id"])
    assert split.groupby("patient_id")["split"].nunique().max() == 1
    audit = json.loads(path.with_name(path.name.replace(".flow.csv", ".audit.json")).read_text())
    for subset, rows in usable.merge(split, on="recording_id").groupby("split"):
        assert counted(flow, str(subset))[0] == len(rows)
        assert audit["total"][subset]["targets"]["finding"]["recordings"] == {
            "positive": (rows["finding"] == 1).sum(), "negative": (rows["finding"] == 0).sum(), "unknown": 0,
        }  # fmt: skip
        assert audit["total"][subset]["patients"] == rows["patient"].nunique()
    return split


def check_result(result: Path, known: pd.DataFrame, split: pd.DataFrame) -> None:
    predictions = pd.read_parquet(result / "1" / "predictions.parquet")
    judged = split[split["split"] != "train"].merge(known, on="recording_id").sort_values("recording_id")
    by_recording = predictions.groupby("recording_id", sort=True)
    assert list(by_recording.groups) == judged["recording_id"].tolist()
    assert by_recording["split"].agg(set).tolist() == [{subset} for subset in judged["split"]]
    assert by_recording["target_finding"].agg(set).tolist() == [{value} for value in judged["finding"]]
    left_out = (known["finding"].isna() & ~known["is_lost"]).sum()
    used = (known["finding"].notna() & ~known["is_lost"]).sum()
    said = f"{len(known)} recordings found, {known['is_lost'].sum()} lost, {left_out} left out, {used} used."
    assert said in (result / "report.html").read_text(encoding="utf-8")
