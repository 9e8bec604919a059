"""Models: spectrograms [batch, mel, frame], normalised, become logits [batch, target]."""

from auscult.models.classifier import Backbone, Classifier, Head
from auscult.models.normalisation import Normalisation
from auscult.models.registry import ModelFacts, build_model, count_parameters, model_facts, model_names
from auscult.models.saved import SavedModel, describe_model, load_model, save_model

__all__ = [
    "Backbone",
    "Classifier",
    "Head",
    "ModelFacts",
    "Normalisation",
    "SavedModel",
    "build_model",
    "count_parameters",
    "describe_model",
    "load_model",
    "model_facts",
    "model_names",
    "save_model",
]
