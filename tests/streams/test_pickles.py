"""Pickles of official files are read, all others refused; nothing in them runs."""

import hashlib
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.pickles import read_pickle
from tests.streams.python2 import pickled

IMAGES = (np.arange(3 * 3072) % 251).astype(np.uint8).reshape(3, 3072)
FILE = pickled(IMAGES, labels=[0, 7, 4], filenames=["a_0.png", "a_1.png", "a_2.png"])


def test_the_test_writes_what_python_2_wrote() -> None:
    # Of ``cPickle.dumps(batch, 2)`` in Python 2.7.18 with NumPy 1.16.6.
    assert hashlib.md5(FILE).hexdigest() == "0e4ccf7ef53a791969653163e0bb7ec1"


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return bool(ours == theirs)


def check(file: bytes, theirs: dict[str, Any]) -> None:
    ours = read_pickle(file)
    assert ours.keys() == theirs.keys()
    assert all(same(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("count", [1, 2, 1000, 1001, 2500])
def test_files_of_python_2(count: int) -> None:
    images = np.zeros((2, 3072), np.uint8)
    names = [f"é_{k}.png" for k in range(count)]
    file = pickled(images, labels=[k % 300 for k in range(count)], filenames=names)
    if 2 + count + count > 1000:  # more than two images can have
        file = pickled(np.zeros((count, 3072), np.uint8), labels=[1] * count, filenames=names)
    check(file, pickle.loads(file, encoding="latin1"))


@pytest.mark.parametrize("order", ["C", "F"])
def test_files_of_python_3(order: str) -> None:
    images: NDArray[np.uint8] = np.asarray(IMAGES, order=order)  # type: ignore[call-overload]
    batch = {"data": images, "labels": [5, 70_000, -1], "none": (None, True, False, 2**40), "é": ()}
    check(pickle.dumps({**batch, "é": (1,)}, protocol=2), {**batch, "é": (1,)})


def test_bytes_of_python_3_are_text() -> None:
    file = pickle.dumps({b"labels": [1], b"batch_label": b"\xff\x00"}, protocol=2)
    assert read_pickle(file) == {"labels": [1], "batch_label": "\xff\x00"}


class Danger:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def item(value: bytes) -> bytes:
    """A dict with one item, whose value is made by these opcodes."""
    return b"\x80\x02}U\x01a" + value + b"s."


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
ARRAY = RECONSTRUCT + b"cnumpy\nndarray\nK\0\x85U\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R"


def state(rows: int, columns: int, text: bytes) -> bytes:
    shape = b"J" + struct.pack("<i", rows) + b"J" + struct.pack("<i", columns) + b"\x86"
    return b"(K\x01" + shape + DTYPE + b"\x89" + text + b"tb"


NO_CALL = "calls what no such file needs, or a NumPy type other than bytes"
NO_STATE = "sets the state of what no such file needs, or of another array"
ABSENT = "takes a value that is not there"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"cos\nsystem\nU\x04true\x85R.", "names 'os system', which no such file needs"),
        (item(b"cos\nsystem\nU\x04true\x85R"), "names 'os system', which no such file needs"),
        (item(b"cnumpy.core\nmultiarray\n"), "names 'numpy.core multiarray', which no such.*"),
        (item(b"c\x1b[0m\n" + b"x" * 9999 + b"\n"), r"names '\\x1b\[0m x{75}', which no such.*"),
        (item(b"ios\nsystem\n"), "uses the opcode INST, which no such file needs"),
        (item(b"P0\n"), "uses the opcode PERSID, which no such file needs"),
        (item(b"U\x01a0"), "uses the opcode POP, which no such file needs"),
        (item(b"2"), "uses the opcode DUP, which no such file needs"),
        (item(b"I1\n"), "uses the opcode INT, which no such file needs"),
        (item(b"\x82\x01"), "uses the opcode EXT1, which no such file needs"),
        (item(b"cnumpy\nndarray\nK\x05\x85R"), NO_CALL),  # ndarray(5)
        (item(RECONSTRUCT + b"cnumpy\nndarray\nK\x05\x85U\x01b\x87R"), NO_CALL),
        (item(b"cnumpy\ndtype\nU\x01OK\0K\x01\x87R"), NO_CALL),
        (item(b"c_codecs\nencode\nU\x01aU\x05rot13\x86R"), NO_CALL),
        (item(b"U\x01aU\x01b\x85R"), NO_CALL),
        (item(ARRAY + state(1, 2, b"U\x03abc")), "has an array whose bytes do not fill its shape"),
        (item(ARRAY + state(-1, -2, b"U\x02ab")), "has an array whose bytes do not fill its shape"),
        (item(ARRAY + state(1, 1, b"X\x03\0\0\0\xe2\x98\x83")), "has an array of text"),
        (item(ARRAY + state(1, 1, b"U\x01a") + state(1, 1, b"U\x01b")), NO_STATE),
        (item(b"U\x01aU\x01bb"), NO_STATE),
        (item(b"}}b"), NO_STATE),
        (b"\x80\x03}.", "should be a pickle of protocol 2. Found 3"),
        (b"\x80\x02].", "should be one dict"),
        (b"\x80\x02}}.", "should be one dict"),
        (b"\x80\x02}(.", "should be one dict"),
        (b"\x80\x02.", "should be one dict"),
        (b"\x80\x02}.x", "should end with its pickle. Found 1 bytes more"),
        (b"\x80\x02}", "is no whole pickle"),
        (b"", "is no whole pickle"),
        (b"\xff.", "is no whole pickle"),
        (item(b"T\xff\xff\xff\x7fabc"), "is no whole pickle"),  # two gigabytes
        (item(b"T\xff\xff\xff\xffabc"), "is no whole pickle"),  # less than nothing
        (item(b"\x8b\xff\xff\xff\x7f1"), "is no whole pickle"),
        (item(b"I" + b"9" * 5000 + b"\n"), "is no whole pickle"),
        (item(b"h\x05"), "asks for value 5, which it has not stored"),
        (b"\x80\x02q\x01.", ABSENT),
        (b"\x80\x02\x87.", ABSENT),
        (b"\x80\x02e.", ABSENT),
        (b"\x80\x02}(U\x01a\x86.", ABSENT),  # below the mark
        (item(b"U\x01ba"), "takes a str for a list"),
        (b"\x80\x02]K\x01K\x02s.", "should have dicts whose keys are texts"),
        (b"\x80\x02}(U\x01au.", "should have dicts whose keys are texts"),
        (b"\x80\x02}K\x01K\x02s.", "should have dicts whose keys are texts"),
        # A tuple of tuples of ... as a key: its hash would take 2^60 steps.
        (b"\x80\x02}K\x01\x85" + b"q\x01h\x01\x86" * 60 + b"K\x01s.", "should .* keys are texts"),
        (item(b"]" + b"N" * 1000), "has more opcodes than the 1000 of such a file"),
        (pickle.dumps({"a": Danger(eval, "1 / 0")}, 2), "names '__builtin__ eval', which no.*"),
        (pickle.dumps({"a": np.zeros((1, 1))}, 2), NO_CALL),
        (pickle.dumps({"a": np.zeros(1, np.uint8)}, 2), NO_STATE),
        (pickle.dumps({"a": 1}, 4), "should be a pickle of protocol 2. Found 4"),
        (pickle.dumps({"a": 1}, 0), "uses the opcode DICT, which no such file needs"),
    ],
)
def test_other_pickles_are_refused(file: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_pickle(file)


def test_lists_within_themselves_are_left_alone() -> None:
    read = read_pickle(item(b"]q\x01h\x01a"))
    assert read["a"][0] is read["a"]
    deep = read_pickle(item(b"N" + b"\x85" * 900))["a"]
    assert deep[0][0][0][0]


@given(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=4))
def test_any_spoilt_file_is_a_dict_or_one_line(at: int, patch: bytes) -> None:
    small = FILE[:2] + FILE[2:].replace(IMAGES.tobytes(), b"")  # mostly opcodes
    at %= len(small)
    for file in (small[:at], small[:at] + patch + small[at + len(patch) :]):
        outcome = attempt(file)
        assert isinstance(outcome, dict) or ("\n" not in outcome and len(outcome) < 200)


def attempt(file: bytes) -> dict[str, Any] | str:
    try:
        return read_pickle(file)
    except ValueError as error:
        return str(error)
