"""Reads ``metrics.csv`` in blocks, as arrays: only the rows that are needed become numbers.

A table of 20 MB has half a million rows.  Commas and line ends are found by NumPy, names are
compared eight bytes at a time, and only numbers of needed names are parsed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

HEADER = b"step,seed,task,visit,name,value"
BLOCK = 1 << 22
"""Bytes that are looked at together."""
MOST_LINE = 1 << 16
MOST_NAMES = 5_000
MOST_ROWS = 50_000_000
"""Of needed rows, 28 bytes each."""
COMMA, NEWLINE, QUOTE = b',\n"'
ROW = np.dtype(
    [("step", "i8"), ("seed", "i4"), ("task", "i4"), ("visit", "i4"), ("value", "f8")]
)  # packed
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Columns:
    """What a table holds.

    Attributes:
        rows: For each needed name its rows, in the order of the file, of type ``ROW``.
        names: All names that are there.
        cut: Whether the last line was only half there, and left out.
        count: Number of whole rows.
    """

    rows: dict[str, Array] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    cut: bool = False
    count: int = 0


def read(path: Path, needed: Callable[[str], bool]) -> Columns:
    """Reads a table.

    Args:
        path: The file; a link is not followed.
        needed: Says whether the rows of a name are wanted.

    Raises:
        ValueError: If the file is no such table.
    """
    with open_plain(path) as file:
        if file.readline(len(HEADER) + 2).rstrip(b"\r\n") != HEADER:
            raise ValueError(f"{path} should begin with the line {HEADER.decode()}")
        return _Reader(path, needed).read(file)


def open_plain(path: Path) -> IO[bytes]:
    """Opens a regular file of a stranger's folder, which must not lead elsewhere.

    Raises:
        ValueError: If it is a link, no file, or cannot be read.
    """
    if path.is_symlink():
        raise ValueError(f"{path} is a link: files of runs must not be")
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def last_step(path: Path) -> int:
    """Returns the step of the last whole line; 0 if there is none."""
    with open_plain(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - MOST_LINE, 0))
        lines = file.read(MOST_LINE).split(b"\n")[:-1]
    step = lines[-1].split(b",")[0] if lines else b""
    return int(step) if step.isdigit() and len(step) <= 15 else 0


class _Reader:
    def __init__(self, path: Path, needed: Callable[[str], bool]) -> None:
        self.path, self.needed = path, needed
        self.found = Columns()
        self.parts: dict[bytes, list[Array]] = {}  # of needed names
        self.known: dict[int, list[bytes]] = {}  # length -> names seen
        self.kept = 0

    def read(self, file: IO[bytes]) -> Columns:
        rest = b""
        while block := file.read(BLOCK):
            end = block.rfind(b"\n") + 1
            if not end and len(rest) + len(block) > MOST_LINE:
                raise self.wrong("has a line without end")
            if end:
                self.take(rest + block[:end])
                rest = block[end:]
            else:
                rest += block
        self.found.cut = bool(rest)
        self.found.rows = {
            name.decode(): np.concatenate(parts) for name, parts in self.parts.items()
        }
        return self.found

    def take(self, block: bytes) -> None:
        """Takes whole lines."""
        data = np.frombuffer(block, np.uint8)
        where = np.flatnonzero((data == COMMA) | (data == NEWLINE))
        ends = np.flatnonzero(data[where] == NEWLINE)
        odd = np.flatnonzero(np.diff(ends, prepend=-1) != 6)
        if len(odd):
            raise self.wrong("should have six fields", int(odd[0]))
        if QUOTE in block:
            raise self.wrong("has quotes")
        marks: Array = where.reshape(-1, 6)
        starts = np.empty_like(marks)
        starts[:, 1:] = marks[:, :-1] + 1
        starts[0, 0], starts[1:, 0] = 0, marks[:-1, 5] + 1
        wanted = [(n, at) for n, at in self.by_name(block, starts, marks) if n in self.parts]
        self.kept += sum(len(at) for _, at in wanted)
        if self.kept > MOST_ROWS:
            raise self.wrong(f"has more than {MOST_ROWS:,} rows")
        if wanted:
            at = np.concatenate([at for _, at in wanted])
            rows = self.numbers(block, data, starts[at], marks[at], at)
            borders = np.cumsum([len(at) for _, at in wanted])[:-1]
            for (name, _), part in zip(wanted, np.split(rows, borders), strict=True):
                self.parts[name].append(part)
        self.found.count += len(marks)

    def by_name(self, block: bytes, starts: Array, ends: Array) -> list[tuple[bytes, Array]]:
        """Returns the rows of each name, in the order of the block."""
        found = []
        starts, lengths = starts[:, 4], ends[:, 4] - starts[:, 4]
        padded = block + bytes(8)
        eight: Array = np.ndarray((len(block),), "<u8", padded, strides=(1,))  # windows
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            names = iter(self.known.setdefault(length, [])[:])
            while len(rows):
                name = next(names, None)
                if name is None:
                    name = block[starts[rows[0]] : starts[rows[0]] + length]
                    self.new(name, int(rows[0]))
                alike, same = np.zeros(len(rows), bool), np.arange(len(rows))
                begin = starts[rows]
                for at in reversed(range(0, length, 8)):  # names differ at their ends
                    part = name[at : at + 8]
                    mask = np.uint64((1 << 8 * len(part)) - 1)
                    window = eight[begin[same] + at] & mask
                    same = same[window == np.uint64(int.from_bytes(part, "little"))]
                if len(same):
                    found.append((name, rows[same]))
                    alike[same] = True
                    rows = rows[~alike]
        return found

    def new(self, name: bytes, row: int) -> None:
        if len(self.found.names) == MOST_NAMES:
            raise self.wrong(f"has more than {MOST_NAMES:,} names")
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise self.wrong("has a name that is not UTF-8", row) from None
        self.known[len(name)].append(name)
        self.found.names.append(text)
        if self.needed(text):
            self.parts[name] = []

    def numbers(self, block: bytes, data: Array, starts: Array, ends: Array, at: Array) -> Array:
        rows = np.empty(len(starts), ROW)
        for i, column in enumerate(("step", "seed", "task", "visit")):
            value, fine = _integers(data, starts[:, i], ends[:, i], 15 if i == 0 else 9)
            if not fine.all():
                raise self.wrong(f"has a {column} that is no number", int(at[~fine][0]))
            rows[column] = value
        spans = zip(starts[:, 5].tolist(), ends[:, 5].tolist(), strict=True)
        texts = [block[start:end] for start, end in spans]
        try:
            rows["value"] = list(map(float, texts))
        except ValueError:
            first = next(i for i, text in enumerate(texts) if not _is_number(text))
            raise self.wrong("has a value that is no number", int(at[first])) from None
        return rows

    def wrong(self, what: str, row: int | None = None) -> ValueError:
        """Returns the error; ``row`` counts from the beginning of the block."""
        where = "" if row is None else f" (line {self.found.count + row + 2})"
        return ValueError(f"{self.path} is damaged: it {what}{where}")


def _integers(data: Array, starts: Array, ends: Array, most: int) -> tuple[Array, Array]:
    """Parses decimal fields; returns the numbers, and whether each is one."""
    lengths = ends - starts
    fine = (lengths > 0) & (lengths <= most)
    value = np.zeros(len(starts), np.int64)
    for i in range(min(int(lengths.max(initial=0)), most)):
        longer = lengths > i
        digit = data[starts + i * longer] - np.uint8(ord("0"))  # below "0" it wraps around
        fine &= ~longer | (digit <= 9)
        value = np.where(longer, value * 10 + digit, value)
    return value, fine


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
