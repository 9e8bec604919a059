"""Trained models in use: audio files in, predictions or embeddings out."""

from auscult.inference.loaded_model import LoadedModel, load_model
from auscult.inference.predictions import Predictions

__all__ = ["LoadedModel", "Predictions", "load_model"]
