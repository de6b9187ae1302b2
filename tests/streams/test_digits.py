"""The digits of scikit-learn, split once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from streams import load


def test_all_digits_once_scaled_to_bytes() -> None:
    digits, data = load("digits", None), load_digits()
    assert digits.train.shape == (1437, 1, 8, 8)
    assert digits.test.shape == (360, 1, 8, 8)
    assert (digits.train.min(), digits.train.max(), digits.num_classes) == (0, 255, 10)
    images = np.concatenate([digits.train, digits.test])[:, 0]
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    ours = sorted(
        (int(c), *image.ravel().tolist()) for c, image in zip(labels, images, strict=True)
    )
    theirs = sorted(
        (int(c), *(round(v * 255 / 16) for v in image.ravel().tolist()))
        for c, image in zip(data.target, data.images, strict=True)
    )
    assert ours == theirs


def test_the_split_is_fixed() -> None:
    first, second = load("digits", None), load("digits", None)
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.test_labels, second.test_labels)
    counts = np.bincount(first.test_labels).tolist()
    assert counts == [39, 37, 47, 28, 42, 32, 37, 27, 30, 41]


def test_importing_streams_is_light() -> None:
    code = (
        "import sys, streams; "
        "print([m for m in ('torch', 'sklearn', 'gymnasium', 'scipy') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
