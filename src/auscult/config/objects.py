"""Objects in pictures: what is learned of them, how they are read from maps, and when one that was found is right."""

from __future__ import annotations

from pydantic import Field

from auscult.config.base import Settings


class ObjectSettings(Settings):
    """What a task of type `objects` learns and how it is judged; its decoding is chosen on validation."""

    boundary_px: float = Field(
        default=2.0,
        ge=1,
        description="up to which distance from the edge of an object, in pixels of the clips, a pixel is boundary",
    )
    match_iou: float = Field(
        default=0.5, ge=0.5, le=1, description="intersection over union from which a found object is a true one"
    )


class ObjectDecoding(Settings):
    """How objects are read from their maps; chosen on validation, and frozen with the model."""

    threshold: float = Field(default=0.5, gt=0, lt=1, description="from which probability on a pixel is in an object")
    boundary: float | None = Field(
        default=None, gt=0, lt=1, description="from which probability of a boundary on objects are cut apart"
    )
    least_px: int = Field(default=1, ge=1, description="an object that has fewer pixels is none")
