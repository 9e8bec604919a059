"""Events in time: what is learned of them, how they are read from maps, and how they are judged."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from auscult.config.base import Settings


class Collars(Settings):
    """How far apart a true event and one found may begin and end, to be one."""

    onset_s: float = Field(default=0.2, gt=0)
    offset_s: float | None = Field(default=0.2, gt=0, description="null: offsets do not count")
    offset_share: float = Field(
        default=0.5, ge=0, le=1, description="of the true event's length; what is longer counts, this or offset_s"
    )


class IntersectionCriteria(Settings):
    """When events found count by what they share with true ones (PSDS; Bilen et al. 2020)."""

    detection: float = Field(
        default=0.7, gt=0, le=1, description="share of an event found that true events of its kind must cover"
    )
    truth: float = Field(
        default=0.7, gt=0, le=1, description="share of a true event that such events must cover for a hit"
    )
    cross_trigger: float = Field(
        default=0.3, gt=0, le=1, description="share that true events of another kind cover in a cross trigger"
    )
    cross_trigger_weight: float = Field(default=0.0, ge=0, le=1, description="of cross triggers as false alarms")
    instability_weight: float = Field(
        default=0.0, ge=0, le=1, description="of the deviation over kinds, taken off the mean rate of hits"
    )
    max_false_alarms_per_hour: float = Field(default=100.0, gt=0)


class EventSettings(Settings):
    """What a task of type `events` learns and how it is judged; its decoding is chosen on validation."""

    maps: Literal["frames", "bands"] = Field(
        default="frames",
        description="over the frames of a clip, or over its frames and mel bands, where events have low_hz and high_hz",
    )
    boundary_s: float = Field(default=0.1, gt=0, description="width of an onset or offset in the map of boundaries")
    collars: Collars = Collars()
    segment_s: float = Field(default=1.0, gt=0, description="of the grid of segments")
    intersection: IntersectionCriteria = IntersectionCriteria()
    tolerances_s: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0), description="collars of onset and offset for the score over tolerance"
    )

    @model_serializer(mode="wrap")
    def _without_frames(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was made before there were maps over bands stays what it is.
        values: dict[str, Any] = to_dict(self)
        if self.maps == "frames":
            values.pop("maps", None)
        return values


class KindDecoding(Settings):
    """How events of one kind are read from its maps; chosen on validation, and frozen with the model."""

    threshold: float = Field(default=0.5, gt=0, lt=1, description="from which probability on a frame is in an event")
    median_s: float = Field(default=0.0, ge=0, description="of the probabilities over time; 0: they are not filtered")
    merge_s: float = Field(default=0.0, ge=0, description="a gap of at most this does not part two events")
    least_s: float = Field(default=0.0, ge=0, description="an event that is shorter is none")
    boundary: float | None = Field(
        default=None, gt=0, lt=1, description="from which probability of a boundary on an event is cut in two"
    )
