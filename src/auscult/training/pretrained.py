"""Models from before: pretrained weights to start a training with, or a whole model to evaluate unchanged.

Pretrained weights come from an earlier result, from a file, or from timm. Every tensor arrives, or is named.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auscult.config.encoder import load_encoder
from auscult.config.experiment import JobSettings
from auscult.config.flatten import differences
from auscult.config.model import BaseModelSettings, PublishedSettings
from auscult.config.paths import METRICS_FILE
from auscult.config.task import TaskSettings
from auscult.config.train import PretrainedSettings, TrainSettings
from auscult.errors import BusyError, ConfigError, DataError
from auscult.models.arrival import Arrival
from auscult.models.classifier import Classifier
from auscult.models.saved import META_FILE, WEIGHTS_FILE, datasets_seen, load_model
from auscult.models.weights_file import read_tensors
from auscult.storage.files import atomic_path, sha256_file
from auscult.training.checkpoint import STATE_FOLDER, Checkpoint, FinishedTraining, read_finished
from auscult.training.history import HISTORY_FILE

logger = logging.getLogger(__name__)

HUB = "hub"
LEAST_CHANGE = 1e-3
"""Of the features' norm: what loaded weights must change at least."""
_BACKBONE = "backbone."


def pretrained_digest(settings: PretrainedSettings | None) -> str | None:
    """Return the SHA-256 of the pretrained weights; None without any, `hub` for timm's own.

    Raises:
        DataError: There is no such file, or it is another than `sha256` names.
    """
    if settings is None:
        return None
    path = _path(settings)
    if path is None:
        return HUB
    _require_file(path)
    digest = sha256_file(path)
    if settings.state:
        return _finished(settings).sha256
    if settings.sha256 not in {None, digest}:
        raise DataError(
            f"train.pretrained: {path} is another file than the experiment names: found SHA-256 {digest}, expected "
            f"{settings.sha256}; take the file again from its source, or correct sha256"
        )
    return digest


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(
            f"train.pretrained: {path}: no such file; give a path from the project's folder, or train it first"
        )


def load_pretrained(
    module: Classifier, settings: PretrainedSettings, model: BaseModelSettings, input_shape: tuple[int, ...]
) -> None:
    """Load pretrained weights into a model, say in the log what arrived, and test that the features changed.

    Args:
        module: The network, with random weights.
        settings: The source, and the parts that are loaded.
        model: As in the experiment.
        input_shape: Bands and frames of one spectrogram.

    Raises:
        ConfigError: Published or timm's weights for another kind of model.
        DataError: A file that is not readable or of another model, or features that are those of random weights.
    """
    path = _path(settings)
    if path is not None:
        _require_file(path)
    before = _features(module, input_shape)
    if settings.timm is not None:
        arrival = _load_timm(module, settings.timm, model.name)
    elif settings.published is not None:
        arrival = _load_published(module, settings, model)
    else:
        arrival = _load_own(module, settings, model.name)
    for line in arrival.lines():
        logger.info("pretrained weights of %s: %s", path or HUB, line)
    _require_change(before, _features(module, input_shape), f"train.pretrained: {path or HUB}")


def earlier_training(train: TrainSettings) -> Checkpoint | None:
    """Return the end of the training that another one goes on from; None: it starts anew.

    Args:
        train: Of the training that goes on; its weights are loaded by `load_pretrained`.

    Raises:
        ConfigError: Another optimizer, other schedules or averaging than there, or no epoch is left to train.
        DataError: There is no state, or a damaged one.
    """
    settings = train.pretrained
    if settings is None or not settings.state:
        return None
    finished = _finished(settings)
    there, here = ({"train": _what_states_are_of(each)} for each in (finished.binding["train"], train.shaping()))
    changes = [str(found) for found in differences(there, here)]
    if changes:
        raise ConfigError(
            f"train.pretrained.state: {settings.result} was trained otherwise, and its state does not fit (there -> "
            f"here): {'; '.join(changes)}; take these settings from there, or leave state out to take the weights alone"
        )
    n_epochs = finished.checkpoint.at.epoch - 1
    if train.epochs <= n_epochs:
        raise ConfigError(
            f"train.epochs: found {train.epochs}, and {settings.result} was trained for {n_epochs} epochs, which count "
            "too: name more"
        )
    return finished.checkpoint


def _what_states_are_of(train: Mapping[str, Any]) -> dict[str, Any]:
    optimizer = train["optimizer"]
    return {
        "optimizer": {key: optimizer[key] for key in ("name", "decoupled_weight_decay")},
        "schedules": [schedule["name"] for schedule in train["schedules"]],
        "schedules_apply": train["schedules_apply"],
        "ema": train["ema"] is not None,
    }


def _finished(settings: PretrainedSettings) -> FinishedTraining:
    try:
        return read_finished(Path(str(settings.result)) / STATE_FOLDER)
    except DataError as error:
        raise DataError(f"train.pretrained.state: {error}") from error


def _load_own(module: nn.Module, settings: PretrainedSettings, model_name: str) -> Arrival:
    path = _path(settings)
    # The last weights, to go on from; else the best ones, which are the model.
    weights = _finished(settings).checkpoint.state["model"] if settings.state else _read(path) if path else {}
    wanted = module.state_dict()
    unused: list[str] = []
    if settings.parts == "backbone":
        unused = [f"{name} (parts: backbone)" for name in weights if not name.startswith(_BACKBONE)]
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(_BACKBONE)}
        wanted = {name: tensor for name, tensor in wanted.items() if name.startswith(_BACKBONE)}
    hint = "; with parts: backbone the head may differ" if settings.parts == "all" else ""
    _require_fit(weights, wanted, f"train.pretrained: {path} holds weights of another model than {model_name}", hint)
    unused += [f"{name} (not in {model_name})" for name in weights.keys() - wanted.keys()]
    module.load_state_dict(weights, strict=False)
    new = sorted(module.state_dict().keys() - weights.keys())
    return Arrival(len(wanted), (), tuple(sorted(unused)), tuple(new))


def _load_published(module: Classifier, settings: PretrainedSettings, model: BaseModelSettings) -> Arrival:
    from auscult.models.encoders import load_published_weights  # noqa: PLC0415 (timm: seconds)

    if not isinstance(model, PublishedSettings):
        raise ConfigError(f"train.pretrained.published: {model.name} is no published encoder")
    return load_published_weights(
        module,
        load_encoder(model.encoder),
        _read(Path(str(settings.published))),
        f"train.pretrained.published: {settings.published}",
        with_head=settings.parts == "all",
    )


@torch.no_grad()
def _features(module: Classifier, input_shape: tuple[int, ...]) -> Tensor:
    """Return the features of two spectrograms of noise, the same for any weights, shape [2, feature]."""
    was_training = module.training
    noise = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    features: Tensor = module.eval().backbone(noise)
    module.train(was_training)
    return features


def _require_change(random: Tensor, loaded: Tensor, what: str) -> None:
    """Refuse weights with which a model answers as with random ones, or with numbers that are none."""
    change = float((loaded - random).norm() / random.norm().clamp(min=torch.finfo(torch.float32).tiny))
    if not loaded.isfinite().all():
        raise DataError(f"{what}: features of loaded weights are NaN or infinite; take the file again from its source")
    if change < LEAST_CHANGE:
        raise DataError(
            f"{what}: features of loaded weights are those of random ones (they differ by {change:.2g} of their norm): "
            "the file holds an untrained model; take another one"
        )
    logger.info("self-test: features of loaded weights differ from those of random ones by %.2g of their norm", change)


def _path(settings: PretrainedSettings) -> Path | None:
    if settings.result is not None:
        return Path(settings.result) / WEIGHTS_FILE
    name = settings.weights or settings.timm or settings.published
    return None if name in {None, HUB} else Path(str(name))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except DataError as error:
        raise DataError(f"train.pretrained: {error}") from error


def _load_timm(module: Classifier, source: str, model_name: str) -> Arrival:
    from auscult.models.timm_model import TimmBackbone  # noqa: PLC0415 (loaded already where there is such a model)
    from auscult.models.timm_weights import load_timm_weights  # noqa: PLC0415

    if not isinstance(module.backbone, TimmBackbone):
        raise ConfigError(
            f"train.pretrained.timm: {model_name} is not from timm: use pretrained.result or pretrained.weights"
        )
    weights = _from_hub(model_name) if source == HUB else _read(Path(source))
    return load_timm_weights(module.backbone, weights, f"train.pretrained.timm: {source}")


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
    shared = sorted(datasets_seen(meta) & set(job.datasets))
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
