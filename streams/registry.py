"""``make_stream``: a stream by its name."""

from __future__ import annotations

from dataclasses import dataclass

from streams.data import Images, unknown
from streams.groups import ClassIncremental, ClassSplit, Grouped
from streams.tasks import Permuted, RandomLabel, Shuffled, Stream


@dataclass(frozen=True)
class StreamSpec:
    """A named stream.

    Attributes:
        description: What changes, in one line.
        source: Where it comes from; its docstring says what is ours.
        stream: Its class.
    """

    description: str
    source: str
    stream: type[Stream]


STREAMS: dict[str, StreamSpec] = {
    "random-label": StreamSpec(
        "a fixed set of images, labels drawn anew at each task: only memory helps",
        "Zhang et al. 2017, as a stream Lyle et al. 2023",
        RandomLabel,
    ),
    "permuted": StreamSpec(
        "pixels permuted, anew at each task",
        "Goodfellow et al. 2013, as a stream Dohare et al. 2024",
        Permuted,
    ),
    "shuffled": StreamSpec(
        "labels of the classes permuted, anew at each task",
        "Shuffled CIFAR-10 of AdaLin, Rohani et al. 2025",
        Shuffled,
    ),
    "class-split": StreamSpec(
        "disjoint groups of classes in turn, labels numbered anew in each",
        "Class-Split CIFAR-100 of AdaLin, Rohani et al. 2025; order and head ours",
        ClassSplit,
    ),
    "class-incremental": StreamSpec(
        "classes accumulate, group by group",
        "Dohare et al. 2024 and AdaLin, Rohani et al. 2025, over CIFAR-100",
        ClassIncremental,
    ),
}


def make_stream(
    name: str,
    images: Images,
    *,
    images_per_task: int | None = None,
    classes_per_task: int | None = None,
) -> Stream:
    """Makes a stream of tasks.

    Args:
        name: A key of ``STREAMS``.
        images: The data set.
        images_per_task: Training images of a task; default: all that the task can have.
        classes_per_task: Classes of a group; default: see ``streams.tasks.Grouped``.

    Raises:
        ValueError: If there is no such stream, a number does not fit the data, or
            ``classes_per_task`` is given to a stream without groups.
    """
    if name not in STREAMS:
        raise ValueError(unknown("stream", name, STREAMS))
    stream = STREAMS[name].stream
    if issubclass(stream, Grouped):
        return stream(images, images_per_task, classes_per_task)
    if classes_per_task is not None:
        users = " and ".join(n for n, spec in STREAMS.items() if issubclass(spec.stream, Grouped))
        problem = f"is for {users}; {name} does not use it"
        raise ValueError(f"`classes_per_task` {problem}. Received {classes_per_task}")
    return stream(images, images_per_task)
