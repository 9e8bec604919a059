"""An experiment file: shared settings, and jobs that state only what differs."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from auscult.config.augment import AugmentSettings
from auscult.config.base import Settings
from auscult.config.clips import ClipSettings
from auscult.config.model import ModelSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.split import SplitSettings
from auscult.config.train import EvaluateSettings, TrainSettings


class JobSettings(Settings):
    """One training with nothing left to look up: presets and differences are resolved."""

    task: str
    datasets: tuple[str, ...] = Field(min_length=1)
    clips: ClipSettings
    spectrogram: SpectrogramSettings
    split: SplitSettings
    model: ModelSettings
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    allow_doubtful: tuple[str, ...] = ()
    note: str = Field(default="", description="what this job is about, shown in the report")

    @model_validator(mode="after")
    def _check_datasets(self) -> Self:
        twice = sorted({name for name in self.datasets if self.datasets.count(name) > 1})
        if twice:
            raise ValueError(f"datasets names {twice} more than once")
        return self


class Experiment(Settings):
    """`config/experiments/<task>/<name>.yaml`, resolved."""

    name: str
    task: str
    description: str
    jobs: tuple[JobSettings, ...] = Field(min_length=1)

    def job(self, number: int) -> JobSettings:
        """Return job `number`, counted from 1."""
        return self.jobs[number - 1]


class ExperimentFile(Settings):
    """The file as written: sections may be `{preset: name, key: override}`, jobs hold differences."""

    description: str
    task: str
    define: dict[str, Any] = Field(
        default={}, description="a task and datasets that have no file of their own (`config.definitions`)"
    )
    datasets: list[str]
    clips: dict[str, Any]
    spectrogram: dict[str, Any]
    split: dict[str, Any]
    model: dict[str, Any]
    augment: dict[str, Any] = Field(default={})
    train: dict[str, Any] = Field(default={})
    evaluate: dict[str, Any] = Field(default={})
    allow_doubtful: list[str] = Field(default=[])
    note: str = ""
    jobs: list[dict[str, Any]] = Field(default=[{}], min_length=1)
