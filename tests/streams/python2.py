"""Pickles as Python 2 wrote the official files of CIFAR, opcode by opcode."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Writer:
    """Writes protocol 2 as cPickle does: every string, list and name gets a number."""

    def __init__(self) -> None:
        self.data = bytearray(b"\x80\x02")
        self.memo: dict[str, int] = {}
        self.stored = 0

    def put(self) -> None:
        self.stored += 1
        low = self.stored < 256
        self.data += b"q" + bytes([self.stored]) if low else b"r" + struct.pack("<I", self.stored)

    def string(self, text: str) -> None:
        self.data += b"U" + bytes([len(text)]) + text.encode("latin-1")
        self.put()

    def name(self, name: str) -> None:
        self.data += b"c" + name.replace(" ", "\n").encode() + b"\n"
        self.put()

    def number(self, number: int) -> None:
        if number < 256:
            self.data += b"K" + bytes([number])
        else:
            self.data += b"M" + struct.pack("<H", number)

    def list(self, values: Sequence[int | str]) -> None:
        self.data += b"]"
        self.put()
        for start in range(0, len(values), 1000):  # as cPickle, a thousand at a time
            batch = values[start : start + 1000]
            self.data += b"(" if len(batch) > 1 else b""
            for value in batch:
                self.string(value) if isinstance(value, str) else self.number(value)
            self.data += b"e" if len(batch) > 1 else b"a"

    def array(self, array: NDArray[np.uint8]) -> None:
        self.name("numpy.core.multiarray _reconstruct")
        self.name("numpy ndarray")
        self.data += b"K\0\x85U\x01b\x87R"  # _reconstruct(ndarray, (0,), "b")
        self.put()
        self.data += b"(K\x01"
        self.number(array.shape[0])
        self.number(array.shape[1])
        self.data += b"\x86"
        self.name("numpy dtype")
        self.data += b"U\x02u1K\0K\x01\x87R"  # dtype("u1", 0, 1)
        self.put()
        self.data += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
        self.data += b"T" + struct.pack("<I", array.size) + array.tobytes() + b"tb"


def pickled(images: NDArray[np.uint8], **lists: Sequence[int | str]) -> bytes:
    """Pickles a batch of images (N, 3072) as Python 2 did, its items in the order of their hash."""
    writer = Writer()
    writer.data += b"}"
    writer.put()
    writer.data += b"("
    writer.string("batch_label")
    writer.string("training batch 1 of 5")
    for key in [*(key for key in lists if key != "filenames"), "data", "filenames"]:
        writer.string(key)
        writer.array(images) if key == "data" else writer.list(lists.get(key, []))
    return bytes(writer.data + b"u.")
