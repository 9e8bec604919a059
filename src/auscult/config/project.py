"""The project's own settings (`config/config.yaml`) and the datasets it knows."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, field_validator

from auscult.config.base import Settings
from auscult.config.dataset import DatasetSettings
from auscult.config.documents import read_yaml
from auscult.config.files import defined_names, find_definition, is_defined, parse
from auscult.config.run_events import RunEventSettings
from auscult.errors import ConfigError, unknown_name

_DATASET: TypeAdapter[Any] = TypeAdapter(DatasetSettings)


class TrackingSettings(Settings):
    """Where runs are logged, and what of them."""

    enabled: bool = True
    uri: str = Field(
        default="sqlite:///mlflow.db",
        description="an MLflow tracking URI: sqlite:///<file>, http(s)://<server>, postgresql://<host>/<database>; "
        "user and password come from the environment",
    )
    live: bool = Field(default=True, description="a server sees the epochs of a training while it runs")
    system_metrics_s: float | None = Field(
        default=30.0, ge=1.0, description="seconds between two looks at processor, memory and GPU; null: none"
    )
    register_model: bool = Field(default=False, description="each job's model is registered, with a card")

    @field_validator("uri")
    @classmethod
    def _refuse_credentials(cls, uri: str) -> str:
        # It would be shown by `git diff`, in provenance and in lists of processes.
        if "@" in urlsplit(uri).netloc and ":" in urlsplit(uri).netloc.rpartition("@")[0]:
            raise ValueError(
                "found a password in the URI; take it out and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD (a server) or PGUSER and PGPASSWORD (PostgreSQL) in the environment"
            )
        return uri


class PublishSettings(Settings):
    """What leaves the project in a result."""

    names: bool = Field(
        default=False,
        description="pages, pictures and lists name recordings and patients as the data do; by default they have study "
        "ids, whose key stays in work/ (docs/data.md)",
    )


class ProjectSettings(Settings):
    """`config/config.yaml`; every key can be given on the command line with `--config`."""

    roots: dict[str, str] = Field(default={}, description="dataset -> folder, instead of the root in its YAML file")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tracking: TrackingSettings = TrackingSettings()
    publish: PublishSettings = PublishSettings()
    publish_to: str | None = Field(
        default=None,
        pattern=r"^gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?$",
        description="gs://bucket/prefix: each result is copied there with its checksums when it is published; "
        "credentials come from the environment",
    )
    events: RunEventSettings = RunEventSettings()
    fresh: bool = Field(default=False, description="trainings that run now start over, whatever state there is")
    budget_s: float | None = Field(
        default=None, gt=0, description="a training saves and leaves after so long; a retry goes on"
    )
    retries: int = Field(default=3, ge=0, description="retries of a training after an interruption")
    stage_features: bool = Field(
        default=False,
        description="a training copies the stores that it reads to $TMPDIR and reads them there (docs/cluster.md)",
    )
    container: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"^\S+$",
        description="the image that jobs run in with profiles/container: a .sif file, or an address such as "
        "docker://registry/auscult:tag; null: what AUSCULT_CONTAINER names (docs/cluster.md)",
    )

    @property
    def image(self) -> str | None:
        """The image that jobs run in, where a profile asks for one; None: none is named."""
        return self.container or os.environ.get(CONTAINER_VARIABLE) or None

    @property
    def stage_dir(self) -> Path | None:
        """Where a training copies the stores that it reads; None: nowhere."""
        return Path(tempfile.gettempdir()) if self.stage_features else None


CONTAINER_VARIABLE = "AUSCULT_CONTAINER"
_PROJECT = TypeAdapter(ProjectSettings)
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def load_project(values: dict[str, Any], config_dir: Path = Path("config")) -> ProjectSettings:
    """Check the project's settings, as read by Snakemake from `config/config.yaml` and `--config`.

    Raises:
        ConfigError: An unknown key, or a root for a dataset that does not exist.
    """
    read = {key: value if key == "roots" else _read_text(value) for key, value in values.items()}
    project: ProjectSettings = parse(_PROJECT, read, str(config_dir / "config.yaml"))
    for dataset in project.roots:
        if not is_defined(config_dir, "dataset", dataset):
            known = defined_names(config_dir, "dataset")
            raise ConfigError(f"{config_dir / 'config.yaml'}: roots: {unknown_name('dataset', dataset, known)}")
    return project


def _read_text(section: Any) -> Any:
    """Return a section with its numbers and nulls: in `--config 'tracking={...}'` Snakemake leaves them as text."""
    if not isinstance(section, dict):
        return section
    return {key: _read_value(value) for key, value in section.items()}


def _read_value(value: Any) -> Any:
    if not isinstance(value, str):
        return _read_text(value)
    if value in {"null", "~"}:
        return None
    return float(value) if _NUMBER.fullmatch(value) else value


def load_dataset(config_dir: Path, name: str, roots: dict[str, str] | None = None) -> DatasetSettings:
    """Read `datasets/<name>.yaml`, or the dataset that an experiment defines, its root replaced where `roots` names it.

    A replaced root is not the one that DVC tracks, so `tracked_by` is dropped with it.

    Raises:
        ConfigError: No such dataset, or a fault in its file.
    """
    values, where = find_definition(config_dir, "dataset", name, "dataset")
    if roots and name in roots:
        values = {**values, "root": roots[name], "tracked_by": None}
    return parse(_DATASET, values, where)


def require_device(device: str, machine: Path = Path("/dev"), visible: str | None = None) -> None:
    """Refuse `device: cuda` where this machine plainly has no GPU: before hours of preparation, not after.

    Args:
        device: As in the settings.
        machine: Where the machine's devices stand.
        visible: What CUDA_VISIBLE_DEVICES says; None: nothing.

    Raises:
        ConfigError: There is no GPU, or none is visible.
    """
    if device != "cuda":
        return
    remedy = "say --config device=auto (or cpu), or run where there is one: --profile slurm-gpu"
    if visible is not None and visible.strip() in {"", "-1"}:
        raise ConfigError(f"device: cuda, and CUDA_VISIBLE_DEVICES={visible!r} hides every GPU; unset it, or {remedy}")
    # NVIDIA, NVIDIA in containers of Windows, AMD: what torch takes for cuda.
    if not any((*machine.glob("nvidia*"), *machine.glob("dxg"), *machine.glob("kfd"))):
        raise ConfigError(f"device: cuda, and this machine has no GPU (nothing in {machine} is one); {remedy}")


def require_image(image: str | None) -> None:
    """Refuse to run jobs in an image where none is named or its file is not there.

    Raises:
        ConfigError: Saying how to name one.
    """
    remedy = f"build one (docs/cluster.md), and export {CONTAINER_VARIABLE}=/shared/auscult.sif or set `container`"
    if image is None:
        raise ConfigError(f"the profile runs jobs in a container, and no image is named; {remedy}")
    if "://" not in image and not Path(image).exists():
        where = f"no such file on {platform.node()}, and an address begins with docker://"
        raise ConfigError(f"container: {image}: {where}; {remedy}")


def project_settings(config_dir: Path) -> ProjectSettings:
    """Return the settings of `config.yaml`; the defaults where there is no such file.

    Raises:
        ConfigError: A fault in the file.
    """
    path = config_dir / "config.yaml"
    return load_project(read_yaml(path) if path.is_file() else {}, config_dir)
