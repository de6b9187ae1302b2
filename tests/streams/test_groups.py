"""Streams of groups of classes: exact on tiny data, disjoint and complete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import Images
from streams.groups import ClassIncremental, ClassSplit
from tests.streams.tiny import data_sets, tiny

TRAIN, TEST = [2, 0, 1, 1, 0, 2, 3, 3], [0, 2, 2, 1, 3]
TINY = tiny(TRAIN, TEST)


def arrivals(seed: int, classes: int) -> list[int]:
    entropy = (seed, *map(ord, "classes"))
    order = np.random.default_rng(np.random.SeedSequence(entropy)).permutation(classes)
    return [int(c) for c in order]


def test_class_split() -> None:
    stream = ClassSplit(TINY, classes_per_task=2)
    assert (stream.num_outputs, stream.max_tasks) == (2, 2)
    order = arrivals(7, 4)
    for index in (0, 1):
        task, group = stream.task(index, 7), order[2 * index : 2 * index + 2]
        assert sorted(task.examples.tolist()) == [k for k, c in enumerate(TRAIN) if c in group]
        assert task.labels.tolist() == [group.index(TRAIN[k]) for k in task.examples]
        assert task.test_examples.tolist() == [k for k, c in enumerate(TEST) if c in group]
        assert task.test_labels.tolist() == [group.index(TEST[k]) for k in task.test_examples]
        assert task.positions is None
        assert task.classes.tolist() == [True, True]


def test_class_incremental() -> None:
    stream = ClassIncremental(TINY, classes_per_task=2)
    assert (stream.num_outputs, stream.max_tasks) == (4, 2)
    order = arrivals(7, 4)
    for index in (0, 1):
        task, seen = stream.task(index, 7), order[: 2 * index + 2]
        assert sorted(task.examples.tolist()) == [k for k, c in enumerate(TRAIN) if c in seen]
        assert task.labels.tolist() == [order.index(TRAIN[k]) for k in task.examples]
        assert task.test_examples.tolist() == [k for k, c in enumerate(TEST) if c in seen]
        assert task.test_labels.tolist() == [order.index(TEST[k]) for k in task.test_examples]
        assert task.positions is None
        assert task.classes.tolist() == [True, True, bool(index), bool(index)]


def test_a_task_has_at_most_so_many_images() -> None:
    split = ClassSplit(TINY, 3, 2)
    assert [len(split.task(k, 0).examples) for k in (0, 1)] == [3, 3]
    more = ClassIncremental(TINY, 6, 2)
    assert [len(more.task(k, 0).examples) for k in (0, 1)] == [4, 6]
    assert len(more.task(1, 0).test_examples) == 5


def test_other_images_of_the_same_classes_are_drawn_for_another_task() -> None:
    stream = ClassIncremental(tiny([0] * 50 + [1] * 25, []), classes_per_task=1)
    seed = next(s for s in range(9) if arrivals(s, 2) == [0, 1])
    of_first = [
        {k for k in stream.task(index, seed).examples.tolist() if k < 50} for index in (0, 1)
    ]
    assert [len(found) for found in of_first] == [25, 25]
    assert of_first[0] != of_first[1]


def test_each_class_gives_as_many_images_as_the_smallest() -> None:
    labels = [0] * 5 + [1] * 2 + [2] * 9 + [3] * 3
    for stream in (
        ClassSplit(tiny(labels, []), None, 2),
        ClassIncremental(tiny(labels, []), None, 2),
    ):
        for index in (0, 1):
            task = stream.task(index, 5)
            count = np.bincount(task.labels)
            assert count.tolist() == [2] * len(count)
            assert stream.size(index) == len(task.examples) == len(set(task.examples.tolist()))


@pytest.mark.parametrize(
    ("classes", "size"), [(100, 5), (50, 5), (51, 1), (10, 2), (3, 1), (2, 2), (1, 1)]
)
def test_default_groups(classes: int, size: int) -> None:
    images = tiny([*range(classes)], [])
    assert ClassSplit(images).classes_per_task == size
    assert ClassIncremental(images).max_tasks == classes // size


@given(data_sets(), st.integers(0, 2**40), st.data())
def test_groups_are_disjoint_and_complete(images: Images, seed: int, data: st.DataObject) -> None:
    divisors = [g for g in range(1, 9) if images.num_classes % g == 0]
    size = data.draw(st.sampled_from(divisors))
    split, more = (kind(images, classes_per_task=size) for kind in (ClassSplit, ClassIncremental))
    assert split.max_tasks == more.max_tasks == images.num_classes // size
    seen: set[int] = set()
    for index in range(split.max_tasks):
        task, whole = split.task(index, seed), more.task(index, seed)
        group = set(images.train_labels[task.examples].tolist())
        assert len(group) == size
        assert not group & seen
        seen |= group
        # The same order of classes for both: the second has what the first has had so far.
        assert set(images.train_labels[whole.examples].tolist()) == seen
        assert set(images.test_labels[whole.test_examples].tolist()) <= seen
        assert len(whole.examples) == len(seen) * np.bincount(images.train_labels).min()
        assert whole.classes.sum() == len(seen)
    assert seen == set(range(images.num_classes))
