"""The pickles that CIFAR comes in, read without running what is in them.

A pickle is a program: ``pickle.load`` calls whatever it names.  Here its opcodes are walked one by
one; those that put plain values together are followed, five names stand for what these files mean
by them and are never looked up, and everything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pickletools import genops
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class _Name(Enum):
    """What a name in the file stands for."""

    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    ARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"
    ENCODE = "_codecs encode"
    UINT8 = "numpy dtype('u1')"


_NAMES = {name.value: name for name in _Name if name is not _Name.UINT8}
_NAMES["numpy._core.multiarray _reconstruct"] = _Name.RECONSTRUCT  # since NumPy 2

# Byte strings are text of the same numbers (latin-1) throughout, as ``genops`` hands them over.
_VALUES = set("BININT BININT1 BININT2 LONG1 SHORT_BINSTRING BINSTRING BINUNICODE".split())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Array:
    """An array of bytes; it has none until they are set."""

    value: NDArray[np.uint8] | None = None


def read_pickle(data: bytes) -> dict[str, Any]:
    """Reads a dict of texts, numbers, lists, tuples and arrays (N, M) of bytes.

    The form is protocol 2, as Python 2 wrote the official files (byte strings) or as Python 3
    writes it (``_codecs.encode`` of text).

    Args:
        data: The whole file.  No more memory is used than a small multiple of its size.

    Raises:
        ValueError: If an opcode, a name or a call is none that these files need, or what they put
            together is no such dict.
    """
    machine = _Machine()
    # Per image of 3,072 bytes a file has two labels, a file name and its place in the memo.
    limit = 1000 + 8 * (len(data) // 3072)
    for count, (opcode, arg, at) in enumerate(_opcodes(data)):
        if count == limit:
            raise ValueError(f"has more opcodes than the {limit} of such a file")
        if opcode == "STOP":
            return machine.result(left=len(data) - 1 - at)
        machine.follow(opcode, arg)
    raise AssertionError("genops ends with STOP or an error")


def _opcodes(data: bytes) -> Iterator[tuple[str, Any, int]]:
    walk = genops(data)
    while True:
        try:
            opcode, arg, at = next(walk)
        except ValueError:  # which may quote the whole file
            raise ValueError("is no whole pickle") from None
        yield opcode.name, arg, at or 0


class _Machine:
    """The stack and the memo that a pickle works on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self, opcode: str, arg: Any) -> None:
        match opcode:
            case "PROTO":
                if arg != 2:
                    raise ValueError(f"should be a pickle of protocol 2. Found {arg}")
            case _ if opcode in _VALUES:
                self.stack.append(arg)
            case _ if opcode in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode])
            case "MARK":
                self.marks.append(len(self.stack))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[arg] = self.top(object)
            case "BINGET" | "LONG_BINGET":
                if arg not in self.memo:
                    raise ValueError(f"asks for value {arg}, which it has not stored")
                self.stack.append(self.memo[arg])
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "TUPLE":
                self.stack.append(tuple(self.pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self.pop(int(opcode[-1]))))
            case "APPEND":
                self.extend(self.pop(1))
            case "APPENDS":
                self.extend(self.pop_to_mark())
            case "SETITEM":
                self.update(self.pop(2))
            case "SETITEMS":
                self.update(self.pop_to_mark())
            case "GLOBAL":
                if arg not in _NAMES:
                    raise ValueError(f"names {arg[:80]!a}, which no such file needs")
                self.stack.append(_NAMES[arg])
            case "REDUCE":
                self.stack.append(_called(*self.pop(2)))
            case "BUILD":
                _build(self.pop(1)[0], self.top(object))
            case _:
                raise ValueError(f"uses the opcode {opcode}, which no such file needs")

    def pop(self, count: int) -> list[Any]:
        """Takes values from above the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("takes a value that is not there")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("takes a value that is not there")
        taken = self.pop(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return taken

    def top(self, kind: type[T]) -> T:
        value = self.pop(1)[0]
        self.stack.append(value)
        if not isinstance(value, kind):
            raise ValueError(f"takes a {type(value).__name__} for a {kind.__name__}")
        return value

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def update(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        # Only texts: the hash of tuples of tuples of ... takes for ever.
        if len(keys) != len(values) or not all(type(key) is str for key in keys):
            raise ValueError("should have dicts whose keys are texts")
        self.top(dict).update(zip(keys, values, strict=True))

    def result(self, left: int) -> dict[str, Any]:
        if left:
            raise ValueError(f"should end with its pickle. Found {left} bytes more")
        if len(self.stack) != 1 or self.marks or not isinstance(self.stack[0], dict):
            raise ValueError("should be one dict")
        items = self.stack[0].items()
        return {key: value.value if isinstance(value, _Array) else value for key, value in items}


def _called(function: Any, args: Any) -> Any:
    """What a call stands for; nothing is called."""
    match function, args:
        case _Name.RECONSTRUCT, (_Name.ARRAY, (0,), str()):
            return _Array()
        case _Name.DTYPE, ("u1", _, _):
            return _Name.UINT8
        case _Name.ENCODE, (str() as text, "latin1"):
            return text
    raise ValueError("calls what no such file needs, or a NumPy type other than bytes")


def _build(state: Any, target: Any) -> None:
    match target, state:
        case _Name.UINT8, tuple():  # byte order and the like, which bytes don't have
            return
        case _Array(value=None), (1, (int(rows), int(columns)), _Name.UINT8, fortran, str(text)):
            if min(rows, columns) < 0 or rows * columns != len(text):
                raise ValueError("has an array whose bytes do not fill its shape")
            try:
                values = np.frombuffer(text.encode("latin-1"), np.uint8)
            except UnicodeEncodeError:
                raise ValueError("has an array of text") from None
            target.value = values.reshape((rows, columns), order="F" if fortran is True else "C")
        case _:
            raise ValueError("sets the state of what no such file needs, or of another array")
