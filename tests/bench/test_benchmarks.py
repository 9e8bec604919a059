"""Every benchmark runs on tiny input, and finds its results equal to the peer's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ["throughput", "spectrograms", "augment", "audiomentations", "training", "embedding", "intervals"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    output = tmp_path_factory.mktemp("bench") / "table.json"
    run = bench("--tiny", "--output", str(output))
    assert run.returncode == 0, run.stdout + run.stderr
    table = json.loads(output.read_text())
    return {f"{row['title']} | {row['peer']}": row for row in table["rows"]}


def test_every_subject_compares_something_and_every_ratio_is_a_positive_number(rows: dict[str, dict]) -> None:
    subjects = {title.split("/")[0] for title in rows}
    assert subjects == {"throughput", "spectrograms", "waveform", "spectrogram", "training", "embedding", "intervals"}
    assert all(row["ratio"] > 0 for row in rows.values())


def test_the_committed_table_names_no_row_that_is_measured_no_more(rows: dict[str, dict]) -> None:
    committed = json.loads((ROOT / "bench" / "results.json").read_text())["rows"]
    # Tiny mode trains no model of timm; a peer may not be installed.
    kept = [
        row for row in committed if row["peer"] != "audiomentations" and not row["title"].startswith("training/timm")
    ]
    assert {f"{row['title']} | {row['peer']}" for row in kept} <= set(rows)


def test_the_makefile_runs_all_benchmarks_and_a_name_that_is_none_is_refused() -> None:
    assert "\tpython -m bench\n" in (ROOT / "Makefile").read_text()
    run = bench("speed")
    assert run.returncode == 2
    assert f"no benchmark speed; there are {', '.join(BENCHMARKS)}" in run.stderr
