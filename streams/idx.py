"""The idx format, in which MNIST and Fashion-MNIST are published."""

from __future__ import annotations

import math
import struct
import zlib
from io import BufferedIOBase

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2**26
"""Larger than the largest official file, 60,000 images of 28 x 28 pixels."""


def read_idx(file: BufferedIOBase, max_bytes: int = MAX_BYTES) -> NDArray[np.uint8]:
    """Reads an array of bytes with one to four axes.

    The format: two zero bytes, 8 for unsigned bytes, the number of axes; their lengths, four bytes
    each, the highest first; the values in C order.

    Args:
        file: A file opened for bytes, or a ``gzip.GzipFile``.
        max_bytes: Values there may be at most; no more than those and one are read or unpacked.

    Raises:
        ValueError: If it is another format, too large, shorter or longer than its header says.
    """
    try:
        magic = file.read(4)
        if magic[:3] != b"\0\0\x08" or len(magic) < 4:
            raise ValueError(f"should begin with 00 00 08. Found {magic.hex(' ') or 'nothing'}")
        if not 1 <= magic[3] <= 4:
            raise ValueError(f"should have 1 to 4 axes. Its header says {magic[3]}")
        lengths = file.read(4 * magic[3])
        if len(lengths) < 4 * magic[3]:
            raise ValueError(f"should have {magic[3]} axes. It ends before their lengths")
        shape = struct.unpack(f">{magic[3]}I", lengths)
        expected = math.prod(shape)
        if not 1 <= expected <= max_bytes:
            raise ValueError(f"should have 1 to {max_bytes} values. Its header says {expected}")
        values = file.read(expected + 1)
    except (EOFError, OSError, zlib.error):
        raise ValueError("is no whole gzip file") from None
    if len(values) != expected:
        found = "more" if len(values) > expected else len(values)
        raise ValueError(f"should have {expected} values of one byte. Found {found}")
    return np.frombuffer(values, np.uint8).reshape(shape)
