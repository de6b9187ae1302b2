"""Networks of several kinds for tests of penalties, in float64, and the gradients these add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from agents import Agent, Batch, Learner, Seams, Streams
from networks.layers import Conv2d, Linear
from plasticity.mitigations import Mitigation, Subject
from plasticity.mitigations.attach import born_again
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, dqn, sac

KINDS = ("q", "image", "actor", "critic", "torch")
"""Seeds as first axis; convolutions; two outputs; twins; PyTorch's own layers without seeds."""
NORMALISED = Seams(architecture=lambda _, usual: replace(usual, layer_norm=True))


def doubles(batch: Batch) -> Batch:
    """Everything but discrete actions in float64, also pixels."""
    return Batch(*(x if x.dtype == torch.int64 else x.double() for x in batch))


def subject(kind: str, seeds: tuple[int, ...] = (3, 5), batches: list[Batch] | None = None) -> Any:
    """A network with alphas and normalisations, in float64; batches drawn are put in the list."""
    drawn: list[Batch] = []
    if kind == "torch":
        made = _of_torch(drawn)
    else:
        settings: dict[str, Any] = {"activation": "adalin-relu", "seams": NORMALISED}
        agent: Agent
        if kind == "image":
            agent = dqn(seeds, space=IMAGE, hidden=(6,), **settings)
            made = subject_of(agent, seeds, space=IMAGE, batches=drawn)
        elif kind == "q":
            agent = dqn(seeds, hidden=(8, 6), **settings)
            made = subject_of(agent, seeds, batches=drawn)
        else:
            agent = sac(seeds, hidden=(8, 6), **settings)
            made = subject_of(agent, seeds, kind, batches=drawn)
    made.network.double()
    single = made.draw

    def draw(size: int, streams: Streams) -> Batch:
        batch = doubles(single(size, streams))
        if batches is not None:
            batches.append(batch)
        return batch

    made.draw, made.example = draw, doubles(made.example)
    return made


def _of_torch(drawn: list[Batch]) -> Subject:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5), nn.ReLU()
    )
    network.append(nn.Linear(5, 2))

    def draw(size: int, streams: Streams) -> Batch:
        obs, nothing = streams.normal(size, 2, 4, 4)[0], torch.zeros(size)
        drawn.append(Batch(obs, nothing, nothing, nothing, obs))
        return drawn[-1]

    optimizer = torch.optim.Adam(network.parameters())
    learner = Learner(network, optimizer, inputs=lambda batch: (batch.obs,))
    streams = Streams([0], "remedy")
    example = draw(1, Streams([0], "zeros"))
    return Subject("q", learner, streams, draw, example, born_again)


def shift(subject: Subject, seed: int = 0, size: float = 0.3) -> None:
    """Moves all parameters of a network at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in subject.network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator).to(parameter))


def added(subject: Subject, remedy: Mitigation[Any]) -> dict[str, Tensor]:
    """What a remedy adds to the gradients before a step, by the name of the parameter."""
    for parameter in subject.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    remedy.before_step()
    return {
        name: parameter.grad.clone()
        for name, parameter in subject.network.named_parameters()
        if parameter.grad is not None
    }


def weights(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, tuple[int, ...]]]:
    """Name, value and leading axes of weights and biases of dense and convolutional layers."""
    for name, module in network.named_modules():
        if isinstance(module, Linear | Conv2d | nn.Linear | nn.Conv2d):
            lead = getattr(module, "lead", ())
            for part, parameter in module.named_parameters():
                yield f"{name}.{part}", parameter, lead


def each(parameter: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
    """The tensors of all seeds and twins, each alone."""
    if not lead:
        return [parameter]
    return [x for part in parameter for x in each(part, lead[1:])]


def trained(make: Callable[[Subject], Mitigation[Any]] | None, kind: str) -> dict[str, Tensor]:
    """Parameters and moments after three updates with a remedy on a network, or without."""
    seeds = (3, 5)
    agent: Agent = dqn(seeds) if kind == "q" else sac(seeds)
    if make is not None:
        remedy = make(subject_of(agent, seeds, kind))
        agent.learners()[kind].optimizer.register_step_pre_hook(lambda *_: remedy.before_step())
    learn(agent, Streams(seeds, "test"), 3)
    return state_of(agent)
