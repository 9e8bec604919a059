"""Commands, hooks, versions and CI say the same."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import auscult


def test_make_alone_lists_every_target_with_what_it_does(project_dir: Path) -> None:
    listed = subprocess.run(["make"], cwd=project_dir, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^\.PHONY: (\S+)$", (project_dir / "Makefile").read_text(), re.MULTILINE)
    described = dict(re.findall(r"^  make (\S+) +(\S.*)$", listed, re.MULTILINE))
    assert len(targets) > 10
    assert list(described) == targets
    assert targets[0] == "help"
    assert "\033" not in listed
    assert max(map(len, listed.splitlines())) <= 110


def test_the_hooks_are_valid_and_run_the_pinned_tools_offline(project_dir: Path) -> None:
    file = project_dir / ".pre-commit-config.yaml"
    valid = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", str(file)], capture_output=True, text=True, check=False
    )
    assert valid.returncode == 0, valid.stdout + valid.stderr
    (repository,) = yaml.safe_load(file.read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(program).name).exists()


def test_each_hook_of_files_passes_a_file_as_it_stands(project_dir: Path, tmp_path: Path) -> None:
    """A hook that is called wrongly fails at every commit."""
    for name in ("pyproject.toml", "Snakefile", "src/auscult/__init__.py", "tools/refuse_patient_data.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_dir / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (repository,) = yaml.safe_load((project_dir / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for hook in repository["hooks"] if hook.get("pass_filenames", True)]
    for hook in hooks:
        file = "Snakefile" if "Snakefile" in hook.get("files", "") else "src/auscult/__init__.py"
        command = [*hook["entry"].split(), file]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        assert (tmp_path / file).read_bytes() == (project_dir / file).read_bytes()
    assert len(hooks) == 4


def test_ci_of_github_calls_what_a_change_must_pass(project_dir: Path) -> None:
    jobs = yaml.safe_load((project_dir / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert [step["run"] for job in jobs.values() for step in job["steps"] if step.get("run") == ".ci/run"] == [
        ".ci/run"
    ]
    assert os.access(project_dir / ".ci" / "run", os.X_OK)


def test_changelog_citation_and_package_name_one_version(project_dir: Path) -> None:
    changelog = (project_dir / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(auscult.__version__)} - \d{{4}}-\d\d-\d\d", headings[1])
    assert yaml.safe_load((project_dir / "CITATION.cff").read_text())["version"] == auscult.__version__


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-docs.lock"])
def test_locks_are_sorted_and_pin_every_package_once(project_dir: Path, lock: str) -> None:
    lines = (project_dir / lock).read_text().splitlines()[1:]
    names = [line.partition("==")[0] for line in lines]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[\w.+]+", line) for line in lines)
    assert names == sorted(set(names))


def test_both_locks_pin_the_same_version_of_what_both_need(project_dir: Path) -> None:
    pins = [
        dict(line.split("==") for line in (project_dir / name).read_text().splitlines()[1:] if line)
        for name in ("requirements.lock", "requirements-docs.lock")
    ]
    common = pins[0].keys() & pins[1].keys()
    assert "ruff" in common
    assert {name: pins[0][name] for name in common} == {name: pins[1][name] for name in common}
