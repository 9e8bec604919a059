"""Containerfile and apptainer.def are one recipe, of the same lock as .venv."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Recipe:
    base: str = ""
    files: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)


def lines_of(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def read_containerfile(path: Path) -> Recipe:
    recipe = Recipe()
    for line in lines_of(path):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            recipe.base = rest
        elif word == "COPY":
            *sources, target = rest.split()
            recipe.files += [(source, target) for source in sources]
        elif word == "RUN":
            recipe.commands.append(rest)
        elif word == "ENV":
            recipe.environment += rest.split()
        else:
            pytest.fail(f"{path.name}: {line!r} is not understood by this test; teach it both recipes")
    return recipe


def read_definition(path: Path) -> Recipe:
    recipe, section = Recipe(), ""
    for line in lines_of(path):
        if line.startswith("%"):
            section = line
        elif section == "%files":
            source, target = line.split()
            recipe.files.append((source, target))
        elif section == "%post":
            recipe.commands += [] if line == "set -e" else [line]
        elif section == "%environment":
            recipe.environment += line.removeprefix("export ").split()
        elif line.startswith("From: "):
            recipe.base = line.removeprefix("From: ")
        elif line != "Bootstrap: docker":
            pytest.fail(f"{path.name}: {line!r} is not understood by this test; teach it both recipes")
    return recipe


@pytest.fixture
def recipe(project_dir: Path) -> Recipe:
    return read_containerfile(project_dir / "Containerfile")


def test_both_recipes_are_one(recipe: Recipe, project_dir: Path) -> None:
    assert read_definition(project_dir / "apptainer.def") == recipe


def test_the_recipe_installs_what_make_install_does(recipe: Recipe, project_dir: Path) -> None:
    # Both through pip: the lock whole, then the project alone, built with what the lock brought.
    installs = re.findall(r"-m pip install (.*)", (project_dir / "Makefile").read_text())
    assert [options_of(text) for text in installs[:2]] == [
        {"-r requirements.lock"},
        {"--no-deps", "--no-build-isolation", "--editable ."},
    ]
    assert [options_of(text.removeprefix("pip install ")) for text in recipe.commands if "pip" in text] == [
        {"-r /opt/auscult/requirements.lock"},
        {"--no-deps", "--no-build-isolation", "/opt/auscult"},
    ]
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm", recipe.base)


def options_of(text: str) -> set[str]:
    """What an installation by pip asks for, but for what it says and where it keeps files."""
    text = re.sub(r"--(quiet|disable-pip-version-check|no-cache-dir) ?", "", text).replace("--requirement", "-r")
    return set(re.findall(r"-r \S+|--editable \S+|\S+", text))


def test_a_build_is_sent_what_it_copies_and_no_data(recipe: Recipe, project_dir: Path) -> None:
    lines = lines_of(project_dir / ".containerignore")
    assert lines[0] == "*"
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert sent == {source for source, _ in recipe.files}
    assert all((project_dir / name).exists() for name in sent)
