import os
import shutil
import socket
import subprocess
from collections import namedtuple

import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import TrackingSettings
from auscult.datasets.bucket import BucketError
from auscult.errors import ConfigError
from auscult.ops import doctor
from auscult.ops.slurm import check_slurm, read_profile

GIT = shutil.which("git")
SINFO = 'echo "cpu|1-00:00:00"; echo "gpu|2-00:00:00"'
SCONTROL = 'echo "MinJobAge               = 300 sec"'
SRUN = 'echo "devices=0"; echo "auscult=here"'
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def project(project_dir, tmp_path, monkeypatch):
    """A project's folder, and a PATH that holds nothing but what a test puts there."""
    shutil.copytree(project_dir / "slurm-gpu", tmp_path / "slurm-gpu")
    shutil.copytree(project_dir / "config", tmp_path / "config")
    shutil.copyfile(project_dir / "requirements.lock", tmp_path / "requirements.lock")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "sleep"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in [name for name in os.environ if name.startswith("AUSCULT_")]:
        monkeypatch.delenv(name)
    return tmp_path


def command(project, name, script):
    path = project / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def cluster(project, sinfo=SINFO, scontrol=SCONTROL, srun=SRUN):
    for name, script in {"sinfo": sinfo, "scontrol": scontrol, "srun": srun}.items():
        command(project, name, script)


def slurm(project, **settings):
    return {finding.check: finding for finding in check_slurm(project, **{"wait_s": 1.0, **settings})}


def states(findings):
    return {name: finding.state for name, finding in findings.items()}


def test_a_cluster_that_is_as_the_profile_wants_it(project):
    cluster(project)
    found = slurm(project)
    assert set(states(found).values()) == {"ok"}
    assert found["GPU in a job"].text == "sees device 0, and this project's .venv"
    assert states(slurm(project, runs_job=False))["GPU in a job"] == "skipped"


def test_without_slurm_its_checks_are_skipped(project):
    found = slurm(project)
    assert found.pop("cluster profile").state == "ok"
    assert set(states(found).values()) == {"skipped"}
    assert "no Slurm here" in found["Slurm"].text


def test_a_slurm_that_does_not_answer_is_one_fault(project):
    cluster(project, sinfo="echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    found = slurm(project)
    assert (found["Slurm"].state, found["GPU in a job"].state) == ("failed", "skipped")
    assert "Unable to contact slurm controller" in found["Slurm"].text
    assert "scontrol ping" in found["Slurm"].remedy


def test_a_partition_of_another_name_is_found_out_with_the_nearest(project, monkeypatch):
    cluster(project, sinfo='echo "cpu|infinite"; echo "gpus|infinite"')
    found = slurm(project)
    assert (found["CPU partition"].state, found["GPU in a job"].state) == ("ok", "skipped")
    assert "did you mean 'gpus'?" in found["GPU partition"].text
    assert found["GPU partition"].remedy == "export AUSCULT_GPU_PARTITION=gpus"
    monkeypatch.setenv("AUSCULT_GPU_PARTITION", "gpus")
    assert states(slurm(project))["GPU partition"] == "ok"


def test_a_partition_with_a_shorter_limit_is_told_with_the_setting(project, monkeypatch):
    cluster(project, sinfo='echo "cpu|1-00:00:00"; echo "gpu|8:00:00"')
    found = slurm(project)["GPU partition"]
    assert (found.state, found.remedy) == ("failed", "export AUSCULT_GPU_LIMIT_MIN=480")
    monkeypatch.setenv("AUSCULT_GPU_LIMIT_MIN", "480")
    assert slurm(project)["GPU partition"].state == "ok"


SITE = """
case "$*" in
  *%f*) echo "a100,nvlink"; echo "(null)" ;;
  *%N*) echo node1; echo node2 ;;
  *) echo "cpu|infinite"; echo "gpu|infinite" ;;
esac"""


@pytest.mark.parametrize(
    ("variable", "values", "text"),
    [
        ("AUSCULT_CONSTRAINT", ("a100&nvlink", "a10"), "no feature of a node 'a10', did you mean 'a100'?"),
        ("AUSCULT_EXCLUDE_NODES", ("node1,node2", "node1,node3"), "no node 'node3'"),
        ("AUSCULT_RESERVATION", ("course", "curse"), "no reservation 'curse', did you mean 'course'?"),
        ("AUSCULT_GPU_QOS", ("long", "longer"), "no QOS 'longer', did you mean 'long'?"),
        ("AUSCULT_ARRAY_RULES", ("ingest, cut_clips", "train"), "no rule 'train'"),
    ],
)
def test_what_a_site_asks_for_is_listed_and_checked(project, monkeypatch, variable, values, text):
    right, wrong = values
    asked = 'case "$*" in *reservation*) echo "ReservationName=course Nodes=all";; *) echo "MinJobAge = 300 sec";; esac'
    cluster(project, sinfo=SITE, scontrol=asked)
    command(project, "sacctmgr", "echo normal; echo long")
    monkeypatch.setenv(variable, right)
    found = slurm(project)["site settings"]
    assert (found.state, found.text) == ("ok", f"from the environment: {variable}")
    monkeypatch.setenv(variable, wrong)
    found = slurm(project)["site settings"]
    assert found.state == "failed"
    assert text in found.text
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}S", right)
    assert f"{variable}S is not read, did you mean {variable}?" in slurm(project)["site settings"].text


def test_partitions_may_be_chosen_by_their_limits(project, monkeypatch):
    cluster(project)
    monkeypatch.setenv("AUSCULT_PARTITIONS_FILE", "partitions.yaml")
    assert "slurm-partition-config" in slurm(project)["partitions"].remedy
    path = project / "partitions.yaml"
    path.write_text("partitions:\n  cpu: {max_runtime: 1440}\n")
    assert "no partition has a `max_gpu`" in slurm(project)["partitions"].text
    path.write_text("partitions:\n  cpu: {max_runtime: 1440}\n  gpus: {max_gpu: 4}\n")
    assert "no partition 'gpus', did you mean 'gpu'?" in slurm(project)["partitions"].text
    path.write_text("partitions:\n  cpu: {max_runtime: 1440}\n  gpu: {max_gpu: 4}\n")
    found = slurm(project)
    assert set(states(found).values()) == {"ok"}
    assert read_profile(project / "slurm-gpu" / "config.yaml").cpu_partition == ""


def test_a_slurm_that_forgets_jobs_at_once_is_told(project):
    cluster(project, scontrol='echo "MinJobAge = 60 sec"')
    found = slurm(project)["Slurm"]
    assert found.state == "failed"
    assert "--slurm-init-seconds-before-status-checks" in found.remedy


@pytest.mark.parametrize(
    ("srun", "state", "text"),
    [
        ("echo devices=; echo auscult=here", "failed", "the job saw no GPU"),
        ("echo devices=0; echo 'No such file' >&2", "failed", "cannot import this project"),
        ("echo 'srun: error: Unable to allocate resources: Requested nodes are busy' >&2; exit 1", "skipped", "busy"),
    ],
)
def test_a_job_that_gets_no_gpu_is_explained(project, srun, state, text):
    cluster(project, srun=srun)
    found = slurm(project)["GPU in a job"]
    assert found.state == state
    assert text in found.text
    assert found.remedy


@pytest.mark.parametrize("content", ["executor: slurm\n", "a: [\n", "__use_yte__: true\na: ?nonsense(\n"])
def test_a_broken_profile_is_a_fault(project, content):
    path = project / "slurm-gpu" / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_profile(path)
    assert states(slurm(project)) == {"cluster profile": "failed"}
    path.unlink()
    assert "no such file" in slurm(project)["cluster profile"].text


def test_versions_are_compared_with_the_lock(tmp_path, project_dir):
    assert doctor.check_lock(project_dir / "requirements.lock").state == "ok"
    lock = tmp_path / "requirements.lock"
    lock.write_text("# pins\nnumpy==0.1\nno-such-package==1.0\npandas==2\n")
    found = doctor.check_lock(lock)
    assert found.state == "failed"
    assert "no-such-package is missing, numpy " in found.text
    assert "(pinned 0.1)" in found.text
    assert doctor.check_lock(tmp_path / "none").state == "failed"


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(500e9, 499e9, 1e9))
    found = doctor.check_disk(tmp_path)
    assert (found.state, found.text) == ("failed", "1.0 of 500 GB free")
    assert "make clean" in found.remedy


def test_settings_that_cannot_be_read_are_told(project):
    path = project / "config" / "config.yaml"
    path.write_text("trakcing: {}\n")
    found = {finding.check: finding for finding in doctor.check_settings(project)}
    assert states(found) == {"settings": "failed", "tracking": "skipped", "container": "skipped"}
    assert "did you mean 'tracking'" in found["settings"].text


def test_an_image_that_is_named_must_be_there_and_apptainer_too(project, monkeypatch):
    def container():
        return {finding.check: finding for finding in doctor.check_settings(project)}["container"]

    assert container().state == "skipped"
    image = project / "auscult.sif"
    monkeypatch.setenv("AUSCULT_CONTAINER", str(image))
    assert (container().state, container().remedy) == ("failed", "apptainer build auscult.sif apptainer.def")
    assert f"{image}: no such file on " in container().text
    image.touch()
    assert container().text == f"{image} needs apptainer, which is not on the PATH"
    command(project, "apptainer", "")
    assert (container().state, container().text) == ("ok", str(image))
    # The settings say it before the environment does; an address is not a file.
    with (project / "config" / "config.yaml").open("a") as settings:
        settings.write("\ncontainer: docker://registry/auscult:1\n")
    assert container().text == "docker://registry/auscult:1"


def test_plugins_are_listed_and_a_fault_of_theirs_is_told(tmp_path):
    assert doctor.check_plugins(tmp_path).state == "skipped"
    path = tmp_path / "plugins" / "mine.py"
    path.parent.mkdir()
    path.write_text("from auscult import plugin\n\n@plugin.loss('mine')\ndef mine(logits, targets):\n    ...\n")
    found = doctor.check_plugins(tmp_path)
    assert (found.state, found.text) == ("ok", "loss mine")
    path.write_text("def mine(:\n")
    found = doctor.check_plugins(tmp_path)
    assert (found.state, found.text) == ("failed", f"{path}:1: no Python: invalid syntax")


def test_tracking_that_is_off_down_or_not_made_yet(tmp_path):
    assert doctor.check_tracking(TrackingSettings(enabled=False), tmp_path).state == "skipped"
    assert doctor.check_tracking(TrackingSettings(), tmp_path).state == "ok"
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_text("no database, but long enough to be looked at " * 50)
    assert "move the file away" in doctor.check_tracking(TrackingSettings(), tmp_path).text
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
    found = doctor.check_tracking(TrackingSettings(uri=uri), tmp_path)
    assert found.state == "failed"
    assert "does not answer" in found.text
    assert "auscult sync" in found.remedy


def with_data(project, remote="demo", url="demo"):
    (project / "data.dvc").write_text("outs:\n- md5: a.dir\n  path: data\n")
    (project / "data" / "icbhi").mkdir(parents=True)
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text(
        f"[core]\n    remote = {remote}\n['remote \"{remote}\"']\n    url = {url}\n"
    )


def data(project):
    return {finding.check: finding for finding in doctor.check_data(project)}


def test_a_project_without_dvc_skips_its_checks(project):
    assert states(data(project)) == {"data": "skipped", "DVC remote": "skipped"}


def test_data_and_remote_that_are_there(project):
    with_data(project)
    command(project, "dvc", "echo 'Cache and remote demo are in sync.'")
    assert states(data(project)) == {"data": "ok", "DVC remote": "ok"}
    shutil.rmtree(project / "data")
    assert data(project)["data"].remedy == "dvc pull"


def test_a_bucket_that_does_not_answer_is_told_with_its_remedy(project, monkeypatch):
    with_data(project, "gcs", "gs://lung/auscult")
    command(project, "dvc", "exit 1")

    def refuse(project_dir, remote):
        raise BucketError(f"remote {remote}: access is refused", "gcloud auth application-default login")

    monkeypatch.setattr(doctor, "check_remote", refuse)
    found = data(project)["DVC remote"]
    assert (found.state, found.text) == ("failed", "remote gcs: access is refused")
    assert found.remedy == "gcloud auth application-default login"


def test_a_remote_that_dvc_cannot_use_is_told_in_dvcs_words(project):
    with_data(project)
    command(project, "dvc", "echo 'ERROR: unexpected error - b/lung/o' >&2; exit 255")
    found = data(project)["DVC remote"]
    assert (found.state, found.text) == ("failed", "demo: ERROR: unexpected error - b/lung/o")
    assert "dvc remote modify --local demo url" in found.remedy


def test_a_bucket_that_was_never_named_is_told(project):
    with_data(project, "gcs", "gs://YOUR-BUCKET/auscult")
    command(project, "dvc", "exit 1")
    assert "dvc remote modify --local gcs url" in data(project)["DVC remote"].remedy


def test_a_gpu_of_this_machine(project):
    assert doctor.check_gpu().state == "skipped"
    command(project, "nvidia-smi", "echo 'GPU 0: NVIDIA H200 (UUID: GPU-1234)'")
    assert doctor.check_gpu().text == "GPU 0: NVIDIA H200"
    command(project, "nvidia-smi", "echo 'NVIDIA-SMI has failed' >&2; exit 9")
    assert doctor.check_gpu().state == "failed"


def test_the_command_prints_a_table_and_fails_when_a_check_does(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("COLUMNS", "160")
    cluster(project)
    good = CliRunner().invoke(app, ["doctor"])
    assert good.exit_code == 0, good.output
    assert "skipped" in good.output
    cluster(project, sinfo='echo "batch|infinite"')
    bad = CliRunner().invoke(app, ["doctor", "--no-job"])
    assert bad.exit_code == 1
    assert "export AUSCULT_GPU_PARTITION=<name>" in bad.output
    assert "2 of 19 checks failed" in bad.output


def test_a_repository_of_another_user_is_named_with_its_remedy(tmp_path, monkeypatch):
    reason = "fatal: detected dubious ownership in repository at '/data/x'"
    monkeypatch.setattr(doctor, "git_state", lambda _: {"commit": "unknown", "reason": reason})
    found = doctor.check_repository(tmp_path)
    assert found.state == "failed"
    assert f"safe.directory {tmp_path}" in found.remedy


def test_a_locale_that_is_not_utf8_is_named(monkeypatch):
    monkeypatch.setattr(doctor.locale, "getencoding", lambda: "ISO-8859-1")
    assert doctor.check_encoding().text == "locale in ISO-8859-1"


@pytest.fixture
def clone(project, monkeypatch):
    """The project as a git repository, with git alone on the PATH beside what the tests put there."""
    (project / "bin" / "git").symlink_to(GIT)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (project / ".gitignore").write_text("/collections/\n")
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "1"],
    ):
        subprocess.run([GIT, *arguments], cwd=project, check=True)
    return project


def test_recordings_within_the_repository_that_git_would_take_are_told(clone):
    assert doctor.check_recordings_in_git(clone).text == "none lie within the repository"
    for folder in ("collections/ward", "ward 2"):
        (clone / folder).mkdir(parents=True)
        settings = (
            f"description: a\nlayout: label_folders\nroot: {folder}\ncolumns: {{patient: p}}\npattern: (?P<p>.*)\n"
        )
        (clone / "config" / "datasets" / f"{folder[-4:].strip().replace(' ', '')}.yaml").write_text(settings)
    found = doctor.check_recordings_in_git(clone)
    assert found.state == "failed"
    assert found.text.startswith("ward 2 within the repository, and git does not ignore it")
    assert found.remedy == "add to .gitignore: /ward 2/"
    (clone / ".gitignore").write_text("/collections/\n/ward 2/\n")
    assert doctor.check_recordings_in_git(clone).state == "ok"


def test_a_clone_whose_commits_are_not_looked_at_is_told(clone):
    assert "make hooks" in doctor.check_hook(clone).text
    (clone / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\n")
    assert doctor.check_hook(clone).state == "ok"


@pytest.mark.parametrize(
    "arguments", [["doctor"], ["watch", "--once"], ["experiment", "list"], ["data", "list"], ["sync"]]
)
def test_from_a_folder_below_each_command_says_where_the_project_is(project, monkeypatch, arguments):
    (project / "docs").mkdir()
    monkeypatch.chdir(project / "docs")
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConfigError)
    assert f"the project is in {project}" in str(done.exception)
