import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from auscult.cli import main
from auscult.config import load_dataset
from auscult.config.dataset import LAYOUTS
from auscult.datasets.ingest import ingest
from auscult_simulate.write import write_dataset

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated") / "small"
    write_dataset("icbhi", root, n_patients=4, seed=3, duration_s=(3.0, 4.0))
    return root


@pytest.fixture
def project(tmp_path: Path, small_root: Path) -> Path:
    config = tmp_path / "config"
    (config / "datasets").mkdir(parents=True)
    (config / "tasks").mkdir()
    rule = {"pneumonia": {"column": "diagnosis", "positive": ["pneumonia"], "negative": "others"}}
    documents = {
        "datasets/small.yaml": {"description": "a small one", "layout": "icbhi", "root": str(small_root)},
        "datasets/gone.yaml": {"description": "not here", "layout": "perch", "root": "data/gone"},
        "tasks/lungs.yaml": {
            "description": "Pneumonia?",
            "type": "binary",
            "targets": ["pneumonia"],
            "level": "patient",
            "datasets": {"small": rule, "gone": rule},
            "doubtful": ["gone"],
        },
    }
    for name, document in documents.items():
        (config / name).write_text(yaml.safe_dump(document))
    return tmp_path


@pytest.fixture
def call(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `auscult data ...` in the project; its status, what it printed, and its errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "argv", ["auscult", "data", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run


def read_small(project: Path) -> None:
    settings = load_dataset(project / "config", "small")
    ingest(Path(settings.root), "small", settings, project / "work" / "tables" / "small")


def test_list_shows_every_dataset_with_its_layout_root_and_tasks(call: Call) -> None:
    status, printed, _ = call("list")
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert status == 0
    assert "icbhi" in rows["small"]
    assert rows["small"].rstrip().endswith("lungs")
    assert "data/gone (absent)" in rows["gone"]
    assert "lungs (doubtful)" in rows["gone"]


def test_list_shows_what_an_experiment_defines_for_itself(call: Call, project: Path, small_root: Path) -> None:
    task = yaml.safe_load((project / "config" / "tasks" / "lungs.yaml").read_text())
    task["datasets"] = {"ward": task["datasets"]["small"]}
    dataset = {"description": "our ward", "layout": "icbhi", "root": str(small_root)}
    path = project / "config" / "experiments" / "chest" / "first.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"define": {"task": task, "datasets": {"ward": dataset}}}))
    status, out, _ = call("list", "w*")
    assert status == 0
    assert re.search(r"ward +icbhi .* chest", out)


def test_list_shows_counts_where_the_workflow_has_tables(call: Call, project: Path) -> None:
    read_small(project)
    _, printed, _ = call("list", "s*")
    row = next(line for line in printed.splitlines() if line.strip().startswith("small"))
    summary = json.loads((project / "work" / "tables" / "small" / "summary.json").read_text())
    assert f" {summary['recordings']} " in row
    assert " 4 " in row
    assert "gone" not in printed


def test_list_takes_roots_from_the_project_settings(call: Call, project: Path, small_root: Path) -> None:
    (project / "config" / "config.yaml").write_text(yaml.safe_dump({"roots": {"gone": str(small_root)}}))
    _, printed, _ = call("list", "gone")
    assert "(absent)" not in printed


def test_a_faulty_file_is_listed_with_its_fault_and_status_1(call: Call, project: Path) -> None:
    (project / "config" / "datasets" / "bad.yaml").write_text("description: x\nlayout: icbi\nroot: data\n")
    (project / "config" / "tasks" / "bad.yaml").write_text("description: x\n")
    status, printed, error = call("list")
    assert status == 1
    assert "small" in printed
    assert "bad.yaml: unknown layout 'icbi'; did you mean 'icbhi'?" in error
    assert "tasks/bad.yaml" in error


def test_layouts_have_a_line_each(call: Call) -> None:
    status, printed, _ = call("layouts")
    rows = {line.split()[0] for line in printed.splitlines() if line.strip()}
    assert status == 0
    assert set(LAYOUTS) <= rows
    assert "Any collection" in printed
    assert call("list", "--layouts")[1].endswith(printed)


def test_a_layout_is_shown_in_full(call: Call) -> None:
    _, printed, _ = call("layouts", "icbhi")
    assert "patient_diagnosis.csv" in printed
    assert "Known dirt" in printed


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("list", "smal"), ["unknown dataset 'smal'", "did you mean 'small'"]),
        (("describe", "smal"), ["did you mean 'small'"]),
        (("verify", "smal"), ["did you mean 'small'"]),
        (("layouts", "icbi"), ["did you mean 'icbhi'"]),
        (("describe", "gone"), ["there is no such folder", "--root FOLDER"]),
        (("verify", "gone"), ["there is no such folder", "--root FOLDER"]),
        (("verify", "small", "--root", "config"), ["no usable recording"]),
        (("describe", "small", "--root", "config/tasks/lungs.yaml"), ["is a file, expected a folder"]),
        (("describe", "small", "--out", "config"), ["is a folder, expected a file"]),
        (("describe", "small", "--out", "config/tasks/lungs.yaml"), ["is there already", "--force"]),
    ],
)
def test_a_mistake_ends_with_one_message_and_status_1(call: Call, arguments: tuple[str, ...], parts: list[str]) -> None:
    status, _, error = call(*arguments)
    assert status == 1
    assert error.startswith("error: ")
    assert "Traceback" not in error
    for part in parts:
        assert part in error


def test_describe_reads_the_root_when_there_are_no_tables_and_writes_nothing(call: Call, project: Path) -> None:
    before = sorted(project.rglob("*"))
    status, printed, _ = call("describe", "small")
    assert status == 0
    assert "of 4 patients" in printed
    assert "into a temporary folder: there are no tables in work/tables/small" in printed
    assert "Origin: Rocha et al." in printed
    assert sorted(project.rglob("*")) == before


def test_describe_uses_the_tables_when_they_are_there(call: Call, project: Path) -> None:
    read_small(project)
    assert "From work/tables/small" in call("describe", "small")[1]
    assert "temporary folder" in call("describe", "small", "--root", load_dataset(project / "config", "small").root)[1]


def test_describe_writes_one_page(call: Call, project: Path) -> None:
    status, printed, _ = call("describe", "small", "--out", "pages/small.html")
    assert status == 0
    assert "wrote pages/small.html" in printed
    assert (project / "pages" / "small.html").read_text().startswith("<!DOCTYPE html>")


def test_verify_ends_with_0_on_a_clean_dataset_and_1_on_another(call: Call, project: Path, small_root: Path) -> None:
    status, printed, _ = call("verify", "small")
    assert status == 0
    assert "Clean: every file was read" in printed
    read_small(project)
    other = project / "other"
    write_dataset("icbhi", other, n_patients=3, seed=4, duration_s=(3.0, 4.0))
    status, printed, _ = call("verify", "small", "--root", "other")
    assert status == 1
    assert "against work/tables/small: gained" in printed
    assert call("verify", "small", "--root", "other", "--no-compare")[0] == 0


def test_verify_prints_json_and_nothing_else(call: Call, small_root: Path) -> None:
    status, printed, _ = call("verify", "small", "--json")
    found = json.loads(printed)
    assert status == 0
    assert found["is_clean"] is True
    assert found["counts"]["recordings"] == len(list(small_root.rglob("*.wav")))


def test_verify_json_holds_the_error_of_a_missing_root(call: Call) -> None:
    status, printed, _ = call("verify", "gone", "--json")
    assert status == 1
    assert "there is no such folder" in json.loads(printed)["error"]


@pytest.mark.parametrize("arguments", [("list",), ("describe", "small", "--out", "p.html"), ("verify", "small")])
def test_no_command_imports_torch(project: Path, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from auscult.cli import app; sys.argv[0] = 'auscult'\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'mlflow', 'lightning_fabric'} & set(sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "data", *arguments], cwd=project, capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1] == "set()"


def test_help_needs_none_of_the_slow_libraries(project: Path) -> None:
    code = (
        "import sys; from auscult.cli import app; sys.argv[:] = ['auscult', 'data', '--help']\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print({'pandas', 'matplotlib', 'h5py', 'pandera', 'soundfile', 'gcsfs'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "set()"
