"""The official files of a data set: found, and checked before anything else reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, C, H, W) and labels (N,)."""

MOST_BYTES = 2**28
"""Of a file whose size is not known: more than that of any official file."""


@dataclass(frozen=True)
class FileSpec:
    """A file as it is published.

    Attributes:
        name: Its name.
        size: Its exact size; ``None``: not known, the checksum decides.
        md5: Its MD5 checksum; ``None``: none is published, the size and the structure decide.
    """

    name: str
    size: int | None = None
    md5: str | None = None

    def read(self, folder: Path) -> bytes:
        """Reads the file, one byte more than it should have at most.

        Raises:
            ValueError: If it cannot be read, or is not the published one.
        """
        limit = MOST_BYTES if self.size is None else self.size
        try:
            with (folder / self.name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise ValueError(f"{folder / self.name} cannot be read: {error.strerror}") from None
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if len(data) <= limit and self.size in (None, len(data)) and self.md5 in (None, md5):
            return data
        found = (
            f"{len(data)} bytes, MD5 {md5}" if len(data) <= limit else f"more than {limit} bytes"
        )
        raise ValueError(f"{folder / self.name} should have {self}. Found {found}")

    def __str__(self) -> str:
        size = f"{self.size} bytes" if self.size is not None else f"at most {MOST_BYTES} bytes"
        return f"{size}, MD5 {self.md5}" if self.md5 else size


@dataclass(frozen=True)
class Form:
    """One of the forms in which a data set is published.

    Attributes:
        folders: Where its files may lie below the data folder, the likeliest first.
        train: Files of the training set.
        test: Files of the test set.
        parse: Makes arrays of the contents of one file: of images (N, C, H, W), labels (N,), or
            both.
        archive: What the files come packed in, if anything.
    """

    folders: tuple[str, ...]
    train: tuple[FileSpec, ...]
    test: tuple[FileSpec, ...]
    parse: Callable[[bytes], Sequence[NDArray[Any]]]
    archive: str = ""

    def missing(self, folder: Path) -> list[str]:
        """Returns the names of the files that are not in a folder."""
        names = [file.name for file in (*self.train, *self.test)]
        return [name for name in names if not isfile(folder / name)]  # of any path, unlike pathlib

    def read(self, files: Sequence[FileSpec], folder: Path) -> Arrays:
        """Reads ``train`` or ``test`` from a folder.

        Raises:
            ValueError: If a file is not the published one.
        """
        images, labels = [], []
        for file in files:
            data = file.read(folder)
            try:
                arrays = self.parse(data)
            except ValueError as error:
                raise ValueError(f"{folder / file.name} {error}") from None
            images += [array for array in arrays if array.ndim > 1]
            labels += [array.astype(np.int64) for array in arrays if array.ndim == 1]
        return np.concatenate(images), np.concatenate(labels)

    def __str__(self) -> str:
        names = ", ".join(file.name for file in (*self.train, *self.test))
        return f"{names} ({self.archive} unpacked)" if self.archive else names
