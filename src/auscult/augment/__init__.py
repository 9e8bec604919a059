"""Augmentation of whole batches, on the batch's device; every random number is a function of seed, epoch and clip."""

from auscult.augment.pictures import Standard
from auscult.augment.pipeline import Augmenter, BatchRows, EpochItems, ItemMaker
from auscult.augment.random import ClipRandom
from auscult.augment.spectrogram import augment_spectrograms

__all__ = ["Augmenter", "BatchRows", "ClipRandom", "EpochItems", "ItemMaker", "Standard", "augment_spectrograms"]
