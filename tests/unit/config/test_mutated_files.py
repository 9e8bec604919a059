"""Seeded mutations of all YAML and JSON that ships: each is read, or refused by one message; no traceback, no hang."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.deadline import at_most

from auscult.config.claims import load_claims
from auscult.config.project import load_dataset, project_settings
from auscult.config.resolve import load_experiment, load_task
from auscult.errors import AuscultError, UnreadableError
from auscult.storage.files import read_json

ROOT = Path(__file__).parents[3]
SOAK = (pytest.mark.slow, pytest.mark.soak)
SLOWEST_S = 5
VALUES = (
    "yes", "no", "on", "~", "null", "true", "0123", "12:30", "1_000", "1e999", "-.inf", ".nan", "-1", "0", "3.7", "''",
    "2026-02-30", "!!int abc", "!!bool foo", "!!timestamp 2026-02-30", "!!map [1]", "!!seq {a: 1}", "!!set {a, b}",
    "!!omap [a: 1]", "!!binary x", "!!python/object:os.system x", "9" * 5000, "x" * 5000, "[" * 1000, "{}", "[]",
    "[[1, 2], [3]]", "{a: {b: c}}", "{<<: 3}", "&a [*a]", "*b", "|\n  text", "? [1]", "\x00", "\ufeff", "é",
    "\U0001f637", "../../x", "/", "=1+1", "<b>", "$(id)", "{task: pneumonia}", "{preset: x}", "{name: x}", "[{}]",
    "[null]", "{1: 2}",
)  # fmt: skip


def with_fault(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Return the lines of a file with one fault."""
    at, other = rng.integers(0, len(lines), 2).tolist()
    value, line = str(rng.choice(np.array(VALUES, dtype=object))), lines[at]
    place = int(rng.integers(0, len(line) + 1))
    marks = "".join(rng.choice(list("{}[]:,&*!|>'\"%@`#-?\t "), 2).tolist())
    changed: list[str | list[str]] = [
        re.sub(r"(:\s+).*$", lambda found: found[1] + value, line),
        re.sub(r"[\w.-]+(?=[,\]}])", lambda _: value, line, count=1),
        re.sub(r"[\w-]+:", lambda _: f"{value[:20]}:", line, count=1),
        line + marks,
        " " * int(rng.integers(1, 5)) + line,
        line.lstrip(),
        line[:place] + chr(int(rng.integers(0, 0x250))) + line[place + 1 :],
        [],
        [line, line],
        [lines[other], line],
        [line[:place], *[""] * (len(lines) - at)],
    ]
    found = changed[int(rng.integers(len(changed)))]
    if isinstance(found, list):
        return [*lines[:at], *found, *lines[at + max(1, len(found) - 1) :]]
    return [*lines[:at], found, *lines[at + 1 :]]


def mutated(text: str, rng: np.random.Generator) -> str:
    """Return a text with one to three faults."""
    lines = text.split("\n")
    for _ in range(int(rng.integers(1, 4))):
        lines = with_fault(lines, rng) or [""]
    return "\n".join(lines)


def read_as_the_workflow_does(path: Path, config: Path) -> None:
    """Read a file of `config`."""
    kind = path.relative_to(config).parts[0]
    if kind == "datasets":
        load_dataset(config, path.stem)
    elif kind == "tasks":
        load_task(config, path.stem)
    elif path.name == "claims.yaml":
        load_claims(path.parent, "task11")
    elif kind == "experiments":
        load_experiment(config, path.parent.name, path.stem)
    elif path.name == "config.yaml":
        project_settings(config)
    else:
        load_experiment(config, "pneumonia", "train2356")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ROOT / "config", tmp_path_factory.mktemp("mutated") / "config"))


@pytest.mark.parametrize("n_files", [200, pytest.param(5000, marks=SOAK)])
def test_a_mutated_file_is_read_or_refused_in_one_message(config: Path, n_files: int) -> None:
    rng = np.random.default_rng(19)
    paths = sorted(path for path in config.rglob("*.yaml"))
    n_refused = 0
    for number in range(n_files):
        path = paths[int(rng.integers(len(paths)))]
        original = path.read_text(encoding="utf-8")
        text = mutated(original, rng)
        try:
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            with at_most(SLOWEST_S):
                read_as_the_workflow_does(path, config)
        except AuscultError as error:
            n_refused += 1
            assert str(error).startswith((str(config), "task", "dataset", "experiment")), f"{number}: {error}"
            assert len(str(error)) < 20_000
        except Exception as error:
            raise AssertionError(
                f"mutation {number} of {path.name}: {type(error).__name__}: {error}\n{text}"
            ) from error
        finally:
            path.write_text(original, encoding="utf-8")
    assert n_refused > 20


@pytest.mark.parametrize("n_files", [50, pytest.param(1000, marks=SOAK)])
def test_mutated_json_is_read_or_refused_in_one_message(tmp_path: Path, n_files: int) -> None:
    rng = np.random.default_rng(20)
    folders = (ROOT / name for name in ("tests/golden", "bench", "config/schema"))
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*.json"))]
    path, n_refused = tmp_path / "x.json", 0
    for number in range(n_files):
        text = "\n".join(texts[int(rng.integers(len(texts)))].splitlines()[:400])
        path.write_text(mutated(text, rng), encoding="utf-8", errors="surrogatepass")
        try:
            with at_most(SLOWEST_S):
                read_json(path)
        except UnreadableError as error:
            n_refused += 1
            assert str(error).startswith(str(path)), f"{number}: {error}"
    assert n_refused > 10
