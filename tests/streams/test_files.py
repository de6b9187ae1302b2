"""A file is read if it is the published one, and else named with what it should be."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from streams import files
from streams.files import FileSpec, Form

MD5 = hashlib.md5(b"four").hexdigest()
OTHER = hashlib.md5(b"five").hexdigest()


@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("md5", [None, MD5])
def test_the_published_file_is_read(tmp_path: Path, size: int | None, md5: str | None) -> None:
    (tmp_path / "file").write_bytes(b"four")
    assert FileSpec("file", size, md5).read(tmp_path) == b"four"


@pytest.mark.parametrize(
    ("spec", "data", "message"),
    [
        (FileSpec("file", 4, MD5), b"five", f"4 bytes, MD5 {MD5}. Found 4 bytes, MD5 {OTHER}"),
        (FileSpec("file", None, MD5), b"five", f"at most 9 bytes, MD5 {MD5}. Found 4 .* {OTHER}"),
        (FileSpec("file", 3, MD5), b"four", f"3 bytes, MD5 {MD5}. Found more than 3 bytes"),
        (FileSpec("file", 5), b"four", f"5 bytes. Found 4 bytes, MD5 {MD5}"),
        (FileSpec("file", 3), b"four", "3 bytes. Found more than 3 bytes"),
        (FileSpec("file", None, MD5), bytes(10), f".* MD5 {MD5}. Found more than 9 bytes"),
    ],
)
def test_another_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: FileSpec, data: bytes, message: str
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 9)
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'file'} should have {message}$"):
        spec.read(tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{tmp_path} cannot be read: Is a directory$"):
        FileSpec("", 4).read(tmp_path)


def test_a_form_joins_its_files(tmp_path: Path) -> None:
    train = (FileSpec("a", 2), FileSpec("b", 1))
    form = Form(("",), train, (FileSpec("c", 1),), parse, "all.tar.gz")
    assert form.missing(tmp_path) == ["a", "b", "c"]
    (tmp_path / "a").write_bytes(b"\x01\x02")
    (tmp_path / "b").write_bytes(b"\x03")
    assert form.missing(tmp_path) == ["c"]
    assert str(form) == "a, b, c (all.tar.gz unpacked)"
    images, labels = form.read(form.train, tmp_path)
    assert images[:, 0, 0, 0].tolist() == labels.tolist() == [1, 2, 3]
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.flags.writeable
    (tmp_path / "b").write_bytes(b"\x09")
    with pytest.raises(ValueError, match=f"^{tmp_path / 'b'} should have no 9$"):
        form.read(form.train, tmp_path)


def parse(data: bytes) -> list[np.ndarray]:
    if 9 in data:
        raise ValueError("should have no 9")
    values = np.frombuffer(data, np.uint8)
    return [values[:, None, None, None], values]
