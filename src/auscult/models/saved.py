"""A trained model on disk: `model.safetensors` and `model.json`. Nothing in it is executed when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from auscult.config.clips import ClipSettings
from auscult.config.experiment import JobSettings
from auscult.config.flatten import differences
from auscult.config.model import ModelSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.task import TaskSettings
from auscult.config.train import TestStepSettings
from auscult.config.upstream import META_FILE, WEIGHTS_FILE
from auscult.errors import ConfigError, DataError
from auscult.metrics.calibration import apply_maps, check_maps
from auscult.models.classifier import Classifier, EmbeddingLayer
from auscult.models.ensemble import AsStored, Ensemble, over_shifts
from auscult.models.frontends import build_frontend
from auscult.models.neighbours import NeighbourHead
from auscult.models.normalisation import FullScale, Normalisation
from auscult.models.registry import build_model, count_parameters
from auscult.storage.files import atomic_path, sha256_file, write_json

FORMAT = "auscult-model"
FORMAT_VERSION = 9
"""Of models that decide by a plugin's test step. Others are written as older installations read them: as version 8
where their maps of events are over bands too, as version 7 where they take pictures, as version 6 where they find
events in time, as version 5 where clips are shifted or probabilities calibrated target by target, ensembles as version
4, as version 3 where the head is a vote of neighbours, as version 2 where they take waveforms, else as version 1."""

BANDS_VERSION = 8
PICTURES_VERSION = 7
EVENTS_VERSION = 6
SHIFTS_VERSION = 5

_SETTINGS: TypeAdapter[Any] = TypeAdapter(ModelSettings)


@dataclass(frozen=True)
class SavedModel:
    """A model ready for use.

    Attributes:
        module: In eval mode; maps what `normalisation` gives to logits.
        normalisation: Of each mel band, from the training clips; of a model that takes waveforms, their scale; of an
            ensemble nothing, its members have their own.
        meta: The content of `model.json`.
    """

    module: Classifier | Ensemble
    normalisation: Normalisation | FullScale | AsStored
    meta: dict[str, Any]

    @property
    def members(self) -> tuple[SavedModel, ...]:
        """The members of an ensemble as models, which say what the ensemble says; of another model itself alone."""
        if not isinstance(self.module, Ensemble):
            return (self,)
        pairs = zip(self.module.networks, self.module.normalisations, strict=True)
        return tuple(SavedModel(network, normalisation, self.meta) for network, normalisation in pairs)

    @property
    def classifier(self) -> Classifier:
        """The one network of a model that is no ensemble.

        Raises:
            DataError: It is an ensemble.
        """
        if isinstance(self.module, Ensemble):
            raise DataError(
                f"this model is an ensemble of {len(self.members)} trainings and has no single network; name one of "
                "its members"
            )
        return self.module

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets (multi-class: of the classes), in the order of the probabilities."""
        return tuple(self.meta["targets"])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Bands and frames of one spectrogram, as the backbone sees it; of pictures channels, height and width."""
        return tuple(int(size) for size in self.meta["input_shape"])

    @property
    def takes(self) -> Literal["spectrogram", "waveform"]:
        """What it is given of a clip: values of the feature store, or of the clip store."""
        return "waveform" if self.module.takes_waveforms else "spectrogram"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of one clip in the store that it is given values of: [mel, frame] or [sample], or of a picture."""
        if self.takes == "waveform":
            return (ClipSettings.model_validate(self.meta["clips"]).n_samples,)
        return self.input_shape

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 unless it was fitted."""
        return float(self.meta.get("temperature", 1.0))

    @property
    def normal_offset(self) -> float:
        """What is added to the logit of a task's normal class; 0 unless it was chosen on validation."""
        return float(self.meta.get("normal_offset", 0.0))

    @property
    def shifts(self) -> tuple[int, ...]:
        """By how many values along time a clip is rolled, one for each of `evaluate.shifts_s`; empty without them."""
        shifts_s = self.meta.get("shifts_s", ())
        if not shifts_s:
            return ()
        rate_hz = ClipSettings.model_validate(self.meta["clips"]).sample_rate_hz
        if self.takes == "spectrogram":
            rate_hz /= SpectrogramSettings.model_validate(self.meta["spectrogram"]).hop_samples
        return tuple(round(shift_s * rate_hz) for shift_s in shifts_s)

    @property
    def is_multi_class(self) -> bool:
        """Probabilities are by softmax, not by sigmoid."""
        return self.meta["task"]["type"] == "multi_class"

    @torch.inference_mode()
    def logits(self, stored: ArrayLike | Tensor, batch_size: int = 64) -> NDArray[np.float32]:
        """Return what the network gives before calibration and sigmoid or softmax, shape [clip, target].

        With shifts they are the logits of the mean of the probabilities. Arguments and errors are those of
        `predict_proba`.
        """
        return self._logits(stored, batch_size).numpy()

    @torch.inference_mode()
    def maps(self, stored: ArrayLike | Tensor, batch_size: int = 64) -> NDArray[np.float32]:
        """Return the probabilities of objects and boundaries at each frame, of a model that finds events.

        Arguments and errors are those of `predict_proba`. Shifts and temperature play no part.

        Returns:
            Shape [clip, 2 x target, frame]: objects of each kind, then boundaries of each; where maps are over bands
            [clip, 2 x target, band, frame], of pictures [clip, 2 x target, height, width].
        """
        return self.proba_and_maps(stored, batch_size)[1]

    @torch.inference_mode()
    def proba_and_maps(
        self, stored: ArrayLike | Tensor, batch_size: int = 64
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return what `predict_proba` and `maps` do, from one pass of the network."""
        network = self.classifier
        logits = self._outputs(stored, batch_size, lambda batch: network(batch, as_maps=True))
        head: Any = network.head
        return self._probabilities(head.over_clip(logits)), logits.sigmoid().numpy()

    @torch.inference_mode()
    def predict_proba(self, stored: ArrayLike | Tensor, batch_size: int = 64) -> NDArray[np.float64]:
        """Return the calibrated probability of each target, by sigmoid, or by softmax for a multi-class task.

        Args:
            stored: As a store holds them: spectrograms in dB, [clip, mel, frame], or, where the model takes waveforms,
                int16 [clip, sample].
            batch_size: Clips at a time.

        Returns:
            Shape [clip, target].

        Raises:
            DataError: They have another shape than the model's.
        """
        return self._probabilities(self._logits(stored, batch_size))

    @torch.inference_mode()
    def predict_proba_of_embeddings(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each target, shape [clip, target], from what `embed` gave for layer `backbone`."""
        return self._probabilities(self.logits_of_embeddings(embeddings))

    @torch.inference_mode()
    def logits_of_embeddings(self, embeddings: NDArray[np.float32], batch_size: int = 1024) -> Tensor:
        """Return the logits, shape [clip, target], from what `embed` gave for layer `backbone`."""
        device = next(self.module.parameters()).device
        batches = torch.from_numpy(embeddings).split(batch_size)
        return torch.cat([self.classifier.head(batch.to(device)).float().cpu() for batch in batches])

    def _probabilities(self, logits: Tensor) -> NDArray[np.float64]:
        task = self.meta["task"]
        normal = task["targets"].index(task["normal_class"]) if self.normal_offset else None
        return calibrated_probabilities(logits, self.meta, task["type"], normal)

    @torch.inference_mode()
    def embed(
        self, stored: ArrayLike | Tensor, layer: EmbeddingLayer = "backbone", batch_size: int = 64
    ) -> NDArray[np.float32]:
        """Return features instead of probabilities, for a classifier or a map of one's own.

        Args:
            stored: As a store holds them: spectrograms in dB, [clip, mel, frame], or, where the model takes waveforms,
                int16 [clip, sample].
            layer: `backbone` or `head`, as `Classifier.embed`.
            batch_size: Clips at a time.

        Returns:
            Shape [clip, feature].

        Raises:
            DataError: They have another shape than the model's.
            ConfigError: There is no such layer.
        """
        return self._outputs(stored, batch_size, lambda batch: self.module.embed(batch, layer)).numpy()

    def _logits(self, stored: ArrayLike | Tensor, batch_size: int) -> Tensor:
        shifts = self.shifts
        if not shifts:
            return self._outputs(stored, batch_size, self.module)

        def compute(batch: Tensor) -> Tensor:
            return over_shifts(self.module, batch, shifts, is_exclusive=self.is_multi_class)

        return self._outputs(stored, batch_size, compute)

    def _outputs(self, stored: ArrayLike | Tensor, batch_size: int, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what `compute` makes of the prepared values, in float32 on the CPU, shape [clip, ...]."""
        values = stored if isinstance(stored, Tensor) else torch.as_tensor(stored)
        if tuple(values.shape[1:]) != self.stored_shape:
            axes = {1: ("samples",), 2: ("mel", "frames"), 3: ("channels", "height", "width")}[len(self.stored_shape)]
            expected = ", ".join(f"{size} {axis}" for size, axis in zip(self.stored_shape, axes, strict=True))
            raise DataError(
                f"found {self.takes}s of shape {list(values.shape)}, expected [clip, {expected}]: make them with the "
                "model's own clip and spectrogram settings"
            )
        device = next(self.module.parameters()).device
        if not len(values):
            # No batch tells the width of the outputs: one silent clip does.
            return compute(torch.zeros((1, *self.stored_shape), device=device)).float().cpu()[:0]
        batches = values.split(batch_size)
        return torch.cat([compute(self.normalisation.apply(batch.to(device))).float().cpu() for batch in batches])


def calibrated_probabilities(
    logits: Tensor, point: Mapping[str, Any], task_type: str, normal: int | None = None
) -> NDArray[np.float64]:
    """Return the probabilities [clip, target] that an operating point makes of logits.

    Args:
        logits: Shape [clip, target].
        point: `calibration`, `temperature` and `normal_offset`; `model.json`, or a part of it.
        task_type: Of the task.
        normal: The column of the normal class, which `normal_offset` weighs; None without one.
    """
    if maps := maps_of(point):
        return apply_maps(logits.double().cpu().numpy(), maps)
    scaled = logits / float(point.get("temperature", 1.0))
    if normal is None:
        return probabilities(scaled, task_type)
    return shifted_probabilities(scaled, normal, float(point.get("normal_offset", 0.0)))


def maps_of(point: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the maps of a calibration target by target (`metrics.calibration.fit_maps`); none of another."""
    return (point.get("calibration") or {}).get("maps", [])


def probabilities(logits: Tensor, task_type: str) -> NDArray[np.float64]:
    """Return the probabilities [clip, target] of logits: by softmax for `multi_class`, else by sigmoid.

    In float64, so that confident predictions do not all round to 1.
    """
    exact = logits.double().cpu()
    return (exact.softmax(dim=1) if task_type == "multi_class" else exact.sigmoid()).numpy()


def shifted_probabilities(logits: Tensor, normal: int, offset: float) -> NDArray[np.float64]:
    """Return the probabilities [clip, class] of a multi-class task whose normal class is weighed by `exp(offset)`.

    It is what another prevalence of that class would give (Saerens, Latinne and Decaestecker 2002, Neural Computation
    14:21).

    Args:
        logits: Shape [clip, class].
        normal: The column of the normal class.
        offset: Added to its logit.
    """
    exact = logits.double().cpu().clone()
    exact[:, normal] += offset
    return exact.softmax(dim=1).numpy()


def describe_model(
    module: Classifier,
    *,
    normalisation: Normalisation | FullScale,
    job: JobSettings,
    task: TaskSettings,
    input_shape: tuple[int, ...],
    training: dict[str, Any],
) -> dict[str, Any]:
    """Return what `model.json` says apart from the thresholds, which are chosen with it, and the digest of the weights.

    Args:
        module: The network.
        normalisation: Of the training clips.
        job: Gives the architecture, the clip and the spectrogram settings.
        task: What is predicted.
        input_shape: Mel bands and frames; of pictures channels, height and width.
        training: What is worth knowing of the training; must hold `best_epoch`.
    """
    neighbours = _describe_neighbours(module.head)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION
        if job.train.test_step
        else BANDS_VERSION
        if task.maps_bands
        else PICTURES_VERSION
        if job.clips.is_image
        else EVENTS_VERSION
        if task.finds_events
        else SHIFTS_VERSION
        if job.evaluate.shifts_s
        else 3
        if neighbours
        else 2
        if module.takes_waveforms
        else 1,
        "architecture": job.model.model_dump(mode="json"),
        "n_parameters": count_parameters(module),
        "input_shape": list(input_shape),
        "input_note": module.input_note,
        "clips": job.clips.model_dump(mode="json"),
        "spectrogram": None if job.clips.is_image else job.spectrogram.model_dump(mode="json"),
        "normalisation": normalisation.to_json() if isinstance(normalisation, Normalisation) else None,
        "task_name": job.task,
        "task": task.model_dump(mode="json"),
        "targets": list(task.targets),
        "datasets": list(job.datasets),
        "thresholds": {},
        "best_epoch": training["best_epoch"],
        "training": training,
        **({"shifts_s": list(job.evaluate.shifts_s)} if job.evaluate.shifts_s else {}),
        **({"test_step": job.train.test_step.model_dump(mode="json")} if job.train.test_step else {}),
        **neighbours,
    }


def datasets_seen(meta: Mapping[str, Any]) -> set[str]:
    """Return the datasets that shaped a model: those of its training, of a probe's encoder, and of a recalibration."""
    encoder = meta.get("training", {}).get("probe", {}).get("encoder", {})
    recalibrated_on = meta.get("recalibration", {}).get("dataset")
    return {*meta["datasets"], *encoder.get("datasets", []), *([recalibrated_on] if recalibrated_on else [])}


def average_models(models: Sequence[SavedModel], names: Sequence[str], training: dict[str, Any]) -> SavedModel:
    """Return the ensemble of trained models, as yet without an operating point.

    Their own calibrations, thresholds and weights of a normal class play no part.

    Args:
        models: At least two, of one task, architecture and preparation of the sound.
        names: What each is called, for the description.
        training: What is worth knowing of the ensemble; must hold `best_epoch`.

    Raises:
        DataError: They are not of one kind; says in what they differ.
    """
    first = models[0]
    for name, model in zip(names, models, strict=True):
        found, wanted = ({key: one.meta.get(key) for key in _OF_ONE_KIND} for one in (model, first))
        faults = [str(change) for change in differences(wanted, found)]
        faults += ["it is a probe"] if isinstance(model.classifier.head, NeighbourHead) else []
        if faults:
            raise DataError(f"{name} cannot be averaged with {names[0]}: {'; '.join(faults)}")
    networks = [model.classifier for model in models]
    normalisations = [
        model.normalisation for model in models if isinstance(model.normalisation, Normalisation | FullScale)
    ]
    members = [
        {
            "name": name,
            "weights_sha256": model.meta["weights_sha256"],
            "n_parameters": model.meta["n_parameters"],
            "normalisation": model.meta["normalisation"],
            "best_epoch": model.meta["best_epoch"],
        }
        for name, model in zip(names, models, strict=True)
    ]
    module = Ensemble(networks, normalisations, is_exclusive=first.meta["task"]["type"] == "multi_class").eval()
    meta = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION if "test_step" in first.meta else SHIFTS_VERSION if first.shifts else 4,
        **{key: first.meta[key] for key in ("architecture", "input_shape", "input_note", "clips", "spectrogram")},
        "normalisation": None,
        **{key: first.meta[key] for key in ("task_name", "task", "targets", "datasets")},
        "n_parameters": sum(model.meta["n_parameters"] for model in models),
        "best_epoch": training["best_epoch"],
        "training": training,
        "members": members,
        **{key: first.meta[key] for key in ("shifts_s", "test_step") if first.meta.get(key)},
    }
    return SavedModel(module, AsStored(), meta)


_OF_ONE_KIND = ("architecture", "input_shape", "clips", "spectrogram", "task", "datasets", "shifts_s", "test_step")


def _describe_neighbours(head: nn.Module) -> dict[str, Any]:
    """Return what a vote of neighbours is built with again; nothing for other heads."""
    if not isinstance(head, NeighbourHead):
        return {}
    dense = head.dense
    size = dense.out_features if isinstance(dense, nn.Linear) else None
    return {"neighbours": {"k": head.k, "n_clips": len(head.clips), "dense_size": size}}


def save_model(folder: Path, model: SavedModel) -> None:
    """Write `model.safetensors` and `model.json` into `folder`, each atomically.

    The description carries the digest of the weights, so that one file of this model beside one of another is noticed.

    Raises:
        ValueError: The description holds a number that JSON cannot say (NaN or infinity).
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        safetensors.torch.save_file(weights, temporary)
        digest = sha256_file(temporary)
    write_json(folder / META_FILE, {**model.meta, "weights_sha256": digest})


def load_model(folder: Path, device: str | torch.device = "cpu") -> SavedModel:
    """Load a model that `save_model` wrote.

    Args:
        folder: Holds `model.safetensors` and `model.json`.
        device: Of the model.

    Raises:
        DataError: A file is missing, damaged, of another model, or of a newer version of the format.
    """
    folder = Path(folder)
    meta = _read_meta(folder / META_FILE)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; it belongs beside {META_FILE}")
    digest = sha256_file(path)
    if digest != meta["weights_sha256"]:
        raise DataError(
            f"{path}: its SHA-256 is {digest[:12]}…, {META_FILE} expects {str(meta['weights_sha256'])[:12]}…: "
            "damaged, or the two files belong to different models; copy both again from one place"
        )
    try:
        module, normalisation = _build_ensemble(meta) if "members" in meta else _build_single(meta)
        module.load_state_dict(safetensors.torch.load_file(path))
        if maps := maps_of(meta):
            check_maps(maps, meta["targets"])
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError, ValidationError) as error:
        raise DataError(f"{folder}: the description and the weights do not make a model: {error}") from error
    except safetensors.SafetensorError as error:
        raise DataError(f"{path}: not a readable safetensors file ({error})") from error
    device = torch.device(device)
    module = module.to(device=device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
    return SavedModel(module=module, normalisation=normalisation.to(device), meta=meta)


def _build_ensemble(meta: dict[str, Any]) -> tuple[Ensemble, AsStored]:
    built = [_build_single({**meta, "normalisation": member["normalisation"]}) for member in meta["members"]]
    networks, normalisations = zip(*built, strict=True)
    return Ensemble(networks, normalisations, is_exclusive=meta["task"]["type"] == "multi_class"), AsStored()


def _build_single(meta: dict[str, Any]) -> tuple[Classifier, Normalisation | FullScale]:
    module = _build(meta)
    return module, FullScale() if module.takes_waveforms else _normalisation(meta["normalisation"])


def _build(meta: dict[str, Any]) -> Classifier:
    settings = _SETTINGS.validate_python(meta["architecture"])
    frontend = None
    if settings.frontend is not None:
        clips = ClipSettings.model_validate(meta["clips"])
        frontend = build_frontend(settings.frontend, SpectrogramSettings.model_validate(meta["spectrogram"]), clips)
    module = build_model(
        settings,
        len(meta["targets"]),
        tuple(meta["input_shape"]),
        frontend=frontend,
        learns_maps=meta["task"]["type"] in {"events", "objects"},
        over_bands=(meta["task"].get("events") or {}).get("maps") == "bands",
    )
    if "test_step" in meta:
        module.test_step = TestStepSettings.model_validate(meta["test_step"]).implementation()
    if "neighbours" in meta:
        module.head = NeighbourHead(
            module.n_features,
            len(meta["targets"]),
            is_exclusive=meta["task"]["type"] == "multi_class",
            **meta["neighbours"],
        )
    return module


def _normalisation(stored: dict[str, list[float]]) -> Normalisation:
    if "mean" in stored:
        return Normalisation.from_channels(*(np.asarray(stored[key], dtype=np.float32) for key in ("mean", "std")))
    mean_db, std_db = (np.asarray(stored[key], dtype=np.float32) for key in ("mean_db", "std_db"))
    return Normalisation.from_bands(mean_db, std_db)


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; a model is {META_FILE} and {WEIGHTS_FILE} in one folder") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); damaged, take it again from its source") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{path}: not the description of a model (expected the key 'format' to be {FORMAT!r})")
    version = meta.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise DataError(
            f"{path}: format version {version!r}, this installation reads up to {FORMAT_VERSION}; update auscult"
        )
    missing = [
        key
        for key in ("weights_sha256", "architecture", "input_shape", "normalisation", "task", "targets", "thresholds")
        if key not in meta
    ]
    if missing:
        raise DataError(f"{path}: the keys {missing} are missing; damaged, take it again from its source")
    return meta
