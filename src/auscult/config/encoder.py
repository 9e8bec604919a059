"""Published pretrained encoders: one file in `config/encoders/` each says all that its weights presuppose.

Architecture, front end, normalisation, size of the input, orientation, and the name of every tensor in each layout of
names in which the weights are about. No weights are shipped. What a file holds is compared with it by names and shapes
alone, so that a dry run can do so.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field

from auscult.config.base import Settings
from auscult.config.documents import parse_yaml
from auscult.errors import ConfigError, unknown_name

_FOLDER = "encoders"
_BRACES = re.compile(r"\{([^{}]*)\}")


class LogMelBands(Settings):
    """A power spectrogram of centred Hann windows in mel bands (Slaney's scale and area), in dB from -100 on."""

    name: Literal["log_mel"]
    n_fft: int
    hop_samples: int
    n_mels: int
    f_min_hz: float
    f_max_hz: float

    def n_frames(self, n_samples: int, sample_rate_hz: int) -> int:
        """Return the frames of a clip; at any rate the same."""
        del sample_rate_hz
        return n_samples // self.hop_samples + 1


class KaldiBands(Settings):
    """Kaldi's log filter bank, without dither and energy: each frame loses its mean and is pre-emphasised."""

    name: Literal["kaldi_fbank"]
    n_mels: int
    window_ms: float = 25.0
    shift_ms: float = 10.0
    preemphasis: float = 0.97
    f_min_hz: float = 20.0

    def n_frames(self, n_samples: int, sample_rate_hz: int) -> int:
        """Return the frames that lie wholly in a clip.

        >>> KaldiBands(name="kaldi_fbank", n_mels=128).n_frames(160_000, 16_000)
        998
        """
        window, shift = self.window_samples(sample_rate_hz), self.shift_samples(sample_rate_hz)
        return 0 if n_samples < window else 1 + (n_samples - window) // shift

    def window_samples(self, sample_rate_hz: int) -> int:
        """Return the length of a window."""
        return int(sample_rate_hz * self.window_ms / 1000)

    def shift_samples(self, sample_rate_hz: int) -> int:
        """Return the step between two windows."""
        return int(sample_rate_hz * self.shift_ms / 1000)


class PositionTable(Settings):
    """A table of positions [1, prefix + row * column, feature], resampled where the model is built for another size."""

    n_prefix: int = Field(description="tokens before those of the patches")
    grid: tuple[int, int] = Field(description="rows and columns of patches, as the file has them")


class Tensors(Settings):
    """Tensors of the model, and their names in the files; `{0..3}` and `{a,b}` stand for several, in order."""

    to: str
    shape: tuple[int, ...] = Field(description="as in the file; of several that are joined, their whole")
    names: dict[str, str | tuple[str, ...]] = Field(
        description="layout -> name in the file; several are joined along the first axis"
    )
    position: PositionTable | None = None


class Layout(Settings):
    """How the tensors of one kind of file are named."""

    prefixes: tuple[str, ...] = Field(default=("",), description="before every name; the first that fits is taken off")
    unused: dict[str, str] = Field(default={}, description="pattern -> why such tensors are not used")


class Encoder(Settings):
    """One published encoder."""

    description: str
    source: str = Field(description="where its weights are")
    architecture: dict[str, Any] = Field(description="a model and its settings, as an experiment would name it")
    dropout: float = 0.0
    head: dict[str, Any] = Field(default={}, description="settings of the head, as published")
    sample_rate_hz: int
    frontend: Annotated[LogMelBands | KaldiBands, Field(discriminator="name")]
    mean: float = Field(description="subtracted from the bands")
    std: float = Field(description="what they are divided by then")
    n_frames: int | None = Field(default=None, description="of its input; None: any")
    orientation: Literal["mel_frame", "frame_mel"] = Field(
        description="the axes of its maps; kernels and tables of [frame, mel] are transposed when they are loaded"
    )
    layouts: dict[str, Layout]
    tensors: tuple[Tensors, ...]

    def bands(self, n_samples: int) -> tuple[int, int]:
        """Return bands and frames of a clip's spectrogram, before it is padded."""
        return self.frontend.n_mels, self.frontend.n_frames(n_samples, self.sample_rate_hz)

    def place(self, shapes: Mapping[str, Sequence[int]]) -> Placement:
        """Find the place of every tensor of a file.

        Args:
            shapes: Name -> shape of the file's tensors.
        """
        known = {
            (layout, prefix): {f"{prefix}{name}" for row in self._rows(layout) for name in row.files}
            for layout, of_layout in self.layouts.items()
            for prefix in of_layout.prefixes
        }
        layout, prefix = max(known, key=lambda key: len(known[key] & shapes.keys()))
        if not known[layout, prefix] & shapes.keys():
            return Placement("", {}, (), ("it holds none of the encoder's tensors under any of their published names",))
        parts: dict[str, tuple[str, ...]] = {}
        faults: list[str] = []
        for row in self._rows(layout):
            parts[row.to] = tuple(f"{prefix}{name}" for name in row.files)
            expected = _shape_of_part(row.shape, len(row.files))
            for name in parts[row.to]:
                if name not in shapes:
                    faults.append(f"{name} is missing")
                elif tuple(shapes[name]) != expected:
                    faults.append(f"{name} is {list(shapes[name])}, expected {list(expected)}")
        unused: list[str] = []
        for name in sorted(shapes.keys() - known[layout, prefix]):
            reason = _reason(name.removeprefix(prefix), self.layouts[layout].unused)
            if reason is None:
                faults.append(f"{name} is unknown")
            else:
                unused.append(f"{name} ({reason})")
        return Placement(layout, parts, tuple(unused), tuple(faults))

    def positions(self) -> dict[str, PositionTable]:
        """Return the tables of positions by their names in the model."""
        return {row.to: row.position for row in self.tensors if row.position is not None}

    def _rows(self, layout: str) -> Iterator[_Row]:
        for tensors in self.tensors:
            given = tensors.names[layout]
            patterns = (given,) if isinstance(given, str) else given
            for to, *files in zip(expand(tensors.to), *map(expand, patterns), strict=True):
                yield _Row(to, tensors.shape, tuple(files))


@dataclass(frozen=True)
class _Row:
    to: str
    shape: tuple[int, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a file belong.

    Attributes:
        layout: Whose names they have; empty where none fits.
        parts: Name in the model -> names in the file, to be joined in this order.
        unused: What the model has no place for, with the reason.
        faults: What is missing, unknown or of another shape, by name; with any the file does not fit.
    """

    layout: str
    parts: dict[str, tuple[str, ...]]
    unused: tuple[str, ...]
    faults: tuple[str, ...]


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern stands for.

    >>> expand("blocks.{0..1}.{weight,bias}")
    ['blocks.0.weight', 'blocks.0.bias', 'blocks.1.weight', 'blocks.1.bias']
    """
    pieces = _BRACES.split(pattern)
    choices = [_choices(piece) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(text: str) -> list[str]:
    first, dots, last = text.partition("..")
    return [str(number) for number in range(int(first), int(last) + 1)] if dots else text.split(",")


def _shape_of_part(shape: tuple[int, ...], n_parts: int) -> tuple[int, ...]:
    return shape if n_parts == 1 else (shape[0] // n_parts, *shape[1:])


def _reason(name: str, unused: Mapping[str, str]) -> str | None:
    return next((reason for pattern, reason in unused.items() if fnmatch.fnmatchcase(name, pattern)), None)


@cache
def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders."""
    files = resources.files("auscult.config").joinpath(_FOLDER).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


@cache
def load_encoder(name: str) -> Encoder:
    """Return an encoder.

    Raises:
        ConfigError: There is no such encoder.
    """
    if name not in encoder_names():
        raise ConfigError(unknown_name("encoder", name, encoder_names()))
    text = resources.files("auscult.config").joinpath(_FOLDER, f"{name}.yaml").read_text(encoding="utf-8")
    return Encoder.model_validate(parse_yaml(text, name))
