"""``load``: a data set of images by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.digits import NUM_TEST, read_digits
from streams.files import Form
from streams.official import FORMS


@dataclass(frozen=True, eq=False)
class Images:
    """An image data set.

    Attributes:
        train: Training images, bytes (N, C, H, W).
        train_labels: Their classes, int64 (N,), each of which occurs.
        test: Test images, bytes (M, C, H, W).
        test_labels: Their classes, int64 (M,).
        num_classes: Number of classes; they are 0, 1, ...

    Raises:
        ValueError: If an array has another type or shape, or a label is no class.
    """

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    num_classes: int

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            images, labels = getattr(self, name), getattr(self, f"{name}_labels")
            if images.dtype != np.uint8 or images.ndim != 4:
                found = f"{images.dtype} {images.shape}"
                raise ValueError(f"`{name}` should be uint8 (N, C, H, W). Received {found}")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                found = f"{labels.dtype} {labels.shape}"
                wanted = f"int64 ({len(images)},)"
                raise ValueError(f"`{name}_labels` should be {wanted}. Received {found}")
            wrong = labels[(labels < 0) | (labels >= self.num_classes)]
            if len(wrong):
                most = self.num_classes - 1
                raise ValueError(f"`{name}_labels` should be 0 to {most}. Received {wrong[0]}")
        if self.train.shape[1:] != self.test.shape[1:]:
            found = f"{self.train.shape[1:]} and {self.test.shape[1:]}"
            raise ValueError(f"`train` and `test` should have equal shapes. Received {found}")
        absent = np.setdiff1d(np.arange(self.num_classes), self.train_labels)
        if len(absent):
            raise ValueError(f"`train_labels` should have every class. There is no {absent[0]}")


@dataclass(frozen=True)
class DataSet:
    """What ``load`` loads.

    Attributes:
        description: The images, in one line.
        published: The name under which they are published, and by whom.
        shape: Channels, height and width of an image.
        counts: Numbers of training and test images.
        num_classes: Number of classes.
        forms: The forms of its files; none: it comes with a package.
    """

    description: str
    published: str
    shape: tuple[int, int, int]
    counts: tuple[int, int]
    num_classes: int
    forms: tuple[Form, ...] = ()


DATA: dict[str, DataSet] = {
    "digits": DataSet(
        "handwritten digits, 8 x 8 grey, 10 classes, 1,437 + 360 images; comes with scikit-learn",
        "'Optical Recognition of Handwritten Digits' by Alpaydin and Kaynak",
        (1, 8, 8),
        (1_797 - NUM_TEST, NUM_TEST),
        10,
    ),
    "mnist": DataSet(
        "handwritten digits, 28 x 28 grey, 10 classes, 60,000 + 10,000 images",
        "'MNIST handwritten digits' by LeCun, Cortes and Burges",
        (1, 28, 28),
        (60_000, 10_000),
        10,
        FORMS["mnist"],
    ),
    "fashion-mnist": DataSet(
        "pieces of clothing, 28 x 28 grey, 10 classes, 60,000 + 10,000 images",
        "'Fashion-MNIST' by Xiao, Rasul and Vollgraf (Zalando Research)",
        (1, 28, 28),
        (60_000, 10_000),
        10,
        FORMS["fashion-mnist"],
    ),
    "cifar-10": DataSet(
        "animals and vehicles, 32 x 32 RGB, 10 classes, 50,000 + 10,000 images",
        "'CIFAR-10' by Krizhevsky, Nair and Hinton",
        (3, 32, 32),
        (50_000, 10_000),
        10,
        FORMS["cifar-10"],
    ),
    "cifar-100": DataSet(
        "things of many kinds, 32 x 32 RGB, 100 classes, 50,000 + 10,000 images",
        "'CIFAR-100' by Krizhevsky, Nair and Hinton",
        (3, 32, 32),
        (50_000, 10_000),
        100,
        FORMS["cifar-100"],
    ),
}


def load(name: str, data_dir: Path | None) -> Images:
    """Loads a data set; nothing is downloaded.

    Files are read only if size and checksum are the published ones (see ``streams.official``,
    which says where there is no checksum), and never run.

    Args:
        name: A key of ``DATA``.
        data_dir: Where the official files lie, in a folder that is named as ``streams.official``
            says or directly; ``None`` for ``digits``, which comes with scikit-learn.

    Raises:
        ValueError: If there is no such data set, its files are not there or not the official ones,
            or ``data_dir`` is given where none is used.
    """
    if name not in DATA:
        raise ValueError(unknown("data set", name, DATA))
    data = DATA[name]
    if not data.forms:
        if data_dir is not None:
            problem = f"{name} comes with scikit-learn"
            raise ValueError(f"`data_dir` is for data in files; {problem}. Received {data_dir}")
        images, labels = read_digits()
        return Images(
            images[:-NUM_TEST], labels[:-NUM_TEST], images[-NUM_TEST:], labels[-NUM_TEST:], 10
        )
    if data_dir is None:
        folder = f"the folder with the official files of {data.published}"
        raise ValueError(f"`data_dir` should be {folder}. Received None")
    form, place = _find(data, Path(data_dir))
    train, test = form.read(form.train, place), form.read(form.test, place)
    expected = [(count, *data.shape) for count in data.counts]
    found = [train[0].shape, test[0].shape]
    if found != expected:
        raise ValueError(f"{place} should have images {expected} of {name}. Found {found}")
    try:
        return Images(*train, *test, data.num_classes)
    except ValueError as error:
        raise ValueError(f"{place} has other labels than {name}: {error}") from None


def _find(data: DataSet, data_dir: Path) -> tuple[Form, Path]:
    """Returns the first form of which all files are there, and the folder."""
    some = ""
    for form in data.forms:
        for folder in (data_dir / name for name in form.folders):
            missing = form.missing(folder)
            if not missing:
                return form, folder
            if len(missing) < len(form.train) + len(form.test):
                some = f". {folder} lacks {', '.join(missing)}"
    names = "; or ".join(str(form) for form in data.forms)
    folders = dict.fromkeys(str(data_dir / name) for form in data.forms for name in form.folders)
    raise ValueError(
        f"`data_dir` should hold the official files of {data.published}: {names}. "
        f"Looked in {', '.join(folders)}{some}"
    )


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Says that there is no such name, and which one is near."""
    known = list(known)
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
    return f"there is no {kind} {name!r}. {hint}"
