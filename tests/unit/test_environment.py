import re
import tomllib
from pathlib import Path

import yaml


def normalised(requirement: str) -> str:
    return re.split(r"[\[=<>! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_conda_installs_the_pins_of_the_lock(project_dir: Path) -> None:
    environment = yaml.safe_load((project_dir / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip[0] == "-r requirements.lock"
    # Beside Python and pip, conda itself installs nothing: no package can differ from the lock.
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert plain == ["python=3.11", "pip"]


def test_every_dependency_is_pinned_exactly(project_dir: Path) -> None:
    lines = [line for line in (project_dir / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+", line) for line in lines)
    pinned = {normalised(line) for line in lines}
    project = tomllib.loads((project_dir / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {normalised(requirement) for requirement in declared} <= pinned
