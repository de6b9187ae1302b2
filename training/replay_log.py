"""The rows of a replay on disk, written while training goes on."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from agents import Replay
from agents.saving import DamagedError, read, sync_folder

FILE_BYTES = 16 << 20
"""Rows are written when so many bytes have come together, and at each checkpoint."""
AT_ONCE = 4
"""Files that may wait to be written; training waits while there are more."""


@dataclass(frozen=True)
class Entry:
    """A file of rows ``first`` to ``end - 1``."""

    first: int
    end: int
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.first}-{self.end}.safetensors"


class ReplayLog:
    """Keeps the rows of a replay in files that are written once, by a thread of its own.

    So a checkpoint has only to wait for the last few megabytes, however large the replay is.  On
    the disk lies what the replay holds, and what the checkpoints need that are kept.

    Args:
        folder: Where the files go.
        replay: The replay.
    """

    def __init__(self, folder: Path, replay: Replay) -> None:
        self.folder, self.replay = folder, replay
        self.entries: list[Entry] = []
        self._end = 0  # rows before have been handed to the writer
        row_bytes = max(replay.nbytes // replay.length, 1)
        self._rows = max(min(FILE_BYTES // row_bytes, replay.length), 1)  # of one file
        self._due = self._rows  # the row at which to write again
        self._writer = ThreadPoolExecutor(1, "replay")
        self._waiting: list[Future[Entry]] = []
        self._needed: set[str] = set()  # files that checkpoints need

    def grow(self) -> None:
        """To be called after each step: writes what has come together.

        Where the disk does not take it, training goes on; ``complete`` tries again and tells.
        """
        if self.replay.steps >= self._due:
            self._write()
            self._forget()

    def complete(self) -> list[dict[str, Any]]:
        """Writes the rest, waits for all of it, and returns the list of files for a checkpoint.

        Raises:
            OSError: If the disk did not take it.
        """
        error = self._write() or self._settle(0)
        if error is not None:  # which may be an old one, of a file that was waiting
            error = self._write() or self._settle(0)
        if error is not None:
            raise error
        self._forget()
        if self.entries:
            sync_folder(self.folder)
        return [asdict(entry) for entry in self.entries]

    def restore(self, listed: Iterable[dict[str, Any]]) -> None:
        """Puts the rows of listed files back into the replay, whose other state is loaded.

        Raises:
            DamagedError: If a file is not what was written, or rows are missing.
        """
        replay, at = self.replay, self.replay.oldest
        try:
            self.entries = [Entry(**item) for item in listed]
            self._needed = {entry.name for entry in self.entries}
            for entry in self.entries:
                if not (isinstance(entry.first, int) and entry.first <= at < entry.end):
                    raise DamagedError(f"{self.folder}: rows {at} to {entry.first} are missing")
                data = read(self.folder / entry.name, entry.bytes, entry.sha256)
                self._put(entry, load_tensors(data))
                at = self._end = entry.end
                self._due = at + self._rows
        except (OSError, SafetensorError, TypeError, KeyError) as error:
            raise DamagedError(f"the replay cannot be read: {error}") from error
        if at != replay.steps:
            raise DamagedError(f"{self.folder}: rows {at} to {replay.steps} are missing")
        if not replay.whole:
            raise DamagedError(f"{self.folder}: frames of the oldest rows are missing")

    def prune(self, *kept: Iterable[dict[str, Any]]) -> None:
        """Deletes the files that none of the checkpoints lists, of which this one wrote."""
        self._needed = names = {Entry(**item).name for listed in kept for item in listed}
        for file in self.folder.glob("*"):
            known = re.fullmatch(r"\d+-\d+\.safetensors(\.tmp)?", file.name)
            if known and file.name not in names:
                file.unlink()

    def close(self) -> None:
        """Ends the thread."""
        self._writer.shutdown()

    def _put(self, entry: Entry, rows: dict[str, Tensor]) -> None:
        try:
            self.replay.put_rows(entry.first, entry.end, rows)
        except ValueError as error:
            file = self.folder / entry.name
            raise DamagedError(f"{file} holds no rows of this replay: {error}") from error

    def _forget(self) -> None:
        """Drops what the replay no longer holds, from the disk, too, if no checkpoint needs it."""
        oldest = self.replay.oldest
        for entry in self.entries:
            if entry.end <= oldest and entry.name not in self._needed:
                (self.folder / entry.name).unlink(missing_ok=True)
        self.entries = [entry for entry in self.entries if entry.end > oldest]

    def _write(self) -> OSError | None:
        """Hands the new rows that the replay still holds to the writer."""
        replay = self.replay
        self._due = replay.steps + self._rows
        self._end = max(self._end, replay.oldest)
        while self._end < replay.steps:
            error = self._settle(AT_ONCE - 1)
            if error is not None:
                return error
            first, end = self._end, min(self._end + self._rows, replay.steps)
            rows = {name: row.cpu() for name, row in replay.rows(first, end).items()}
            self._waiting.append(self._writer.submit(self._job, first, end, rows))
            self._end = end
        return None

    def _settle(self, most: int) -> OSError | None:
        """Waits until at most so many files are waiting; after an error they begin anew."""
        while len(self._waiting) > most:
            try:
                self.entries.append(self._waiting.pop(0).result())
            except OSError as error:
                wait(self._waiting)
                self._waiting.clear()
                self._end = self.entries[-1].end if self.entries else 0
                return error
        return None

    def _job(self, first: int, end: int, rows: dict[str, Tensor]) -> Entry:
        data = tensors_to_bytes(rows)
        entry = Entry(first, end, len(data), hashlib.sha256(data).hexdigest())
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f"{entry.name}.tmp"
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.folder / entry.name)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        return entry
