"""Ten collections as labs keep them, read by the YAML of docs/own-data.md: patients, labels, events are the truth."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from tests.lab_collections import WRITERS

from auscult.config import DatasetSettings
from auscult.config.documents import read_yaml
from auscult.datasets.sources import read_root

AUSCULTS_OWN = ("annotated", "unplaced")


def dataset_of(name: str, project_dir: Path, folder: Path) -> dict:
    page = (project_dir / "docs" / "own-data.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
    text = re.findall(r"^```yaml\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)[0]
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")
    return read_yaml(folder / "dataset.yaml")


@pytest.mark.parametrize("name", WRITERS)
def test_a_labs_collection_is_read_by_yaml_alone(name: str, project_dir: Path, tmp_path: Path) -> None:
    root = tmp_path / name
    truth = WRITERS[name](root, np.random.default_rng(7)).set_index("path")
    written = {**dataset_of(name, project_dir, tmp_path), "root": str(root)}
    tables = read_root(root, name, TypeAdapter(DatasetSettings).validate_python(written))
    assert tables.rejected.empty, tables.rejected.to_string()
    found = tables.recordings.set_index("path").loc[truth.index]
    assert len(found) == len(tables.recordings) == len(truth)
    assert found["patient_id"].tolist() == [f"{name}/{patient}" for patient in truth["patient"]]
    labels = [column for column in found.columns if column.startswith("label_")]
    for column in labels:
        assert found[column].fillna("").tolist() == truth["label"].fillna("").tolist()
    assert labels or truth["label"].isna().all()
    own = tables.events["kind"].isin(AUSCULTS_OWN)
    marked = pd.Series(found["recording_id"]).map(tables.events[~own]["recording_id"].value_counts()).fillna(0)
    assert marked.tolist() == truth["events"].tolist()
    if name not in {"manikin", "respanno", "raters"}:
        assert found[["sex", "age_years"]].notna().all(axis=None)
    assert ("patient_unknown" in tables.summary["notices"]) == (name == "manikin")


def test_each_collection_of_the_page_has_a_writer(project_dir: Path) -> None:
    page = (project_dir / "docs" / "own-data.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", page, flags=re.MULTILINE) == list(WRITERS)
