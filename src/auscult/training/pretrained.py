"""Models from before: pretrained weights to start a training with, or a whole model to evaluate unchanged.

Pretrained weights come from an earlier result, from a file, or from timm. Every tensor arrives, or is named.
"""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from auscult.config.experiment import JobSettings
from auscult.config.flatten import differences
from auscult.config.paths import METRICS_FILE
from auscult.config.task import TaskSettings
from auscult.config.train import PretrainedSettings
from auscult.errors import BusyError, ConfigError, DataError
from auscult.models.arrival import Arrival
from auscult.models.saved import META_FILE, WEIGHTS_FILE, load_model
from auscult.storage.files import atomic_path, sha256_file
from auscult.training.history import HISTORY_FILE

logger = logging.getLogger(__name__)

HUB = "hub"
_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError)
_BACKBONE = "backbone."


def pretrained_digest(settings: PretrainedSettings | None) -> str | None:
    """Return the SHA-256 of the pretrained weights; None without any, `hub` for timm's own.

    Raises:
        DataError: There is no such file.
    """
    path = None if settings is None else _path(settings)
    if path is None:
        return None if settings is None else HUB
    if not path.is_file():
        raise DataError(
            f"train.pretrained: {path}: no such file; give a path from the project's folder, or train it first"
        )
    return sha256_file(path)


def load_pretrained(module: nn.Module, settings: PretrainedSettings, model_name: str) -> None:
    """Load pretrained weights into a model.

    Args:
        module: With the children `backbone` and `head`.
        settings: The source, and the parts that are loaded.
        model_name: As in the experiment.

    Raises:
        ConfigError: timm's weights for a model that is not timm's.
        DataError: A file that is not readable, or of another model.
    """
    if settings.timm is not None:
        _load_timm(module, settings.timm, model_name)
        return
    path = _path(settings)
    weights = _read(path) if path is not None else {}
    if settings.parts == "backbone":
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(_BACKBONE)}
    wanted = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if settings.parts == "all" or name.startswith(_BACKBONE)
    }
    hint = "; with parts: backbone the head may differ" if settings.parts == "all" else ""
    _require_fit(weights, wanted, f"train.pretrained: {path} holds weights of another model than {model_name}", hint)
    module.load_state_dict(weights, strict=False)
    logger.info("loaded pretrained weights from %s (%s)", path, settings.parts)


def _path(settings: PretrainedSettings) -> Path | None:
    if settings.result is not None:
        return Path(settings.result) / WEIGHTS_FILE
    name = settings.weights or settings.timm
    return None if name in {None, HUB} else Path(str(name))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise DataError(f"train.pretrained: {path}: no readable weights ({error})") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    return state


def _load_timm(module: nn.Module, source: str, model_name: str) -> None:
    from auscult.models.timm_model import TimmBackbone  # noqa: PLC0415 (loaded already where there is such a model)
    from auscult.models.timm_weights import load_timm_weights  # noqa: PLC0415

    backbone = getattr(module, "backbone", None)
    if not isinstance(backbone, TimmBackbone):
        raise ConfigError(
            f"train.pretrained.timm: {model_name} is not from timm: use pretrained.result or pretrained.weights"
        )
    weights = _from_hub(model_name) if source == HUB else _read(Path(source))
    arrival = load_timm_weights(backbone, weights, f"train.pretrained.timm: {source}")
    _log(f"timm's pretrained weights ({source})", arrival)


def _log(what: str, arrival: Arrival) -> None:
    for line in arrival.lines():
        logger.info("%s: %s", what, line)


def _from_hub(model_name: str) -> Mapping[str, Tensor]:
    import timm  # noqa: PLC0415

    name = model_name.removeprefix("timm/")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:
        # The hub's client raises errors of half a dozen libraries.
        raise DataError(
            f"train.pretrained.timm: hub: the pretrained weights of {name} could not be downloaded "
            f"({type(error).__name__}: {error}); download them elsewhere and give the file's path"
        ) from error


def _require_fit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str, hint: str) -> None:
    missing = sorted(wanted.keys() - found.keys())
    misshapen = [
        f"{name} is {list(found[name].shape)}, expected {list(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if missing or misshapen:
        faults = [*misshapen[:3], *([f"{len(missing)} are missing, such as {missing[:3]}"] if missing else [])]
        raise DataError(f"{what}: {'; '.join(faults)}{hint}")


def reuse_model(result: Path, output_dir: Path, *, job: JobSettings, task: TaskSettings) -> None:
    """Copy a trained model, its thresholds and its history unchanged: a job that is `evaluate_only` trains nothing.

    Args:
        result: Folder of the trained job.
        output_dir: The run folder.
        job: Its model, clips and spectrogram must be those that the model was trained with.
        task: Its targets must be the model's.

    Raises:
        DataError: There is no such model, its targets or spectrograms differ from the job's (the error says how), or it
            changed while it was copied.
    """
    digests = _digests(result)
    meta = load_model(result).meta
    stored = {"task": {key: meta["task"][key] for key in ("type", "targets")}}
    wanted = {"task": task.model_dump(mode="json", include={"type", "targets"})}
    for section, key in (("model", "architecture"), ("clips", "clips"), ("spectrogram", "spectrogram")):
        stored[section] = meta[key]
        wanted[section] = job.model_dump(mode="json")[section]
    changes = [str(found) for found in differences(stored, wanted)]
    if changes:
        raise DataError(
            f"evaluate_only: the model in {result} and this job differ (model -> job): {'; '.join(changes)}; "
            "give the job the model's settings, as they stand in its model.json"
        )
    shared = sorted(set(meta["datasets"]) & set(job.datasets))
    if shared:
        logger.warning(
            "the model in %s was trained on %s as well: patients of the test subset may be among its training patients",
            result,
            ", ".join(shared),
        )
    for name, digest in digests.items():
        with atomic_path(output_dir / name) as temporary:
            shutil.copyfile(result / name, temporary)
            if sha256_file(temporary) != digest:
                raise BusyError(f"{result / name} changed while it was copied; run again when its training is done")
    logger.info(
        "nothing is trained: the model of %s (SHA-256 %s) is evaluated on %s",
        result,
        digests[WEIGHTS_FILE],
        ", ".join(job.datasets),
    )


def _digests(result: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a trained job."""
    names = (WEIGHTS_FILE, META_FILE, HISTORY_FILE, METRICS_FILE)
    missing = [name for name in names if not (result / name).is_file()]
    if missing:
        raise DataError(f"evaluate_only: {result}: {', '.join(missing)} not found; a trained job holds all of {names}")
    return {name: sha256_file(result / name) for name in names}
