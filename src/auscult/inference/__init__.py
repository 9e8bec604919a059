"""A trained model put to use: any audio in, answers or features out."""

from auscult.inference.loaded_model import LoadedModel, load_model
from auscult.inference.predictions import Predictions

__all__ = ["LoadedModel", "Predictions", "load_model"]
