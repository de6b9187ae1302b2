"""Self-normalized resets against loops and percentiles of NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import Batch, Streams
from plasticity.mitigations.self_normalized import (
    SelfNormalizedReset,
    SelfNormalizedResetConfig,
    Silences,
)
from plasticity.wiring import hidden_layers
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import IMAGE, dqn, sac


def silences_of(units: int, max_age: int) -> Silences:
    """Silences of a plain layer, whose outputs are given by hand."""
    network = nn.Sequential(nn.Linear(2, units), nn.ReLU(), nn.Linear(units, 1))
    (layer,) = hidden_layers(network, (torch.zeros(1, 2),))
    return Silences(layer, max_age, torch.device("cpu"))


def outputs(*fires: int) -> Tensor:
    """A batch of two, in which these units fire once."""
    return torch.tensor([[0.0] * len(fires), [float(f) for f in fires]])


def test_ages_and_histogram_by_hand() -> None:
    silences = silences_of(3, max_age=4)
    for fires in ((1, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0), (1, 0, 0)):
        silences.advance(outputs(*fires))
    assert silences.age.tolist() == [0, 2, 6]
    # Unit 0 was silent for 2 and for 1 updates, unit 1 for 2; never for 0.
    assert silences.histogram.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    # Each silence above its threshold ends and is counted, the longest with max_age.
    silences.threshold.copy_(torch.tensor([0, 2, 4]))
    assert silences.overdue().tolist() == [False, False, True]
    assert silences.age.tolist() == [0, 2, 0]
    assert silences.histogram.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("percentile", [0.07, 0.5, 0.9, 0.99, 1.0])
def test_thresholds_are_the_percentiles_of_the_silences(percentile: float) -> None:
    silences = silences_of(5, max_age=30)
    generator = np.random.default_rng(0)
    lengths = [generator.integers(1, 31, size=count) for count in (1, 2, 20, 100)]
    for unit, values in enumerate(lengths):
        silences.histogram[unit] = torch.tensor(np.bincount(values, minlength=31)[1:])
    silences.set_thresholds(percentile)
    expected = [np.percentile(v, 100 * percentile, method="inverted_cdf") for v in lengths]
    assert silences.threshold.tolist() == [*expected, 30]  # without a silence it stays
    assert not silences.histogram.any()


def test_whole_runs_are_those_of_a_loop_over_units() -> None:
    seeds = (0, 1)
    agent = dqn(seeds, hidden=(8,))
    weights: Any = agent.q.get_submodule("torso.dense.layer_1.weights")
    with torch.no_grad():
        weights.bias.copy_(torch.linspace(-3, 0, 8))  # some fire often, some seldom
    config = SelfNormalizedResetConfig(
        percentile=0.8, threshold_every=20, reset_every=3, max_age=9, batch_size=4
    )
    batches: list[Batch] = []
    remedy = SelfNormalizedReset(config, subject_of(agent, seeds, batches=batches))
    age, threshold = np.zeros((2, 8), int), np.full((2, 8), 9)
    lasted: list[list[list[int]]] = [[[] for _ in range(8)] for _ in seeds]
    total = np.zeros(2)
    for update in range(1, 81):
        before = copy.deepcopy(weights)
        remedy.operate()
        h = before(batches[-1].obs)
        fires = (h > 0).any(1).numpy()
        reset = np.zeros((2, 8), bool)
        for s, i in np.ndindex(2, 8):
            if fires[s, i]:
                if age[s, i]:
                    lasted[s][i].append(min(int(age[s, i]), 9))
                age[s, i] = 0
            else:
                age[s, i] += 1
            if update % 3 == 0 and age[s, i] > threshold[s, i]:
                lasted[s][i].append(min(int(age[s, i]), 9))
                age[s, i], reset[s, i] = 0, True
            if update % 20 == 0 and lasted[s][i]:
                threshold[s, i] = np.percentile(lasted[s][i], 80, method="inverted_cdf")
                lasted[s][i] = []
        total += reset.sum(-1)
        assert np.array_equal((weights.weight != before.weight).any(-1).numpy(), reset)
        (silences,) = remedy.silences
        assert np.array_equal(silences.age.numpy(), age)
        assert np.array_equal(silences.threshold.numpy(), threshold)
    assert remedy.report()["units_reset"].tolist() == total.tolist()
    assert total.min() > 3
    assert threshold.min() < 9


def test_a_unit_that_fires_on_every_batch_is_left_alone() -> None:
    agent = dqn(hidden=(8,))
    weights: Any = agent.q.get_submodule("torso.dense.layer_1.weights")
    with torch.no_grad():
        weights.weight.zero_()
        weights.bias.fill_(1)
    config = SelfNormalizedResetConfig(threshold_every=1, reset_every=1, max_age=1, batch_size=2)
    remedy = SelfNormalizedReset(config, subject_of(agent))
    for _ in range(3):
        remedy.operate()
    with torch.no_grad():
        weights.bias[0, 3] = -1
    remedy.operate()  # silent for one update, the threshold
    assert remedy.report()["units_reset"].tolist() == [0]
    remedy.operate()
    assert remedy.report()["units_reset"].tolist() == [1]
    assert weights.weight[0, 3].all()


def test_channels_critics_and_doubled_units_have_silences() -> None:
    config = SelfNormalizedResetConfig(max_age=5, batch_size=3)
    image = dqn((0, 1), space=IMAGE, hidden=(6,))
    remedy = SelfNormalizedReset(config, subject_of(image, (0, 1), space=IMAGE))
    conv: Any = image.q.get_submodule("torso.convolutions.conv_1.weights")
    with torch.no_grad():
        conv.weight[1, 4] = 0
        conv.bias[1, 4] = -1
    remedy.operate()
    assert remedy.silences[0].age[1, 4] == 1
    assert remedy.silences[0].age.shape == (2, 16)
    critic = sac((0, 1), activation="crelu")
    remedy = SelfNormalizedReset(config, subject_of(critic, (0, 1), "critic"))
    remedy.operate()
    assert [s.age.tolist() for s in remedy.silences] == [[[[0] * n] * 2] * 2 for n in (8, 6)]


@pytest.mark.parametrize("make", [dqn, sac])
def test_a_seed_alone_is_that_seed_among_others(make: Any) -> None:
    config = SelfNormalizedResetConfig(reset_every=2, max_age=1, batch_size=2)
    agents = []
    reset = []
    for seeds in ((3,), (1, 3)):
        agents.append(agent := make(seeds, activation="relu"))
        remedy = SelfNormalizedReset(config, subject_of(agent, seeds))
        learn(agent, Streams(seeds, "batches"), 8, remedy)
        reset.append(remedy.report()["units_reset"][-1].item())
    assert reset[0] == reset[1] > 2
    for name, learner in agents[0].learners().items():
        others = agents[1].learners()[name].network.parameters()
        for p, other in zip(learner.network.parameters(), others, strict=True):
            torch.testing.assert_close(p[0], other[1], rtol=1e-4, atol=1e-6)


def test_it_goes_on_from_its_state() -> None:
    config = SelfNormalizedResetConfig(
        threshold_every=4, reset_every=2, max_age=2, batch_size=2, percentile=0.5
    )
    agent, streams = dqn((0, 1)), Streams((0, 1), "batches")
    subject = subject_of(agent, (0, 1))
    remedy = SelfNormalizedReset(config, subject)
    learn(agent, streams, 7, remedy)
    other, again = dqn((0, 1)), Streams((0, 1), "batches")
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    again.load_state_dict(streams.state_dict())
    resumed = SelfNormalizedReset(config, subject_of(other, (0, 1)))
    resumed.load_state_dict(copy.deepcopy(remedy.state_dict()))
    resumed.subject.streams.load_state_dict(subject.streams.state_dict())
    remedy.report()
    learn(agent, streams, 5, remedy)
    learn(other, again, 5, resumed)
    for name, value in state_of(agent).items():
        assert torch.equal(value, state_of(other)[name])
    for name, value in remedy.state_dict().items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(resumed.state_dict()[name]))
    assert remedy.report()["units_reset"].tolist() == resumed.report()["units_reset"].tolist()


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("tanh", "tanh"),
        ("adalin-relu", "AdaLin over relu"),
        ("prelu", "AdaLin over relu"),
        ("leaky-relu", "leaky-relu"),
        ("softplus", "softplus"),
        ("fourier", "Fourier"),
        ("aid", "aid"),
    ],
)
def test_activations_without_silence_are_refused(activation: str, name: str) -> None:
    message = f"silent at or below 0 .*h > 0 is firing. Layer layer_1 has {name}$"
    with pytest.raises(ValueError, match=message):
        SelfNormalizedReset(SelfNormalizedResetConfig(), subject_of(dqn(activation=activation)))


def test_a_network_without_hidden_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no hidden layers, so there are no units to reset"):
        SelfNormalizedReset(SelfNormalizedResetConfig(), subject_of(dqn(hidden=())))


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("percentile", 0.0, r"be in \(0, 1\]"),
        ("percentile", 99.0, r"be in \(0, 1\]"),
        ("threshold_every", 0, "be at least 1"),
        ("reset_every", 0, "be at least 1"),
        ("max_age", 0, "be at least 1"),
        ("batch_size", 0, "be at least 1"),
    ],
)
def test_bad_settings_are_named(setting: str, value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"`{setting}` should {rule}. Received {value}"):
        SelfNormalizedResetConfig(**{setting: value})
