"""Metrics against independent NumPy computations and hand-made cases."""

import numpy as np
import pytest
import torch

import plasticity as p

H = torch.randn(3, 32, 10, generator=torch.Generator().manual_seed(0)).relu()
H[0, :, 4] = 0.0  # one dead unit of seed 0
H[1, :, 2] *= 0.01  # one faint unit of seed 1


def numpy_dormant(h: np.ndarray, tau: float) -> float:
    score = np.abs(h).mean(0)
    return float(np.mean(score / score.mean() <= tau))


@pytest.mark.parametrize("tau", [0.0, 0.025, 0.1])
def test_dormant_fraction_is_numpys(tau: float) -> None:
    expected = [numpy_dormant(h.numpy(), tau) for h in H]
    assert p.dormant_fraction(H, tau).tolist() == pytest.approx(expected)


def test_dormant_fraction_counts_faint_units_only_above_their_score() -> None:
    assert p.dormant_fraction(H, 0.0).tolist() == pytest.approx([0.1, 0.0, 0.0])
    assert p.dormant_fraction(H, 0.1).tolist() == pytest.approx([0.1, 0.1, 0.0])


def test_a_silent_layer_is_all_dormant_and_dead() -> None:
    silent = torch.zeros(1, 4, 5)
    assert p.dormant_fraction(silent).item() == 1
    assert p.dead_fraction(silent).item() == 1
    assert p.effective_rank(silent).item() == 0
    assert p.srank_001(silent).item() == 0


def test_negative_tau_is_refused() -> None:
    with pytest.raises(ValueError, match="`tau` should be at least 0. Received -1"):
        p.dormant_mask(H, -1)


def test_dead_fraction_wants_zero_on_every_sample() -> None:
    h = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 2.0, 1.0]]])
    assert p.dead_fraction(h).item() == pytest.approx(1 / 3)


def test_ranks_are_numpys() -> None:
    for h, effective, srank in zip(H, p.effective_rank(H), p.srank_001(H), strict=True):
        s = np.linalg.svd(h.double().numpy(), compute_uv=False)
        q = s[s > 0] / s.sum()
        assert effective.item() == pytest.approx(float(np.exp(-(q * np.log(q)).sum())))
        assert srank.item() == int(np.argmax(np.cumsum(s) / s.sum() >= 0.99)) + 1


def test_rank_of_equal_orthogonal_features_is_their_number() -> None:
    assert p.effective_rank(torch.eye(6)).item() == pytest.approx(6)
    assert p.srank_001(torch.eye(6)).item() == 6
    assert p.effective_rank(torch.ones(6, 4)).item() == pytest.approx(1)


def test_norms_by_hand() -> None:
    assert p.feature_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).item() == 3.0
    weight = torch.tensor([[[1.0, 7.0]], [[2.0, 2.0]]])
    assert p.weight_rms(weight, lead=1).tolist() == pytest.approx([5.0, 2.0])
    assert p.weight_change(weight, torch.zeros_like(weight), lead=1).tolist() == [5.0, 2.0]


def test_linear_fraction_of_relu_is_the_share_below_zero() -> None:
    from networks.adalin import BASES

    x = torch.tensor([[[-1.0, 2.0], [-3.0, -4.0]]])
    relu = BASES["relu"]
    assert p.linear_fraction(x, relu.derivative, relu.lipschitz).tolist() == [0.75]


def test_alpha_statistics_by_hand() -> None:
    statistics = p.alpha_statistics(torch.tensor([[-1.0, 0.0, 4.0]]), lead=1)
    assert {k: v.item() for k, v in statistics.items()} == pytest.approx(
        {"alpha_mean": 1.0, "alpha_min": -1.0, "alpha_max": 4.0, "alpha_abs": 5 / 3}
    )
