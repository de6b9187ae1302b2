"""Parseval and spectral regularisation against autograd and singular values, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents import saving
from plasticity.mitigations import Subject
from plasticity.mitigations.regularizers import Regularizer
from plasticity.mitigations.singular_values import (
    Parseval,
    ParsevalConfig,
    Spectral,
    SpectralConfig,
)
from tests.plasticity.penalties import KINDS, added, each, shift, subject, trained, weights
from tests.plasticity.remedies import subject_of
from tests.plasticity.subjects import sac

Make = Callable[[Subject], Regularizer[Any]]

MAKE: dict[str, Make] = {
    "parseval": lambda of: Parseval(ParsevalConfig(strength=0.1), of),
    "spectral": lambda of: Spectral(SpectralConfig(strength=0.1), of),
}


def spectral(of: Subject, power: float = 1.0) -> Spectral:
    """Spectral regularisation with vectors that have converged."""
    remedy = Spectral(SpectralConfig(strength=0.1, power=power), of)
    converge(remedy)
    return remedy


def converge(remedy: Spectral) -> None:
    for i in range(len(remedy.parameters)):
        for _ in range(2000):
            remedy.iterate(i)


def matrices(of: Subject) -> dict[str, tuple[nn.Parameter, list[Tensor]]]:
    """Weights by name, and as matrices of each seed and twin."""
    found = {}
    for path, parameter, lead in weights(of.network):
        if path.endswith("weight"):
            each_one = each(parameter, lead)
            found[path] = parameter, [matrix.reshape(len(matrix), -1) for matrix in each_one]
    return found


def check(
    of: Subject, remedy: Regularizer[Any], penalty: Callable[[Tensor], Tensor], last: int | None
) -> None:
    """Compares what a remedy adds and reports with autograd of the penalty of each matrix."""
    expected = {n: torch.zeros_like(p) for n, p in of.network.named_parameters()}
    total = torch.zeros(of.num_seeds, dtype=torch.float64)
    for path, (parameter, copies) in list(matrices(of).items())[:last]:
        values = torch.stack([penalty(matrix) for matrix in copies])
        total += values.detach().view(of.num_seeds, -1).sum(1)
        (expected[path],) = torch.autograd.grad(values.sum(), parameter)
        assert expected[path].any()
    found = added(of, remedy)
    for path, gradient in expected.items():
        torch.testing.assert_close(found[path], gradient, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(remedy.report()["penalty"], total, rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_parseval_is_the_gradient_of_the_penalty_of_hidden_weights(kind: str) -> None:
    of = subject(kind)
    remedy = Parseval(ParsevalConfig(strength=0.1, scale=1.5), of)
    shift(of)

    def penalty(weight: Tensor) -> Tensor:
        width = len(weight)
        excess = weight @ weight.T - 1.5 * torch.eye(width, dtype=torch.float64)
        return 0.1 * (64 / width) ** 2 * (excess**2).sum()

    check(of, remedy, penalty, -1)  # all but the output layer


@pytest.mark.parametrize("kind", ["image", "torch"])
def test_parseval_rests_at_orthogonal_weights_of_gain_sqrt_2(kind: str) -> None:
    of = subject(kind)
    remedy = Parseval(ParsevalConfig(), of)
    with torch.no_grad():
        for _, copies in list(matrices(of).values())[:-1]:
            for matrix in copies:
                assert matrix.shape[0] <= matrix.shape[1]
                nn.init.orthogonal_(matrix, math.sqrt(2))
    for gradient in added(of, remedy).values():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
    assert remedy.report()["penalty"].max() < 1e-24


@pytest.mark.parametrize("power", [1.0, 2.0, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_spectral_is_the_gradient_of_the_penalty_of_all_weights(kind: str, power: float) -> None:
    of = subject(kind)
    shift(of)

    def penalty(weight: Tensor) -> Tensor:
        sigma: Tensor = torch.linalg.matrix_norm(weight, 2)
        return 0.1 * (sigma**power - 1) ** 2

    check(of, spectral(of, power), penalty, None)


@pytest.mark.parametrize("kind", KINDS)
def test_sigma_is_the_largest_singular_value(kind: str) -> None:
    of = subject(kind)
    remedy = spectral(of)
    for i, (_, copies) in enumerate(matrices(of).values()):
        expected = torch.stack([torch.linalg.matrix_norm(m.detach(), 2) for m in copies])
        torch.testing.assert_close(remedy.iterate(i), expected, rtol=1e-9, atol=0)


def test_each_update_takes_one_step_of_power_iteration_from_the_last() -> None:
    of = subject("critic")
    remedy = Spectral(SpectralConfig(), of)
    shift(of)
    left = [u.clone() for u in remedy.left]
    added(of, remedy)
    for i, (_, copies) in enumerate(matrices(of).values()):
        for copy, weight in enumerate(copies):
            v = weight.T @ left[i][copy]
            v = v / v.norm()
            u = weight @ v / (weight @ v).norm()
            torch.testing.assert_close(remedy.right[i][copy], v.detach())
            torch.testing.assert_close(remedy.left[i][copy], u.detach())
    vectors = [*remedy.left, *remedy.right]
    before = [x.clone() for x in vectors]
    remedy.report()  # a look changes nothing
    assert all(torch.equal(x, y) for x, y in zip(vectors, before, strict=True))


def test_spectral_finds_its_way_out_of_weights_that_are_0() -> None:
    of = subject("q")
    weight = of.network.head.weight
    value = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
    remedy = Spectral(SpectralConfig(strength=0.1), of)
    for gradient in added(of, remedy).values():
        assert gradient.isfinite().all()
    assert not weight.grad.any()
    with torch.no_grad():
        weight.copy_(value)
    converge(remedy)
    torch.testing.assert_close(remedy.iterate(2), torch.linalg.matrix_norm(value, 2))


@pytest.mark.parametrize("kind", ["q", "critic", "image"])
@pytest.mark.parametrize("name", MAKE)
def test_a_seed_does_not_feel_the_others(name: str, kind: str) -> None:
    gradients, penalties = [], []
    for other in (1.0, -3.0):
        of = subject(kind)
        with torch.no_grad():
            for parameter in of.network.parameters():
                parameter[1].mul_(other)
        remedy = MAKE[name](of)
        gradients.append(added(of, remedy))
        penalties.append(remedy.report()["penalty"])
    for path, gradient in gradients[0].items():
        assert torch.equal(gradient[0], gradients[1][path][0])
    assert penalties[0][0] == penalties[1][0]
    assert penalties[0][1] != penalties[1][1]


@pytest.mark.parametrize("name", MAKE)
def test_a_seed_gets_the_same_alone_and_among_others(name: str) -> None:
    many, one = subject("critic", (3, 5, 7)), subject("critic", (5,))
    gradients = [added(of, MAKE[name](of)) for of in (many, one)]
    for path, gradient in gradients[1].items():
        torch.testing.assert_close(gradient[0], gradients[0][path][1], rtol=1e-9, atol=1e-12)


def test_the_vectors_are_in_the_state(tmp_path: Path) -> None:
    of, other = subject("critic"), subject("critic", (8, 9))
    remedy = MAKE["spectral"](of)
    saving.save(tmp_path / "state", {"remedy": remedy.state_dict()})
    again = MAKE["spectral"](other)
    other.network.load_state_dict(of.network.state_dict())
    again.load_state_dict(saving.load(tmp_path / "state")["remedy"])
    assert torch.equal(remedy.report()["penalty"], again.report()["penalty"])
    expected = added(of, remedy)
    for path, gradient in added(other, again).items():
        assert torch.equal(gradient, expected[path])


@pytest.mark.parametrize("name", MAKE)
def test_a_network_without_layers_is_refused(name: str) -> None:
    of = subject_of(sac(), network="temperature")
    with pytest.raises(ValueError, match="it has no layers to regularise"):
        MAKE[name](of)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ParsevalConfig(strength=-1), "`strength` should be at least 0. Received -1"),
        (lambda: ParsevalConfig(scale=0), "`scale` should be positive. Received 0"),
        (lambda: SpectralConfig(strength=-1), "`strength` should be at least 0. Received -1"),
        (lambda: SpectralConfig(power=0.5), "`power` should be at least 1. Received 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.parametrize("kind", ["q", "actor", "critic"])
@pytest.mark.parametrize(
    "make",
    [
        lambda of: Parseval(ParsevalConfig(strength=0), of),
        lambda of: Spectral(SpectralConfig(strength=0), of),
    ],
)
def test_strength_0_changes_nothing(make: Make, kind: str) -> None:
    plain, found = trained(None, kind), trained(make, kind)
    assert all(torch.equal(value, found[name]) for name, value in plain.items())
