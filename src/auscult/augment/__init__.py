"""Augmentation of whole batches, on the batch's device; every draw is a function of seed, epoch and clip."""

from auscult.augment.batch import AugmentedBatch, Augmenter
from auscult.augment.draws import Draws
from auscult.augment.items import BatchRows, EpochItems, ItemMaker
from auscult.augment.registry import augment_spectrograms

__all__ = ["AugmentedBatch", "Augmenter", "BatchRows", "Draws", "EpochItems", "ItemMaker", "augment_spectrograms"]
