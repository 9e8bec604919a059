"""Three commands and no page: an unknown folder is drafted, verified, and leads to a report, as the commands stand."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.lab_collections import WRITERS
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import load_task

COLLECTIONS = ("coughs", "raters", "ward", "visits", "wide", "phones")
SNAKEMAKE = "snakemake --cores all "


def _run(command: str) -> str:
    """Run an auscult command as it is typed, in this process, which has the libraries loaded."""
    program, *arguments = shlex.split(command)
    assert program == "auscult"
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1200)  # three minutes where nothing else runs
def test_three_commands_lead_from_a_folder_to_a_report(
    workflow_dir: Path, real_data: Path, snakemake, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    monkeypatch.chdir(workflow_dir)
    names = COLLECTIONS if soak else COLLECTIONS[:1]
    for name in names:
        WRITERS[name](Path("collections") / name, np.random.default_rng(3))
    drafts = [f"auscult data draft collections/{name} --yes" for name in names]
    # The project has a dataset of the folder's name already.
    drafts.append(f"auscult data draft {real_data / 'fsdd'} --yes --name spoken")
    results: list[str] = []
    for command in drafts:
        verify, run = (line.strip() for line in _run(command).split("Next:\n")[1].splitlines())
        _run(verify)
        assert run.startswith(SNAKEMAKE)
        results.append(run.removeprefix(SNAKEMAKE))
    # One call in place of many: Snakemake starts once. Threads that wait for each other are slow on a busy machine.
    made = snakemake(*results, "--set-threads", "train=1")
    assert made.returncode == 0, made.stdout[-6000:]
    for result in map(Path, results):
        assert f"A first look at {result.name}" in (result / "report.html").read_text(encoding="utf-8")
        predictions = pd.read_parquet(result / "1" / "predictions.parquet")
        assert set(predictions["split"]) == {"val", "test"}
        for target in load_task(Path("config"), result.parent.name).targets:
            assert set(predictions[f"target_{target}"].dropna()) == {0, 1}
