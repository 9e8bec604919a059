"""The picture of docs/architecture.md says what is true."""

import tomllib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

Tool = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def architecture(tool: Tool) -> ModuleType:
    return tool("docs/architecture.py")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pictures_are_those_that_the_program_draws(
    architecture: ModuleType, project_dir: Path, scheme: str
) -> None:
    drawn = architecture.picture(architecture.COLOURS[scheme])
    stored = (project_dir / "docs" / f"architecture-{scheme}.svg").read_text()
    assert stored == drawn, "run: python tools/docs/architecture.py"


def test_the_arrows_are_rules_of_the_workflow(architecture: ModuleType, project_dir: Path) -> None:
    rules = {path.stem for path in (project_dir / "workflow_scripts").glob("*.py")}
    drawn = architecture.picture(architecture.COLOURS["light"])
    arrows = {part.split("</text>")[0] for part in drawn.split('class="rule"')[1:]}
    names = {arrow.split(">")[1] for arrow in arrows}
    assert len(names) == 8
    assert names <= rules


def test_every_package_stands_in_the_picture(architecture: ModuleType, project_dir: Path) -> None:
    source = project_dir / "src" / "auscult"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    drawn = {name for layer in architecture.LAYERS.values() for name in layer}
    assert packages <= drawn
    assert all(name in packages or (source / f"{name}.py").is_file() for name in drawn)


def test_no_package_stands_above_one_that_imports_it(architecture: ModuleType, project_dir: Path) -> None:
    settings = tomllib.loads((project_dir / "pyproject.toml").read_text())
    contract = next(each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    held = {name.strip(): depth for depth, layer in enumerate(contract["layers"]) for name in layer.split("|")}
    layers = list(architecture.LAYERS.values())
    above_below = [(high, low) for upper, lower in combinations(layers, 2) for high in upper for low in lower]
    assert [pair for pair in above_below if held[pair[0]] > held[pair[1]]] == []
