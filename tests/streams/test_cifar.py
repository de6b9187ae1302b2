"""Both versions of CIFAR give the same images and labels."""

import pickle
from typing import Any

import numpy as np
import pytest

from streams.cifar import read_cifar_binary, read_cifar_python
from tests.streams.python2 import pickled

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
LABELS = [3, 0, 9, 3]


def test_binary_records() -> None:
    data = b"".join(
        bytes([label]) + row.tobytes() for label, row in zip(LABELS, IMAGES, strict=True)
    )
    images, labels = read_cifar_binary(data)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(images, IMAGES.reshape(4, 3, 32, 32))
    assert labels.tolist() == LABELS
    # Green, row 2, column 5.
    assert images[1, 1, 2, 5] == data[3073 + 1 + 1024 + 2 * 32 + 5]


def test_the_fine_label_counts() -> None:
    data = bytes([19, 99]) + IMAGES[0].tobytes() + bytes([7, 42]) + IMAGES[1].tobytes()
    images, labels = read_cifar_binary(data, label_bytes=2)
    np.testing.assert_array_equal(images, IMAGES[:2].reshape(2, 3, 32, 32))
    assert labels.tolist() == [99, 42]


@pytest.mark.parametrize("size", [0, 1, 3072, 3074])
def test_records_are_whole(size: int) -> None:
    message = f"^should have records of 3073 bytes. Found {size} bytes$"
    with pytest.raises(ValueError, match=message):
        read_cifar_binary(bytes(size))


@pytest.mark.parametrize(
    "file",
    [
        pickled(IMAGES, labels=LABELS, filenames=["a.png"] * 4),
        pickle.dumps({b"data": IMAGES, b"labels": LABELS}, protocol=2),
        pickle.dumps({"labels": LABELS, "data": np.asfortranarray(IMAGES)}, protocol=2),
    ],
    ids=["python 2", "python 3", "fortran"],
)
def test_python_batches(file: bytes) -> None:
    images, labels = read_cifar_python(file)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(images, IMAGES.reshape(4, 3, 32, 32))
    assert labels.tolist() == LABELS


def test_python_batches_of_cifar_100() -> None:
    file = pickled(IMAGES, coarse_labels=[1, 1, 1, 1], fine_labels=[99, 0, 5, 5])
    assert read_cifar_python(file, "fine_labels")[1].tolist() == [99, 0, 5, 5]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"labels": LABELS}, "should have an array of 3072 columns as 'data'"),
        ({"data": IMAGES[:, :5], "labels": LABELS}, "should have an array of 3072 .*"),
        ({"data": "x" * 3072, "labels": LABELS}, "should have an array of 3072 .*"),
        ({"data": IMAGES, "fine_labels": LABELS}, "should have a list of 4 numbers as 'labels'"),
        ({"data": IMAGES, "labels": LABELS[:3]}, "should have a list of 4 numbers as 'labels'"),
        ({"data": IMAGES, "labels": tuple(LABELS)}, "should have a list of 4 numbers .*"),
        ({"data": IMAGES, "labels": [0, 1, 2, -1]}, "should have numbers from 0 to 255 .*"),
        ({"data": IMAGES, "labels": [0, 1, 2, 2**1000]}, "should have numbers from 0 .*"),
        ({"data": IMAGES, "labels": [0, 1, 2, True]}, "should have numbers from 0 to 255 .*"),
        ({"data": IMAGES, "labels": [0, 1, 2, "3"]}, "should have numbers from 0 to 255 .*"),
    ],
)
def test_other_batches_are_refused(batch: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_cifar_python(pickle.dumps(batch, protocol=2))
