"""`auscult export --onnx`: a trained model as one file for other programs, compared with auscult on real clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.audio.clip_store import ClipStore, to_float32, to_int16
from auscult.config import paths
from auscult.config.clips import ClipSettings
from auscult.config.files import defined_names
from auscult.config.task import LEVELS
from auscult.errors import ConfigError, DataError
from auscult.inference.dataset import settings_of
from auscult.inference.loaded_model import LoadedModel, require_sound
from auscult.inference.stream import find_audio, read_facts
from auscult.metrics.plain_scores import auroc
from auscult.models.neighbours import NeighbourHead
from auscult.models.onnx_graph import INPUT_NAME, PROBABILITY, require_packages, write_onnx
from auscult.provenance import require_as_published
from auscult.storage.files import atomic_path, require_free, sha256_file, write_json
from auscult.storage.tables import read_predictions, truth_of

ONNX_FILE = "model.onnx"
REPORT_FILE = "onnx.json"
PREDICTIONS_FILE = "predictions.parquet"
LARGEST_DIFFERENCE = 1e-4
"""Of two probabilities of one clip: beyond it the file is not kept."""
_CLIPS_AT_ONCE = 8
_SEED = 0


@dataclass(frozen=True)
class ParityClips:
    """Clips on which a model and its export are compared.

    Attributes:
        source: What they are, in words.
        waveforms: As the clip store holds them, int16 [clip, sample].
        truth: What is known of them, [clip, target]: 1, 0 or NaN; None where nothing is.
    """

    source: str
    waveforms: NDArray[np.int16]
    truth: NDArray[np.float32] | None = None


def default_output(model: LoadedModel) -> Path:
    """Return the default folder of an export: by task and the model's weights."""
    meta = model.saved.meta
    return Path("exports") / str(meta["task_name"]) / str(meta["weights_sha256"])[:8]


def export_onnx(model: LoadedModel, clips: ParityClips, folder: Path, *, is_forced: bool = False) -> dict[str, Any]:
    """Write `model.onnx` and `onnx.json`, and return what the latter says: the description and the parity.

    Args:
        model: On the CPU.
        clips: On which it is compared with its export.
        folder: Where to.
        is_forced: Overwrite the two files.

    Raises:
        ConfigError: The files are there already, a package is missing, or the model cannot be said in ONNX.
        DataError: The export does not give the model's probabilities; no file is left.
    """
    require_sound(model.saved.meta)
    if any(isinstance(member.classifier.head, NeighbourHead) for member in model.saved.members):
        raise ConfigError(
            "--onnx: the head of this model is a vote of its training clips, which is not exported; export a linear "
            "probe of the same encoder"
        )
    require_packages()
    target, report_path = folder / ONNX_FILE, folder / REPORT_FILE
    for path in (target, report_path):
        require_free(path, is_forced=is_forced)
    description = describe(model)
    with atomic_path(target) as temporary:
        write_onnx(model.saved, temporary, description)
        parity = measure_parity(model, temporary, clips)
        _require_parity(parity)
        digest = sha256_file(temporary)
    report = {**description, "onnx_sha256": digest, "parity": parity}
    write_json(report_path, report)
    return report


def describe(model: LoadedModel) -> dict[str, Any]:
    """Return all that is needed to use the graph: what goes in, what comes out, and where it is positive."""
    meta = model.saved.meta
    clips = ClipSettings.model_validate(meta["clips"])
    return {
        "format": "auscult-onnx",
        "format_version": 1,
        "task": meta["task_name"],
        "task_type": model.task.type,
        "level": model.task.level,
        "aggregate": model.task.aggregate.method,
        "targets": list(model.targets),
        "thresholds": model.thresholds,
        "thresholds_by_level": {level: model.thresholds_at(level) for level in LEVELS},
        "sample_rate_hz": clips.sample_rate_hz,
        "clip_length_s": clips.length_s,
        "n_samples": clips.n_samples,
        "unit": clips.unit,
        "pad": clips.pad,
        "band_pass": None if clips.band_pass is None else clips.band_pass.model_dump(mode="json"),
        "weights_sha256": meta["weights_sha256"],
    }


def measure_parity(model: LoadedModel, onnx_file: Path, clips: ParityClips) -> dict[str, Any]:
    """Compare the probabilities of an ONNX file with those of the model in auscult.

    The graph makes its spectrograms in float64, so auscult does it too here. What it changes that `auscult predict`
    makes them in float32 is measured by itself.

    Returns:
        `clips` and `n_clips`; `largest_difference` of two probabilities; `auroc`, by target that of `auscult` and that
        of `onnx` over the clips (None where undefined or unknown); `float32_effect`, the largest difference between
        `auscult predict` and auscult on spectrograms made in float64, 0 of a model that takes waveforms.
    """
    import onnxruntime  # noqa: PLC0415 (of the extra `onnx`)

    session: Any = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    predict = model.saved.predict_proba
    log_mel = model.reader().log_mel
    own: list[NDArray[np.float64]] = []
    other: list[NDArray[np.float32]] = []
    float32_effect = 0.0
    for start in range(0, len(clips.waveforms), _CLIPS_AT_ONCE):
        waveforms = clips.waveforms[start : start + _CLIPS_AT_ONCE]
        other += session.run([PROBABILITY], {INPUT_NAME: to_float32(waveforms)})
        if model.saved.takes == "waveform":
            own.append(predict(waveforms))
        else:
            own.append(predict(log_mel(waveforms, dtype=np.float16, is_exact=True)))
            float32_effect = max(float32_effect, _largest(predict(log_mel(waveforms, dtype=np.float16)), own[-1]))
    expected, found = np.concatenate(own), np.concatenate(other)
    return {
        "clips": clips.source,
        "n_clips": len(expected),
        "largest_difference": _largest(expected, found),
        "float32_effect": float32_effect,
        "auroc": _areas(model.targets, clips.truth, {"auscult": expected, "onnx": found}),
        # Clips are whole int16 steps when a model gets them: the graph rounds to these first.
        "int16_rounding": "inside the graph",
    }


def _largest(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return float(np.abs(one - other).max())


def _areas(
    targets: Sequence[str], truth: NDArray[np.float32] | None, predicted: Mapping[str, NDArray[np.floating]]
) -> dict[str, dict[str, float | None]] | None:
    if truth is None:
        return None
    return {
        target: {name: auroc(truth[:, column], values[:, column]) for name, values in predicted.items()}
        for column, target in enumerate(targets)
    }


def _require_parity(parity: Mapping[str, Any]) -> None:
    """Refuse an export whose probabilities are others.

    Raises:
        DataError: Naming the difference and the bound.
    """
    # Written so that NaN is refused.
    if not float(parity["largest_difference"]) <= LARGEST_DIFFERENCE:
        raise DataError(
            f"the ONNX graph's probabilities differ from auscult's by up to {parity['largest_difference']:.2g} on "
            f"{parity['n_clips']} clips ({parity['clips']}); allowed is {LARGEST_DIFFERENCE:g}. No file was kept; use "
            "the model with auscult"
        )


def choose_clips(
    model: LoadedModel, folder: Path, *, audio: Sequence[Path], n_clips: int, config_dir: Path
) -> ParityClips:
    """Return the clips to compare on: of the given audio, else of the job's own validation set, else noise.

    Args:
        model: The model.
        folder: Of its job; the validation clips are those of its `predictions.parquet`.
        audio: Files and folders; may be empty.
        n_clips: How many, at most.
        config_dir: The configuration, which says where the workflow keeps the clips.

    Raises:
        DataError: A given file cannot be read.
    """
    if audio:
        return _clips_of_files(model, audio, n_clips)
    job = folder.parent if folder.is_file() else folder
    return _validation_clips(model, job, n_clips, config_dir) or _noise(model, n_clips)


def _clips_of_files(model: LoadedModel, audio: Sequence[Path], n_clips: int) -> ParityClips:
    reader = model.reader()
    found: list[NDArray[np.int16]] = []
    for path in find_audio(audio):
        try:
            facts = read_facts(path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        found += [clip for block in reader.blocks(path, facts, n_clips) for clip in block.waveforms]
        if len(found) >= n_clips:
            break
    return ParityClips("of the given audio", np.stack(found[:n_clips]))


def _validation_clips(model: LoadedModel, folder: Path, n_clips: int, config_dir: Path) -> ParityClips | None:
    """Return clips evenly spaced in the validation set; None where the workflow's files are not there."""
    path = folder / PREDICTIONS_FILE
    if not path.is_file():
        return None
    require_as_published(path)
    table = read_predictions(path, model.task)
    table = table[table["split"] == "val"]
    if table.empty or not set(table["dataset"]) <= set(defined_names(config_dir, "dataset")):
        return None
    chosen = table.iloc[np.unique(np.linspace(0, len(table) - 1, n_clips).round().astype(int))]
    settings = ClipSettings.model_validate(model.saved.meta["clips"])
    by_id: dict[str, NDArray[np.int16]] = {}
    for name, rows in chosen.groupby("dataset"):
        for store_path in paths.clips_paths(str(name), settings_of(str(name), config_dir), settings):
            if not Path(store_path).is_file():
                return None
            with ClipStore(Path(store_path)) as store:
                places = pd.Series(np.arange(len(store)), index=store.table["clip_id"])
                ids = [clip for clip in rows["clip_id"] if clip in places.index]
                by_id |= dict(zip(ids, store.read(places.loc[ids].to_numpy()), strict=True))
    if not set(chosen["clip_id"]) <= by_id.keys():
        return None
    waveforms = np.stack([by_id[clip] for clip in chosen["clip_id"]])
    return ParityClips("of the job's validation set", waveforms, truth_of(chosen, model.task))


def _noise(model: LoadedModel, n_clips: int) -> ParityClips:
    random = np.random.default_rng(_SEED)
    n_samples = ClipSettings.model_validate(model.saved.meta["clips"]).n_samples
    levels = 10 ** random.uniform(-3, -0.5, (n_clips, 1))
    sound = levels * random.standard_normal((n_clips, n_samples))
    return ParityClips(f"of seeded noise (seed {_SEED}), no recordings", to_int16(sound.astype(np.float32)))
