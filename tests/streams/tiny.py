"""Data sets of a few images."""

import numpy as np
from hypothesis import strategies as st

from streams import Images


def tiny(train_labels: list[int], test_labels: list[int], side: int = 2) -> Images:
    """Images of two channels and (side, side + 1) pixels, each of a number of its own."""
    n, m = len(train_labels), len(test_labels)
    train = np.arange(n * 2 * side * (side + 1)) % 256
    test = np.arange(m * 2 * side * (side + 1)) % 256
    return Images(
        train.reshape(n, 2, side, side + 1).astype(np.uint8),
        np.array(train_labels),
        test.reshape(m, 2, side, side + 1).astype(np.uint8),
        np.array(test_labels, np.int64),
        max(train_labels) + 1,
    )


@st.composite
def data_sets(draw: st.DrawFn, least_classes: int = 1) -> Images:
    classes = draw(st.integers(least_classes, 8))
    label = st.integers(0, classes - 1)
    extra = draw(st.lists(label, max_size=20))
    train = draw(st.permutations([*range(classes), *extra]))
    return tiny(train, draw(st.lists(label, max_size=10)), draw(st.integers(1, 3)))
