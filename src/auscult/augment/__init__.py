"""Augmentation of whole batches, on the batch's device; every draw is a function of seed, epoch and clip."""

from auscult.augment.draws import Draws
from auscult.augment.registry import augment_spectrograms

__all__ = ["Draws", "augment_spectrograms"]
