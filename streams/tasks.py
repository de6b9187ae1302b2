"""Tasks, and streams of them: what each seed learns, from nothing but (task, seed).

They are the supervised benchmarks of AdaLin (arXiv 2505.09486), as far as these are known.  A
stream holds no state, so a run can be continued at any task by asking for that task again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.data import Images

Indices = NDArray[np.int64]


class Task(NamedTuple):
    """What a seed learns during one task.

    Attributes:
        examples: Indices (n,) into ``Images.train``, none twice, in random order; each is trained
            on once per epoch.
        labels: Their labels (n,) in this task, from 0 to K - 1.
        test_examples: Indices (m,) into ``Images.test``; m is 0 where nothing can generalise.
        test_labels: Their labels (m,) in this task.
        positions: A permutation (H * W,), the same for all channels: pixel i of the task is pixel
            ``positions[i]`` of the data, row by row.  ``None``: the images as they are.
        classes: The outputs (K,) that are in play: a learner predicts among those that are true.
    """

    examples: Indices
    labels: Indices
    test_examples: Indices
    test_labels: Indices
    positions: Indices | None
    classes: NDArray[np.bool_]


class Stream(ABC):
    """A stream of tasks over a data set.

    Args:
        images: The data set.
        images_per_task: Training images of a task, drawn without replacement; default: all.

    Attributes:
        num_outputs: Number K of outputs that a learner needs.
        max_tasks: Number of tasks; ``None``: there is always another.

    Raises:
        ValueError: If ``images_per_task`` is no number of images that a task could have.
    """

    def __init__(self, images: Images, images_per_task: int | None = None) -> None:
        self.images = images
        self.images_per_task = images_per_task
        if images_per_task is not None:
            whole("images_per_task", images_per_task, 1, self.most_images())

    @property
    def num_outputs(self) -> int:
        return self.images.num_classes

    @property
    def max_tasks(self) -> int | None:
        return None

    def task(self, index: int, seed: int) -> Task:
        """Returns task ``index`` of a seed, both from 0: always the same.

        Raises:
            ValueError: If there is no such task, or no such seed.
        """
        whole("index", index, 0, None if self.max_tasks is None else self.max_tasks - 1)
        whole("seed", seed, 0)
        return self.make_task(index, seed)

    @abstractmethod
    def make_task(self, index: int, seed: int) -> Task:
        """Makes a task that there is; each stream has its own way."""

    def most_images(self) -> int:
        """Returns how many training images a task has at most."""
        return len(self.images.train)

    def size(self, index: int) -> int:
        """Returns how many training images task ``index`` has: the same number for every seed."""
        there = self.there(index)
        return there if self.images_per_task is None else min(self.images_per_task, there)

    def there(self, index: int) -> int:
        """Returns how many training images task ``index`` can have, whatever the seed."""
        return self.most_images()

    def draw(self, index: int, pool: Indices, rng: np.random.Generator) -> Indices:
        """Draws the images of a task in random order."""
        return rng.choice(pool, self.size(index), replace=False)  # (n,)

    def make(
        self,
        examples: Indices,
        test_examples: Indices,
        labels: Indices,
        positions: Indices | None = None,
        num_classes: int | None = None,
    ) -> Task:
        """Makes a task.

        Args:
            labels: The label of each class (C,) in this task.
            num_classes: How many of the first outputs are in play; default: all.
        """
        return Task(
            examples,
            labels[self.images.train_labels[examples]],
            test_examples,
            labels[self.images.test_labels[test_examples]],
            positions,
            np.arange(self.num_outputs) < (num_classes or self.num_outputs),
        )


class RandomLabel(Stream):
    """A fixed set of images, whose labels are drawn anew, uniformly, at each task.

    Each seed has images of its own for the whole stream.  There is nothing to generalise to, so
    there are no test images.  The labels of task 0 are random, too (ours).
    """

    def make_task(self, index: int, seed: int) -> Task:
        examples = self.draw(index, np.arange(len(self.images.train)), generator("images", seed))
        labels = generator("labels", seed, index).integers(self.num_outputs, size=len(examples))
        none = np.empty(0, np.int64)
        return Task(examples, labels, none, none, None, np.ones(self.num_outputs, np.bool_))


class Permuted(Stream):
    """The pixels are permuted, anew at each task, the same for all images; labels stay.

    Task 0 is permuted, too, and each task draws its own images (ours).
    """

    def make_task(self, index: int, seed: int) -> Task:
        shape = self.images.train.shape
        positions = generator("positions", seed, index).permutation(shape[2] * shape[3])
        return self.make(
            self.draw(index, np.arange(shape[0]), generator("images", seed, index)),
            np.arange(len(self.images.test)),
            np.arange(self.num_outputs),
            positions,
        )


class Shuffled(Stream):
    """The classes change their labels: a permutation, anew at each task.

    The labels of task 0 are shuffled, too, and each task draws its own images (ours).
    """

    def make_task(self, index: int, seed: int) -> Task:
        return self.make(
            self.draw(index, np.arange(len(self.images.train)), generator("images", seed, index)),
            np.arange(len(self.images.test)),
            generator("labels", seed, index).permutation(self.num_outputs),
        )


def generator(purpose: str, seed: int, *task: int) -> np.random.Generator:
    """A generator of its own for each purpose, seed and task."""
    return np.random.default_rng(np.random.SeedSequence((seed, *task, *purpose.encode())))


def whole(name: str, value: int, least: int, most: int | None = None) -> None:
    """Raises a ValueError that names the setting if it is no integer in a range."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"`{name}` should be an integer. Received {value!r}")
    if value < least or (most is not None and value > most):
        rule = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` should be {rule}. Received {value}")
