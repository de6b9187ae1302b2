"""The classifier: its loss by hand, seeds apart, its steps those of PyTorch's optimizers."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agents import Seams
from agents.classifier import Classifier, Examples
from agents.descent import SGD, can_compile
from networks import Architecture, make_classifier

GENERATOR = torch.Generator().manual_seed(3)


def examples(num_seeds: int, batch: int, classes: int = 3) -> Examples:
    images = torch.randint(256, (num_seeds, batch, 1, 2, 2), generator=GENERATOR, dtype=torch.uint8)
    label = torch.randint(classes, (num_seeds, batch), generator=GENERATOR)
    return Examples(images, label, torch.ones(num_seeds, classes, dtype=torch.bool))


def itself(batch: Examples) -> Examples:
    return batch


def sgd(_: str, parameters: Sequence[nn.Parameter], rate: float, momentum: float = 0.0) -> SGD:
    return SGD(parameters, rate, momentum)


def classifier(seeds: Sequence[int], momentum: float = 0.0, rate: float = 0.5) -> Classifier:
    network = make_classifier("mlp", (1, 2, 2), 3, len(seeds), Architecture((5,), "adalin-relu"))
    return Classifier(network, seeds, rate, seams=Seams(optimizer=partial(sgd, momentum=momentum)))


def test_loss_and_accuracy_of_logits_by_hand() -> None:
    agent = classifier((0, 1))
    logits = torch.tensor([[[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [1.0, 2.0, 0.0]]])
    agent.network.forward = lambda _: logits
    batch = examples(2, 2)._replace(label=torch.tensor([[2, 1], [0, 1]]))
    loss, accuracy = agent.loss(batch)
    e = torch.e
    first = -torch.log(torch.tensor([e**2 / (1 + e + e**2), 1 / (e**3 + 2)])).mean()
    second = -torch.log(torch.tensor([1 / 3, e**2 / (1 + e + e**2)])).mean()
    torch.testing.assert_close(loss, torch.stack((first, second)))
    assert accuracy.tolist() == [0.5, 1.0]


def test_outputs_that_are_not_in_play_have_neither_probability_nor_gradient() -> None:
    agent = classifier((0,))
    batch = examples(1, 6, 2)
    batch = batch._replace(classes=torch.tensor([[True, True, False]]))
    loss, _ = agent.loss(batch)
    expected = F.cross_entropy(agent.network(batch.images)[0, :, :2], batch.label[0])
    torch.testing.assert_close(loss[0], expected)
    loss.sum().backward()
    head: Any = agent.network.head
    assert not head.weight.grad[0, 2].any()
    assert head.weight.grad[0, :2].any()
    head.bias.data[0, 2] = 1e9
    assert int(agent.logits(batch).argmax(-1).max()) < 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_updates_are_those_of_plain_pytorch_seed_by_seed(momentum: float) -> None:
    agent = classifier((4, 7), momentum)
    networks = [nn.Sequential(nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, 3)) for _ in range(2)]
    for s, network in enumerate(networks):
        own = [p.detach()[s] for p in agent.network.parameters()]
        for theirs, ours in zip(network.parameters(), own, strict=True):
            theirs.data.copy_(ours)
    optimizers = [torch.optim.SGD(n.parameters(), 0.5, momentum) for n in networks]
    for _ in range(5):
        batch = examples(2, 4)
        metrics = agent.update(batch, itself)
        for s, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            inputs = batch.images[s].flatten(1) / 255
            loss = F.cross_entropy(network(inputs), batch.label[s])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(metrics["loss/classifier"][s], loss.detach())
    for s, network in enumerate(networks):
        for theirs, ours in zip(network.parameters(), agent.network.parameters(), strict=True):
            torch.testing.assert_close(ours.detach()[s], theirs.detach())


def test_a_seed_alone_learns_as_among_others() -> None:
    many, one = classifier((2, 3, 4)), classifier((3,))
    for _ in range(10):
        batch = examples(3, 4)
        many.update(batch, itself)
        one.update(Examples(*(part[1:2] for part in batch)), itself)
    for a, b in zip(many.network.parameters(), one.network.parameters(), strict=True):
        torch.testing.assert_close(a.detach()[1], b.detach()[0])


def test_forgetting_is_a_new_optimizer() -> None:
    agent = classifier((0,), momentum=0.9)
    for _ in range(3):
        agent.update(examples(1, 4), itself)
    new = copy.deepcopy(agent)
    new.optimizer = SGD(list(new.network.parameters()), 0.5, 0.9)
    optimizer: Any = agent.optimizer
    for parameter in agent.network.parameters():
        optimizer.forget(parameter)
    batch = examples(1, 4)
    for which in (agent, new):
        which.update(batch, itself)
    for a, b in zip(agent.network.parameters(), new.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_measuring_leaves_statistics_and_weights_alone() -> None:
    network = make_classifier(
        "resnet-18", (3, 8, 8), 3, 1, Architecture((), "relu"), norm="batch", width=4
    )
    agent = Classifier(network, (0,), 0.1)
    before = copy.deepcopy(network.state_dict())
    images = torch.randint(256, (1, 5, 3, 8, 8), generator=GENERATOR, dtype=torch.uint8)
    label = torch.zeros(1, 5, dtype=torch.int64)
    agent.right(Examples(images, label, torch.ones(1, 3, dtype=torch.bool)))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training


@pytest.mark.skipif(not can_compile(), reason="needs a C++ compiler")
def test_compiled_updates_are_the_eager_ones() -> None:
    eager, fast = (classifier((0, 1), momentum=0.9, rate=0.1) for _ in range(2))
    fast.compile()
    for _ in range(5):
        batch = examples(2, 4)
        expected, found = eager.update(batch, itself), fast.update(batch, itself)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name])
    for a, b in zip(eager.network.parameters(), fast.network.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b.detach())
