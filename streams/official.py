"""The official files of the data sets, with their sizes and checksums.

The MD5 checksums of MNIST's packed files and of CIFAR's Python version are those that torchvision
checks; Fashion-MNIST's packed files have those of its authors.  Of unpacked files the authors of
both MNISTs publish none: several public repositories list the same ones, which stand here.  Of
CIFAR's binary version only the archive has one: exact size and structure decide for its files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from gzip import GzipFile
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.cifar import PIXELS, read_cifar_binary, read_cifar_python
from streams.files import FileSpec, Form
from streams.idx import read_idx

Files = tuple[FileSpec, ...]


def read_idx_bytes(data: bytes) -> list[NDArray[np.uint8]]:
    """Reads an idx file, gzipped or not: images (N, 1, H, W) or labels (N,)."""
    packed = data.startswith(b"\x1f\x8b")
    array = read_idx(GzipFile(fileobj=BytesIO(data)) if packed else BytesIO(data))
    return [array[:, None] if array.ndim == 3 else array]


def _idx(folders: tuple[str, ...], train: Files, test: Files) -> Form:
    return Form(folders, train, test, read_idx_bytes)


def _cifar(
    name: str,
    archive: str,
    train: Files,
    test: Files,
    parse: Callable[[bytes], Sequence[NDArray[Any]]],
) -> Form:
    """Returns a form whose archive unpacks into ``name``, in the data folder or one deeper."""
    short = "cifar-100" if "100" in name else "cifar-10"
    return Form((name, f"{short}/{name}", ""), train, test, parse, archive)


MNIST = ("mnist", "MNIST/raw", "")
FASHION = ("fashion-mnist", "FashionMNIST/raw", "")

# The first form whose files are there is read: those with the best checksums come first.
FORMS: dict[str, tuple[Form, ...]] = {
    "mnist": (
        _idx(
            MNIST,
            (
                FileSpec("train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                FileSpec("train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
            ),
            (
                FileSpec("t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
                FileSpec("t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
            ),
        ),
        _idx(
            MNIST,
            (
                FileSpec("train-images-idx3-ubyte", 47040016, "6bbc9ace898e44ae57da46a324031adb"),
                FileSpec("train-labels-idx1-ubyte", 60008, "a25bea736e30d166cdddb491f175f624"),
            ),
            (
                FileSpec("t10k-images-idx3-ubyte", 7840016, "2646ac647ad5339dbf082846283269ea"),
                FileSpec("t10k-labels-idx1-ubyte", 10008, "27ae3e4e09519cfbb04c329615203637"),
            ),
        ),
    ),
    "fashion-mnist": (
        _idx(
            FASHION,
            (
                FileSpec(
                    "train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
                ),
                FileSpec("train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe"),
            ),
            (
                FileSpec("t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79"),
                FileSpec("t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310"),
            ),
        ),
        _idx(
            FASHION,
            (
                FileSpec("train-images-idx3-ubyte", 47040016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
                FileSpec("train-labels-idx1-ubyte", 60008, "9018921c3c673c538a1fc5bad174d6f9"),
            ),
            (
                FileSpec("t10k-images-idx3-ubyte", 7840016, "8181f5470baa50b63fa0f6fddb340f0a"),
                FileSpec("t10k-labels-idx1-ubyte", 10008, "15d484375f8d13e6eb1aabb0c3f46965"),
            ),
        ),
    ),
    "cifar-10": (
        _cifar(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            (
                FileSpec("data_batch_1", 31035704, "c99cafc152244af753f735de768cd75f"),
                FileSpec("data_batch_2", 31035320, "d4bba439e000b95fd0a9bffe97cbabec"),
                FileSpec("data_batch_3", 31035999, "54ebc095f3ab1f0389bbae665268c751"),
                FileSpec("data_batch_4", 31035696, "634d18415352ddfa80567beed471001a"),
                FileSpec("data_batch_5", 31035623, "482c414d41f54cd18b22e5b47cb7c3cb"),
            ),
            (FileSpec("test_batch", 31035526, "40351d587109b95175f43aff81a1287e"),),
            read_cifar_python,
        ),
        _cifar(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            tuple(FileSpec(f"data_batch_{k}.bin", 10_000 * (1 + PIXELS)) for k in range(1, 6)),
            (FileSpec("test_batch.bin", 10_000 * (1 + PIXELS)),),
            read_cifar_binary,
        ),
    ),
    "cifar-100": (
        _cifar(
            "cifar-100-python",
            "cifar-100-python.tar.gz",
            (FileSpec("train", 155249918, "16019d7e3df5f24257cddd939b257f8d"),),
            (FileSpec("test", None, "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
            partial(read_cifar_python, labels="fine_labels"),
        ),
        _cifar(
            "cifar-100-binary",
            "cifar-100-binary.tar.gz",
            (FileSpec("train.bin", 50_000 * (2 + PIXELS)),),
            (FileSpec("test.bin", 10_000 * (2 + PIXELS)),),
            partial(read_cifar_binary, label_bytes=2),
        ),
    ),
}
