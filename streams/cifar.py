"""The binary and the Python version of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.pickles import read_pickle

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, 3, 32, 32) and labels (N,)."""


def read_cifar_binary(data: bytes, label_bytes: int = 1) -> Batch:
    """Reads records of labels and 3,072 pixels: red, green, blue, each row by row.

    Args:
        data: The whole file.
        label_bytes: 1 for CIFAR-10; 2 for CIFAR-100, the coarse label and then the fine one, which
            counts.

    Raises:
        ValueError: If there are no records, or the last one is not whole.
    """
    length = label_bytes + PIXELS
    if not data or len(data) % length:
        raise ValueError(f"should have records of {length} bytes. Found {len(data)} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, length)
    images = records[:, label_bytes:].reshape(-1, *SHAPE)
    return images, records[:, label_bytes - 1].astype(np.int64)


def read_cifar_python(data: bytes, labels: str = "labels") -> Batch:
    """Reads a pickled dict with ``data``, (N, 3072) bytes, and a list of N labels.

    Args:
        data: The whole file; it is not unpickled (see ``streams.pickles``).
        labels: Key of the labels: ``labels`` in CIFAR-10, ``fine_labels`` in CIFAR-100.

    Raises:
        ValueError: If it is another pickle, or something is missing in it.
    """
    batch = read_pickle(data)
    images, numbers = batch.get("data"), batch.get(labels)
    if not isinstance(images, np.ndarray) or images.shape[1] != PIXELS:
        raise ValueError(f"should have an array of {PIXELS} columns as 'data'")
    if not isinstance(numbers, list) or len(numbers) != len(images):
        raise ValueError(f"should have a list of {len(images)} numbers as {labels!r}")
    if not all(type(number) is int and 0 <= number < 256 for number in numbers):
        raise ValueError(f"should have numbers from 0 to 255 as {labels!r}")
    return images.reshape(-1, *SHAPE), np.array(numbers, np.int64)
