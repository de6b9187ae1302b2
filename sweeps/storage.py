"""Where a sweep lies: a folder that all machines see, or a bucket (s3://, gs://, file://)."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from training.rundir import LOCK, lock_folder, write_text

_PART = ".part"
_REMOTE = re.compile(r"[a-z][a-z0-9+]*://")


class Storage(Protocol):
    """What a sweep does with files; paths are relative to its root."""

    def read(self, path: str) -> str | None:
        """Returns the text of a file, None if it is not there."""
        ...

    def write(self, path: str, text: str) -> None:
        """Writes a file as a whole, or not at all."""
        ...

    def names(self, path: str) -> list[str]:
        """Returns the names in a folder, none if it is not there."""
        ...

    def lock(self) -> IO[str] | None:
        """Keeps a second sweep out, until it is closed.

        Raises:
            ValueError: If there is one.
        """
        ...

    def work(self, name: str) -> Any:
        """A context: the local folder of a run and a function that brings it to the storage."""
        ...


def open_storage(root: str) -> Storage:
    """Returns the storage that a folder or an address stands for.

    Raises:
        ValueError: If it cannot be used.
    """
    return Bucket(root) if _REMOTE.match(root) else Folder(Path(root))


class Folder:
    """A folder, on a disk that all machines share if there are several."""

    def __init__(self, root: Path) -> None:
        # Workers have another working directory.
        self.root = root.absolute()

    def read(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)

    def names(self, path: str) -> list[str]:
        folder = self.root / path
        return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []

    def lock(self) -> IO[str] | None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return lock_folder(self.root)
        except OSError as error:
            raise ValueError(f"{self.root} cannot be written: {error}") from error

    @contextmanager
    def work(self, name: str) -> Iterator[tuple[Path, Any]]:
        yield self.root / name, lambda: None


class Bucket:
    """A file system of pyarrow, which training cannot write to: runs are copied there and back.

    What a checkpoint needs is there before what the one before needed is deleted, and states have
    checksums, so a copy that was broken off falls back to the checkpoint before.

    Args:
        root: Its address.
    """

    def __init__(self, root: str) -> None:
        from pyarrow import fs

        self.root = root
        try:
            self.fs, self.path = fs.FileSystem.from_uri(root)
        except (OSError, ValueError) as error:
            raise ValueError(f"{root} cannot be used: {error}") from error

    def read(self, path: str) -> str | None:
        try:
            return self.get(path).decode()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, text: str) -> None:
        self.put(path, text.encode())

    def names(self, path: str) -> list[str]:
        return sorted(info.base_name for info in self._infos(path, recursive=False))

    def lock(self) -> IO[str] | None:
        return None  # object stores have none: two sweeps into one bucket are the user's affair

    @contextmanager
    def work(self, name: str) -> Iterator[tuple[Path, Any]]:
        own = hashlib.sha256(self.root.encode()).hexdigest()[:12]
        with tempfile.TemporaryDirectory(prefix=f"sweep-{own}-") as scratch:
            copy = _Copy(self, name, Path(scratch) / name)
            copy.down()
            yield copy.local, copy.up

    def _infos(self, path: str, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        where = fs.FileSelector(f"{self.path}/{path}", allow_not_found=True, recursive=recursive)
        return list(self.fs.get_file_info(where))

    def files(self, path: str) -> list[str]:
        """Returns all files below a folder, relative to it."""
        prefix = f"{self.path}/{path}/".lstrip("/")
        infos = self._infos(path, recursive=True)
        return [i.path.lstrip("/").removeprefix(prefix) for i in infos if i.is_file]

    def get(self, path: str) -> bytes:
        """Returns the content of a file."""
        with self.fs.open_input_stream(f"{self.path}/{path}") as file:
            return bytes(file.read())

    def put(self, path: str, content: bytes) -> None:
        """Writes a file as a whole, or not at all."""
        target = f"{self.path}/{path}"
        # Object stores do that by themselves; a disk does not.
        aside = f"{target}{_PART}" if self.fs.type_name == "local" else target
        self.fs.create_dir(target.rpartition("/")[0], recursive=True)
        with self.fs.open_output_stream(aside) as file:
            file.write(content)
        if aside != target:
            self.fs.move(aside, target)

    def delete(self, path: str) -> None:
        """Deletes a file."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(f"{self.path}/{path}")


class _Copy:
    """A run directory here, and its copy in a bucket."""

    def __init__(self, bucket: Bucket, name: str, local: Path) -> None:
        self.bucket, self.name, self.local = bucket, name, local
        self.there: dict[str, tuple[int, int]] = {}  # what was copied: size and time of each file

    def down(self) -> None:
        """Brings the run here."""
        for name in self.bucket.files(self.name):
            if ".." in Path(name).parts or name.endswith(_PART):
                continue
            file = self.local / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.bucket.get(f"{self.name}/{name}"))
            self.there[name] = self._mark(file)

    def up(self) -> None:
        """Brings what has changed to the bucket; the summary, which says what is done, last."""
        files = {
            str(file.relative_to(self.local)): file
            for file in sorted(self.local.rglob("*"), key=lambda f: f.name == "summary.json")
            if file.is_file() and file.name != LOCK and ".tmp" not in str(file)
        }
        for name, file in files.items():
            mark = self._mark(file)
            if self.there.get(name) != mark:
                self.bucket.put(f"{self.name}/{name}", file.read_bytes())
                self.there[name] = mark
        for name in self.there.keys() - files.keys():
            self.bucket.delete(f"{self.name}/{name}")
            del self.there[name]

    @staticmethod
    def _mark(file: Path) -> tuple[int, int]:
        stat = file.stat()
        return stat.st_size, stat.st_mtime_ns
