"""Image classifiers as learners, for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from agents import Batch, Learner, Seams, Streams
from agents.agent import USUAL
from networks import Architecture, initialize, make_classifier
from plasticity.mitigations import Subject
from plasticity.mitigations.attach import born_again

SEEDS, CLASSES = (3, 5), 3
SHAPE = (1, 16, 16)


def images(size: int, streams: Streams) -> Batch:
    """Random images with random labels: observations and actions of a batch."""
    obs = streams.normal(size, *SHAPE)
    nothing = torch.zeros(obs.shape[:2])
    return Batch(obs, streams.integers(CLASSES, size), nothing, nothing, obs)


def classifier(
    kind: str, architecture: Architecture | None = None, seams: Seams = USUAL, **settings: Any
) -> Learner:
    """A small classifier of two seeds with its optimizer."""
    if kind == "resnet-18":
        settings = {"width": 4, **settings}
    made = seams.architecture("classifier", architecture or Architecture((12, 10), "relu"))
    network = make_classifier(kind, SHAPE, CLASSES, len(SEEDS), made, **settings)
    initialize(network, Streams(SEEDS, "initialize").generators)
    optimizer = seams.optimizer("classifier", list(network.parameters()), 1e-3)

    def loss(batch: Batch, streams: Streams, target: Tensor | None) -> Tensor:
        logits = network(batch.obs)  # (S, B, K)
        return F.cross_entropy(logits.mT, batch.action, reduction="none").mean(1)

    return Learner(network, optimizer, inputs=lambda batch: (batch.obs,), loss=loss)


def step(learner: Learner, streams: Streams) -> Batch:
    """Takes one step on a batch, in training mode; returns the batch."""
    assert learner.loss is not None
    batch = images(8, streams)
    learner.network.train()
    learner.optimizer.zero_grad()
    learner.loss(batch, streams, None).sum().backward()
    learner.optimizer.step()
    return batch


def subject(learner: Learner) -> Subject:
    """The classifier as a remedy sees it."""
    streams = Streams(SEEDS, "remedy")
    example = Batch(*(torch.zeros_like(x) for x in images(1, Streams(SEEDS, "zeros"))))
    return Subject("classifier", learner, streams, images, example, born_again)


def buffers(learner: Learner) -> dict[str, Tensor]:
    """Copies of the running statistics."""
    return {name: value.clone() for name, value in learner.network.named_buffers()}
