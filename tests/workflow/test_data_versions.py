"""Going to another version of the data and back, with the commands of docs/data.md: what was made stays good."""

import re
import shutil
from pathlib import Path

import pytest
from tests.workflow.repository import Repository


@pytest.fixture
def repository(workflow_dir: Path, project_dir: Path) -> Repository:
    """The copied workflow as a repository of its own, with two versions of its data in DVC.

    The tag `first` is the demo; in the second version, which is checked out, one recording is gone, one changed.
    """
    (workflow_dir / "data").unlink()
    shutil.copytree(project_dir / "data", workflow_dir / "data")
    repository = Repository(workflow_dir, workflow_dir)
    repository("git init -q -b main")
    repository("dvc init -q")
    (workflow_dir / ".gitignore").write_text("/data\n/work\n/logs\n/benchmarks\n/.snakemake\n/.cache\n")
    repository("dvc add -q data")
    repository("git add .")
    repository("git commit -q -m first")
    repository("git tag first")
    gone, changed, *_ = sorted((workflow_dir / "data" / "bd").rglob("*.wav"))
    gone.unlink()
    sound = changed.read_bytes()
    changed.unlink()  # DVC's files may be links to its cache
    changed.write_bytes(sound[:44] + bytes(len(sound) - 44))
    repository("dvc add -q data")
    repository("git commit -q -a -m second")
    return repository


def go_to(repository: Repository, version: str) -> None:
    repository(f"git checkout -q {version} -- data.dvc")
    repository("dvc checkout -q")
    assert "up to date" in repository("dvc status")


@pytest.mark.slow
def test_a_checkout_of_another_version_and_back_reruns_nothing(
    workflow_dir: Path, stores: list[str], snakemake, repository: Repository, tmp_path_factory
) -> None:
    go_to(repository, "first")
    shared = {"SNAKEMAKE_OUTPUT_CACHE": str(tmp_path_factory.mktemp("cache"))}
    assert snakemake(*stores, "--cache", **shared).returncode == 0
    made = {path: (workflow_dir / path).read_bytes() for path in stores}
    wavs = {path.name: path.stat().st_size for path in (workflow_dir / "data").rglob("*.wav")}

    # Looked at, and left again.
    go_to(repository, "main")
    assert {path.name for path in (workflow_dir / "data").rglob("*.wav")} < set(wavs)
    other = snakemake("--dry-run", *stores).stdout
    assert re.search(r"^ingest +2$", other, flags=re.MULTILINE), other
    go_to(repository, "first")
    assert {path.name: path.stat().st_size for path in (workflow_dir / "data").rglob("*.wav")} == wavs
    assert "Nothing to be done" in snakemake(*stores).stdout

    # Used in between: its clips differ, and those of the first version are not computed again.
    go_to(repository, "main")
    second = snakemake(*stores, "--cache", **shared)
    assert second.returncode == 0, second.stdout
    assert any((workflow_dir / path).read_bytes() != made[path] for path in stores)
    go_to(repository, "first")
    back = snakemake(*stores, "--cache", **shared)
    assert back.returncode == 0, back.stdout
    assert back.stdout.count("from cache") == 2 * len(stores)
    assert "Moving output file" not in back.stdout
    assert {path: (workflow_dir / path).read_bytes() for path in stores} == made
    assert "Nothing to be done" in snakemake(*stores).stdout
