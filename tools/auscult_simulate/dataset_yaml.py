"""The dataset YAML (`config/datasets/<name>.yaml`) that reads a simulated tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.config.documents import dump_yaml
from auscult.errors import ConfigError, unknown_name
from auscult_simulate.layouts import WRITERS
from auscult_simulate.layouts import files_csv as files_csv_layout
from auscult_simulate.layouts import label_folders as label_folders_layout
from auscult_simulate.layouts import manifest as manifest_layout
from auscult_simulate.layouts import uid_json as uid_json_layout

Variant = Literal["a", "b"]

_NAME_PATTERN = r"(?P<patient>P[0-9]+)_(?P<location>[A-Za-z]+)_(?P<number>[0-9]+)"


def dataset_settings(layout: str, root: Path, variant: Variant = "a") -> DatasetSettings:
    """Return the settings that read a tree of `run.write_dataset`.

    Args:
        layout: A key of `layouts.WRITERS`.
        root: Where the tree lies.
        variant: As it was written.

    Raises:
        ConfigError: For an unknown layout.
    """
    return TypeAdapter(DatasetSettings).validate_python(_document(layout, root, variant))


def dataset_yaml(layout: str, root: Path, variant: Variant = "a") -> str:
    """Return `dataset_settings` as the text of a file for `config/datasets/`.

    Raises:
        ConfigError: For an unknown layout.

    >>> print(dataset_yaml("uid_json", Path("data/mine")), end="")
    # yaml-language-server: $schema=../schema/dataset.json
    description: Simulated lung sounds in the layout uid_json
    layout: uid_json
    root: data/mine
    patient: patient
    targets: targets.txt
    """
    text = dump_yaml(_document(layout, root, variant), width=120)
    return f"# yaml-language-server: $schema=../schema/dataset.json\n{text}"


def _document(layout: str, root: Path, variant: Variant) -> dict[str, Any]:
    if layout not in WRITERS:
        raise ConfigError(unknown_name("layout", layout, WRITERS))
    own: dict[str, Any] = {}
    if layout == "manifest":
        own = _manifest(variant)
    elif layout == "uid_json":
        own = {"patient": "patient", "targets": uid_json_layout.TARGETS_FILE}
    elif layout == "label_folders":
        own = {
            "label": "label",
            "known_labels": list(label_folders_layout.KNOWN_LABELS),
            "pattern": _NAME_PATTERN,
            "columns": {"patient": "patient", "attributes": {"chest_location": "location"}},
        }
    elif layout == "files_csv":
        columns: dict[str, Any] = {"patient": "patient", "attributes": {"chest_location": "location"}}
        if variant == "b":
            columns |= {"age_years": "age", "sex": "sex"}
        own = {"info": files_csv_layout.TABLE, "folder": files_csv_layout.FOLDER, "pattern": _NAME_PATTERN}
        own["columns"] = columns
    description = f"Simulated lung sounds in the layout {layout}"
    return {"description": description, "layout": layout, "root": root.as_posix(), **own}


def _manifest(variant: Variant) -> dict[str, Any]:
    return {
        "manifest": manifest_layout.TABLES[variant],
        "columns": {
            "path": "file",
            "patient": "patient",
            "site": "hospital",
            "device": "device",
            "age_years": "age",
            "sex": "sex",
            "start_s": "start",
            "end_s": "end",
            "event": "event",
            "labels": {"diagnosis": "diagnosis"},
            "attributes": {"chest_location": "place", "visit": "visit"},
        },
    }
