"""C-CHAIN against autograd of the change of the outputs, written by hand in float64."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents import Batch, Learner, Seams, Streams, saving
from networks import observe
from plasticity.mitigations import Subject
from plasticity.mitigations.architecture import SimBaRemedyConfig, simba
from plasticity.mitigations.attach import born_again
from plasticity.mitigations.churn import CChain, CChainConfig
from tests.plasticity.penalties import KINDS, added, shift, subject, trained
from tests.plasticity.remedies import learn, state_of, subject_of
from tests.plasticity.subjects import dqn, sac

SETTINGS = CChainConfig(strength=0.5, batch_size=7)


def outputs(of: Subject, batch: Batch, network: nn.Module) -> Tensor:
    """Values, or the means of actions."""
    assert of.learner.inputs is not None
    result = network(*of.learner.inputs(batch))
    return result[0] if of.name == "actor" else result  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_change_since_the_last_update(kind: str) -> None:
    batches: list[Batch] = []
    of = subject(kind, batches=batches)
    remedy = CChain(SETTINGS, of)
    assert not any(gradient.any() for gradient in added(of, remedy).values())
    assert not remedy.report()["penalty"].any()
    assert not batches  # the first update has nothing to compare with
    for update in range(2):
        before = copy.deepcopy(of.network)  # the weights before the most recent update
        shift(of, update)
        found = added(of, remedy)
        (batch,) = batches
        batches.clear()
        square = (outputs(of, batch, of.network) - outputs(of, batch, before).detach()) ** 2
        seeds = 1 if kind == "torch" else 2
        assert square.numel() == seeds * 7 * {"image": 3, "q": 3}.get(kind, 2)
        # A mean for each seed, over states and values; for each twin, over states.
        penalty = 0.5 * square.reshape(seeds, -1).mean(1) * (2 if kind == "critic" else 1)
        names, parameters = zip(*of.network.named_parameters(), strict=True)
        expected = torch.autograd.grad(penalty.sum(), parameters)
        for name, gradient in zip(names, expected, strict=True):
            assert gradient.any(), name
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(remedy.report()["penalty"], penalty.detach())


def test_critics_in_a_tuple_count_each() -> None:
    class Critics(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).split(1, dim=-1)

    network = Critics(4, 2)
    learner = Learner(network, torch.optim.Adam(network.parameters()), inputs=lambda b: (b.obs,))
    obs, nothing = torch.arange(8.0).view(2, 4), torch.zeros(2)
    batch = Batch(obs, nothing, nothing, nothing, obs)
    of = Subject("critic", learner, Streams([0], "x"), lambda *_: batch, batch, born_again)
    remedy = CChain(SETTINGS, of)
    added(of, remedy)
    with torch.no_grad():
        network.bias.add_(torch.tensor([1.0, 3.0]))
    added(of, remedy)
    assert remedy.report()["penalty"].item() == pytest.approx(0.5 * (1 + 9))


def test_the_log_standard_deviation_of_an_actor_may_change() -> None:
    of = subject("actor")
    remedy = CChain(SETTINGS, of)
    added(of, remedy)
    with torch.no_grad():
        of.network.head.bias[:, 2:] += 1
    assert not any(gradient.any() for gradient in added(of, remedy).values())


@pytest.mark.parametrize("kind", ["q", "critic"])
def test_a_seed_does_not_feel_the_others(kind: str) -> None:
    found = []
    for other in (1.0, -3.0):
        of = subject(kind)
        remedy = CChain(SETTINGS, of)
        added(of, remedy)
        shift(of)
        with torch.no_grad():
            for parameter in of.network.parameters():
                parameter[1].mul_(other)
        found.append(added(of, remedy))
    for name, gradient in found[0].items():
        assert torch.equal(gradient[0], found[1][name][0])
        assert not torch.equal(gradient[1], found[1][name][1])


def test_training_differs_from_the_second_update_on() -> None:
    agents = [dqn((1, 2)) for _ in range(2)]
    remedy = CChain(CChainConfig(strength=10.0), subject_of(agents[1], (1, 2)))
    agents[1].optimizer.register_step_pre_hook(lambda *_: remedy.before_step())
    streams = [Streams((1, 2), "test") for _ in agents]
    for same in (True, False):
        for agent, own in zip(agents, streams, strict=True):
            learn(agent, own, 1)
        states = [state_of(agent) for agent in agents]
        assert same == all(torch.equal(x, states[1][name]) for name, x in states[0].items())


def test_activations_that_draw_numbers_do_not_draw_for_it() -> None:
    agent = dqn(activation="aid")
    of = subject_of(agent)
    remedy = CChain(SETTINGS, of)
    state = agent.q.state_dict()
    added(of, remedy)
    assert not any(gradient.any() for gradient in added(of, remedy).values())  # nothing changed
    shift(of)
    assert any(gradient.any() for gradient in added(of, remedy).values())
    for name, value in agent.q.state_dict().items():
        if "_extra_state" in name:
            assert torch.equal(value, state[name])
    assert all(module.training for module in agent.q.modules())


def test_statistics_of_observations_are_those_of_now_in_both_networks() -> None:
    def architecture(name: str, usual: Any) -> Any:
        return simba(SimBaRemedyConfig(critic_width=8), name, usual)

    agent = dqn(seams=Seams(architecture=architecture))
    of = subject_of(agent)
    remedy = CChain(SETTINGS, of)
    added(of, remedy)
    observe(agent.q, 5 + torch.randn(1, 10, 4))
    assert not any(gradient.any() for gradient in added(of, remedy).values())


def test_other_layers_are_compared_from_the_next_update_on() -> None:
    of = subject("torch")
    remedy = CChain(SETTINGS, of)
    added(of, remedy)
    shift(of)
    of.network.append(nn.Linear(2, 2).double())
    assert not any(gradient.any() for gradient in added(of, remedy).values())
    shift(of)
    assert any(gradient.any() for gradient in added(of, remedy).values())


def test_frozen_parameters_get_no_gradient() -> None:
    of = subject("q")
    remedy = CChain(SETTINGS, of)
    added(of, remedy)
    shift(of)
    of.network.head.requires_grad_(False)
    found = added(of, remedy)
    assert not found["head.weight"].any()
    assert found["torso.dense.layer_1.weights.weight"].any()


def test_the_last_weights_are_in_the_state(tmp_path: Path) -> None:
    of, other = subject("critic"), subject("critic")
    remedy, again = CChain(SETTINGS, of), CChain(SETTINGS, other)
    saving.save(tmp_path / "first", {"remedy": remedy.state_dict()})
    again.load_state_dict(saving.load(tmp_path / "first")["remedy"])
    assert not any(gradient.any() for gradient in added(other, again).values())
    added(of, remedy)
    shift(of)
    saving.save(tmp_path / "next", {"remedy": remedy.state_dict()})
    other.network.load_state_dict(of.network.state_dict())
    again.load_state_dict(saving.load(tmp_path / "next")["remedy"])
    expected = added(of, remedy)
    assert any(gradient.any() for gradient in expected.values())
    for name, gradient in added(other, again).items():
        assert torch.equal(gradient, expected[name])


def test_a_network_without_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no inputs, so there are no outputs to compare"):
        CChain(SETTINGS, subject_of(sac(), network="temperature"))


def test_a_network_whose_first_output_is_an_integer_is_refused() -> None:
    class Chooser(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).argmax(-1), x

    network = Chooser(4, 3)
    optimizer = torch.optim.Adam(network.parameters())
    learner = Learner(network, optimizer, inputs=lambda batch: (batch.obs,))
    nothing = torch.zeros(1)
    example = Batch(torch.zeros(1, 4), nothing, nothing, nothing, torch.zeros(1, 4))
    of = Subject("policy", learner, Streams([0], "x"), lambda *_: example, example, born_again)
    with pytest.raises(ValueError, match="its first output is an integer"):
        CChain(SETTINGS, of)


@pytest.mark.parametrize("kind", ["q", "actor", "critic"])
def test_strength_0_changes_nothing(kind: str) -> None:
    plain, found = (
        trained(None, kind),
        trained(lambda of: CChain(CChainConfig(strength=0), of), kind),
    )
    assert all(torch.equal(value, found[name]) for name, value in plain.items())
