"""Models: normalised spectrograms [batch, mel, frame], or waveforms, become logits [batch, target]."""

from auscult.models.classifier import Backbone
from auscult.models.normalisation import FullScale, Normalisation, Preparation
from auscult.models.registry import build_model, build_model_of, count_parameters, model_facts, model_names
from auscult.models.saved import SavedModel, average_models, describe_model, load_model, save_model

__all__ = [
    "Backbone",
    "FullScale",
    "Normalisation",
    "Preparation",
    "SavedModel",
    "average_models",
    "build_model",
    "build_model_of",
    "count_parameters",
    "describe_model",
    "load_model",
    "model_facts",
    "model_names",
    "save_model",
]
