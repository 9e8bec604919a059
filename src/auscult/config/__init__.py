"""What an experiment, a dataset and a task may say. Imports neither torch nor pandas: a dry run needs only this."""

from auscult.config.clips import ClipSettings
from auscult.config.dataset import (
    DatasetSettings,
    FilesCsvDataset,
    LabelFoldersDataset,
    LabelImagesDataset,
    ManifestDataset,
    NativeDataset,
    UidJsonDataset,
)
from auscult.config.experiment import Experiment, JobSettings, Run
from auscult.config.model import MixedNetSettings, TestCnnSettings, TimmSettings
from auscult.config.project import TrackingSettings, load_dataset, load_project
from auscult.config.resolve import list_experiments, load_experiment, load_task
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.split import SplitSettings
from auscult.config.task import ClassRule, ColumnRule, EventClassRule, EventRule, TaskSettings
from auscult.config.train import LossSettings, TrainSettings

__all__ = [
    "ClassRule",
    "ClipSettings",
    "ColumnRule",
    "DatasetSettings",
    "EventClassRule",
    "EventRule",
    "Experiment",
    "FilesCsvDataset",
    "JobSettings",
    "LabelFoldersDataset",
    "LabelImagesDataset",
    "LossSettings",
    "ManifestDataset",
    "MixedNetSettings",
    "NativeDataset",
    "Run",
    "SpectrogramSettings",
    "SplitSettings",
    "TaskSettings",
    "TestCnnSettings",
    "TimmSettings",
    "TrackingSettings",
    "TrainSettings",
    "UidJsonDataset",
    "list_experiments",
    "load_dataset",
    "load_experiment",
    "load_project",
    "load_task",
]
