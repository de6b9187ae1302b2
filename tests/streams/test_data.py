"""``load``: each data set from each of its forms, and one line where it cannot be."""

import gzip
import hashlib
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams import DATA, Images, load
from streams.files import FileSpec, Form
from tests.streams.python2 import pickled
from tests.streams.test_idx import idx

COUNTS = {
    "mnist": (20, 10),
    "fashion-mnist": (20, 10),
    "cifar-10": (50, 10),
    "cifar-100": (200, 10),
}


def small(name: str) -> Images:
    """What a small data set of this name holds."""
    rng = np.random.default_rng(len(name))
    data, (n, m) = DATA[name], COUNTS[name]
    train, test = (rng.integers(0, 256, (k, *data.shape), np.uint8) for k in (n, m))
    labels = rng.permutation(n) % data.num_classes
    return Images(train, labels, test, rng.integers(0, 10, m), data.num_classes)


def contents(name: str, form: int, images: Images) -> list[bytes]:
    """The files of a form, in its order."""
    train, test = (images.train, images.train_labels), (images.test, images.test_labels)
    if "mnist" in name:
        files = []
        for pixels, labels in (train, test):
            files.append(idx(len(pixels), 28, 28, values=pixels.tobytes()))
            files.append(idx(len(labels), values=labels.astype(np.uint8).tobytes()))
        return [gzip.compress(file) for file in files] if form == 0 else files
    count = len(DATA[name].forms[form].train)
    parts = (np.split(train[0], count), np.split(train[1], count))
    batches = [*zip(*parts, strict=True), test]
    coarse = [b"\x07"] if name == "cifar-100" else []
    if form == 1:
        return [
            b"".join(
                b"".join([*coarse, bytes([label]), image.tobytes()])
                for image, label in zip(*batch, strict=True)
            )
            for batch in batches
        ]
    key = "fine_labels" if coarse else "labels"
    return [
        pickled(pixels.reshape(-1, 3072), **{key: labels.tolist()}) for pixels, labels in batches
    ]


def publish(name: str, files: list[bytes], form: int, patch: pytest.MonkeyPatch) -> Form:
    """Makes these files the official ones, and their form the only one."""
    spec = DATA[name].forms[form]
    sealed = [
        replace(file, size=len(data), md5=file.md5 and hashlib.md5(data).hexdigest())
        for file, data in zip((*spec.train, *spec.test), files, strict=True)
    ]
    cut = len(spec.train)
    made = replace(spec, train=tuple(sealed[:cut]), test=tuple(sealed[cut:]))
    patch.setitem(DATA, name, replace(DATA[name], counts=COUNTS[name], forms=(made,)))
    return made


def write(form: Form, files: list[bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for spec, data in zip((*form.train, *form.test), files, strict=True):
        (folder / spec.name).write_bytes(data)


ALL = [(name, form) for name in COUNTS for form in (0, 1)]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("name", "kind"), ALL)
def test_every_form_in_every_place(
    name: str, kind: int, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = small(name)
    files = contents(name, kind, images)
    form = publish(name, files, kind, monkeypatch)
    write(form, files, tmp_path / form.folders[place])
    loaded = load(name, tmp_path)
    assert loaded.num_classes == images.num_classes
    for field in ("train", "train_labels", "test", "test_labels"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(images, field))
        assert getattr(loaded, field).flags.c_contiguous


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_a_changed_file_is_refused(
    name: str, kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents(name, kind, small(name))
    form = publish(name, files, kind, monkeypatch)
    write(form, files, tmp_path)
    last = tmp_path / form.test[-1].name
    last.write_bytes(files[-1][:-1])
    with pytest.raises(ValueError, match=f"^{last} should have {len(files[-1])} bytes.* Found "):
        load(name, tmp_path)
    if form.test[-1].md5:
        last.write_bytes(files[-1][:-1] + bytes([files[-1][-1] ^ 1]))
        with pytest.raises(ValueError, match=f"^{last} should have .*{form.test[-1].md5}. Found "):
            load(name, tmp_path)


def test_a_pickle_that_would_run_is_refused_and_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    files = [*contents("cifar-10", 0, small("cifar-10"))[:-1], pickle.dumps({"data": Touch()}, 2)]
    write(publish("cifar-10", files, 0, monkeypatch), files, tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'test_batch'} names '.*', which no such"):
        load("cifar-10", tmp_path)
    assert not (tmp_path / "touched").exists()


def test_files_of_another_shape_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents("mnist", 1, small("mnist"))
    files[2] = files[2].replace(b"\0\0\0\x1c\0\0\0\x1c", b"\0\0\0\x38\0\0\0\x0e")
    write(publish("mnist", files, 1, monkeypatch), files, tmp_path)
    message = (
        f"{tmp_path} should have images [(20, 1, 28, 28), (10, 1, 28, 28)] of mnist. "
        "Found [(20, 1, 28, 28), (10, 1, 56, 14)]"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load("mnist", tmp_path)


def test_files_of_other_labels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents("cifar-10", 1, small("cifar-10"))
    files[5] = b"\x0a" + files[5][1:]
    write(publish("cifar-10", files, 1, monkeypatch), files, tmp_path)
    message = "other labels than cifar-10: `test_labels` should be 0 to 9. Received 10"
    with pytest.raises(ValueError, match=f"^{tmp_path} has {message}$"):
        load("cifar-10", tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^`data_dir` should hold the official files") as caught:
        load("mnist", tmp_path)
    names = "train-images-idx3-ubyte{0}, train-labels-idx1-ubyte{0}, t10k-images-idx3-ubyte{0}, "
    names += "t10k-labels-idx1-ubyte{0}"
    assert str(caught.value) == (
        "`data_dir` should hold the official files of 'MNIST handwritten digits' by LeCun, Cortes "
        f"and Burges: {names.format('.gz')}; or {names.format('')}. "
        f"Looked in {tmp_path}/mnist, {tmp_path}/MNIST/raw, {tmp_path}"
    )


@pytest.mark.parametrize("odd", ["x" * 5000, "a\0b", "~", ""])
def test_odd_folders_hold_nothing(odd: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^`data_dir` should hold the official files"):
        load("cifar-10", tmp_path / odd)


def test_unpack_the_archive_or_bring_the_rest(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"")
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train, test \(cifar-100-python.tar.gz unpacked\)") as e:
        load("cifar-100", tmp_path)
    assert str(e.value).endswith(f". {tmp_path}/cifar-100-python lacks test")


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("mnits", None, "there is no data set 'mnits'. Did you mean 'mnist'?"),
        (
            "svhn",
            None,
            "there is no data set 'svhn'. "
            "There are digits, mnist, fashion-mnist, cifar-10, cifar-100.",
        ),
        (
            "cifar-10",
            None,
            "`data_dir` should be the folder with the official files of 'CIFAR-10' by Krizhevsky, "
            "Nair and Hinton. Received None",
        ),
        (
            "digits",
            Path("x"),
            "`data_dir` is for data in files; digits comes with scikit-learn. Received x",
        ),
    ],
)
def test_wrong_settings_are_named(name: str, data_dir: Path | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load(name, data_dir)


def test_official_files() -> None:
    assert list(DATA) == ["digits", "mnist", "fashion-mnist", "cifar-10", "cifar-100"]
    forms = [form for data in DATA.values() for form in data.forms]
    specs: list[FileSpec] = [spec for form in forms for spec in (*form.train, *form.test)]
    md5s = [spec.md5 for spec in specs if spec.md5]
    assert len(set(md5s)) == len(md5s) == 4 * 4 + 6 + 2
    assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in md5s)
    unchecked = {spec.name: spec.size for spec in specs if not spec.md5}
    assert unchecked == {
        **{f"data_batch_{k}.bin": 30_730_000 for k in range(1, 6)},
        "test_batch.bin": 30_730_000,
        "train.bin": 153_700_000,
        "test.bin": 30_740_000,
    }


GOOD = small("mnist")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(GOOD, train=GOOD.train[0]), "`train` should be uint8 (N, C, H, W). "),
        (
            lambda: replace(GOOD, test=GOOD.test.view(np.int8)),
            "`test` should be uint8 (N, C, H, W). ",
        ),
        (
            lambda: replace(GOOD, train_labels=GOOD.train_labels[1:]),
            "`train_labels` should be int64 (20,). Received int64 (19,)",
        ),
        (
            lambda: replace(GOOD, test_labels=GOOD.test_labels.view(np.uint64)),
            "`test_labels` should be int64 (10,). Received uint64 (10,)",
        ),
        (
            lambda: replace(GOOD, test_labels=GOOD.test_labels + 10),
            "`test_labels` should be 0 to 9. Received 1",
        ),
        (
            lambda: replace(GOOD, train_labels=GOOD.train_labels - 1),
            "`train_labels` should be 0 to 9. Received -1",
        ),
        (
            lambda: replace(GOOD, train_labels=GOOD.train_labels // 5),
            "`train_labels` should have every class. There is no 2",
        ),
    ],
)
def test_images_fit_together(change: Callable[[], Images], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        change()
