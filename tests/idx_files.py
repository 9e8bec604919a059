"""Files in the idx format, as MNIST's are written: two zero bytes, a type, the dimensions, the values."""

import gzip
import struct
from pathlib import Path

import numpy as np

BYTES = 0x08


def idx_bytes(values: np.ndarray, kind: int = BYTES) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, kind, values.ndim, *values.shape) + values.tobytes()


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write a file, compressed where its name says so."""
    content = idx_bytes(values)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def striped(rng: np.random.Generator, n_each: int, n_classes: int = 2, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy pictures [picture, size, size] and labels: 0 has stripes along rows, 1 along columns, 2 blocks."""
    rows, columns = np.mgrid[:size, :size]
    patterns = [rows // 4 % 2, columns // 4 % 2, (rows // 4 + columns // 4) % 2]
    labels = rng.permutation(np.repeat(np.arange(n_classes, dtype=np.uint8), n_each))
    shades = rng.uniform(60, 120, len(labels))[:, None, None] * np.stack(patterns)[labels]
    # Of each picture its own blots, without which all of a class would be copies of one.
    blots = rng.normal(0, 60, (len(labels), size // 4, size // 4)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(60 + shades + blots + rng.normal(0, 8, shades.shape), 0, 255).astype(np.uint8), labels


def write_set(root: Path, rng: np.random.Generator, *, n_train: int, n_test: int, n_classes: int = 2) -> None:
    """Write the four files of a set; so many pictures of each class."""
    root.mkdir(parents=True, exist_ok=True)
    for name, n_each in (("train", n_train), ("t10k", n_test)):
        images, labels = striped(rng, n_each, n_classes)
        write_idx(root / f"{name}-images-idx3-ubyte.gz", images)
        write_idx(root / f"{name}-labels-idx1-ubyte.gz", labels)
