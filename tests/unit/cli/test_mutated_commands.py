"""Seeded mutations of command lines: done, or refused by a message; no traceback, no hang, nothing overwritten."""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.deadline import at_most
from tests.unit.inference.conftest import job_of, save
from typer.testing import CliRunner

from auscult.cli import app, fault_of

ROOT = Path(__file__).parents[3]
SOAK = (pytest.mark.slow, pytest.mark.soak)
SLOWEST_REFUSAL_S = 5
LONGEST_S = 120
COMMANDS = (
    "data list *bhi --config config", "data layouts manifest", "data describe small --out page.html --config config",
    "data verify small --json --config config", "data draft raw --yes --out draft.yaml --name fresh --task ill",
    "data fetch small --config config", "experiment list --config config", "models list *cnn* --no-counts --mels 32",
    "experiment show pneumonia/train2356 --job 2 --config config", "augment list", "watch runs --once --interval 1",
    "experiment create fresh --from-study pneumonia/train2356", "experiment rerun results/x --set train.epochs=5",
    "models inspect model/model.safetensors", "checklist results/x --all", "verify results/x", "schema --out schema",
    "sync results/x --uri sqlite:///x.db --runs runs --config config", "freeze pneumonia/train2356 --metric auroc",
    "predict model raw/a.wav --out answers.csv --device cpu", "predict model raw --format json --channel 0 --batch 2",
    "predict model raw/a.wav --plot plots --out answers.json", "embed model raw --out features --layer head",
    "embed model small --out features --config config", "evaluate model --dataset small --out judged --config config",
    "compare results/x results/y --out page.html", "probes results/x --out page.html", "events send runs",
    "export model --onnx --out exported --audio gone", "augment preview pneumonia/train2356 --job 1 --out page.html",
    "simulate dataset icbhi --out new --patients 1 --shortest 1 --longest 1", "--version", "--help", "tune run x/y",
)  # fmt: skip
WORDS = (
    "", " ", "-", "--", "-x", "--out", "--force", "--config", "--job", "nope", "model", "raw", "raw/a.wav", "table.csv",
    "config", "loop", "loop/x", "gone", "/dev/null", "/proc/self/mem", "/", ".", "..", "~", "../../../x", "a/b/c",
    "x" * 300, "pneumonia/train2356", "*", "[", "{}", "yes", "0", "-1", "1e999", "nan", "9" * 400, "\u202e",
    "é", "a\nb", "=1+1", "$(id)", "<b>", "gs://", "gs://x/y", "sqlite:///", "http://[", "train.epochs=[", "=", "x=",
)  # fmt: skip


OTHERS = {"run", "--run", "reproduce", "explain", "pull", "push", "lr", "batch", "listen"}
"""They start other programs, or wait for what comes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(ROOT / "config", folder / "config")
    save(folder / "model", job_of())
    (folder / "raw").mkdir()
    rng = np.random.default_rng(3)
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / "raw" / name, 0.1 * rng.standard_normal(4000), 2000)
    (folder / "config" / "datasets" / "small.yaml").write_text("description: x\nroot: raw\nlayout: manifest\n")
    (folder / "table.csv").write_text("kept\n")
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("nowhere")
    return folder


def mutated(words: list[str], rng: np.random.Generator) -> list[str]:
    """Return a command line with one to three faults."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        at, other = rng.integers(0, len(words), 2).tolist() if words else (0, 0)
        at = max(at, min(len(words) - 1, int(rng.integers(3))))  # seldom the command itself
        word = str(rng.choice(np.array(WORDS, dtype=object)))
        words = [
            [*words[:at], word, *words[at + 1 :]],
            [*words[:at], word, *words[at + 1 :]],
            [*words[:at], word, *words[at:]],
            [*words[:at], *words[at + 1 :]],
            [*words, *words[other : other + 1]],
            [*words[:at], *(["".join(words[at : at + 1])[: int(rng.integers(0, 9))]]), *words[at + 1 :]],
        ][int(rng.integers(6))]
    return words


def kept(folder: Path) -> dict[str, bytes]:
    """Return what must not change: all files that are there before any command."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def clean(folder: Path, before: dict[str, bytes]) -> list[str]:
    """Remove what a command made; return the files that it changed, and temporary ones that it left."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    new = [path for path in found if str(path) not in before]
    left = [str(path) for path in new if ".tmp" in path.name]
    for path in new:
        path.unlink()
    changed = [
        path for path, content in before.items() if not Path(path).is_file() or Path(path).read_bytes() != content
    ]
    for path in changed:
        Path(path).write_bytes(before[path])
    return changed + left


def fault_in(words: list[str], world: Path, before: dict[str, bytes]) -> str | None:
    """Return what is wrong with how a command line ended; None: nothing."""
    start_s = time.process_time()
    with at_most(LONGEST_S):
        result = CliRunner().invoke(app, words, env={"COLUMNS": "20", "HOME": str(world)})
    error = result.exception
    if error is not None and not isinstance(error, SystemExit) and fault_of(error) is None:
        return f"{type(error).__name__}: {error}"
    changed, taken_s = clean(world, before), time.process_time() - start_s
    if changed and "--force" not in words:
        return f"changed {changed}"
    return f"refused after {taken_s:.1f} s" if result.exit_code and taken_s > SLOWEST_REFUSAL_S else None


@pytest.mark.parametrize("n_lines", [50, pytest.param(1000, marks=SOAK)])
def test_a_mutated_command_line_is_done_or_refused_in_one_message(
    world: Path, monkeypatch: pytest.MonkeyPatch, n_lines: int
) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setattr(sys, "argv", ["auscult"])
    rng, before = np.random.default_rng(19), kept(world)
    for number in range(n_lines):
        words = mutated(str(rng.choice(np.array(COMMANDS, dtype=object))).split(), rng)
        if OTHERS & set(words) or ("watch" in words and "--once" not in words):
            continue
        fault = fault_in(words, world, before)
        assert fault is None, f"{number}: auscult {words}: {fault}"
        os.chdir(world)
