"""Tasks: exact on tiny data, and nothing but functions of (task, seed)."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import STREAMS, Images, Task, make_stream
from streams.tasks import Permuted, RandomLabel, Shuffled, generator
from tests.streams.tiny import data_sets, tiny

TINY = tiny([2, 0, 1, 1, 0, 2], [0, 2, 2, 1])
indices, seeds = st.integers(0, 50), st.integers(0, 2**40)


def rng(purpose: str, *entropy: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((*entropy, *map(ord, purpose))))


def equal(one: Task, other: Task) -> bool:
    return plain(one) == plain(other)


def plain(task: Task) -> list[list[int] | None]:
    return [None if array is None else array.tolist() for array in task]


def test_random_label() -> None:
    stream = RandomLabel(TINY, 4)
    assert (stream.num_outputs, stream.max_tasks) == (3, None)
    kept = rng("images", 7).choice(6, 4, replace=False).tolist()
    for index in range(5):
        task = stream.task(index, 7)
        assert task.examples.tolist() == kept
        assert task.labels.tolist() == rng("labels", 7, index).integers(3, size=4).tolist()
        assert len(task.test_examples) == len(task.test_labels) == 0
        assert task.positions is None
        assert task.classes.tolist() == [True] * 3
    # A third of 4,000 labels is each class.
    drawn = [RandomLabel(TINY, 4).task(k, 7).labels for k in range(1000)]
    assert np.bincount(np.concatenate(drawn)) == pytest.approx(4000 / 3, abs=100)


def test_permuted() -> None:
    stream = Permuted(TINY, 4)
    assert (stream.num_outputs, stream.max_tasks) == (3, None)
    for index in range(3):
        task = stream.task(index, 7)
        assert task.examples.tolist() == rng("images", 7, index).choice(6, 4, False).tolist()
        assert task.labels.tolist() == [[2, 0, 1, 1, 0, 2][k] for k in task.examples]
        assert task.test_examples.tolist() == [0, 1, 2, 3]
        assert task.test_labels.tolist() == [0, 2, 2, 1]
        assert task.positions is not None
        assert task.positions.tolist() == rng("positions", 7, index).permutation(6).tolist()
        assert task.classes.tolist() == [True] * 3


def test_shuffled() -> None:
    stream = Shuffled(TINY, 4)
    assert (stream.num_outputs, stream.max_tasks) == (3, None)
    for index in range(3):
        task = stream.task(index, 7)
        new = rng("labels", 7, index).permutation(3).tolist()
        assert task.examples.tolist() == rng("images", 7, index).choice(6, 4, False).tolist()
        assert task.labels.tolist() == [new[[2, 0, 1, 1, 0, 2][k]] for k in task.examples]
        assert task.test_examples.tolist() == [0, 1, 2, 3]
        assert task.test_labels.tolist() == [new[0], new[2], new[2], new[1]]
        assert task.positions is None
        assert task.classes.tolist() == [True] * 3


def test_all_images_by_default() -> None:
    for name in ("random-label", "permuted", "shuffled"):
        assert sorted(make_stream(name, TINY).task(3, 7).examples.tolist()) == [*range(6)]


def test_tasks_and_seeds_differ() -> None:
    images = tiny([k % 10 for k in range(100)], [0])
    for name in STREAMS:
        stream = make_stream(name, images)
        tasks = [stream.task(index, seed) for index in (0, 1, 2) for seed in (0, 1, 2)]
        assert not any(equal(a, b) for k, a in enumerate(tasks) for b in tasks[:k]), name


def test_purposes_are_independent() -> None:
    draws = [generator(*args).integers(2**60) for args in PURPOSES]
    assert len(set(draws)) == len(PURPOSES)


PURPOSES: list[Any] = [
    ("images", 0),
    ("labels", 0),
    ("images", 1),
    ("images", 0, 0),
    ("images", 0, 1),
    ("images", 1, 0),
    ("labels", 0, 1),
]


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, Images, Any]:
    name, images = draw(st.sampled_from(sorted(STREAMS))), draw(data_sets())
    few = draw(st.none() | st.integers(1, images.num_classes))
    groups = None
    if name.startswith("class-"):
        divisors = [g for g in range(1, 9) if images.num_classes % g == 0]
        groups = draw(st.none() | st.sampled_from(divisors))
        few = draw(st.none() | st.just(1))
    return name, images, make_stream(name, images, images_per_task=few, classes_per_task=groups)


@given(streams(), st.lists(st.tuples(indices, seeds), min_size=1, max_size=6), st.randoms())
def test_pure_in_any_order_of_access(made: Any, wanted: list[tuple[int, int]], mix: Any) -> None:
    name, images, stream = made
    wanted = [(index % (stream.max_tasks or 50), seed) for index, seed in wanted]
    first = {key: stream.task(*key) for key in wanted}
    for array in (a for task in first.values() for a in task if a is not None):
        assert array.dtype in (np.int64, np.bool_)
    order = [*wanted, *wanted]
    mix.shuffle(order)
    settings = {"images_per_task": stream.images_per_task}
    if hasattr(stream, "classes_per_task"):
        settings["classes_per_task"] = stream.classes_per_task
    again = make_stream(name, images, **settings)
    for key in order:
        assert equal(stream.task(*key), first[key])
        assert equal(again.task(*key), first[key])


@given(streams(), indices, seeds)
def test_every_task_is_sound(made: Any, index: int, seed: int) -> None:
    name, images, stream = made
    task = stream.task(index % (stream.max_tasks or 50), seed)
    outputs = stream.num_outputs
    assert task.classes.shape == (outputs,)
    for examples, labels, count in (
        (task.examples, task.labels, len(images.train)),
        (task.test_examples, task.test_labels, len(images.test)),
    ):
        assert examples.shape == labels.shape
        assert len(set(examples.tolist())) == len(examples)
        assert set(examples.tolist()) <= set(range(count))
        assert set(labels.tolist()) <= set(np.flatnonzero(task.classes).tolist())
    assert len(task.examples) >= 1
    if stream.images_per_task is not None:
        assert len(task.examples) == stream.images_per_task
    height, width = images.train.shape[2:]
    if name == "permuted":
        assert sorted(task.positions.tolist()) == [*range(height * width)]
    else:
        assert task.positions is None
    if name != "random-label":
        # Equal classes have equal labels, in training and test alike, and different ones do not.
        new = dict(zip(images.train_labels[task.examples].tolist(), task.labels, strict=True))
        tests = images.test_labels[task.test_examples].tolist()
        for old, label in zip(tests, task.test_labels, strict=True):
            assert new.setdefault(old, label) == label
        assert len(set(new.values())) == len(new)


@pytest.mark.parametrize(
    ("index", "seed", "message"),
    [
        (-1, 0, "`index` should be at least 0. Received -1"),
        (1.0, 0, "`index` should be an integer. Received 1.0"),
        (True, 0, "`index` should be an integer. Received True"),
        (0, -1, "`seed` should be at least 0. Received -1"),
        (0, None, "`seed` should be an integer. Received None"),
    ],
)
def test_wrong_tasks_are_named(index: Any, seed: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Permuted(TINY).task(index, seed)
