"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NUM_TEST = 360


def read_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the 1,797 images (N, 1, 8, 8), 0 to 16 scaled to 0 to 255, and their labels (N,).

    They come in a fixed random order, so that the last 360 can be the test set; classes are not
    balanced between the two.  Source: "Optical Recognition of Handwritten Digits", Alpaydin and
    Kaynak, UCI Machine Learning Repository, the test set thereof; the order is ours.
    """
    from sklearn.datasets import load_digits  # slow to import

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = np.rint(data.images * 255 / 16).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    return images[order], data.target.astype(np.int64)[order]
