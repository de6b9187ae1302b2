"""Randomized Smooth-Leaky ReLU and interval-wise dropout: both forms, and their streams."""

import copy
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from agents import Streams
from networks import Architecture, QNetwork, initialize, make_activation
from networks.dropout import AID
from networks.smooth_leaky import RandomizedSmoothLeaky
from networks.stochastic import Stochastic

NAMES = ("aid", "randomized-smooth-leaky")
X = torch.linspace(-4, 4, 41, dtype=torch.float64)


def layer(name: str, seeds: list[int] | None = None, twins: tuple[int, ...] = ()) -> Stochastic:
    made = make_activation(name, 5, lead=(len(seeds), *twins) if seeds else ())
    assert isinstance(made, Stochastic)
    if seeds:
        made.reset_parameters(Streams(seeds, "initialize").generators)
    return made


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


# The deterministic form


def test_aid_without_gradient_is_the_expectation() -> None:
    with torch.no_grad():
        out = AID(0.7)(X)
    torch.testing.assert_close(out, 0.7 * X.clamp(min=0) + 0.3 * X.clamp(max=0))
    share = AID(0.7).slope_share(X)
    assert share is not None
    torch.testing.assert_close(share, torch.where(X > 0, 1.0, 3 / 7).double())


def test_randomized_smooth_leaky_without_gradient_has_the_mean_slope() -> None:
    with torch.no_grad():
        out = RandomizedSmoothLeaky()(X)
    r, s = 11 / 48, sigma(5 * X / 3)
    torch.testing.assert_close(out, r * X + (1 - r) * X * s)
    share = RandomizedSmoothLeaky().slope_share(X)
    assert share is not None
    slope = r + (1 - r) * (s + 5 / 3 * X * s * (1 - s))
    torch.testing.assert_close(share, slope / (r + (1 - r) * 1.0998393201288669))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_without_gradient_or_training(name: str) -> None:
    stochastic, x = layer(name), torch.randn(6, 5)
    state = stochastic.get_extra_state()
    with torch.no_grad():
        expected = stochastic(x)
    assert torch.equal(stochastic.eval()(x), expected)
    assert torch.equal(stochastic.get_extra_state(), state)
    assert not torch.equal(stochastic.train()(x), expected)
    assert not torch.equal(stochastic.get_extra_state(), state)


# The random form


def test_aid_keeps_each_sign_with_its_probability_and_its_gradient() -> None:
    aid = AID(0.7)
    x = torch.cat((torch.full((20_000,), 2.0), torch.full((20_000,), -3.0))).requires_grad_()
    out = aid(x)
    out.sum().backward()
    kept = out.detach() != 0
    assert torch.equal(out.detach()[kept], x.detach()[kept])  # not rescaled
    assert float(kept[:20_000].double().mean()) == pytest.approx(0.7, abs=0.01)
    assert float(kept[20_000:].double().mean()) == pytest.approx(0.3, abs=0.01)
    assert x.grad is not None
    assert torch.equal(x.grad, kept.float())


def test_aid_draws_are_those_of_its_generator() -> None:
    aid, x = AID(0.6, lead=(2,)), torch.randn(2, 4, 5)
    aid.reset_parameters([torch.Generator().manual_seed(seed) for seed in (1, 2)])
    masks = []
    for seed in (1, 2):
        seeder = torch.Generator().manual_seed(seed)
        own = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (), generator=seeder)))
        masks.append(torch.rand(4, 5, generator=own) < 0.6)
    m = torch.stack(masks).float()
    assert torch.equal(aid(x), m * x.clamp(min=0) + (1 - m) * x.clamp(max=0))


def test_the_ends_of_aid_are_relu_and_identity_on_average() -> None:
    assert torch.equal(AID(1.0)(X), X.relu())
    with torch.no_grad():
        torch.testing.assert_close(AID(0.5)(X), X / 2)
    with pytest.raises(ValueError, match=r"`p` should be in \[0, 1\]. Received 1.5"):
        AID(1.5)


def test_slopes_of_randomized_smooth_leaky_are_uniform() -> None:
    x = torch.full((20_000,), -3.0, dtype=torch.float64)
    out = RandomizedSmoothLeaky()(x)
    s = sigma(5 * x / 3)
    r = ((out / x - s) / (1 - s)).numpy()  # solved for the slope
    assert r.min() > 1 / 8 - 1e-9
    assert r.max() < 1 / 3 + 1e-9
    assert r.mean() == pytest.approx(11 / 48, abs=0.002)
    assert r.std() == pytest.approx((1 / 3 - 1 / 8) / np.sqrt(12), abs=0.001)


def test_gradient_of_randomized_smooth_leaky_by_hand() -> None:
    random = RandomizedSmoothLeaky()
    again = copy.deepcopy(random)
    x = X.clone().requires_grad_()
    random(x).sum().backward()
    r = 1 / 8 + (1 / 3 - 1 / 8) * again.uniform(X)
    s = sigma(5 * X / 3)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, r + (1 - r) * (s + 5 / 3 * X * s * (1 - s)))


# Streams


@pytest.mark.parametrize("twins", [(), (2,)])
@pytest.mark.parametrize("name", NAMES)
def test_a_seed_draws_the_same_alone_and_among_others(name: str, twins: tuple[int, ...]) -> None:
    many, one = layer(name, [0, 1, 2], twins), layer(name, [1], twins)
    for _ in range(3):
        x = torch.randn(3, *twins, 6, 5)
        torch.testing.assert_close(many(x)[1:2], one(x[1:2]), rtol=1e-6, atol=1e-7)
    draws = many.uniform(x)
    assert torch.equal(draws[1:2], one.uniform(x[1:2]))
    assert len(draws.unique()) == draws.numel()


@pytest.mark.parametrize("name", NAMES)
def test_draws_do_not_depend_on_how_the_input_lies_in_memory(name: str) -> None:
    stochastic, x = layer(name, [0]), torch.randn(1, 6, 5)
    again, turned = copy.deepcopy(stochastic), x.mT.contiguous().mT
    assert torch.equal(stochastic.uniform(x), again.uniform(turned))
    # What is computed from them: kernels may round by another path at the end of a row.
    torch.testing.assert_close(stochastic(x), again(turned), rtol=1e-6, atol=1e-7)


def network(name: str, seeds: list[int]) -> QNetwork:
    made = QNetwork((4,), 2, len(seeds), Architecture((8, 8), name))
    initialize(made, Streams(seeds, "initialize").generators)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_of_a_network_is_the_same_alone_and_among_others(name: str) -> None:
    many, one, x = network(name, [0, 1, 2]), network(name, [1]), torch.randn(3, 5, 4)
    torch.testing.assert_close(many(x)[1:2], one(x[1:2]))
    states = [
        module.get_extra_state() for module in many.modules() if isinstance(module, Stochastic)
    ]
    assert not torch.equal(*states)  # each layer has streams of its own


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_with_the_same_numbers(name: str) -> None:
    first, x = network(name, [3, 5]), torch.randn(2, 6, 4)
    first(x)
    second = network(name, [0, 1])
    second.load_state_dict(load(save(first.state_dict())))  # tensors only
    for _ in range(2):
        assert torch.equal(first(x), second(x))


@pytest.mark.parametrize("name", NAMES)
def test_copies_have_streams_of_their_own(name: str) -> None:
    first, x = network(name, [3, 5]), torch.randn(2, 6, 4)
    first(x)
    second = copy.deepcopy(first)
    third = pickle.loads(pickle.dumps(first))
    expected = first(x)
    assert torch.equal(second(x), expected)
    assert torch.equal(third(x), expected)
    assert not torch.equal(first(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_without_generators_the_streams_come_from_pytorchs(name: str) -> None:
    torch.manual_seed(3)
    first = layer(name)
    torch.manual_seed(3)
    second, x = layer(name), torch.randn(6, 5)
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first.uniform(x), layer(name).uniform(x))


def test_a_change_of_the_type_keeps_the_streams() -> None:
    aid = AID()
    state = aid.get_extra_state()
    assert torch.equal(aid.double().get_extra_state(), state)
    assert aid(X.double()).dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_compiled_it_is_the_same(name: str) -> None:
    torch._dynamo.reset()
    eager = network(name, [0, 1])
    compiled = copy.deepcopy(eager)
    run = torch.compile(compiled, backend="aot_eager")
    for _ in range(2):
        x = torch.randn(2, 6, 4)
        ours, theirs = run(x), eager(x)
        torch.testing.assert_close(ours, theirs)
        ours.sum().backward()
        theirs.sum().backward()
    for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    with torch.no_grad():
        torch.testing.assert_close(run(x), eager(x))
