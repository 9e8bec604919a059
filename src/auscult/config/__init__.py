"""What an experiment, a dataset and a task may say. Imports neither torch nor pandas: a dry run needs only this."""

from auscult.config.clips import BandPass, ClipSettings
from auscult.config.dataset import (
    DatasetSettings,
    FilesCsvDataset,
    LabelFoldersDataset,
    ManifestDataset,
    NativeDataset,
    UidJsonDataset,
)
from auscult.config.evaluate import EvaluateSettings, OutcomeSettings, ThresholdRule
from auscult.config.experiment import Experiment, JobSettings, Run
from auscult.config.model import HeadSettings, MixedNetSettings, ModelSettings, TestCnnSettings, TimmSettings
from auscult.config.project import ProjectSettings, TrackingSettings, load_dataset, load_project
from auscult.config.resolve import list_experiments, load_experiment, load_task
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.split import (
    ColumnSplit,
    FoldSplit,
    Fractions,
    LeaveDatasetOutSplit,
    LeaveSiteOutSplit,
    OfficialSplit,
    PatientSplit,
    SplitSettings,
)
from auscult.config.task import ClassRule, ColumnRule, EventRule, TaskSettings
from auscult.config.train import LossSettings, OptimizerSettings, TrainSettings

__all__ = [
    "BandPass",
    "ClassRule",
    "ClipSettings",
    "ColumnRule",
    "ColumnSplit",
    "DatasetSettings",
    "EvaluateSettings",
    "EventRule",
    "Experiment",
    "FilesCsvDataset",
    "FoldSplit",
    "Fractions",
    "HeadSettings",
    "JobSettings",
    "LabelFoldersDataset",
    "LeaveDatasetOutSplit",
    "LeaveSiteOutSplit",
    "LossSettings",
    "ManifestDataset",
    "MixedNetSettings",
    "ModelSettings",
    "NativeDataset",
    "OfficialSplit",
    "OptimizerSettings",
    "OutcomeSettings",
    "PatientSplit",
    "ProjectSettings",
    "Run",
    "SpectrogramSettings",
    "SplitSettings",
    "TaskSettings",
    "TestCnnSettings",
    "ThresholdRule",
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
