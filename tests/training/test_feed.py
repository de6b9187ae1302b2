"""What a classifier is shown: everything once in each epoch, changed as asked, seeds apart."""

import numpy as np
import pytest
import torch

from agents import Streams
from streams import Images, make_stream
from training.feed import Feed

SIDE = 8
RNG = np.random.default_rng(0)
IMAGES = Images(
    RNG.integers(256, size=(11, 2, SIDE, SIDE), dtype=np.uint8),
    np.arange(11) % 2,
    RNG.integers(256, size=(7, 2, SIDE, SIDE), dtype=np.uint8),
    np.arange(7) % 2,
    2,
)


def feed(
    stream: str = "shuffled",
    seeds: tuple[int, ...] = (0, 5),
    *,
    batch_size: int = 3,
    augment: bool = False,
    num_tasks: int = 2,
) -> Feed:
    made = make_stream(stream, IMAGES)
    return Feed(IMAGES, made, seeds, num_tasks, batch_size, 2, augment, torch.device("cpu"))


def test_each_epoch_shows_each_image_once_but_what_is_left_over() -> None:
    f = feed()
    assert f.ends == [6, 12]  # 3 batches of 3 in an epoch, 2 of 11 images are left over
    orders = []
    for epoch in range(2):
        shown = [f.draw(3 * epoch + i) for i in range(3)]
        image = torch.cat([part.image for part in shown], 1)
        label = torch.cat([part.label for part in shown], 1)
        for s, task in enumerate(f.tasks):
            assert len(set(image[s].tolist())) == 9
            expected = dict(zip(task.examples.tolist(), task.labels.tolist(), strict=True))
            assert [expected[i] for i in image[s].tolist()] == label[s].tolist()
        orders.append(image)
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0][0], orders[0][1])


def test_what_is_shown_follows_from_seed_and_step_alone() -> None:
    alone, many = feed("random-label", (5,), augment=True), feed("random-label", augment=True)
    for step in (7, 11, 6):
        for f in (alone, many):
            f.open(step // 6)
        one, two = alone.gather(alone.draw(step)), many.gather(many.draw(step))
        assert torch.equal(one.images[0], two.images[1])
        assert torch.equal(one.label[0], two.label[1])


def test_positions_are_permuted_for_each_seed() -> None:
    f = feed("permuted")
    shown = f.draw(0)
    batch = f.gather(shown)
    for s, task in enumerate(f.tasks):
        assert task.positions is not None
        flat = IMAGES.train[shown.image[s].numpy()].reshape(3, 2, -1)
        expected = flat[..., task.positions].reshape(3, 2, SIDE, SIDE)
        np.testing.assert_array_equal(batch.images[s].numpy(), expected)


def test_augmented_images_are_shifted_and_mirrored_ones() -> None:
    f = feed(augment=True)
    shown = f.draw(1)
    assert shown.corner is not None
    assert shown.mirror is not None
    corners, mirrors = set(), set()
    for step in range(6):
        other = f.draw(step)
        assert other.corner is not None
        assert other.mirror is not None
        corners |= {tuple(pair) for pair in other.corner.flatten(0, 1).tolist()}
        mirrors |= set(other.mirror.flatten().tolist())
    assert mirrors == {False, True}
    assert corners == {(i, j) for i in range(3) for j in range(3)}  # an eighth of 8 is 1 pixel
    batch = f.gather(shown)
    for s in range(2):
        for b in range(3):
            image = IMAGES.train[int(shown.image[s, b])]
            framed = np.pad(image, ((0, 0), (1, 1), (1, 1)))
            i, j = shown.corner[s, b].tolist()
            expected = framed[:, i : i + SIDE, j : j + SIDE]
            expected = expected[..., ::-1] if shown.mirror[s, b] else expected
            np.testing.assert_array_equal(batch.images[s, b].numpy(), expected)


def test_a_sweep_shows_all_images_of_the_task_as_they_are() -> None:
    f = feed("class-split", augment=True, num_tasks=1)
    for test in (False, True):
        parts = list(f.sweep(test=test, size=4))
        there = torch.cat([part for _, part in parts], 1)
        for s, task in enumerate(f.tasks):
            examples, labels = (
                (task.test_examples, task.test_labels) if test else (task.examples, task.labels)
            )
            images = torch.cat([batch.images[s] for batch, _ in parts])[there[s]]
            label = torch.cat([batch.label[s] for batch, _ in parts])[there[s]]
            source = IMAGES.test if test else IMAGES.train
            np.testing.assert_array_equal(images.numpy(), source[examples])
            np.testing.assert_array_equal(label.numpy(), labels)


def test_samples_are_of_the_task() -> None:
    f = feed("random-label")
    batch = f.sample(50, Streams((0, 5), "probe"))
    for s, task in enumerate(f.tasks):
        known = {
            (IMAGES.train[i].tobytes(), label)
            for i, label in zip(task.examples.tolist(), task.labels.tolist(), strict=True)
        }
        pairs = zip(batch.images[s], batch.label[s].tolist(), strict=True)
        assert {(image.numpy().tobytes(), label) for image, label in pairs} <= known


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="`num_tasks` should be at most 1, .* Received 2"):
        feed("class-split")
    with pytest.raises(ValueError, match="`batch_size` should be at most the 11 images of a task"):
        feed(batch_size=12)
