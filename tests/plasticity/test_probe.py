"""The probe: right numbers from the right outputs, and no trace left."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from agents import DQN, SAC, Batch, DQNConfig, Learner, SACConfig, Streams
from networks import ACTIVATIONS
from networks.torsos import Layer
from plasticity import Probe, UpdateWatch
from plasticity.layers import layer_names
from plasticity.probe import METRICS
from tests.plasticity import subjects

BOX = gym.spaces.Box(-1, 1, (4,))


def dqn(activation: str) -> DQN:
    config = DQNConfig(hidden=(8, 6))
    return DQN(BOX, gym.spaces.Discrete(2), [0, 1], config, activation=activation)


def batch(agent: DQN | SAC) -> Batch:
    g = torch.Generator().manual_seed(1)
    obs = torch.randn(2, 16, 4, generator=g)
    action = torch.zeros(2, 16, dtype=torch.int64) if isinstance(agent, DQN) else obs[..., :2]
    return Batch(obs, action, torch.zeros(2, 16), torch.zeros(2, 16), obs)


def test_pooled_dormant_fraction_is_numpys_on_the_output_of_the_activation() -> None:
    agent = dqn("adalin-tanh")
    with torch.no_grad():
        torso: Any = agent.q.torso
        first = torso.dense.layer_1
        first.weights.weight[0, :3] = 0  # three silent units of seed 0
        first.weights.bias[0, :3] = 0
    rows = Probe().measure(agent.learners(), batch(agent))
    x = batch(agent).obs[0].numpy()
    dormant, units = 0, 0
    for layer in torso.dense:
        w, b = (t.detach()[0].numpy() for t in layer.weights.parameters())
        x = np.tanh(x @ w.T + b)  # alpha is 0
        score = np.abs(x).mean(0) / np.abs(x).mean()
        dormant, units = dormant + int((score <= 0.1).sum()), units + len(score)
    assert rows["plasticity/q/dormant_fraction@0.1"][0].item() == pytest.approx(dormant / units)
    assert rows["plasticity/q/dormant_fraction@0/layer_1"][0].item() == pytest.approx(3 / 8)


def test_values_and_change_since_the_last_probe() -> None:
    agent, probe = dqn("relu"), Probe()
    rows = probe.measure(agent.learners(), batch(agent))
    best = agent.q(batch(agent).obs).max(-1).values
    torch.testing.assert_close(rows["plasticity/q/q_mean"], best.mean(-1).double())
    torch.testing.assert_close(rows["plasticity/q/q_max"], best.amax(-1).double())
    assert "plasticity/q/weight_change" not in rows
    with torch.no_grad():
        for parameter in agent.q.parameters():
            parameter.add_(0.5)
    rows = probe.measure(agent.learners(), batch(agent))
    assert rows["plasticity/q/weight_change"].tolist() == pytest.approx([0.5, 0.5])


def test_sac_has_rows_for_actor_and_critic_with_one_value_per_seed() -> None:
    agent = SAC(BOX, gym.spaces.Box(-1, 1, (2,)), [0, 1], SACConfig(hidden=(8, 8)))
    rows = Probe().measure(agent.learners(), batch(agent))
    assert {name.split("/")[1] for name in rows} == {"actor", "critic"}
    assert "adalin/critic/layer_2/alpha_mean" in rows
    assert all(value.shape == (2,) for value in rows.values())


def test_probing_changes_nothing() -> None:
    agent = dqn("adalin-relu")
    before = copy.deepcopy(agent.state_dict())
    Probe().measure(agent.learners(), batch(agent))
    for key, value in agent.state_dict()["q"].items():
        assert torch.equal(value, before["q"][key])
    for i, state in agent.state_dict()["exploration"].items():
        assert torch.equal(state, before["exploration"][i])
    layers = [m for m in agent.q.modules() if isinstance(m, Layer)]
    assert not any(layer.activation._forward_hooks for layer in layers)


class Block(nn.Module):
    """PyTorch's own layers: one activation for two of them, and images of one and three axes."""

    def __init__(self, convolution: type[nn.Conv1d] | type[nn.Conv3d]) -> None:
        super().__init__()
        self.first = convolution(2, 7, 1)
        self.second = convolution(7, 7, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.second(self.relu(self.first(x))))
        return out


@pytest.mark.parametrize(("convolution", "axes"), [(nn.Conv1d, 1), (nn.Conv3d, 3)])
def test_units_of_pytorchs_own_layers_are_channels_and_each_call_counts(
    convolution: type[nn.Conv1d] | type[nn.Conv3d], axes: int
) -> None:
    block = Block(convolution)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(1)
        block.first.bias[:3] = -9  # type: ignore[index]  # there is a bias
    rows = Probe().network("net", block, (torch.rand(5, 2, *(4,) * axes),))
    assert rows["plasticity/net/dead_fraction/relu"].tolist() == pytest.approx([3 / 7])
    assert rows["plasticity/net/dead_fraction/relu#2"].tolist() == [0]
    assert rows["plasticity/net/linear_fraction/relu#2"].tolist() == [0]


def test_layers_of_the_same_name_keep_their_paths() -> None:
    assert layer_names(["a.layer_1.weights", "b.layer_1.weights", "head"], ".weights") == [
        "a.layer_1.weights",
        "b.layer_1.weights",
        "head",
    ]


def streams(count: int = 2) -> Streams:
    return Streams(range(count), "probe noise")


@pytest.mark.parametrize("space", [subjects.VECTOR, subjects.IMAGE], ids=["vector", "image"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_every_metric_for_each_seed(
    activation: str, space: gym.spaces.Box
) -> None:
    agent = subjects.dqn((0, 1), space=space, activation=activation)
    probe, batch = Probe(streams(), refit_steps=2), subjects.batch(agent, 8, space=space)
    watch = UpdateWatch(streams())
    for seed in range(2):
        watch.before(agent.learners(), batch)
        agent.update(batch)
        watch.after(agent.learners())
        rows = probe.measure(agent.learners(), batch, refit=seed == 1) | watch.take()
    found = {name.split("/")[3 if name.startswith("adalin") else 2] for name in rows}
    absent = {"grad_norm", "policy_change"}  # the agent's own; of continuous actions
    if activation == "rational":
        absent.add("linear_fraction")  # which needs a Lipschitz constant
    if "alpha" not in str(list(agent.q.state_dict())):
        absent |= {"alpha_mean", "alpha_min", "alpha_max", "alpha_abs"}
    assert found == {*METRICS} - absent
    for name, value in rows.items():
        assert value.shape == (2,), name
        assert value.isfinite().all() or "dormant_overlap" in name, name


def test_gradient_metrics_are_those_of_the_loss_on_the_batch_of_an_update() -> None:
    agent, watch = subjects.dqn((0, 1)), UpdateWatch(streams())
    batch = subjects.batch(agent, 32)
    first: Any = agent.q.torso
    with torch.no_grad():
        first.dense.layer_1.weights.bias[1, 0] = -100  # a dead unit of seed 1
    watch.before(agent.learners(), batch)
    rows = watch.take()
    agent.loss(batch)[0].sum().backward()
    for seed in range(2):
        grads = [p.grad[seed].numpy().ravel() for p in agent.q.parameters() if p.grad is not None]
        zero = np.mean(np.concatenate(grads) == 0)
        assert rows["plasticity/q/zero_grad_fraction"][seed].item() == pytest.approx(zero)
        score = np.abs(first.dense.layer_1.weights.weight.grad[seed].numpy()).mean(1)
        share = np.mean(score / score.mean() <= 0.025)
        name = "plasticity/q/grama_fraction@0.025/layer_1"
        assert rows[name][seed].item() == pytest.approx(share)
    assert rows["plasticity/q/grama_fraction@0.025/layer_1"][1] >= 1 / 8
    weights = first.dense.layer_1.weights
    zero = (torch.cat((weights.weight.grad[1].flatten(), weights.bias.grad[1])) == 0).double()
    assert rows["plasticity/q/zero_grad_fraction/layer_1"][1].item() == pytest.approx(zero.mean())
    assert "plasticity/q/zero_grad_fraction/head" in rows
    assert "plasticity/q/grama_fraction@0.025/head" not in rows


def test_an_update_is_watched_on_its_own_batch() -> None:
    agent, watch = subjects.dqn((0, 1)), UpdateWatch(streams())
    batch = subjects.batch(agent, 32)
    before = [p.detach().clone() for p in agent.q.parameters()]
    target = agent.td_target(batch)
    watch.before(agent.learners(), batch)
    loss = agent.update(batch)["loss/q"]
    watch.after(agent.learners())
    agent.update(subjects.batch(agent, 32, seed=9))  # nobody looks at this one
    rows = Probe(streams()).measure(agent.learners(), batch) | watch.take()
    assert not any(value.requires_grad for value in rows.values())
    fresh = subjects.dqn((0, 1))
    fresh.update(batch)
    for seed in range(2):
        norms = [
            np.sqrt(sum(float(t[seed].detach().double().square().sum()) for t in tensors))
            for tensors in (
                [p - old for p, old in zip(fresh.q.parameters(), before, strict=True)],
                before,
            )
        ]
        rate = rows["plasticity/q/effective_lr"][seed].item()
        assert rate == pytest.approx(norms[0] / norms[1], rel=1e-5)
        head = torch.cat((before[-2][seed].flatten(), before[-1][seed]))
        moved = torch.cat((fresh.q.head.weight[seed].flatten(), fresh.q.head.bias[seed])) - head
        rate = rows["plasticity/q/effective_lr/head"][seed].item()
        assert rate == pytest.approx(float(moved.norm() / head.norm()), rel=1e-5)
    after = fresh.loss(batch, target)[0]
    expected = (1 - after / loss).clamp(0, 1)
    torch.testing.assert_close(rows["plasticity/q/one_step_plasticity"], expected.double())
    variance = agent.td_target(batch).double().var(-1, correction=0)
    torch.testing.assert_close(rows["plasticity/q/td_target_variance"], variance)
    assert not torch.equal(target, agent.td_target(batch))
    assert watch.take() == {}


def test_churn_compares_the_same_states_at_two_probes() -> None:
    agent, probe = subjects.dqn((0, 1)), Probe(streams())
    first, second = (subjects.batch(agent, 64, seed=s) for s in (1, 2))
    assert "plasticity/q/policy_churn" not in probe.measure(agent.learners(), first)
    before = agent.q(first.obs).argmax(-1)
    with torch.no_grad():
        agent.q.head.bias[0, before[0, 0]] -= 5.0
    rows = probe.measure(agent.learners(), second)
    now = agent.q(first.obs).argmax(-1)
    assert rows["plasticity/q/policy_churn"].tolist() == (before != now).double().mean(1).tolist()
    assert rows["plasticity/q/policy_churn"][0] > 0
    assert rows["plasticity/q/policy_churn"][1] == 0


def test_sac_has_change_of_policy_and_gradients_of_both_networks() -> None:
    agent, probe = subjects.sac((0, 1)), Probe(streams())
    batch = subjects.batch(agent, 32)
    probe.measure(agent.learners(), batch)
    before = agent.actor(batch.obs)[0].tanh()
    with torch.no_grad():
        agent.actor.head.bias.add_(0.3)
    rows = probe.measure(agent.learners(), batch)
    change = torch.linalg.vector_norm(agent.actor(batch.obs)[0].tanh() - before, dim=-1).mean(1)
    torch.testing.assert_close(rows["plasticity/actor/policy_change"], change.double())
    assert "plasticity/critic/td_target_variance" in rows
    watch = UpdateWatch(streams())
    watch.before(agent.learners(), batch)
    rows = watch.take()
    assert "plasticity/actor/grama_fraction@0.1/layer_2" in rows
    assert "plasticity/critic/zero_grad_fraction/head" in rows


def test_overlap_is_the_share_of_dormant_units_that_stay_dormant() -> None:
    agent, probe = subjects.dqn((0,)), Probe(streams(1))
    batch = subjects.batch(agent, 32)
    torso: Any = agent.q.torso
    layer = torso.dense.layer_1.weights
    with torch.no_grad():
        layer.weight.abs_()
        layer.bias[0] = 5.0
        layer.bias[0, :4] = -100
    probe.measure(agent.learners(), batch)
    with torch.no_grad():
        layer.bias[0, :1] = 5.0
        layer.bias[0, 7] = -100
    rows = probe.measure(agent.learners(), batch)
    assert rows["plasticity/q/dormant_overlap@0.1/layer_1"].item() == pytest.approx(3 / 4)
    assert rows["plasticity/q/dormant_fraction@0/layer_1"].item() == pytest.approx(4 / 8)


def test_both_published_ways_to_put_layers_together() -> None:
    agent = subjects.dqn((0,))
    torso: Any = agent.q.torso
    with torch.no_grad():
        torso.dense.layer_1.weights.bias[0, :4] = -100  # of 8; layer 2 has 6
    rows = Probe().measure(agent.learners(), subjects.batch(agent, 32))
    of_layers = [
        rows[f"plasticity/q/dormant_fraction@0/{layer}"].item() for layer in ("layer_1", "layer_2")
    ]
    pooled = (of_layers[0] * 8 + of_layers[1] * 6) / 14
    assert rows["plasticity/q/dormant_fraction@0"].item() == pytest.approx(pooled)
    assert rows["plasticity/q/dormant_fraction_of_layers@0"].item() == pytest.approx(
        np.mean(of_layers)
    )


def test_dear_metrics_come_only_when_asked() -> None:
    agent, probe = subjects.dqn((0,)), Probe(streams(1), refit_steps=3)
    batch = subjects.batch(agent, 8)
    dear = {"plasticity/q/effective_rank/layer_1", "plasticity/q/weight_stable_rank_fro/head"}
    assert not dear & probe.measure(agent.learners(), batch, dear=False).keys()
    rows = probe.measure(agent.learners(), batch, dear=True)
    assert dear <= rows.keys()
    assert "plasticity/q/refit_loss" not in rows
    assert "plasticity/q/refit_loss" in probe.measure(agent.learners(), batch, refit=True)


@pytest.mark.parametrize("activation", ["adalin-relu", "aid", "randomized-smooth-leaky"])
@pytest.mark.parametrize("kind", [subjects.dqn, subjects.sac])
def test_learning_is_bit_for_bit_the_same_with_and_without_the_probe(
    kind: Any, activation: str
) -> None:
    agents = [kind((0, 1), activation=activation) for _ in range(2)]
    probe, watch = Probe(streams(), refit_steps=2), UpdateWatch(streams())
    for step in range(6):
        batch = subjects.batch(agents[0], 16, seed=step)
        learners = agents[0].learners()
        watch.before(learners, batch)
        agents[0].update(batch)
        watch.after(learners)
        probe.measure(learners, subjects.batch(agents[0], 16, seed=100 + step), refit=True)
        watch.take()
        agents[1].update(batch)
    ours, theirs = (flat(agent.state_dict()) for agent in agents)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def flat(state: dict[Any, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, torch.Tensor):
            found[f"{prefix}{key}"] = value
    return found


def test_a_diverged_seed_does_not_hide_the_others() -> None:
    agent = subjects.dqn((0, 1))
    with torch.no_grad():
        agent.q.head.bias[0] = float("nan")
        torso: Any = agent.q.torso
        torso.dense.layer_1.weights.bias[0] = float("nan")
    rows = Probe(streams()).measure(agent.learners(), subjects.batch(agent, 8))
    assert rows["plasticity/q/effective_rank"][0].isnan()
    assert rows["plasticity/q/effective_rank"][1].isfinite()


def test_a_network_without_inputs_is_left_out() -> None:
    agent = subjects.sac((0,))
    rows = Probe(streams(1)).measure(agent.learners(), subjects.batch(agent, 8))
    assert {name.split("/")[1] for name in rows} == {"actor", "critic"}
    assert isinstance(agent.learners()["temperature"], Learner)
