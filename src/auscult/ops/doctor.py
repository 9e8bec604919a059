"""Is all in place that the workflow needs: versions, disk, data, tracking, GPU, cluster; each fault with its remedy."""

from __future__ import annotations

import locale
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

from auscult.config import TrackingSettings, load_dataset, load_project
from auscult.config.documents import read_yaml
from auscult.config.files import defined_names
from auscult.config.paths import is_remote
from auscult.config.plugin_files import PLUGINS, read_plugins
from auscult.config.project import CONTAINER_VARIABLE, require_image
from auscult.datasets.bucket import BucketError
from auscult.errors import AuscultError, ConfigError, some
from auscult.formatting.numbers import plural
from auscult.ops.dvc_transfer import BUCKET_SCHEMES, check_remote
from auscult.ops.finding import Finding, ask, has_command
from auscult.ops.slurm import check_slurm
from auscult.provenance import DATA_POINTER, UNKNOWN, git_state, redact
from auscult.tracking.store import TrackingUnavailableError, connect, sqlite_path, tracking_faults

LEAST_FREE_GB = 5.0
"""A result of the demo takes less; real data take more, and fill a disk in hours and not in minutes."""
_DVC_TIMEOUT_S = 60.0
_PLACEHOLDER = "YOUR-BUCKET"


def examine(project_dir: Path, *, wait_s: float = 30.0, runs_job: bool = True) -> Iterator[Finding]:
    """Look at everything, one finding after another.

    Args:
        project_dir: Of the workflow.
        wait_s: How long to wait for a GPU of the cluster.
        runs_job: A job of seconds is run on the cluster.
    """
    yield check_lock(project_dir / "requirements.lock")
    yield check_encoding()
    yield check_repository(project_dir)
    yield check_hook(project_dir)
    yield check_recordings_in_git(project_dir)
    yield check_disk(project_dir)
    yield from check_settings(project_dir)
    yield check_plugins(project_dir)
    yield from check_data(project_dir)
    yield check_gpu()
    yield from check_slurm(project_dir, wait_s=wait_s, runs_job=runs_job)


def check_lock(lock: Path) -> Finding:
    """Compare what is installed with what is pinned."""
    check = "versions"
    if not lock.is_file():
        return Finding(check, "failed", f"{lock.name}: no such file", f"bring it back: git checkout {lock.name}")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    missing: list[str] = []
    other: list[str] = []
    for name, pinned in pins:
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        # `2.14.1+cu128` is 2.14.1, built for one kind of device.
        if found.partition("+")[0] != pinned.partition("+")[0]:
            other.append(f"{name} {found} (pinned {pinned})")
    if missing or other:
        shown = [*(f"{name} is missing" for name in missing), *other]
        more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
        return Finding(check, "failed", ", ".join(shown[:4]) + more, "pip install -r requirements.lock")
    return Finding(check, "ok", f"{len(pins)} as in {lock.name}, Python {platform.python_version()}")


def check_encoding() -> Finding:
    """Check that names of files and the terminal are UTF-8: others lose letters of patients' and files' names."""
    found = {"file names": sys.getfilesystemencoding(), "locale": locale.getencoding()}
    odd = [f"{name} in {encoding}" for name, encoding in found.items() if encoding.lower() not in ("utf-8", "utf8")]
    if odd:
        remedy = "export LC_ALL=C.UTF-8 (or another UTF-8 locale) before the command"
        return Finding("encoding", "failed", ", ".join(odd), remedy)
    return Finding("encoding", "ok", "UTF-8")


def check_repository(project_dir: Path) -> Finding:
    """Check that git tells the commit, which every result names."""
    state = git_state(project_dir)
    if state["commit"] == UNKNOWN:
        if "dubious ownership" in state["reason"]:
            safe = f"git config --global --add safe.directory {project_dir.resolve()}"
            return Finding("git", "failed", str(state["reason"]), f"the repository is another user's: {safe}")
        return Finding("git", "skipped", f"{state['reason']}: results name no commit")
    return Finding("git", "ok", f"commit {str(state['commit'])[:7]}{', with changes' if state['dirty'] else ''}")


def check_hook(project_dir: Path) -> Finding:
    """Check that a commit is looked at for recordings and tables of patients."""
    check = "commits"
    answer = ask(["git", "rev-parse", "--git-path", "hooks/pre-commit"], cwd=project_dir)
    if not answer.is_good:
        return Finding(check, "skipped", "no repository")
    if (project_dir / answer.out.strip()).is_file():
        return Finding(check, "ok", "looked at for patients' data")
    return Finding(
        check, "skipped", "not looked at for patients' data; `make hooks` sees to it, `make check` looks now"
    )


def check_recordings_in_git(project_dir: Path) -> Finding:
    """Check that git ignores every folder of recordings that lies within the repository."""
    check = "recordings"
    config_dir = project_dir / "config"
    inside: list[str] = []
    for name in defined_names(config_dir, "dataset"):
        try:
            root = load_dataset(config_dir, name).root
        except AuscultError:
            continue  # a fault in a dataset's file is told by `auscult data list`
        folder = project_dir / Path(root).expanduser()
        if not is_remote(root) and folder.is_dir() and folder.resolve().is_relative_to(project_dir.resolve()):
            inside.append(folder.resolve().relative_to(project_dir.resolve()).as_posix())
    if not inside or not ask(["git", "rev-parse", "HEAD"], cwd=project_dir).is_good:
        return Finding(check, "ok", "none lie within the repository")
    # One that git tracks is listed as not ignored too.
    answer = ask(["git", "check-ignore", "--no-index", "--", *inside], cwd=project_dir)
    ignored = set(answer.out.splitlines())
    bare = [folder for folder in inside if folder not in ignored]
    if bare:
        lines = " ".join(f"/{folder}/" for folder in bare)
        return Finding(
            check,
            "failed",
            f"{', '.join(bare)} within the repository, and git does not ignore it: `git add --all` takes recordings",
            f"add to .gitignore: {lines}",
        )
    return Finding(check, "ok", f"git ignores {plural(len(inside), 'folder')} of recordings within the repository")


def check_disk(project_dir: Path) -> Finding:
    """Check the free space where `work/` and `results/` grow."""
    usage = shutil.disk_usage(project_dir)
    free_gb, total_gb = usage.free / 1e9, usage.total / 1e9
    text = f"{free_gb:,.1f} of {total_gb:,.0f} GB free"
    if free_gb < LEAST_FREE_GB:
        return Finding(
            "disk", "failed", text, "make room: `make clean` removes work and results, `dvc gc --workspace` old data"
        )
    return Finding("disk", "ok", text)


def check_settings(project_dir: Path) -> Iterator[Finding]:
    """Check `config/config.yaml`, and the tracking store that it names."""
    path = project_dir / "config" / "config.yaml"
    try:
        project = load_project(read_yaml(path), project_dir / "config")
    except (AuscultError, OSError) as error:
        yield Finding("settings", "failed", str(error), f"fix {path.name}, or: git checkout config/config.yaml")
        yield Finding("tracking", "skipped", "the settings do not say where")
        yield Finding("container", "skipped", "the settings cannot be read")
        return
    yield Finding("settings", "ok", "config/config.yaml")
    yield check_tracking(project.tracking, project_dir)
    yield check_container(project.image)


def check_container(image: str | None) -> Finding:
    """Check that the image that jobs are to run in is there, and what starts it."""
    check = "container"
    if image is None:
        return Finding(check, "skipped", f"no image is named (`container`, {CONTAINER_VARIABLE}): jobs run in .venv")
    try:
        require_image(image)
    except ConfigError as error:
        return Finding(check, "failed", str(error), "apptainer build auscult.sif apptainer.def")
    if not (has_command("apptainer") or has_command("singularity")):
        remedy = "load the module that brings it, or have the site install it; without an image jobs run in .venv"
        return Finding(check, "failed", f"{image} needs apptainer, which is not on the PATH", remedy)
    return Finding(check, "ok", image)


def check_plugins(project_dir: Path) -> Finding:
    """Read what the files of `plugins/` register; none is imported."""
    try:
        found = read_plugins(project_dir / PLUGINS)
    except ConfigError as error:
        return Finding("plugins", "failed", str(error), f"fix the file, or take it out of {PLUGINS}/ (docs/plugins.md)")
    if not found:
        return Finding("plugins", "skipped", f"{PLUGINS}/ registers none")
    return Finding("plugins", "ok", some(f"{kind} {name}" for kind, name in sorted(found)))


def check_tracking(tracking: TrackingSettings, project_dir: Path) -> Finding:
    """Check that the store answers and takes this user."""
    check, where = "tracking", redact(tracking.uri)
    if not tracking.enabled:
        return Finding(check, "skipped", "it is off (tracking.enabled)")
    path = sqlite_path(tracking.uri)
    uri = tracking.uri
    if path is not None:
        path = project_dir / path
        uri = f"sqlite:///{path.resolve()}"
        if not path.exists():
            return Finding(check, "ok", f"{where}: made when something is logged")
    remedy = "runs are logged later, by `auscult sync`; start the server (make mlflow), or fix tracking.uri"
    try:
        connect(uri)
    except TrackingUnavailableError as error:
        return Finding(check, "failed", str(error), remedy)
    except tracking_faults() as error:
        return Finding(check, "failed", redact(f"{type(error).__name__}: {error}"), remedy)
    return Finding(check, "ok", f"{where} answers")


def check_data(project_dir: Path) -> Iterator[Finding]:
    """Check that the data are there, and that the DVC remote answers."""
    if not (project_dir / DATA_POINTER).is_file():
        yield Finding("data", "skipped", f"no {DATA_POINTER}: nothing is tracked by DVC")
        yield Finding("DVC remote", "skipped", f"no {DATA_POINTER}")
        return
    folder = project_dir / "data"
    if folder.is_dir() and any(folder.iterdir()):
        yield Finding("data", "ok", f"data/ holds {sum(path.is_dir() for path in folder.iterdir())} folders")
    else:
        yield Finding("data", "failed", "data/ is empty or not there", "dvc pull")
    yield _check_remote(project_dir)


def _check_remote(project_dir: Path) -> Finding:
    check = "DVC remote"
    if not has_command("dvc"):
        return Finding(check, "failed", "dvc is not on the PATH", "activate the environment: source .venv/bin/activate")
    name, url = _default_remote(project_dir)
    if name is None:
        return Finding(check, "failed", "no default remote", "dvc remote default --local gcs; see docs/data.md")
    if _PLACEHOLDER in url:
        return Finding(
            check, "failed", f"{name} is {url}", f"dvc remote modify --local {name} url gs://<your bucket>/auscult"
        )
    return _ask_remote(check, name, url, project_dir)


def _ask_remote(check: str, name: str, url: str, project_dir: Path) -> Finding:
    if url.startswith(BUCKET_SCHEMES):
        try:
            check_remote(project_dir, name)
        except BucketError as error:
            return Finding(check, "failed", error.fault, error.remedy)
    answer = ask(["dvc", "status", "--cloud", "--remote", name, DATA_POINTER], _DVC_TIMEOUT_S, project_dir)
    if not answer.is_good:
        remedy = f"look at `dvc remote list`; dvc remote modify --local {name} url ...; see docs/data.md"
        return Finding(check, "failed", f"{name}: {answer.error}", remedy)
    behind = "in sync" not in answer.out and "up to date" not in answer.out
    if behind:
        return Finding(check, "ok", f"{name} answers; it and the cache differ: dvc push or dvc pull")
    return Finding(check, "ok", f"{name} answers, in sync")


def _default_remote(project_dir: Path) -> tuple[str | None, str]:
    """Return name and address of the default remote, as `.dvc/config` and `.dvc/config.local` say."""
    parser = ConfigParser(interpolation=None)
    parser.read([project_dir / ".dvc" / "config", project_dir / ".dvc" / "config.local"], encoding="utf-8")
    name = parser.get("core", "remote", fallback=None)
    return name, parser.get(f"'remote \"{name}\"'", "url", fallback="") if name else ""


def check_gpu() -> Finding:
    """Check for a GPU of this machine."""
    check = "GPU here"
    if not has_command("nvidia-smi"):
        return Finding(check, "skipped", "none (no nvidia-smi): trainings here use the processor")
    answer = ask(["nvidia-smi", "-L"])
    if not answer.is_good or "GPU" not in answer.out:
        return Finding(
            check, "failed", f"nvidia-smi: {answer.error}", "look at the driver: nvidia-smi; dmesg | grep NVRM"
        )
    gpus = [re.sub(r" \(UUID.*", "", line).strip() for line in answer.out.splitlines() if line.startswith("GPU")]
    return Finding(check, "ok", ", ".join(gpus))
