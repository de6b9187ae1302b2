"""``refit_loss`` against a loop by hand; what it must not touch."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from networks import AdaLin
from networks.layers import Linear
from plasticity.metrics import refit_loss


def mlp(lead: tuple[int, ...] = (3,)) -> nn.Sequential:
    """A network of seeds side by side."""
    return nn.Sequential(Linear(4, 16, lead), nn.ReLU(), Linear(16, 2, lead))


def numpy_adam(w: Tensor, x: Tensor, y: Tensor, steps: int, learning_rate: float) -> float:
    """Loss of one linear map ``x w'`` after some steps of Adam (Kingma & Ba 2015, Algorithm 1)."""
    weight, inputs, targets = w.numpy().copy(), x.numpy(), y.numpy()
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for t in range(1, steps + 1):
        error = inputs @ weight.T - targets
        gradient = 2 / error.size * error.T @ inputs
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        weight -= learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return float(((inputs @ weight.T - targets) ** 2).mean())


def test_a_linear_map_follows_adam_by_hand_seed_by_seed() -> None:
    w, x, y = (torch.randn(3, n, 4, dtype=torch.float64) for n in (2, 8, 8))

    class Map(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(w.clone())

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs @ self.weight.mT

    targets = y[..., :2] * torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).view(3, 1, 1)
    losses = refit_loss(Map(), [x], targets, steps=7, learning_rate=0.05)
    by_hand = [numpy_adam(w[s], x[s], targets[s], 7, 0.05) for s in range(3)]
    assert losses.tolist() == pytest.approx(by_hand, rel=1e-12)
    assert not losses.requires_grad


def test_a_loop_of_torch_gives_the_same_bits() -> None:
    network, x, y = mlp(), torch.randn(3, 8, 4), torch.randn(3, 8, 2)
    expected = copy.deepcopy(network)
    optimizer = torch.optim.Adam(expected.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        (expected(x) - y).square().mean((1, 2)).sum().backward()
        optimizer.step()
    with torch.no_grad():
        by_hand = (expected(x) - y).square().mean((1, 2))
        losses = refit_loss(network, [x], y, steps=5, learning_rate=1e-2)  # as in a probe
    assert torch.equal(losses, by_hand)


def test_a_seed_does_not_see_the_targets_of_another() -> None:
    network, x, y = mlp(), torch.randn(3, 8, 4), torch.randn(3, 8, 2)
    other = y.clone()
    other[1] *= 100
    first, second = (refit_loss(network, [x], targets, steps=5) for targets in (y, other))
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert first[1] != second[1]


def test_the_network_and_all_generators_stay_as_they_are() -> None:
    network = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), AdaLin(8), nn.Dropout(0.5), nn.Linear(8, 2)
    )
    x, y = torch.randn(6, 4), torch.randn(6, 2)
    network(x).sum().backward()
    network[0].bias.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    grads = {name: q.grad.clone() for name, q in network.named_parameters() if q.grad is not None}
    frozen = [q.requires_grad for q in network.parameters()]
    state = torch.get_rng_state()
    loss = refit_loss(network, [x], y[None], steps=3, outputs=lambda out: out[None])
    assert loss.shape == (1,)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, q in network.named_parameters():
        assert q.grad is not None
        assert torch.equal(q.grad, grads[name]), name
    assert [q.requires_grad for q in network.parameters()] == frozen
    assert network.training


def test_the_copy_draws_from_streams_of_its_own() -> None:
    class Noisy(nn.Linear):
        generator: torch.Generator | None = None

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(3, 8, 2, generator=self.generator)

    network, x, y = Noisy(4, 2), torch.randn(3, 8, 4), torch.randn(3, 8, 2)
    network.generator = torch.Generator().manual_seed(1)
    state = network.generator.get_state()
    first = refit_loss(network, [x], y, steps=3)
    assert torch.equal(network.generator.get_state(), state)
    assert torch.equal(refit_loss(network, [x], y, steps=3), first)


def test_frozen_parameters_stay_frozen_in_the_copy() -> None:
    network, x, y = mlp(), torch.randn(3, 8, 4), torch.randn(3, 8, 2)
    free = refit_loss(network, [x], y, steps=20, learning_rate=0.01)
    network[0].requires_grad_(False)
    assert (refit_loss(network, [x], y, steps=20, learning_rate=0.01) > free).all()
    network.requires_grad_(False)
    with pytest.raises(ValueError, match="`network` should have a parameter that requires a grad"):
        refit_loss(network, [x], y)


def test_a_dead_network_has_less_capacity_than_a_fresh_one() -> None:
    network, x, y = mlp(), torch.randn(3, 32, 4), torch.randn(3, 32, 2)
    fresh = refit_loss(network, [x], y, steps=200, learning_rate=0.01)
    for name, parameter in network[0].named_parameters():
        nn.init.constant_(parameter, 0.0 if name == "weight" else -1.0)  # no unit ever fires
    dead = refit_loss(network, [x], y, steps=200, learning_rate=0.01)
    assert (fresh < 0.5 * dead).all()
    # Only the bias of the last layer is left: it finds the means, the variance remains.
    variance = y.var(1, correction=0).mean(-1)
    torch.testing.assert_close(dead, variance, rtol=1e-4, atol=0)


def test_twin_critics_count_as_one_network() -> None:
    lead = (3, 2)
    network, x, y = mlp(lead), torch.randn(3, 2, 8, 4), torch.randn(3, 2, 8, 2)
    losses = refit_loss(network, [x], y, steps=1, learning_rate=1e-9)
    assert losses.tolist() == pytest.approx(
        (network(x) - y).square().mean((1, 2, 3)).tolist(), rel=1e-5
    )


def test_bad_settings_are_refused() -> None:
    network, x, y = mlp(), torch.randn(3, 8, 4), torch.randn(3, 8, 2)
    with pytest.raises(ValueError, match="`steps` should be at least 1. Received 0"):
        refit_loss(network, [x], y, steps=0)
    with pytest.raises(ValueError, match="`learning_rate` should be above 0. Received -1"):
        refit_loss(network, [x], y, learning_rate=-1)
    message = "`targets` should have the shape of the outputs, (3, 8, 2). Received (3, 8, 1)"
    with pytest.raises(ValueError, match=re.escape(message)):
        refit_loss(network, [x], y[..., :1])
    with pytest.raises(ValueError, match="`targets` should be finite"):
        refit_loss(network, [x], y / 0)
    with pytest.raises(ValueError, match="`inputs` should be finite"):
        refit_loss(network, [x / 0], y)
