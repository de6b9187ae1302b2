"""Metrics against independent NumPy and SciPy computations and hand-made cases."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from plasticity import metrics as p
from plasticity.probe import METRICS

Array = NDArray[np.float64]

H = torch.randn(3, 32, 10, generator=torch.Generator().manual_seed(0)).relu()
H[0, :, 4] = 0.0  # one dead unit of seed 0
H[1, :, 2] *= 0.01  # one faint unit of seed 1

X = torch.randn(3, 2, 16, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
"""Twin critics of three seeds: (S, 2, B, U)."""


def each(function: Callable[..., float], *tensors: Tensor, axes: int = 2) -> Array:
    """Applies a NumPy function to the last axes of tensors, one index of the others at a time."""
    arrays = [tensor.detach().double().numpy() for tensor in tensors]
    lead = arrays[0].shape[: arrays[0].ndim - axes]
    return np.array([function(*(a[i] for a in arrays)) for i in np.ndindex(lead)]).reshape(lead)


def assert_equal(actual: Tensor, expected: Array, rel: float = 1e-12) -> None:
    assert tuple(actual.shape) == expected.shape
    np.testing.assert_allclose(actual.double().numpy(), expected, rtol=rel, atol=1e-14)


def matrices(
    low: float = -10, high: float = 10, rows: int = 6, units: int = 5
) -> st.SearchStrategy[Tensor]:
    """Matrices of any small shape, exact zeros among them."""
    numbers = st.floats(low, high, width=32) | st.just(0.0)
    return st.tuples(st.integers(1, rows), st.integers(1, units)).flatmap(
        lambda shape: st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape)).map(
            lambda values: torch.tensor(values, dtype=torch.float64).view(shape)
        )
    )


# Units


def numpy_scores(h: Array) -> Array:
    score: Array = np.abs(h).mean(0)
    return score / score.mean() if score.any() else score


def numpy_dormant(h: Array, tau: float) -> float:
    return float(np.mean(numpy_scores(h) <= tau))


@pytest.mark.parametrize("tau", [0.0, 0.01, 0.025, 0.1])
@pytest.mark.parametrize(
    "h", [H, X.relu(), H[:, :1], H[..., :1]], ids=["layer", "twins", "one sample", "one unit"]
)
def test_dormant_fraction_is_numpys(tau: float, h: Tensor) -> None:
    assert_equal(p.dormant_fraction(h, tau), each(lambda one: numpy_dormant(one, tau), h))


def test_dormant_scores_are_numpys() -> None:
    expected = np.array([numpy_scores(h.double().numpy()) for h in H])
    assert_equal(p.dormant_scores(H.double()), expected)
    assert p.dormant_scores(X).mean(-1) == pytest.approx(np.ones((3, 2)))


def test_dormant_fraction_counts_faint_units_only_above_their_score() -> None:
    assert p.dormant_fraction(H, 0.0).tolist() == pytest.approx([0.1, 0.0, 0.0])
    assert p.dormant_fraction(H, 0.1).tolist() == pytest.approx([0.1, 0.1, 0.0])


@given(matrices(), st.integers(-8, 8), st.sampled_from([0.0, 0.025, 0.1, 0.9]))
def test_dormancy_knows_no_scale_and_no_order(h: Tensor, power: int, tau: float) -> None:
    fraction = p.dormant_fraction(h, tau)
    assert 0 <= fraction <= 1
    assert torch.equal(p.dormant_fraction(h * 2.0**power, tau), fraction)
    assert torch.equal(p.dormant_mask(-h, tau), p.dormant_mask(h, tau))
    assert torch.equal(p.dead_mask(h.flip(-1)), p.dead_mask(h).flip(-1))


def test_a_silent_layer_is_all_dormant_and_dead() -> None:
    silent = torch.zeros(1, 4, 5)
    assert p.dormant_scores(silent).tolist() == [[0.0] * 5]
    assert p.dormant_fraction(silent).item() == 1
    assert p.dead_fraction(silent).item() == 1
    assert p.sign_entropy(silent).item() == 0


@pytest.mark.parametrize("metric", [p.dormant_mask, p.dormant_fraction, p.grama_fraction])
@pytest.mark.parametrize("tau", [-1, math.nan])
def test_a_tau_that_is_no_threshold_is_refused(metric: Callable[..., Tensor], tau: float) -> None:
    with pytest.raises(ValueError, match=f"`tau` should be at least 0. Received {tau}"):
        metric(H, tau)


def test_dead_fraction_wants_zero_on_every_sample() -> None:
    h = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 2.0, 1.0]]])
    assert p.dead_fraction(h).item() == pytest.approx(1 / 3)
    assert_equal(p.dead_fraction(H), each(lambda one: float(np.mean(~one.any(0))), H))


def test_dormant_overlap_by_hand() -> None:
    before = torch.tensor([[True, True, False, False], [True, False, False, False], [False] * 4])
    now = torch.tensor([[True, False, True, False], [True, True, True, True], [True] * 4])
    overlap = p.dormant_overlap(now, before)
    assert overlap[:2].tolist() == [0.5, 1.0]
    assert overlap[2].isnan()  # none was dormant before
    assert p.dormant_overlap(now.view(3, 1, 4), before.view(3, 1, 4)).shape == (3, 1)


def numpy_sign_entropy(x: Array) -> float:
    share = (x > 0).mean(0)
    return float(np.mean([scipy.stats.entropy([q, 1 - q]) for q in share]))


@pytest.mark.parametrize(
    "x", [H, X, X[..., :1], X[:, :, :1]], ids=["layer", "twins", "one unit", "one sample"]
)
def test_sign_entropy_is_scipys(x: Tensor) -> None:
    assert_equal(p.sign_entropy(x), each(numpy_sign_entropy, x))


def test_sign_entropy_of_halves_is_ln_2() -> None:
    x = torch.tensor([[-1.0, 1.0], [1.0, 2.0]])
    assert p.sign_entropy(x).item() == pytest.approx(math.log(2) / 2)


@given(matrices())
def test_sign_entropy_lies_between_0_and_ln_2(x: Tensor) -> None:
    entropy = p.sign_entropy(x)
    assert 0 <= entropy <= math.log(2) + 1e-15
    assert p.sign_entropy(x.flip(0)).item() == entropy.item()


def test_linear_fraction_of_relu_is_the_share_below_zero() -> None:
    from networks.adalin import BASES

    x = torch.tensor([[[-1.0, 2.0], [-3.0, -4.0]]])
    relu = BASES["relu"]
    assert p.linear_fraction(x, relu.derivative, relu.lipschitz).tolist() == [0.75]


def test_linear_fraction_divides_by_the_largest_slope() -> None:
    slope = 3 * (1 - torch.tanh(X).square())  # of 3 tanh: L = 3
    expected = each(lambda x: float(np.mean(1 / np.cosh(x) ** 2 < 0.1)), X)
    assert 0 < expected.mean() < 1
    assert_equal(p.linear_fraction(X, lambda _: slope, 3.0), expected)
    assert_equal(p.linear_fraction_of(slope / 3), expected)


def test_linear_fraction_takes_the_size_of_a_slope_and_its_border_is_open() -> None:
    assert p.linear_fraction_of(torch.tensor([[0.1, 0.09]], dtype=torch.float64)).item() == 0.5
    falling = torch.tensor([[-1.0, 0.0]])
    assert p.linear_fraction(falling, lambda x: x, 1.0).item() == 0.5


def test_alpha_statistics_by_hand() -> None:
    statistics = p.alpha_statistics(torch.tensor([[-1.0, 0.0, 4.0]]), lead=1)
    assert {k: v.item() for k, v in statistics.items()} == pytest.approx(
        {"alpha_mean": 1.0, "alpha_min": -1.0, "alpha_max": 4.0, "alpha_abs": 5 / 3}
    )
    single = p.alpha_statistics(torch.tensor([0.5, -0.25]), lead=1)  # one alpha for a layer
    assert single["alpha_abs"].tolist() == [0.5, 0.25]


# Matrices


def numpy_effective_rank(x: Array) -> float:
    s = scipy.linalg.svdvals(x)
    return float(np.exp(scipy.stats.entropy(s))) if s.any() else 0.0


def numpy_srank(x: Array) -> float:
    s = scipy.linalg.svdvals(x)
    return float(np.argmax(np.cumsum(s) / s.sum() >= 0.99) + 1) if s.any() else 0.0


def numpy_stable_rank(x: Array) -> float:
    largest = np.linalg.norm(x, 2)
    return float((np.linalg.norm(x, "fro") / largest) ** 2) if largest else 0.0


MATRICES = {
    "tall": H,
    "wide": H.mT,
    "twins": X,
    "one sample": X[:, :, :1],
    "one unit": X[..., :1],
    "zero": torch.zeros(2, 4, 3),
    "low rank": X[..., :2] @ X[:, :, :2],
}
MATRIX = pytest.mark.parametrize("x", MATRICES.values(), ids=MATRICES)


@MATRIX
def test_ranks_are_scipys(x: Tensor) -> None:
    assert_equal(p.effective_rank(x), each(numpy_effective_rank, x), rel=1e-9)
    assert_equal(p.srank_001(x), each(numpy_srank, x))
    assert_equal(p.stable_rank_fro(x), each(numpy_stable_rank, x))
    expected = each(lambda one: numpy_stable_rank(one - one.mean(0)), x)
    if x.shape[-2] > 1:  # one sample, centred, is zero up to rounding
        assert_equal(p.stable_rank_fro(x, centred=True), expected)


@MATRIX
def test_ranks_share_a_spectrum(x: Tensor) -> None:
    s = p.spectrum(x)
    assert s.dtype == torch.float64
    assert s.shape == (*x.shape[:-2], min(x.shape[-2:]))
    largest = float(s.max())
    np.testing.assert_allclose(s, torch.linalg.svdvals(x.double()), atol=1e-14 * largest)
    assert torch.equal(p.effective_rank_of(s), p.effective_rank(x))
    assert torch.equal(p.srank_001_of(s), p.srank_001(x))
    np.testing.assert_allclose(p.stable_rank_fro_of(s), p.stable_rank_fro(x), rtol=1e-12)


@MATRIX
def test_the_gram_matrix_is_exact_to_the_rounding_of_float32(x: Tensor) -> None:
    s, fast = p.spectrum(x), p.spectrum(x, gram=True)
    np.testing.assert_allclose(fast, s, atol=1e-7 * float(s.max()))
    np.testing.assert_allclose(p.effective_rank_of(fast), p.effective_rank_of(s), rtol=1e-5)
    assert torch.equal(p.srank_001_of(fast), p.srank_001_of(s))


def test_a_centred_spectrum_is_that_of_the_deviations() -> None:
    deviations = X - X.mean(2, keepdim=True)
    assert torch.equal(p.spectrum(X, centred=True), p.spectrum(deviations))
    constant = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert p.stable_rank_fro(constant).item() == pytest.approx(1)
    assert p.stable_rank_fro(constant, centred=True).item() == 0


def test_rank_of_equal_orthogonal_features_is_their_number() -> None:
    for rank in (p.effective_rank, p.srank_001, p.stable_rank_fro):
        assert rank(torch.eye(6)).item() == pytest.approx(6)
        assert rank(torch.ones(6, 4)).item() == pytest.approx(1)
        assert rank(torch.zeros(6, 4)).item() == 0


@given(matrices(-8, 8))
def test_ranks_are_ordered_and_know_no_order_of_units(x: Tensor) -> None:
    for rank in (p.effective_rank, p.srank_001, p.stable_rank_fro):
        value = rank(x).item()
        least = float(bool(x.any()))
        assert least - 1e-9 <= value <= min(x.shape) + 1e-9
        # Equal up to rounding; a share of 99% up to rounding can fall on either side.
        tolerance = 1 if rank is p.srank_001 else 1e-6
        assert rank(x.flip(-1)).item() == pytest.approx(value, abs=tolerance)
        assert rank(x * 4).item() == pytest.approx(value, abs=tolerance)


def test_srank_takes_just_enough_singular_values() -> None:
    s = torch.tensor([[98.5, 1.0, 0.5], [99.0, 1.0, 0.0], [97.0, 1.5, 1.5]], dtype=torch.float64)
    assert p.srank_001_of(s).tolist() == [2.0, 1.0, 3.0]


def test_norms_by_hand() -> None:
    assert p.feature_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).item() == 3.0
    weight = torch.tensor([[[1.0, 7.0]], [[2.0, 2.0]]])
    assert p.weight_rms(weight, lead=1).tolist() == pytest.approx([5.0, 2.0])
    assert p.weight_change(weight, torch.zeros_like(weight), lead=1).tolist() == [5.0, 2.0]


def test_norms_are_numpys() -> None:
    assert_equal(p.feature_norm(X), each(lambda h: float(np.linalg.norm(h, axis=1).mean()), X))
    assert_equal(p.weight_rms(X, 2), each(lambda w: float(np.sqrt((w**2).mean())), X))
    assert_equal(p.weight_change(X, X.cos(), 2), each(numpy_rms_change, X, X.cos()))


def numpy_rms_change(now: Array, before: Array) -> float:
    return float(np.sqrt(((now - before) ** 2).mean()))


# Gradients and updates

DENSE = X.clone()  # (S, 2, O, I)
DENSE[0, 0, 3] = 0.0  # a unit without gradient
CONV = DENSE.view(3, 2, 4, 6, 2, 2)  # (S, 2, O, C, K, K)
GRADS = [DENSE, CONV[..., 0], X[:, :, 0], X[..., 0, 0]]  # of weights, a bias, one number


@pytest.mark.parametrize(
    "grad", [DENSE, CONV, X[..., :1], X[:, :, :1]], ids=["dense", "conv", "one input", "one unit"]
)
def test_grama_is_numpys(grad: Tensor) -> None:
    scores = np.empty(grad.shape[:3])
    for index in np.ndindex(grad.shape[:2]):
        magnitude = np.array([np.abs(unit).mean() for unit in grad[index].numpy()])
        scores[index] = magnitude / magnitude.mean()
    assert_equal(p.grama_scores(grad, 2), scores)
    for tau in (0.0, 0.9):
        assert p.grama_mask(grad, tau, 2).tolist() == (scores <= tau).tolist()
        assert_equal(p.grama_fraction(grad, tau, 2), (scores <= tau).mean(-1))


def test_grama_finds_the_unit_without_gradient() -> None:
    assert p.grama_mask(DENSE, lead=2).nonzero().tolist() == [[0, 0, 3]]
    assert p.grama_fraction(DENSE[0, 0]).item() == pytest.approx(1 / 16)


def test_all_units_of_a_layer_without_gradient_count() -> None:
    assert p.grama_scores(torch.zeros(2, 3, 4), 1).tolist() == [[0.0] * 3] * 2
    assert p.grama_fraction(torch.zeros(2, 3, 4), 0.0, 1).tolist() == [1.0, 1.0]


def flat(tensors: list[Tensor], *index: int) -> Array:
    return np.concatenate([tensor[index].numpy().ravel() for tensor in tensors])


def test_gradient_metrics_are_numpys() -> None:
    norm, zeros = p.grad_norm(iter(GRADS), 2), p.zero_grad_fraction(iter(GRADS), 2)
    assert norm.shape == zeros.shape == (3, 2)
    for index in np.ndindex(3, 2):
        assert norm[index].item() == pytest.approx(np.linalg.norm(flat(GRADS, *index)))
        assert zeros[index].item() == pytest.approx(np.mean(flat(GRADS, *index) == 0), abs=0)
    assert zeros[0, 0] > 0


def test_gradient_norm_is_what_clipping_measures() -> None:
    network = torch.nn.Linear(4, 3)
    network(torch.randn(5, 4)).square().sum().backward()
    grads = [q.grad for q in network.parameters() if q.grad is not None]
    assert p.grad_norm(grads).item() == pytest.approx(
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0).item(), rel=1e-6
    )
    assert p.zero_grad_fraction([torch.zeros(3), torch.ones(1)]).item() == 0.75


def test_effective_lr_is_numpys() -> None:
    updates = [tensor.sin() * 1e-3 for tensor in GRADS]
    ratio = p.effective_lr(iter(updates), iter(GRADS), 2)
    for index in np.ndindex(3, 2):
        expected = np.linalg.norm(flat(updates, *index)) / np.linalg.norm(flat(GRADS, *index))
        assert ratio[index].item() == pytest.approx(expected)


def test_effective_lr_of_zero_weights() -> None:
    updates = [torch.tensor([0.0, 1.0, 0.0])]
    weights = [torch.tensor([2.0, 0.0, 0.0])]
    assert p.effective_lr(updates, weights, 1).tolist() == [0.0, math.inf, 0.0]


# Outputs


def test_policy_churn_by_hand() -> None:
    now, before = torch.tensor([[0, 1, 2, 3], [1, 1, 1, 1]]), torch.tensor([[0, 1, 3, 2], [1] * 4])
    assert p.policy_churn(now, before).tolist() == [0.5, 0.0]
    assert p.policy_churn(now[:, None, :1], before[:, None, :1]).tolist() == [[0.0], [0.0]]


def test_policy_change_is_numpys() -> None:
    expected = each(lambda a, b: float(np.linalg.norm(a - b, axis=1).mean()), X, X.cos())
    assert_equal(p.policy_change(X, X.cos()), expected)
    assert p.policy_change(X, X).tolist() == [[0.0, 0.0]] * 3


def test_values_and_targets_are_numpys() -> None:
    values = X[..., 0]  # (S, 2, B)
    assert_equal(p.td_target_variance(values), each(lambda y: float(np.var(y)), values, axes=1))
    assert_equal(p.q_mean(values), each(lambda q: float(np.mean(q)), values, axes=1))
    assert_equal(p.q_max(values), each(lambda q: float(np.max(q)), values, axes=1))
    assert p.td_target_variance(values[..., :1]).tolist() == [[0.0, 0.0]] * 3  # one sample
    # A large mean does not swallow a small variance, in float32 neither.
    assert p.td_target_variance(torch.tensor([1e4, 1e4 + 1])).item() == 0.25


def test_one_step_plasticity_by_hand() -> None:
    before = torch.tensor([4.0, 4.0, 4.0, 4.0, 0.0, 0.0])
    after = torch.tensor([1.0, 4.0, 8.0, 0.0, 0.0, 1.0])
    assert p.one_step_plasticity(before, after).tolist() == [0.75, 0.0, 0.0, 1.0, 1.0, 0.0]


def test_one_step_plasticity_refuses_negative_losses() -> None:
    with pytest.raises(ValueError, match="`after` should be at least 0. Received -2"):
        p.one_step_plasticity(torch.ones(2), torch.tensor([1.0, -2.0]))


# What is refused

CASES: list[tuple[str, Callable[[Tensor], object]]] = [
    ("activations", p.dormant_fraction),
    ("activations", p.dead_fraction),
    ("pre_activations", p.sign_entropy),
    ("pre_activations", lambda x: p.linear_fraction(x, torch.cos, 1.0)),
    ("slope_share", p.linear_fraction_of),
    ("alpha", p.alpha_statistics),
    ("features", p.effective_rank),
    ("features", p.srank_001),
    ("features", p.feature_norm),
    ("matrix", p.stable_rank_fro),
    ("matrix", p.spectrum),
    ("weight", p.weight_rms),
    ("before", lambda x: p.weight_change(torch.ones(2, 3), x)),
    ("weight", lambda x: p.weight_change(x, x)),
    ("weight_grad", p.grama_fraction),
    ("grads", lambda x: p.grad_norm([torch.ones(2), x])),
    ("grads", lambda x: p.zero_grad_fraction([torch.ones(2), x])),
    ("updates", lambda x: p.effective_lr([x], [torch.ones(2)])),
    ("weights", lambda x: p.effective_lr([torch.ones(2)], [x])),
    ("actions_now", lambda x: p.policy_change(x, x)),
    ("actions_now", lambda x: p.policy_churn(x, x)),
    ("targets", p.td_target_variance),
    ("values", p.q_mean),
    ("values", p.q_max),
    ("before", lambda x: p.one_step_plasticity(x, x)),
]
REFUSES = pytest.mark.parametrize(("argument", "metric"), CASES)


@REFUSES
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(
    argument: str, metric: Callable[[Tensor], object], bad: float
) -> None:
    x = torch.ones(2, 3)
    metric(x)
    x[1, 1] = bad
    message = f"`{argument}` should be finite. Received NaN or infinity"
    with pytest.raises(ValueError, match=message):
        metric(x)
    with p.unchecked():
        metric(x)
    with pytest.raises(ValueError, match=message):  # afterwards checked again
        metric(x)


@REFUSES
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty_batches_and_layers_are_refused(
    argument: str, metric: Callable[[Tensor], object], shape: tuple[int, int]
) -> None:
    message = f"`{argument}` should not be empty. Received shape {shape}"
    with pytest.raises(ValueError, match=re.escape(message)), p.unchecked():
        metric(torch.ones(shape))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("at least 2 axes. Received shape (3,)")):
        p.dormant_fraction(torch.ones(3))
    with pytest.raises(ValueError, match=re.escape("`weight_grad` should have at least 2 axes")):
        p.grama_scores(torch.ones(3), lead=1)
    message = "`now_mask` should have the shape of `before_mask`, (3,). Received (2,)"
    with pytest.raises(ValueError, match=re.escape(message)):
        p.dormant_overlap(torch.ones(2).bool(), torch.ones(3).bool())
    message = "`weight` should have the shape of `before`, (2, 1). Received (2, 3)"
    with pytest.raises(ValueError, match=re.escape(message)):
        p.weight_change(torch.ones(2, 3), torch.ones(2, 1))
    with pytest.raises(ValueError, match="`grads` should hold at least one tensor. Received none"):
        p.grad_norm([])
    message = "`grads` should share their first 1 axes. Received (2,) and (3,)"
    with pytest.raises(ValueError, match=re.escape(message)):
        p.grad_norm([torch.ones(2, 4), torch.ones(3, 4)], lead=1)


@pytest.mark.parametrize("rank", [p.effective_rank, p.srank_001, p.stable_rank_fro])
def test_unchecked_a_diverged_seed_leaves_the_others_alone(rank: Callable[..., Tensor]) -> None:
    x = X[:, 0].clone()
    x[1, 2, 3] = math.nan
    with p.unchecked():
        ranks = rank(x)
    assert ranks.isnan().tolist() == [False, True, False]
    assert torch.equal(ranks[[0, 2]], rank(X[[0, 2], 0]))


# Descriptions


def test_every_metric_is_described() -> None:
    own = set(p.alpha_statistics(torch.ones(1)))
    own |= {"dormant_fraction_of_layers", "weight_stable_rank_fro"}  # which the probe composes
    for name, line in p.DESCRIPTIONS.items():
        stem = name.removesuffix("@tau")
        assert stem in own or callable(getattr(p, stem)), name
        assert "\n" not in line
        assert p.describe(name) == line


def test_what_the_probe_logs_is_described() -> None:
    assert {p.describe(name) for name in METRICS} == {*p.DESCRIPTIONS.values()}


def test_descriptions_are_found_by_threshold() -> None:
    assert p.describe("dormant_fraction@0.025") == p.DESCRIPTIONS["dormant_fraction@tau"]
    assert p.describe("grama_fraction@0") == p.DESCRIPTIONS["grama_fraction@tau"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("efective_rank", "effective_rank"),
        ("dormant_fraction", "dormant_fraction@tau"),
        ("dead_fraction@0.1", "dead_fraction"),
        ("dormnt_fraction@0.1", "dormant_fraction@tau"),
    ],
)
def test_unknown_metrics_are_told_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r} (did you mean {near!r}?)")):
        p.describe(name)


@pytest.mark.parametrize("tau", ["-1", "nan", "inf", "many", ""])
def test_a_metrics_tau_is_a_number(tau: str) -> None:
    with pytest.raises(ValueError, match="`tau` should be a number, at least 0. Received"):
        p.describe(f"dormant_fraction@{tau}")
