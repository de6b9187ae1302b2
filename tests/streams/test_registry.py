"""``make_stream``: every stream by its name, and one line where a setting does not fit."""

import re
from typing import Any

import pytest

from streams import STREAMS, make_stream
from streams.groups import ClassIncremental, ClassSplit
from streams.tasks import Permuted, RandomLabel, Shuffled
from tests.streams.tiny import tiny

TINY = tiny([2, 0, 1, 1, 0, 2, 3, 3, 3], [0, 2, 2, 1, 3])


def test_names() -> None:
    assert {name: spec.stream for name, spec in STREAMS.items()} == {
        "random-label": RandomLabel,
        "permuted": Permuted,
        "shuffled": Shuffled,
        "class-split": ClassSplit,
        "class-incremental": ClassIncremental,
    }
    assert all(spec.description and spec.source for spec in STREAMS.values())


@pytest.mark.parametrize("name", list(STREAMS))
def test_settings_arrive(name: str) -> None:
    stream = make_stream(name, TINY, images_per_task=2)
    assert type(stream) is STREAMS[name].stream
    assert len(stream.task(0, 0).examples) == 2
    if name.startswith("class-"):
        assert make_stream(name, TINY, classes_per_task=1).max_tasks == 4


USERS = "is for class-split and class-incremental; {} does not use it. Received 5"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("permute", {}, "there is no stream 'permute'. Did you mean 'permuted'?"),
        (
            "x",
            {},
            "there is no stream 'x'. There are random-label, permuted, shuffled, class-split, "
            "class-incremental.",
        ),
        ("permuted", {"classes_per_task": 5}, f"`classes_per_task` {USERS.format('permuted')}"),
        ("shuffled", {"classes_per_task": 5}, f"`classes_per_task` {USERS.format('shuffled')}"),
        (
            "class-split",
            {"classes_per_task": 3},
            "`classes_per_task` should divide the 4 classes of the data. Received 3",
        ),
        (
            "class-incremental",
            {"classes_per_task": 8},
            "`classes_per_task` should divide the 4 classes of the data. Received 8",
        ),
        (
            "class-split",
            {"classes_per_task": 0},
            "`classes_per_task` should be at least 1. Received 0",
        ),
        (
            "class-split",
            {"classes_per_task": 2.0},
            "`classes_per_task` should be an integer. Received 2.0",
        ),
        ("shuffled", {"images_per_task": 0}, "`images_per_task` should be from 1 to 9. Received 0"),
        (
            "random-label",
            {"images_per_task": 10},
            "`images_per_task` should be from 1 to 9. Received 10",
        ),
        (
            "class-incremental",
            {"images_per_task": 10},
            "`images_per_task` should be from 1 to 8. Received 10",
        ),
        # Class 3 has three images, any other two: two of each are used.
        (
            "class-split",
            {"images_per_task": 6, "classes_per_task": 2},
            "`images_per_task` should be from 1 to 4. Received 6",
        ),
    ],
)
def test_wrong_settings_are_named(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_stream(name, TINY, **settings)


def test_a_stream_ends_with_its_last_group() -> None:
    stream = make_stream("class-split", TINY, classes_per_task=2)
    with pytest.raises(ValueError, match="^`index` should be from 0 to 1. Received 2$"):
        stream.task(2, 0)
