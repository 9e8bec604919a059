"""JSON schemas of the YAML files, for editors that complete and check while one types, and of what is sent of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from auscult.config.claims import CLAIMS
from auscult.config.dataset import DatasetSettings
from auscult.config.experiment import JobSettings
from auscult.config.project import ProjectSettings
from auscult.config.resolve import PRESET_SECTIONS
from auscult.config.run_events import RUN_EVENT
from auscult.config.study import StudySettings
from auscult.config.task import TaskSettings
from auscult.config.tune import TuneSettings
from auscult.storage.files import write_text

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """Return the schema of an experiment file: sections may start from a preset, jobs hold any part of the settings."""
    job = _any_of(JobSettings.model_json_schema())
    definitions: dict[str, Any] = job.pop("$defs")
    for definition in definitions.values():
        # A preset or the shared settings may give what the file does not.
        definition.pop("required", None)
    properties: dict[str, Any] = job["properties"]
    for section in PRESET_SECTIONS:
        for name in _referenced(properties[section]):
            definitions[name]["properties"]["preset"] = {
                "type": "string",
                "description": f"a file of config/presets/{section}, without .yaml",
            }
    task = properties.pop("task")
    tune = TuneSettings.model_json_schema()
    definitions |= tune.pop("$defs")
    definitions["Job"] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "$defs": definitions,
        "title": "Experiment",
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "task": task,
            "define": {
                "description": "the task and datasets of this experiment that have no file of their own",
                "type": "object",
                "properties": {
                    "task": {"$ref": "task.json"},
                    "datasets": {"type": "object", "additionalProperties": {"$ref": "dataset.json"}},
                },
                "additionalProperties": False,
            },
            **properties,
            "tune": tune,
            "jobs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Job"}},
        },
        "required": ["description", "task", "datasets", "clips", "split", "model"],
        "if": {"properties": {"clips": {"properties": {"unit": {"const": "image"}}, "required": ["unit"]}}},
        "else": {"required": ["spectrogram"]},
        "additionalProperties": False,
    }


def _any_of(schema: Any) -> Any:
    """Loosen `oneOf` to `anyOf`: a section that starts from a preset need not say which of its kinds it is."""
    if isinstance(schema, list):
        return [_any_of(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    names = {"oneOf": "anyOf"}
    return {names.get(key, key): _any_of(value) for key, value in schema.items() if key != "discriminator"}


def _referenced(schema: dict[str, Any]) -> list[str]:
    references = [schema, *schema.get("anyOf", [])]
    return [item["$ref"].rsplit("/", 1)[-1] for item in references if "$ref" in item]


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "claims": CLAIMS.json_schema,
    "config": ProjectSettings.model_json_schema,
    "dataset": TypeAdapter[Any](DatasetSettings).json_schema,
    "experiment": experiment_schema,
    "run_event": partial(RUN_EVENT.json_schema, mode="serialization"),
    "study": StudySettings.model_json_schema,
    "task": TaskSettings.model_json_schema,
}


def schema_texts() -> dict[str, str]:
    """Return file name -> text of every schema."""
    return {
        f"{name}.json": json.dumps({"$schema": _DRAFT, **make()}, indent=2, sort_keys=True) + "\n"
        for name, make in SCHEMAS.items()
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas below `folder` and return their paths."""
    paths: list[Path] = []
    for name, text in schema_texts().items():
        write_text(folder / name, text)
        paths.append(folder / name)
    return paths
