"""A small result by jobs in a container: the data here, training and evaluation on a real Slurm."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.watching import Controllers, Training, list_jobs
from tests.workflow.conftest import run_snakemake

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
USER = {**os.environ, "USER": "root"}  # ch-run asks for a name
PACKAGES = "base-files,bash,dash,coreutils,python3.11-minimal,libpython3.11-stdlib,libstdc++6"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian of its own with Python 3.11, and none of the packages."""
    missing = [name for name in ("ch-run", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found; apt-get install charliecloud mmdebstrap")
    folder = tmp_path_factory.mktemp("image") / "auscult"
    made = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={PACKAGES}", "bookworm", str(folder)]
    subprocess.run(made, check=True, timeout=600)
    for name in ("etc/passwd", "etc/group"):  # ch-run lays its own over them
        (folder / name).touch()
    (folder / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3.11")
    works = subprocess.run(["ch-run", folder, "--", "true"], capture_output=True, text=True, check=False, env=USER)
    if works.returncode != 0:
        pytest.skip(f"no container can be started here: {works.stderr.strip()}")
    return folder


@pytest.fixture
def box(image: Path, tmp_path: Path, project_dir: Path) -> dict[str, str]:
    """The environment in which Snakemake finds the image, and what stands in for Apptainer."""
    adapter = tmp_path / "bin" / "apptainer"
    adapter.parent.mkdir()
    shutil.copy2(Path(__file__).with_name("apptainer"), adapter)
    data = project_dir / "data"
    return {
        "AUSCULT_CONTAINER_ARGS": f"--bind {data.resolve()}:{data}",
        "AUSCULT_CONTAINER": str(image),
        "PATH": f"{adapter.parent}:{os.environ['PATH']}",
        "BOX_PACKAGES": sysconfig.get_path("purelib"),
        "BOX_LOG": str(tmp_path / "commands.txt"),
    }


def test_a_result_is_made_in_a_container_here_and_on_slurm(
    controllers: Controllers,
    make_experiment: Callable[..., Training],
    project_dir: Path,
    image: Path,
    box: dict[str, str],
) -> None:
    cluster_workflow = controllers.folder
    # The image has no auscult: the code is that of the working folder, as in a clone.
    shutil.copytree(project_dir / "src", cluster_workflow / "src", ignore=shutil.ignore_patterns("__pycache__"))
    make_experiment("boxed", 2)
    target = "results/pneumonia/boxed"

    first = ("--until", "make_spectrograms", "make_split", "--forceall")
    done = run_snakemake(cluster_workflow, target, "--profile", "profiles/container", *first, **box)
    assert done.returncode == 0, done.stdout
    here = ran_in_box(box)
    assert set(here) == {"ingest", "make_split", "cut_clips", "make_spectrograms"}

    controller = controllers.start("slurm-gpu", target, **box)
    assert controller.wait(timeout=600) == 0, controller.said()[-4000:]
    assert set(ran_in_box(box)[len(here) :]) == {"train", "evaluate", "track", "publish"}  # nothing was made again
    assert [job.state for job in list_jobs("train", "boxed")] == ["COMPLETED"]
    version = subprocess.run(
        ["ch-run", image, "--", "python", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
        env=USER,
    ).stdout.strip()
    provenance = json.loads((cluster_workflow / target / "provenance.json").read_text())
    assert provenance["python"] == version

    # Without the image there is nothing to make again either, and a profile that asks for one says what is missing.
    again = run_snakemake(cluster_workflow, target, "--dry-run")
    assert "Nothing to be done" in again.stdout, again.stdout
    refused = run_snakemake(cluster_workflow, target, "--profile", "profiles/container", "--dry-run")
    assert refused.returncode == 1
    assert "no image is named; build one (docs/cluster.md), and export AUSCULT_CONTAINER" in refused.stdout


def ran_in_box(box: dict[str, str]) -> list[str]:
    """The scripts that ran in the image, in their order."""
    lines = Path(box["BOX_LOG"]).read_text().splitlines()
    return [line.rpartition("/")[2].split(".")[-2] for line in lines if ".py" in line]
