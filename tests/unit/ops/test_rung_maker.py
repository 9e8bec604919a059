"""The calls of the workflow: what is asked, what is left behind by a killed one, and what failed."""

import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from auscult.cli.tune import workflow_arguments
from auscult.errors import DataError
from auscult.ops.rung_maker import RungMaker
from auscult.storage.files import write_json

STUDY = Path("work/tune/t/e")
RECORD = STUDY / "state/snakemake.json"
STAND_IN = """
import sys
from pathlib import Path
Path("asked.txt").write_text(" ".join(sys.argv[1:]))
for name in sys.argv[sys.argv.index("--") + 1:]:
    if "bad" not in name:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("{}")
sys.exit(any("bad" in name for name in sys.argv))
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RungMaker:
    """Calls a stand-in for Snakemake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snakemake.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return RungMaker("t", "e", ["--cores", "2"], lambda _: None)


def rung(name: str) -> Path:
    return STUDY / "trials" / name / "seed0/epoch1.json"


def test_only_what_is_missing_is_asked_for(make: RungMaker) -> None:
    write_json(rung("0"), {})
    make([rung("0"), rung("1")])
    asked = Path("asked.txt").read_text()
    assert asked == f"--cores 2 --rerun-incomplete --keep-going -- {rung('1')}"
    assert rung("1").is_file() and not RECORD.exists()


def test_what_failed_is_named_with_its_log(make: RungMaker) -> None:
    with pytest.raises(DataError, match=r"1 of 2 trainings did not reach .*status 1\): .*trials/bad/seed0/epoch1.log"):
        make([rung("0"), rung("bad")])
    assert rung("0").is_file()


def record(process: subprocess.Popen) -> None:
    began_s = psutil.Process(process.pid).create_time()
    write_json(RECORD, {"host": platform.node(), "pid": process.pid, "began_s": began_s})


def test_a_call_whose_coordinator_was_killed_is_waited_for(make: RungMaker) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"]) as orphan:
        record(orphan)
        threading.Thread(target=orphan.wait, daemon=True).start()
        start_s = time.monotonic()
        make([rung("0")])
        assert time.monotonic() - start_s > 1.5 and rung("0").is_file()


def test_the_lock_of_a_killed_call_is_removed_and_that_of_others_stays(make: RungMaker) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        record(dead)
        dead.wait()
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    for number, name in enumerate((rung("0"), Path("results/t/other"))):
        (locks / f"{number}.output.lock").write_text(f"{name}\n")
        (locks / f"{number}.input.lock").write_text("data\n")
    make([rung("0")])
    assert sorted(path.name for path in locks.iterdir()) == ["1.input.lock", "1.output.lock"]


def test_where_the_workflow_runs() -> None:
    assert workflow_arguments(None, "all", None) == ["--cores", "all"]
    assert workflow_arguments("slurm-gpu", "all", ["--config", "device=cpu"]) == [
        "--profile",
        "slurm-gpu",
        "--config",
        "device=cpu",
    ]
    assert workflow_arguments(None, "all", ["--cores", "3"]) == ["--cores", "3"]
