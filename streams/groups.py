"""Streams of classes that arrive in groups."""

from __future__ import annotations

import numpy as np

from streams.data import Images
from streams.tasks import Indices, Stream, Task, generator, whole


class Grouped(Stream):
    """A stream whose classes arrive in groups, in an order of the seed's.

    Where classes have different numbers of training images, a task draws from each as many as the
    smallest has, so that tasks have as many images for every seed (ours).

    Args:
        images: The data set.
        images_per_task: Training images of a task at most; default: as many as there are.
        classes_per_task: Classes of a group, a divisor of their number; default: 5 where there are
            50 classes or more (as Dohare et al. 2024 add them), else 2, or 1 if 2 is no divisor.

    Raises:
        ValueError: If one of the two is no number that fits the data.
    """

    def __init__(
        self,
        images: Images,
        images_per_task: int | None = None,
        classes_per_task: int | None = None,
    ) -> None:
        count = images.num_classes
        if classes_per_task is None:
            classes_per_task = 5 if count >= 50 else 2
            if count % classes_per_task:
                classes_per_task = 1
        whole("classes_per_task", classes_per_task, 1)
        if count % classes_per_task:
            problem = f"should divide the {count} classes of the data"
            raise ValueError(f"`classes_per_task` {problem}. Received {classes_per_task}")
        self.classes_per_task = classes_per_task
        super().__init__(images, images_per_task)

    @property
    def max_tasks(self) -> int:
        return self.images.num_classes // self.classes_per_task

    @property
    def smallest(self) -> int:
        """Training images of the smallest class."""
        return int(np.bincount(self.images.train_labels).min())

    def order(self, seed: int) -> Indices:
        """Returns the classes (C,) in the order in which they arrive."""
        return generator("classes", seed).permutation(self.images.num_classes)

    def of(self, classes: Indices, index: int, seed: int) -> tuple[Indices, Indices, Indices]:
        """Returns training and test images of some classes, and the label of each class.

        The label (C,) of a class is its position among them.
        """
        labels = np.full(self.images.num_classes, -1)
        labels[classes] = np.arange(len(classes))
        rng = generator("images", seed, index)
        each = [np.flatnonzero(self.images.train_labels == label) for label in classes]
        pool = [rng.choice(of, self.smallest, replace=False) for of in each]
        test = np.flatnonzero(labels[self.images.test_labels] >= 0)
        return self.draw(index, np.concatenate(pool), rng), test, labels


class ClassSplit(Grouped):
    """Disjoint groups of classes in turn; the stream ends with the last group.

    Labels are numbered anew in each group, so that one head serves all of them (ours).
    """

    @property
    def num_outputs(self) -> int:
        return self.classes_per_task

    def most_images(self) -> int:
        return self.classes_per_task * self.smallest

    def make_task(self, index: int, seed: int) -> Task:
        size = self.classes_per_task
        classes = self.order(seed)[index * size : (index + 1) * size]
        return self.make(*self.of(classes, index, seed))


class ClassIncremental(Grouped):
    """More and more classes, each task with those of the tasks before and a new group.

    The label of a class is its position in the order of arrival (ours): so the outputs in play are
    the first ones, for all seeds alike, and output k is new at the same task for all of them.  All
    images of the classes so far are there (Dohare et al. 2024).
    """

    def most_images(self) -> int:
        return self.images.num_classes * self.smallest

    def there(self, index: int) -> int:
        return (index + 1) * self.classes_per_task * self.smallest

    def make_task(self, index: int, seed: int) -> Task:
        seen = (index + 1) * self.classes_per_task
        return self.make(*self.of(self.order(seed)[:seen], index, seed), num_classes=seen)
