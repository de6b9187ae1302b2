"""idx files: exactly what their header says, or one line."""

import gzip
import io
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.idx import read_idx


def idx(*shape: int, values: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


def test_an_array_is_read_from_a_plain_and_from_a_packed_file() -> None:
    data = idx(2, 1, 3, values=bytes([1, 2, 3, 4, 5, 255]))
    expected = np.array([[[1, 2, 3]], [[4, 5, 255]]], np.uint8)
    for file in (io.BytesIO(data), gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data)))):
        array = read_idx(file)
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "should begin with 00 00 08. Found nothing"),
        (b"\0\0\x08", "should begin with 00 00 08. Found 00 00 08"),
        (b"\0\0\x0d\x01", "should begin with 00 00 08. Found 00 00 0d 01"),  # floats
        (b"\x1f\x8b\x08\x00", "should begin with 00 00 08. Found 1f 8b 08 00"),
        (idx(2, 2, values=b"")[:-1], "should have 2 axes. It ends before their lengths"),
        (idx(5, values=b"1234"), "should have 5 values of one byte. Found 4"),
        (idx(3, values=b"1234"), "should have 3 values of one byte. Found more"),
        (
            idx(2**31, 28, 28, values=b"1234"),
            f"should have 1 to 67108864 values. Its header says {2**31 * 784}",
        ),
        (
            idx(0, 2**32 - 1, 2**32 - 1, values=b""),
            "should have 1 to 67108864 values. Its header says 0",
        ),
        (idx(values=b""), "should have 1 to 4 axes. Its header says 0"),
        (idx(*[2**32 - 1] * 255, values=b""), "should have 1 to 4 axes. Its header says 255"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_idx(io.BytesIO(data))


def test_no_more_is_unpacked_than_the_header_says() -> None:
    bomb = gzip.compress(idx(4, values=bytes(2**25)))
    assert len(bomb) < 2**16
    tracemalloc.start()
    with pytest.raises(ValueError, match="^should have 4 values of one byte. Found more$"):
        read_idx(gzip.GzipFile(fileobj=io.BytesIO(bomb)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[1:],
        lambda data: data[:-8] + bytes(8),  # another checksum
        lambda data: data[:10] + b"\xff\xff" + data[12:],  # no such block
    ],
)
def test_a_spoilt_gzip_file_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    data = spoil(gzip.compress(idx(4, values=b"1234")))
    with pytest.raises(ValueError, match="^is no whole gzip file$"):
        read_idx(gzip.GzipFile(fileobj=io.BytesIO(data)))


@given(st.binary(max_size=40), st.booleans())
def test_any_file_is_an_array_or_one_line(tail: bytes, magic: bool) -> None:
    data = b"\0\0\x08" * magic + tail
    outcome = attempt(data)
    if isinstance(outcome, str):
        assert "\n" not in outcome
    else:
        assert idx(*outcome.shape, values=outcome.tobytes()) == data


def attempt(data: bytes) -> NDArray[np.uint8] | str:
    try:
        return read_idx(io.BytesIO(data))
    except ValueError as error:
        return str(error)
