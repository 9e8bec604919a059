"""Readers of raw datasets, one module a layout: raw folder -> recordings and events, and what could not be placed."""

from __future__ import annotations

from auscult.config.dataset import DatasetSettings, PluginDataset
from auscult.datasets.readers import (
    antwerp,
    antwerp_sim,
    bd,
    files_csv,
    hf_lung,
    icbhi,
    idx,
    jordan,
    label_folders,
    label_images,
    manifest,
    perch,
    sprsound,
    uid_json,
)
from auscult.datasets.readers.reading import Reader

READERS: dict[str, Reader] = {
    "icbhi": icbhi.read,
    "jordan": jordan.read,
    "perch": perch.read,
    "antwerp": antwerp.read,
    "antwerp_sim": antwerp_sim.read,
    "bd": bd.read,
    "sprsound": sprsound.read,
    "hf_lung": hf_lung.read,
    "manifest": manifest.read,
    "uid_json": uid_json.read,
    "label_folders": label_folders.read,
    "label_images": label_images.read,
    "idx": idx.read,
    "files_csv": files_csv.read,
}
"""Layout -> reader; the layouts of `config.dataset`."""


def reader_of(settings: DatasetSettings) -> Reader:
    """Return what reads a dataset.

    Raises:
        ConfigError: A plugin that cannot be imported.
    """
    if not isinstance(settings, PluginDataset):
        return READERS[settings.layout]
    read = settings.implementation()
    return lambda root, dataset, settings: read(root, dataset)


__all__ = ["READERS", "Reader", "reader_of"]
