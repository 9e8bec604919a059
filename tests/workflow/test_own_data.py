"""The commands of docs/own-data.md, run as they stand: each general layout goes from folder to result."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

SECTIONS = {
    "A table of recordings": "results/wheeze/clinic",
    "Folders named by what is heard": "results/added_sounds/ward",
    "A list of files and their types": "results/sound_type/survey",
    "A folder for each recording": "results/crackle/archive",
}


class Story(NamedTuple):
    """A section of the page: its blocks of commands and its one YAML file."""

    commands: list[str]
    yaml_path: str
    yaml_text: str


def read_story(page: Path, title: str) -> Story:
    section = page.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    texts = [text for kind, text in blocks if kind == "yaml"]
    paths = re.findall(r"`(config/experiments/[^`]+\.yaml)`", section)
    assert len(texts) == len(paths) == 1
    return Story([text for kind, text in blocks if kind == "bash"], paths[0], texts[0])


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_leads_from_a_folder_to_a_result(title: str, workflow_dir: Path, project_dir: Path) -> None:
    story = read_story(project_dir / "docs" / "own-data.md", title)
    assert len(story.commands) == 2
    # The page says nothing of MLflow, whose import takes longer than the page's trainings.
    project = workflow_dir / "config" / "config.yaml"
    project.write_text(re.sub(r"^tracking: .*$", "tracking: {enabled: false}", project.read_text(), flags=re.MULTILINE))
    assert "enabled: false" in project.read_text()
    path = workflow_dir / story.yaml_path
    path.parent.mkdir(parents=True)
    path.write_text(story.yaml_text, encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for commands in story.commands:
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=workflow_dir, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stdout[-6000:]
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
    assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == [*SECTIONS, "Ten habits of labs", "When it grows"]
    assert set(re.findall(r"auscult simulate dataset (\w+)", page)) == {
        "manifest", "label_folders", "files_csv", "uid_json",
    }  # fmt: skip
