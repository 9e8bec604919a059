import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from auscult.config import load_dataset, load_experiment, load_project, load_task
from auscult.config.documents import read_yaml
from auscult.config.files import defined_names
from auscult.config.schema import experiment_schema
from auscult.errors import ConfigError

OWN: dict[str, Any] = {
    "description": "cough or breath",
    "task": "cough",
    "define": {
        "task": {
            "description": "Is it a cough?",
            "type": "binary",
            "targets": ["cough"],
            "level": "recording",
            "datasets": {"ward": {"cough": {"column": "label", "positive": ["cough"], "negative": ["breath"]}}},
        },
        "datasets": {"ward": {"description": "our ward", "layout": "label_folders", "root": "/data/ward"}},
    },
    "datasets": ["ward"],
    "clips": {"unit": "recording", "length_s": 2, "sample_rate_hz": 4000},
    "spectrogram": {"n_fft": 256, "hop_samples": 128, "n_mels": 32},
    "split": {"kind": "patients"},
    "model": {"name": "test_cnn"},
}


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project_dir / "config", tmp_path / "config"))


def write(config_dir: Path, name: str = "first", **changes: Any) -> Path:
    path = config_dir / "experiments" / "cough" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**OWN, **changes}))
    return path


def test_one_file_defines_task_dataset_and_experiment(config_dir: Path) -> None:
    write(config_dir)
    job = load_experiment(config_dir, "cough", "first").job(1)
    assert job.datasets == ("ward",)
    assert load_task(config_dir, "cough").targets == ("cough",)
    assert load_dataset(config_dir, "ward").root == "/data/ward"
    assert load_dataset(config_dir, "ward", {"ward": "/elsewhere"}).root == "/elsewhere"
    assert load_project({"roots": {"ward": "/elsewhere"}}, config_dir).roots == {"ward": "/elsewhere"}
    assert "ward" in defined_names(config_dir, "dataset")
    assert "icbhi" in defined_names(config_dir, "dataset")


def test_another_experiment_may_use_what_one_defines(config_dir: Path) -> None:
    write(config_dir)
    write(config_dir, "second", define={})
    assert load_experiment(config_dir, "cough", "second").job(1).datasets == ("ward",)


def test_what_two_experiments_define_must_move_to_a_file(config_dir: Path) -> None:
    first, second = write(config_dir), write(config_dir, "second")
    with pytest.raises(ConfigError) as caught:
        load_experiment(config_dir, "cough", "first")
    message = str(caught.value)
    assert str(first) in message
    assert str(second) in message
    assert f"move one of the two to {config_dir / 'tasks' / 'cough.yaml'}" in message


def test_a_file_and_an_experiment_cannot_define_the_same(config_dir: Path) -> None:
    define = {**OWN["define"], "datasets": {"icbhi": OWN["define"]["datasets"]["ward"]}}
    write(config_dir, define=define)
    with pytest.raises(ConfigError, match=r"define\.datasets\.icbhi: .*icbhi\.yaml defines 'icbhi' already"):
        load_experiment(config_dir, "cough", "first")


@pytest.mark.parametrize(
    ("define", "message"),
    [
        ("ward", r"define: found 'ward'"),
        ({"dataset": {}}, r"define: unknown key 'dataset'; did you mean 'datasets'"),
        ({"datasets": ["ward"]}, r"define\.datasets: found list, expected a mapping"),
        ({"datasets": {"../ward": {}}}, r"dataset '\.\./ward' may hold letters"),
        ({**OWN["define"], "datasets": {"ward": {"layout": "folders"}}}, r"define\.datasets\.ward: .*unknown layout"),
        ({**OWN["define"], "task": {"description": "x"}}, r"define\.task: type: missing"),
        ({"datasets": OWN["define"]["datasets"]}, r"unknown task 'cough'"),
        ({"task": OWN["define"]["task"]}, r"unknown dataset 'ward'"),
    ],
)
def test_faults_name_the_file_and_the_key(config_dir: Path, define: Any, message: str) -> None:
    path = write(config_dir, define=define)
    with pytest.raises(ConfigError, match=message) as caught:
        load_experiment(config_dir, "cough", "first")
        load_dataset(config_dir, "ward")
    assert str(path) in str(caught.value)


def test_editors_take_the_section() -> None:
    assert Draft202012Validator(experiment_schema()).is_valid({**OWN, "define": {}})
    assert not Draft202012Validator(experiment_schema()).is_valid({**OWN, "define": {"dataset": {}}})


def test_yes_no_on_and_off_are_words_and_true_and_false_are_booleans(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "on: pid\nvalues: {no: normal, yes: wheeze, off: x}\nflag: true\nother: False\nlist: [no, on, 007]\n"
    )
    assert read_yaml(path) == {
        "on": "pid",
        "values": {"no": "normal", "yes": "wheeze", "off": "x"},
        "flag": True,
        "other": False,
        "list": ["no", "on", "007"],
    }
