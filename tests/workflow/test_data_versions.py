"""Going to another version of the data and back, with the commands of docs/data.md: what was made stays good."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
Shell = Callable[[str], str]


@pytest.fixture
def shell(workflow_dir: Path, project_dir: Path) -> Shell:
    """Run a command in the copied workflow, which is a repository of its own with two versions of its data in DVC.

    The tag `first` is the demo; in the second version, which is checked out, one recording is gone, one changed.
    """
    (workflow_dir / "data").unlink()
    shutil.copytree(project_dir / "data", workflow_dir / "data")
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(workflow_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "DVC_NO_ANALYTICS": "1",
    }

    def run(command: str) -> str:
        done = subprocess.run(
            command.split(" "),
            cwd=workflow_dir,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    run("git init -q -b main")
    run("dvc init -q")
    (workflow_dir / ".gitignore").write_text("/data\n/work\n/logs\n/benchmarks\n/.snakemake\n/.cache\n")
    run("dvc add -q data")
    run("git add .")
    run("git commit -q -m first")
    run("git tag first")
    gone, changed, *_ = sorted((workflow_dir / "data" / "bd").rglob("*.wav"))
    gone.unlink()
    sound = changed.read_bytes()
    changed.unlink()  # DVC's files may be links to its cache
    changed.write_bytes(sound[:44] + bytes(len(sound) - 44))
    run("dvc add -q data")
    run("git commit -q -a -m second")
    return run


def go_to(shell: Shell, version: str) -> None:
    shell(f"git checkout -q {version} -- data.dvc")
    shell("dvc checkout -q")
    assert "up to date" in shell("dvc status")


@pytest.mark.slow
def test_a_checkout_of_another_version_and_back_reruns_nothing(
    workflow_dir: Path, tiny_experiment: str, snakemake, shell: Shell, tmp_path_factory
) -> None:
    go_to(shell, "first")
    planned = snakemake("--dry-run", tiny_experiment).stdout
    stores = sorted(set(re.findall(r"work/features/\w+/[^\s,]+\.h5", planned)))
    shared = {"SNAKEMAKE_OUTPUT_CACHE": str(tmp_path_factory.mktemp("cache"))}
    assert snakemake(*stores, "--cache", **shared).returncode == 0
    made = {path: (workflow_dir / path).read_bytes() for path in stores}
    wavs = {path.name: path.stat().st_size for path in (workflow_dir / "data").rglob("*.wav")}

    # Looked at, and left again.
    go_to(shell, "main")
    assert {path.name for path in (workflow_dir / "data").rglob("*.wav")} < set(wavs)
    other = snakemake("--dry-run", *stores).stdout
    assert re.search(r"^ingest +2$", other, flags=re.MULTILINE), other
    go_to(shell, "first")
    assert {path.name: path.stat().st_size for path in (workflow_dir / "data").rglob("*.wav")} == wavs
    assert "Nothing to be done" in snakemake(*stores).stdout

    # Used in between: its clips differ, and those of the first version are not computed again.
    go_to(shell, "main")
    second = snakemake(*stores, "--cache", **shared)
    assert second.returncode == 0, second.stdout
    assert any((workflow_dir / path).read_bytes() != made[path] for path in stores)
    go_to(shell, "first")
    back = snakemake(*stores, "--cache", **shared)
    assert back.returncode == 0, back.stdout
    assert back.stdout.count("from cache") == 2 * len(stores)
    assert "Moving output file" not in back.stdout
    assert {path: (workflow_dir / path).read_bytes() for path in stores} == made
    assert "Nothing to be done" in snakemake(*stores).stdout
