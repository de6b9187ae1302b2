"""What a classifier is shown: the tasks of a stream, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agents import Streams
from agents.classifier import Examples
from streams import Images, Stream

SHIFT = 8
"""Images are shifted by up to an eighth of their side: 4 pixels of CIFAR's 32."""


class Shown(NamedTuple):
    """Where the examples of a batch lie, and how each is changed.

    Attributes:
        image: Indices of images, ``(S, B)``.
        label: Their labels, ``(S, B)``.
        corner: By how many rows and columns each is shifted, from 0, ``(S, B, 2)``; None: by none.
        mirror: Whether it is mirrored, ``(S, B)``.
    """

    image: Tensor
    label: Tensor
    corner: Tensor | None = None
    mirror: Tensor | None = None


class Feed:
    """Shows the tasks of a stream to S seeds side by side.

    In each epoch each seed sees the images of its task once, in an order that follows from (seed,
    task, epoch) alone; what is left over at the end of an epoch, less than a batch, is not shown.

    Args:
        images: The data set.
        stream: The tasks.
        seeds: The seeds.
        num_tasks: Tasks in a row.
        batch_size: Images of each seed in one update B.
        epochs: How often the images of a task are shown.
        augment: Whether to shift and mirror them at random.
        device: Where the images lie.

    Attributes:
        ends: The update after each task, from the beginning of the run.

    Raises:
        ValueError: If there are not so many tasks, or a task has fewer images than a batch.
    """

    def __init__(
        self,
        images: Images,
        stream: Stream,
        seeds: Sequence[int],
        num_tasks: int,
        batch_size: int,
        epochs: int,
        augment: bool,
        device: torch.device,
    ) -> None:
        if stream.max_tasks is not None and num_tasks > stream.max_tasks:
            raise ValueError(
                f"`num_tasks` should be at most {stream.max_tasks}, with which the stream ends. "
                f"Received {num_tasks}"
            )
        self.stream, self.seeds, self.device = stream, seeds, device
        self.batch_size, self.augment = batch_size, augment
        sizes = [stream.size(task) for task in range(num_tasks)]
        if min(sizes) < batch_size:
            raise ValueError(
                f"`batch_size` should be at most the {min(sizes)} images of a task. "
                f"Received {batch_size}"
            )
        self.per_epoch = [size // batch_size for size in sizes]  # updates
        self.ends: list[int] = np.cumsum([epochs * count for count in self.per_epoch]).tolist()
        self.train = torch.from_numpy(images.train).to(device)
        self.test = torch.from_numpy(images.test).to(device)
        self.open(0)

    def open(self, task: int) -> None:
        """Goes to a task."""
        self.task = task
        self.tasks = [self.stream.task(task, seed) for seed in self.seeds]
        self.classes = self._stack([task.classes for task in self.tasks])  # (S, K)
        self.image = self._stack([task.examples for task in self.tasks])  # (S, n)
        self.label = self._stack([task.labels for task in self.tasks])  # (S, n)
        orders = [task.positions for task in self.tasks if task.positions is not None]
        self.positions = self._stack(orders) if orders else None  # (S, H * W)
        self._epoch = -1

    def draw(self, step: int) -> Shown:
        """Returns the batch of an update, counted from the beginning of the run."""
        begin = self.ends[self.task - 1] if self.task else 0
        epoch, batch = divmod(step - begin, self.per_epoch[self.task])
        if epoch != self._epoch:
            self._shuffle(epoch)
        where = self.order[:, batch * self.batch_size : (batch + 1) * self.batch_size]  # (S, B)
        shown = Shown(self.image.gather(1, where), self.label.gather(1, where))
        if not self.augment:
            return shown
        part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        return shown._replace(corner=self.corner[:, part], mirror=self.mirror[:, part])

    def gather(self, shown: Shown) -> Examples:
        """Makes the batch."""
        return self._examples(self.train[shown.image], shown)

    def sample(self, size: int, streams: Streams) -> Examples:
        """Draws examples of the task, with replacement."""
        where = streams.integers(self.image.shape[1], size)
        return self.gather(Shown(self.image.gather(1, where), self.label.gather(1, where)))

    def example(self) -> Examples:
        """Returns a batch of one example, all zeros."""
        one = self.gather(Shown(self.image[:, :1], self.label[:, :1]))
        return Examples(*(torch.zeros_like(part) for part in one))

    def sweep(self, *, test: bool, size: int = 500) -> Iterator[tuple[Examples, Tensor]]:
        """Yields all images of the task in parts, as they are, and which of them are of the task.

        Args:
            test: The images to test on, or those that are learned from.
            size: Images of each seed in a part.
        """
        images, parts = self.train, [(task.examples, task.labels) for task in self.tasks]
        if test:
            images = self.test
            parts = [(task.test_examples, task.test_labels) for task in self.tasks]
        most = max(len(examples) for examples, _ in parts)
        padded = [
            [np.pad(array, (0, most - len(array))) for array in part] for part in parts
        ]  # seeds may have different numbers of them
        image, label = (self._stack([part[i] for part in padded]) for i in (0, 1))  # (S, most)
        there = self._stack([np.arange(most) < len(examples) for examples, _ in parts])
        for i in range(0, most, size):
            shown = Shown(image[:, i : i + size], label[:, i : i + size])
            yield self._examples(images[shown.image], shown), there[:, i : i + size]

    def _examples(self, images: Tensor, shown: Shown) -> Examples:
        if shown.corner is not None and shown.mirror is not None:
            images = _augmented(images, shown.corner, shown.mirror)
        if self.positions is not None:
            order = self.positions[:, None, None].expand(*images.shape[:3], -1)  # (S, B, C, H * W)
            images = images.flatten(-2).gather(-1, order).view_as(images)
        return Examples(images, shown.label, self.classes)

    def _shuffle(self, epoch: int) -> None:
        """Draws the order of an epoch, and how each image is changed."""
        self._epoch = epoch
        size, side = self.image.shape[1], self.train.shape[-1]
        orders, corners, mirrors = [], [], []
        for seed in self.seeds:
            of = (seed, self.task, epoch)
            orders.append(np.random.default_rng((*of, *b"order")).permutation(size))
            if self.augment:
                rng = np.random.default_rng((*of, *b"augment"))
                corners.append(rng.integers(2 * (side // SHIFT) + 1, size=(size, 2)))
                mirrors.append(rng.random(size) < 0.5)
        self.order = self._stack(orders)
        if self.augment:
            self.corner, self.mirror = self._stack(corners), self._stack(mirrors)

    def _stack(self, arrays: Sequence[np.ndarray[Any, Any]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)


def _augmented(images: Tensor, corner: Tensor, mirror: Tensor) -> Tensor:
    """Shifts images, with black behind them, and mirrors some: ``(S, B, C, H, W)``."""
    height, width = images.shape[-2:]
    edge = width // SHIFT
    framed = F.pad(images, (edge,) * 4)
    rows = corner[..., :1] + torch.arange(height, device=images.device)  # (S, B, H)
    columns = corner[..., 1:] + torch.arange(width, device=images.device)  # (S, B, W)
    columns = torch.where(mirror.unsqueeze(-1), columns.flip(-1), columns)
    seeds, batch = (torch.arange(n, device=images.device) for n in images.shape[:2])
    cut: Tensor = framed[
        seeds[:, None, None, None],
        batch[None, :, None, None],
        :,
        rows[..., :, None],
        columns[..., None, :],
    ]  # (S, B, H, W, C)
    return cut.movedim(-1, -3)
