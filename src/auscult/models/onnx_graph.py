"""A trained model as one ONNX graph: waveforms of clips in, probabilities out."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from auscult.config.clips import FULL_SCALE, ClipSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.errors import ConfigError
from auscult.models.classifier import Classifier
from auscult.models.ensemble import mean_logits, over_shifts
from auscult.models.frontends import LogSpectrogram, log_mel
from auscult.models.normalisation import Normalisation
from auscult.models.saved import SavedModel, maps_of

METADATA_KEY = "auscult"
"""Of the entry of the file's metadata that holds its description, as JSON."""
INPUT_NAME = "waveform"
PROBABILITY = "probability"
SPECTROGRAM = "spectrogram"
_OPSET = 18
"""Read by every ONNX runtime since 2023."""
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_MOST_BYTES = 2**31 - 1
"""Of one file: the limit of protobuf."""


class ExactSpectrogram(nn.Module):
    """The values of `LogSpectrogram`, its Fourier transform a product with the windowed waves of each bin, in float64.

    ONNX runtimes differ in their Fourier transforms, if they have one; all have products. In float32 its own noise
    would decide to which step of float16 a value is rounded.
    """

    filters: Tensor
    waves: Tensor
    db_of_log: Tensor

    def __init__(self, spectrogram: LogSpectrogram) -> None:
        super().__init__()
        self.settings = spectrogram.settings
        n_fft = self.settings.n_fft
        n_bytes = 8 * n_fft * 2 * (n_fft // 2 + 1)
        if n_bytes > _MOST_BYTES:
            raise ConfigError(
                f"spectrogram.n_fft {n_fft}: its Fourier transform takes {n_bytes / 2**30:.0f} GiB as a matrix, an "
                "ONNX file holds 2 GiB; train with a smaller n_fft"
            )
        # Whole periods are taken off in whole numbers: the phase of a late sample and a high bin stays exact.
        phase = 2 * np.pi * (np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft) / n_fft
        window = spectrogram.window.double().cpu().numpy()[:, None]
        waves = np.concatenate([np.cos(phase) * window, np.sin(phase) * window], axis=1)
        self.register_buffer("waves", torch.from_numpy(waves))
        self.register_buffer("filters", spectrogram.filters.detach().clamp(min=0).double().cpu())
        # A tensor: the exporter writes plain numbers, and the 10 of log10, in float32.
        self.register_buffer("db_of_log", torch.tensor(10 / math.log(10), dtype=torch.float64))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turn float32 waveforms of full scale 1, [batch, sample], into dB, [batch, band, frame]."""
        settings = self.settings
        sound = waveforms
        if settings.centred:
            reach = settings.n_fft // 2
            sound = functional.pad(sound.unsqueeze(1), (reach, reach), mode="reflect").squeeze(1)
        frames = sound.unfold(1, settings.n_fft, settings.hop_samples).double()
        cosine, sine = (frames @ self.waves).chunk(2, dim=2)
        powered = (cosine * cosine + sine * sine).transpose(1, 2)
        if settings.power != 2:
            powered = powered.pow(settings.power / 2)
        bands = self.filters @ powered
        return (bands.clamp(min=10.0 ** (settings.floor_db / 10)).log() * self.db_of_log).float()


class _PreparedClassifier(nn.Module):
    """A classifier with its own normalisation before it, in operators that ONNX knows."""

    mean_db: Tensor
    std_db: Tensor

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        # No memory format, which ONNX does not know.
        copied: Any = copy.deepcopy(saved.classifier)
        self.classifier: Classifier = copied.to(device="cpu", memory_format=torch.contiguous_format).eval()
        self.is_normalised = isinstance(saved.normalisation, Normalisation)
        if isinstance(saved.normalisation, Normalisation):
            self.register_buffer("mean_db", saved.normalisation.mean_db.cpu())
            self.register_buffer("std_db", saved.normalisation.std_db.cpu())
        elif isinstance(self.classifier.frontend.bands, LogSpectrogram):
            frontend: Any = self.classifier.frontend
            frontend.bands = ExactSpectrogram(frontend.bands)

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn spectrograms in dB, or waveforms of full scale 1, into logits."""
        return self.classifier((inputs - self.mean_db) / self.std_db if self.is_normalised else inputs)


class CalibrationMaps(nn.Module):
    """`metrics.calibration.apply_maps` in operators that ONNX knows.

    A curve through knots is a sum of ramps, one between each two knots. Targets with fewer knots have ramps that do not
    rise. In float64: a curve may be so steep that what float32 rounds off would be seen.

    Args:
        maps: One a target.
    """

    line: Tensor
    starts: Tensor
    widths: Tensor
    rises: Tensor
    bases: Tensor
    has_knots: Tensor

    def __init__(self, maps: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        line = [[one.get("slope", 1.0), one.get("intercept", 0.0)] for one in maps]
        self.register_buffer("line", torch.tensor(line, dtype=torch.float64).T)
        n_ramps = max((len(one.get("logits", ())) - 1 for one in maps), default=0)
        ramps = torch.zeros(3, len(maps), max(n_ramps, 1), dtype=torch.float64)
        ramps[1] = 1.0
        for row, one in enumerate(maps):
            at, prob = (torch.tensor(one.get(key, ()), dtype=torch.float64) for key in ("logits", "probabilities"))
            for place, values in enumerate((at[:-1], at.diff(), prob.diff())):
                ramps[place, row, : len(values)] = values
        for name, values in zip(("starts", "widths", "rises"), ramps, strict=True):
            self.register_buffer(name, values.clone())
        bases = [one["probabilities"][0] if "logits" in one else 0.0 for one in maps]
        self.register_buffer("bases", torch.tensor(bases, dtype=torch.float64))
        self.register_buffer("has_knots", torch.tensor(["logits" in one for one in maps]))

    def forward(self, logits: Tensor) -> Tensor:
        """Turn logits into probabilities, both [batch, target]."""
        exact = logits.double()
        ramps = ((exact.unsqueeze(2) - self.starts) / self.widths).clamp(0.0, 1.0) * self.rises
        curved = self.bases + ramps.sum(dim=2)
        smooth = (exact * self.line[0] + self.line[1]).sigmoid()
        return torch.where(self.has_knots, curved, smooth).float()


class WaveformModel(nn.Module):
    """A saved model with all that lies between waveforms and probabilities.

    Clips are rounded to int16 steps and stored spectrograms to float16, as the stores that it was trained on are.

    Args:
        saved: The model; it is copied.
    """

    offset: Tensor

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.members = nn.ModuleList(_PreparedClassifier(member) for member in saved.members)
        self.log_mel: nn.Module | None = None
        if saved.takes == "spectrogram":
            clips = ClipSettings.model_validate(saved.meta["clips"])
            spectrogram = SpectrogramSettings.model_validate(saved.meta["spectrogram"])
            self.log_mel = ExactSpectrogram(log_mel(spectrogram, clips))
        task: dict[str, Any] = saved.meta["task"]
        self.is_multi_class = saved.is_multi_class
        self.shifts = saved.shifts
        self.temperature = saved.temperature
        offset = torch.zeros(len(saved.targets))
        if saved.normal_offset:
            offset[task["targets"].index(task["normal_class"])] = saved.normal_offset
        self.register_buffer("offset", offset)
        maps = maps_of(saved.meta)
        self.maps = CalibrationMaps(maps) if maps else None

    def forward(self, waveform: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turn float32 waveforms of full scale 1, [batch, sample], into probabilities, [batch, target].

        With them come the spectrograms in dB, [batch, mel, frame], of a model that takes those of the store.
        """
        stored = None
        inputs = (waveform * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE
        if self.log_mel is not None:
            inputs = stored = self.log_mel(inputs).to(torch.float16).to(torch.float32)
        if self.shifts:
            logits = over_shifts(self._logits, inputs, self.shifts, is_exclusive=self.is_multi_class)
        else:
            logits = self._logits(inputs)
        if self.maps is not None:
            probabilities = self.maps(logits)
        else:
            logits = logits / self.temperature + self.offset
            probabilities = logits.softmax(dim=1) if self.is_multi_class else logits.sigmoid()
        return probabilities if stored is None else (probabilities, stored)

    def _logits(self, inputs: Tensor) -> Tensor:
        of_members = [member(inputs) for member in self.members]
        if len(of_members) == 1:
            return of_members[0]
        return mean_logits(torch.stack(of_members), is_exclusive=self.is_multi_class)


def require_packages() -> None:
    """Refuse to begin without the packages of the extra `onnx`.

    Raises:
        ConfigError: Naming those that are missing, and how to install them.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"an export to ONNX needs {', '.join(_PACKAGES)}; not installed: {', '.join(missing)}. Install them from "
            "the project's folder: .venv/bin/pip install -e '.[onnx]'"
        )


def write_onnx(saved: SavedModel, path: Path, description: dict[str, Any]) -> None:
    """Write a model as one ONNX file, for any number of clips at a time.

    Args:
        saved: The model.
        path: The file.
        description: Goes into the file's metadata as JSON, under `METADATA_KEY`.

    Raises:
        ConfigError: The graph cannot be said in ONNX; names the operator.
    """
    require_packages()
    module = WaveformModel(saved).eval()
    clips = torch.zeros(2, ClipSettings.model_validate(saved.meta["clips"]).n_samples)
    outputs = [PROBABILITY] if module.log_mel is None else [PROBABILITY, SPECTROGRAM]
    name = saved.meta["architecture"]["name"]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's exporter, about itself
            program = torch.onnx.export(
                module,
                (clips,),
                input_names=[INPUT_NAME],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise ConfigError(f"model {name!r} cannot be exported to ONNX: {_operator_fault(error)}") from error
    if program is None:
        raise ConfigError(f"model {name!r} cannot be exported to ONNX: PyTorch's exporter gave nothing")
    shape: Any = program.model.graph.inputs[0].shape
    if isinstance(shape[0], int):
        raise ConfigError(
            f"model {name!r} cannot be exported to ONNX for any number of clips: its code fixes the size of a batch "
            "(len(tensor), or a shape turned into a number)"
        )
    program.model.metadata_props[METADATA_KEY] = json.dumps(description, ensure_ascii=False, allow_nan=False)
    program.save(path, external_data=False)


def _operator_fault(error: BaseException) -> str:
    """Return what failed: the operator that ONNX does not have, or else the first line of the cause."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    for text in reversed(texts):
        if found := re.search(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'", text):
            return f"ONNX has no counterpart of the operator {found[1]}; replace it in the model's code"
    return next((line for line in texts[-1].splitlines() if line.strip()), type(error).__name__)
