"""`auscult explain` of a workflow that was never run."""

import subprocess
import sys
from pathlib import Path


def test_what_a_first_run_does_is_explained(tiny_experiment: str, workflow_dir: Path) -> None:
    auscult = [sys.executable, "-c", "from auscult.cli import main; main()"]
    command = [*auscult, "explain", tiny_experiment, "--", "--config", "device=cpu"]
    done = subprocess.run(command, cwd=workflow_dir, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("Training pneumonia/tiny, job 2", "Publishing results/pneumonia/tiny", "not made yet", "unknown"):
        assert part in done.stdout
    assert "without an estimate" in done.stdout
    assert not (workflow_dir / "work").exists()
