"""Augmentations of waveforms, and what all augmentations share.

A new one is one class here, registered with the class in `augment/` that does it (`augment.waveform.WaveformStep`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from auscult.config.base import Settings
from auscult.config.plugins import PluginSettings
from auscult.config.registry import Registry


def _check_rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"{list(value)} must rise: [least, greatest]")
    return value


RISES = AfterValidator(_check_rising)
"""Of a range: its first number is not above its second."""

_Share = Annotated[float, Field(ge=0, le=1)]
_Frequency = Annotated[float, Field(gt=0, le=100_000)]
_Width = Annotated[float, Field(ge=30, le=100_000)]
_Quality = Annotated[float, Field(ge=0.2, le=10)]
_Level = Annotated[float, Field(ge=-120, le=120)]
_Depth = Annotated[float, Field(ge=0, le=60)]
_Rate = Annotated[float, Field(ge=0.25, le=4)]
Frequencies = Annotated[tuple[_Frequency, _Frequency], RISES]
Decibels = Annotated[tuple[_Level, _Level], RISES]
Rates = Annotated[tuple[_Rate, _Rate], RISES]
Colour = Literal["white", "pink", "brown", "blue", "violet"]


class Augmentation(Settings):
    """One step of a list: how often, on which clips, and in place or as clips beside the given ones."""

    if TYPE_CHECKING:
        name: Any  # each step declares its own

    moves_events: ClassVar[bool] = False
    """Whether sound leaves its place in time; the maps of events follow it."""

    @property
    def moves_bands(self) -> bool:
        """Whether sound leaves its place in frequency."""
        return False

    unfit_for_events: ClassVar[str] = ""
    """Why the maps of events cannot follow; empty where they can."""

    probability: float = Field(
        default=0.5, gt=0, le=1, description="that one clip is changed, drawn for each clip alone"
    )
    quantity: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="so many new clips an epoch, as a share of the training set, are made by this step and the others "
        "stay as they are; default: clips are changed in place",
    )
    unpadded_only: bool = Field(default=False, description="change only clips that hold sound from end to end")

    @model_validator(mode="after")
    def _check_quantity(self) -> Self:
        # Not by what was given: settings that were written out with all their defaults are read again.
        if self.quantity is not None and self.probability != type(self).model_fields["probability"].default:
            raise ValueError("quantity makes new clips, each by this step: leave probability out")
        return self


WAVEFORM_FUNCTIONS: Registry[Augmentation] = Registry("function of augmix")
"""What `augmix` may chain. Implementations: `(settings, sample_rate_hz, device) -> WaveformStep`."""


class PluginStepSettings(PluginSettings, Augmentation, extra="allow"):
    """A step of a file in `plugins/`."""

    moves_events: ClassVar[bool] = True
    unfit_for_events: ClassVar[str] = "is a plugin, and nothing says whether it leaves sound in its place"

    name: str


@WAVEFORM_FUNCTIONS.takes_plugins("waveform")
class PluginWaveformSettings(PluginStepSettings):
    """A step on waveforms of a file in `plugins/`."""


WAVEFORM: Registry[Augmentation] = Registry("augmentation", WAVEFORM_FUNCTIONS)
"""All steps on waveforms; implemented as those."""


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:TimeShifter")
class TimeShift(Augmentation):
    """Shift the sound in time, to either side."""

    moves_events: ClassVar[bool] = True

    name: Literal["time_shift"]
    max_shift_s: float = Field(default=1.0, gt=0, description="to either side")
    fill: Literal["roll", "zero"] = Field(
        default="roll", description="roll: what leaves at one end comes in at the other; zero: silence comes in"
    )


@WAVEFORM_FUNCTIONS.register("auscult.augment.pitch:SpeedChanger")
class Speed(Augmentation):
    """Play faster or slower: pitch and tempo change together."""

    moves_events: ClassVar[bool] = True

    name: Literal["speed"]
    rate: Rates = Field(default=(0.9, 1.1), description="2 is twice as fast and an octave higher; in steps of 0.01")

    @property
    def moves_bands(self) -> bool:
        """Sound leaves its place in frequency."""
        return True


@WAVEFORM_FUNCTIONS.register("auscult.augment.noise:ColouredNoiseAdder")
class GaussianNoiseWaveform(Augmentation):
    """Add white Gaussian noise."""

    name: Literal["gaussian_noise"]
    snr_db: Decibels = Field(default=(10.0, 40.0), description="power of the clip's true sound over that of the noise")


@WAVEFORM_FUNCTIONS.register("auscult.augment.noise:ColouredNoiseAdder")
class ColouredNoise(Augmentation):
    """Add noise whose power falls or rises with frequency."""

    name: Literal["coloured_noise"]
    snr_db: Decibels = Field(default=(10.0, 40.0), description="power of the clip's true sound over that of the noise")
    colours: tuple[Colour | Annotated[float, Field(ge=-4, le=4)], ...] = Field(
        default=("white", "pink", "brown"),
        description="one of these for each clip; a number is the exponent e of a power density of 1 / frequency ** e "
        "(white 0, pink 1, brown 2, blue -1, violet -2); below 20 Hz it is level",
    )

    @model_validator(mode="after")
    def _check_colours(self) -> Self:
        if not self.colours:
            raise ValueError("colours: name at least one, such as pink")
        return self


@WAVEFORM_FUNCTIONS.register("auscult.augment.noise:BackgroundNoiseAdder")
class BackgroundNoise(Augmentation):
    """Add recorded noise from a folder of audio files."""

    name: Literal["background_noise"]
    folder: str = Field(
        min_length=1,
        description="wav, flac, ogg and mp3 files, here and in folders below; decoded once, kept in memory",
    )
    snr_db: Decibels = Field(default=(5.0, 30.0), description="power of the clip's true sound over that of the noise")


@WAVEFORM_FUNCTIONS.register("auscult.augment.pitch:PitchShifter")
class PitchShift(Augmentation):
    """Shift the pitch and keep the tempo."""

    name: Literal["pitch_shift"]
    max_semitones: float = Field(
        default=2.0, gt=0, le=24, description="up or down; the ratio of frequencies comes in steps of 0.01"
    )

    @property
    def moves_bands(self) -> bool:
        """Sound leaves its place in frequency."""
        return True


@WAVEFORM_FUNCTIONS.register("auscult.augment.pitch:TimeStretcher")
class TimeStretch(Augmentation):
    """Change the tempo and keep the pitch, by a phase vocoder."""

    moves_events: ClassVar[bool] = True

    name: Literal["time_stretch"]
    rate: Rates = Field(default=(0.8, 1.25), description="2 is twice as fast")


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:GainChanger")
class Gain(Augmentation):
    """Make louder or softer."""

    name: Literal["gain"]
    gain_db: Decibels = Field(default=(-6.0, 6.0), description="what exceeds full scale is kept, not clipped")


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:PolarityInverter")
class Polarity(Augmentation):
    """Turn the sound upside down."""

    name: Literal["polarity"]


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:BandStopper")
class BandStop(Augmentation):
    """Take a band of frequencies out, by the magnitude of a Butterworth filter of order 4, without delay."""

    name: Literal["band_stop"]
    centre_hz: Frequencies = Field(default=(100.0, 1500.0), description="middle of the band")
    width_hz: Annotated[tuple[_Width, _Width], RISES] = Field(
        default=(50.0, 300.0), description="between the edges, where half the power is left"
    )


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:Clipper")
class Clipping(Augmentation):
    """Clip the sound at a level below its peak."""

    name: Literal["clipping"]
    below_peak_db: Annotated[tuple[_Depth, _Depth], RISES] = Field(
        default=(1.0, 6.0), description="how far below the clip's own peak"
    )


@WAVEFORM_FUNCTIONS.register("auscult.augment.effects:DeviceFilter")
class DeviceResponse(Augmentation):
    """Filter by a random smooth response, as another stethoscope or recorder would: two cuts and a few peaks."""

    name: Literal["device_response"]
    low_cut_hz: Frequencies = Field(default=(20.0, 150.0), description="3 dB down; 12 dB an octave below")
    high_cut_hz: Frequencies = Field(default=(1000.0, 3500.0), description="3 dB down; 12 dB an octave above")
    n_peaks: int = Field(default=3, ge=0, le=16, description="evenly drawn, on a logarithmic scale, between the cuts")
    max_peak_db: float = Field(default=6.0, gt=0, le=30, description="a peak or a dip of at most this")
    quality: Annotated[tuple[_Quality, _Quality], RISES] = Field(
        default=(0.5, 2.0), description="of a peak: its frequency over its width"
    )

    @model_validator(mode="after")
    def _check_cuts(self) -> Self:
        if self.low_cut_hz[1] >= self.high_cut_hz[0]:
            raise ValueError(f"low_cut_hz {list(self.low_cut_hz)} must lie below high_cut_hz {list(self.high_cut_hz)}")
        return self


class _OrName:
    """Tells editors that a name alone stands for a function with its default settings."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "enum": list(WAVEFORM_FUNCTIONS)}, handler(schema)]}


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


WaveformFunction = Annotated[Augmentation, WAVEFORM_FUNCTIONS, BeforeValidator(_from_name), _OrName()]


@WAVEFORM.register("auscult.augment.waveform:AugmixMixer")
class Augmix(Augmentation):
    """Mix chains of other functions with the original (AugMix, Hendrycks et al. 2020)."""

    # When all functions are registered.
    model_config = ConfigDict(defer_build=True)

    name: Literal["augmix"]
    functions: tuple[WaveformFunction, ...] = Field(
        description="names, or mappings of a name and settings; each link of a chain is one of them"
    )
    n_chains: int = Field(default=3, ge=1, le=16)
    chain_depth: int = Field(default=3, ge=1, le=16, description="links of a chain: from 1 to this, drawn for each")
    weight: tuple[_Share, _Share] | None = Field(
        default=None, description="range of the chains' share, drawn evenly; default: Beta(alpha, alpha)"
    )
    alpha: float = Field(
        default=1.0, ge=0.05, le=100, description="the chains share their part by Dirichlet(alpha, ..., alpha)"
    )

    @model_validator(mode="after")
    def _check_weight(self) -> Self:
        if self.weight is not None and self.weight[0] > self.weight[1]:
            raise ValueError(f"weight {list(self.weight)} must rise: [least, greatest]")
        return self

    @model_validator(mode="after")
    def _check_functions(self) -> Self:
        if not self.functions:
            raise ValueError(f"functions: name at least one of {', '.join(WAVEFORM_FUNCTIONS)}")
        for function in self.functions:
            # Not by what was given: settings that were written out with all their defaults are read again.
            strange = [
                name for name, field in Augmentation.model_fields.items() if getattr(function, name) != field.default
            ]
            if strange:
                raise ValueError(
                    f"{function.name}: {', '.join(strange)} is decided for augmix as a whole: set it there, "
                    "beside `functions`"
                )
        return self


WaveformAugmentation = Annotated[Augmentation, WAVEFORM]
