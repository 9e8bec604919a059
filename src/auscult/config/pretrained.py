"""Whether a file of pretrained weights fits the model of a job, as far as names and shapes tell; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from auscult.config.encoder import encoder_names, load_encoder
from auscult.config.experiment import JobSettings
from auscult.config.model import TIMM_PREFIX, PublishedSettings
from auscult.config.timm_fingerprints import timm_architectures
from auscult.errors import DataError, some
from auscult.storage.tensor_names import safetensors_shapes

_PARTS = ("backbone.", "head.", "frontend.")


def pretrained_fault(job: JobSettings) -> str | None:
    """Return why a job's pretrained weights cannot be those of its model; None: nothing speaks against them.

    A file that is not there yet, or no safetensors file, is looked at when the training starts, before any data.
    """
    pretrained = job.train.pretrained
    if pretrained is None:
        return None
    if pretrained.timm is not None and not job.model.name.startswith(TIMM_PREFIX):
        return (
            f"timm: {job.model.name} is not from timm and has no weights there; take a model {TIMM_PREFIX}..., or "
            "weights of your own: train.pretrained.result or train.pretrained.weights"
        )
    if pretrained.published is not None and not isinstance(job.model, PublishedSettings):
        return (
            f"published: {job.model.name} is no published encoder; take model: {{name: published, encoder: ...}} with "
            f"one of {', '.join(encoder_names())}"
        )
    source, path = next(
        ((name, Path(path)) for name in ("weights", "timm", "published") if (path := getattr(pretrained, name))),
        ("", Path()),
    )
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        shapes = safetensors_shapes(path)
    except DataError as error:
        return f"{source}: {error}"
    fault = _file_fault(job, source, shapes)
    return None if fault is None else f"{source}: {path} {fault}; it holds {what_it_holds(shapes)}"


def _file_fault(job: JobSettings, source: str, shapes: Mapping[str, Sequence[int]]) -> str | None:
    if source == "published" and isinstance(job.model, PublishedSettings):
        faults = load_encoder(job.model.encoder).place(shapes).faults
        return f"does not fit {job.model.encoder}: {some(faults)}" if faults else None
    if source == "weights":
        strange = [name for name in shapes if not name.startswith(_PARTS)]
        return f"is of no model of this project: {some(strange)}" if strange or not shapes else None
    found = timm_architectures(shapes)
    asked = job.model.name.removeprefix(TIMM_PREFIX)
    is_other = (found and asked not in found) or _own(shapes) or fitting_encoders(shapes)
    return f"does not fit {job.model.name}" if is_other else None


def fitting_encoders(shapes: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Return the published encoders whose weights a file holds, every tensor of them."""
    return tuple(name for name in encoder_names() if not load_encoder(name).place(shapes).faults)


def what_it_holds(shapes: Mapping[str, Sequence[int]]) -> str:
    """Say in a few words what a file is.

    >>> what_it_holds({"backbone.convolution.weight": (16, 1, 3, 3), "head.linear.weight": (1, 16)})
    'a model that auscult trained'
    """
    encoders = fitting_encoders(shapes)
    if encoders:
        return f"the published encoder {' or '.join(encoders)}"
    if _own(shapes):
        return "a model that auscult trained"
    architectures = timm_architectures(shapes)
    if architectures:
        return f"{TIMM_PREFIX}{some(architectures)}"
    nearest = _nearest_encoder(shapes)
    return f"something unknown ({some(sorted(shapes))})" if nearest is None else nearest


def how_to_use(path: Path, shapes: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield how an experiment names a file: one way a line, in YAML; nothing for an unknown file."""
    for name in fitting_encoders(shapes):
        encoder = load_encoder(name)
        yield f"clips: {{sample_rate_hz: {encoder.sample_rate_hz}}}"
        yield f"model: {{name: published, encoder: {name}}}   # {encoder.description}"
        yield f"train: {{pretrained: {{published: {path}}}}}"
    if _own(shapes):
        yield f"train: {{pretrained: {{weights: {path}}}}}   # with the model of its model.json"
    for name in timm_architectures(shapes)[:1]:
        yield f"model: {{name: {TIMM_PREFIX}{name}}}"
        yield f"train: {{pretrained: {{timm: {path}}}}}"


def _own(shapes: Mapping[str, Sequence[int]]) -> bool:
    return bool(shapes) and all(name.startswith(_PARTS) for name in shapes)


def _nearest_encoder(shapes: Mapping[str, Sequence[int]]) -> str | None:
    placements = {name: load_encoder(name).place(shapes) for name in encoder_names()}
    placed = {name: placement.faults for name, placement in placements.items() if placement.layout}
    if not placed:
        return None
    name = min(placed, key=lambda known: len(placed[known]))
    return f"something like {name}, but for {some(placed[name])}"
