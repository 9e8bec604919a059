"""A probe: a simple classifier on the embeddings of an encoder whose weights stay as they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from auscult.config.base import Settings


class ProbeSettings(Settings):
    """What is fitted on the embeddings of the training subset, and what validation chooses from."""

    encoder: str = Field(
        min_length=1,
        description="folder of a trained model whose weights stay as they are, such as results/pneumonia/train2356/1",
    )
    layer: Literal["backbone", "head"] = Field(
        default="backbone", description="pooled features, or the first dense layer of the encoder's head"
    )
    method: Literal["linear", "knn"] = Field(
        default="linear", description="logistic regression, or the vote of the nearest training clips"
    )
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4),
        min_length=1,
        description="linear only: L2 penalties that validation chooses from; scikit-learn's C is 1 / penalty",
    )
    neighbours: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 3, 5, 10, 20, 50, 100),
        min_length=1,
        description="knn only: numbers of neighbours that validation chooses from",
    )
    resample: Literal["none", "patients"] = Field(
        default="none",
        description="patients: fitted on a bootstrap sample of the training patients, drawn by train.seed",
    )
    max_clips: int = Field(
        default=20_000,
        ge=1,
        description="knn only: most training clips that the model keeps; of more, so many are drawn by train.seed",
    )

    @field_validator("penalties", "neighbours")
    @classmethod
    def _refuse_doubles(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)} names one twice")
        return value

    @property
    def draws(self) -> bool:
        """Whether another seed can give another probe; a linear one has one best fit, and all clips are kept."""
        return self.resample == "patients"
