"""`model.json`, the description of a trained model: typed, checked, and bound to what it says by a digest."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from auscult.config.base import StrictNumbers
from auscult.config.clips import ClipSettings
from auscult.config.events import KindDecoding
from auscult.config.model import ModelSettings
from auscult.config.objects import ObjectDecoding
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.task import LEVELS, TaskSettings
from auscult.config.train import TestStepSettings
from auscult.config.upstream import META_FILE, WEIGHTS_FILE
from auscult.errors import ConfigError, DataError, UnreadableError
from auscult.storage.files import read_json, write_json
from auscult.storage.tensor_names import safetensors_metadata

FORMAT = "auscult-model"
FORMAT_VERSION = 9
"""Of models that decide by a plugin's test step. Others are written as older installations read them: as version 8
where their maps of events are over bands too, as version 7 where they take pictures, as version 6 where they find
events in time, as version 5 where clips are shifted or probabilities calibrated target by target, ensembles as version
4, as version 3 where the head is a vote of neighbours, as version 2 where they take waveforms, else as version 1."""

DIGEST_KEY = "description_sha256"
WEIGHTS_MARK = {"description": DIGEST_KEY}
"""Stands in the header of weights whose description carries its digest: without it, it was touched."""
MAX_BYTES = 50_000_000
"""Of a description; isotonic calibrations hold a knot a clip."""

logger = logging.getLogger(__name__)

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Thresholds = dict[str, float]
_Level = Literal["clip", "recording", "patient"]


class _Section(StrictNumbers):
    """A part of a description; a later version may say more."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class _Moments(_Section):
    """Of each mel band in dB, or of each channel of pictures."""

    mean_db: tuple[float, ...] | None = None
    std_db: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None

    def require(self, n_bands: int) -> None:
        """Raise a ValueError unless there is one mean and one deviation a band."""
        given = {name: values for name, values in self if name in type(self).model_fields and values is not None}
        if set(given) not in ({"mean_db", "std_db"}, {"mean", "std"}):
            raise ValueError(f"normalisation: found {sorted(given)}, expected mean_db and std_db, or mean and std")
        for name, values in given.items():
            if len(values) != n_bands:
                raise ValueError(f"normalisation.{name}: found {len(values)} values, expected {n_bands}")


class _Point(_Section):
    thresholds: _Thresholds
    normal_offset: float = 0.0


class _Quantile(_Section):
    quantile: float = Field(ge=0, le=1)
    n: int = Field(ge=0)


class _Conformal(_Section):
    alpha: float = Field(gt=0, lt=1)
    level: _Level
    classes: dict[str, dict[str, _Quantile]]


class _Map(_Section):
    target: str
    slope: float | None = None
    intercept: float | None = None
    logits: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None


class _Calibration(_Section):
    method: Literal["temperature", "platt", "isotonic"]
    maps: tuple[_Map, ...] = ()


class _Member(_Section):
    name: str
    weights_sha256: str
    normalisation: _Moments | None


class _Neighbours(_Section):
    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(ge=1)
    n_clips: int = Field(ge=1, le=100_000_000)
    dense_size: int | None = Field(default=None, ge=1, le=1_000_000)


class ModelDescription(_Section):
    """What `model.json` says that a prediction depends on."""

    format_version: int = Field(ge=1, le=FORMAT_VERSION)
    weights_sha256: _Sha256
    description_sha256: _Sha256 | None = None
    architecture: ModelSettings
    n_parameters: int = Field(ge=0)
    input_shape: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(min_length=2, max_length=3)
    clips: ClipSettings
    spectrogram: SpectrogramSettings | None
    normalisation: _Moments | None
    task_name: str
    task: TaskSettings
    targets: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[str, ...]
    best_epoch: int = Field(ge=0)
    training: dict[str, Any]
    thresholds: _Thresholds
    temperature: float = Field(default=1.0, gt=0)
    normal_offset: float = 0.0
    operating_points: dict[_Level, _Point] | None = None
    calibration: _Calibration | None = None
    conformal: _Conformal | None = None
    shifts_s: tuple[Annotated[float, Field(ge=-60, le=60)], ...] = ()
    members: tuple[_Member, ...] | None = Field(default=None, min_length=1)
    neighbours: _Neighbours | None = None
    event_decoding: dict[str, KindDecoding] | None = None
    object_decoding: ObjectDecoding | None = None
    test_step: TestStepSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        targets = list(self.task.targets)
        if list(self.targets) != targets:
            raise ValueError(f"targets {list(self.targets)} are not those of the task, {targets}")
        decided = [] if self.task.type == "multi_class" else targets
        _require_keys(self.thresholds, decided, "thresholds")
        for level, point in (self.operating_points or {}).items():
            _require_keys(point.thresholds, decided, f"operating_points.{level}.thresholds")
        if self.operating_points is not None:
            _require_keys(self.operating_points, LEVELS, "operating_points")
        if self.task.finds_events:
            _require_keys(self.event_decoding or {}, targets, "event_decoding")
        moments = [self.normalisation] if self.members is None else [one.normalisation for one in self.members]
        for one in moments:
            if one is not None:
                one.require(self.input_shape[0])
        return self


def _require_keys(found: Iterable[str], expected: Iterable[str], what: str) -> None:
    if set(found) != set(expected):
        raise ValueError(f"{what}: found {sorted(found)}, expected one for each of {list(expected)}")


_DESCRIPTION = TypeAdapter(ModelDescription)


def description_digest(meta: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a description says, without the digest itself; order and blanks play no part.

    >>> description_digest({"a": 1, "b": [2]}) == description_digest({"b": [2], "a": 1, "description_sha256": "0"})
    True
    """
    said = {key: value for key, value in meta.items() if key != DIGEST_KEY}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_description(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `model.json` into `folder` with its digest, atomically.

    Raises:
        ValueError: It holds a number that JSON cannot say (NaN or infinity).
    """
    write_json(folder / META_FILE, {**meta, DIGEST_KEY: description_digest(meta)})


def read_description(folder: Path) -> dict[str, Any]:
    """Return what `model.json` in `folder` says, once its digest and its types are checked.

    One of an earlier version carries no digest; it is taken with a warning, for an edit of it cannot be told.

    Raises:
        DataError: It is missing, unreadable, of a newer version of the format, touched, or says what no model is.
    """
    path = Path(folder) / META_FILE
    meta = _parse(path)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{path}: not the description of a model (expected the key 'format' to be {FORMAT!r})")
    version = meta.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise DataError(
            f"{path}: format version {version!r}, this installation reads up to {FORMAT_VERSION}; update auscult"
        )
    if not check_digest(meta, path):
        logger.warning(
            "%s: carries no digest (an earlier version of auscult wrote it): whether it was changed cannot be told",
            path,
        )
    missing = [key for key, field in ModelDescription.model_fields.items() if field.is_required() and key not in meta]
    if missing:
        raise DataError(f"{path}: the keys {missing} are missing; damaged, take it again from its source")
    try:
        _DESCRIPTION.validate_python(meta)
    except (ValidationError, ConfigError) as error:
        raise DataError(
            f"{path}: says what no model is: {_first_fault(error)}; take it again from its source"
        ) from None
    return meta


def _parse(path: Path) -> Any:
    try:
        return read_json(path, MAX_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; a model is {META_FILE} and {WEIGHTS_FILE} in one folder") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); take it again from its source") from error
    except UnreadableError as error:
        raise DataError(f"{error}; damaged, take it again from its source") from error


def check_digest(meta: Any, path: Path) -> bool:
    """Refuse a description that was touched; return whether it carries a digest, as those of earlier versions do not.

    Args:
        meta: The description.
        path: Where it lies, beside its weights.

    Raises:
        DataError: It was touched, or is no description.
    """
    if not isinstance(meta, dict):
        raise DataError(f"{path}: found {type(meta).__name__}, expected the description of a model")
    stored = meta.get(DIGEST_KEY)
    if stored is not None:
        if stored != description_digest(meta):
            raise DataError(
                f"{path}: its content does not match its {DIGEST_KEY}: it was changed by hand or damaged; take it "
                "again from its source. Thresholds and calibration of a new site: auscult evaluate --recalibrate"
            )
        return True
    if _is_marked(path.with_name(WEIGHTS_FILE)):
        raise DataError(
            f"{path}: has no {DIGEST_KEY}, which its weights say it had: it was changed by hand; take it again from "
            "its source"
        )
    return False


def _is_marked(weights: Path) -> bool:
    try:
        return weights.is_file() and "description" in safetensors_metadata(weights)
    except DataError:
        return False  # who loads them is told; what only reads the description needs no weights


def _first_fault(error: ValidationError | ConfigError) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    shown = "" if first["type"] == "value_error" else f" (found {repr(first['input'])[:80]})"
    return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}{shown}"
