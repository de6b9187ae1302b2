"""What is seen of image classifiers, and what remedies do to them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from agents import Batch, Learner, Streams
from networks import CLASSIFIERS, Architecture, initialize
from networks.norms import BatchNorm
from plasticity import Probe, UpdateWatch
from plasticity.mitigations import MITIGATIONS, Mitigations, seams
from plasticity.mitigations.recycling import ReDo, ReDoConfig, recycle
from plasticity.mitigations.regularizers import L2, L2Config
from plasticity.mitigations.resets import Reset, ResetConfig
from tests.plasticity.classifiers import SEEDS, buffers, classifier, images, step, subject


def batch() -> Batch:
    return images(16, Streams(SEEDS, "probe"))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_layer_has_rows_and_all_are_finite(kind: str) -> None:
    learner = classifier(kind, Architecture((12, 10), "adalin-relu"))
    probe, watch = Probe(Streams(SEEDS, "noise"), refit_steps=2), UpdateWatch(Streams(SEEDS, "w"))
    streams = Streams(SEEDS, "train")
    step(learner, streams)
    before = buffers(learner)
    rows = probe.measure({"classifier": learner}, batch(), refit=True)
    # With a target the loss is taken again after the update.
    learner = replace(learner, td_target=lambda batch, streams: batch.reward)
    watch.before({"classifier": learner}, batch())
    watch.after({"classifier": learner})
    rows |= watch.take()
    for name, value in buffers(learner).items():
        assert torch.equal(value, before[name])  # a look moves no running statistics
    assert all(m.training for m in learner.network.modules())
    layers = {
        "mlp": ("layer_1", "layer_2"),
        "cnn": ("conv_1", "conv_2", "layer_1", "layer_2"),
        "resnet-18": ("stem", "stage_1.block_1.activation_1", "stage_4.block_2.activation_2"),
    }[kind]
    metrics = ("dormant_fraction@0.025", "effective_rank", "feature_norm", "linear_fraction")
    for layer in layers:
        assert {f"plasticity/classifier/{metric}/{layer}" for metric in metrics} <= rows.keys()
        assert f"adalin/classifier/{layer}/alpha_mean" in rows
    for metric in ("weight_rms/head", "effective_lr/head", "one_step_plasticity", "refit_loss"):
        assert f"plasticity/classifier/{metric}" in rows
    for name, row in rows.items():
        assert row.shape == (2,), name
        assert row.isfinite().all(), name


@pytest.mark.parametrize(
    ("kind", "bias", "scale", "layer", "channels"),
    [
        ("cnn", "torso.convolutions.conv_1.weights.bias", "weight", "conv_1", 16),
        ("resnet-18", "stem.norm.bias", "gain", "stem", 4),
        ("resnet-18", "stage_2.block_1.norm_1.bias", "gain", "stage_2.block_1.activation_1", 8),
    ],
)
def test_a_channel_that_is_dead_by_hand(
    kind: str, bias: str, scale: str, layer: str, channels: int
) -> None:
    learner = classifier(kind)
    named = dict(learner.network.named_parameters())
    with torch.no_grad():  # every channel puts out 1, but one of the second seed nothing
        named[bias.replace("bias", scale)].zero_()
        named[bias].fill_(1)
        named[bias][1, 3] = -1
    rows = Probe().measure({"classifier": learner}, batch())
    for metric in ("dormant_fraction@0", "dormant_fraction@0.1", "dead_fraction"):
        row = rows[f"plasticity/classifier/{metric}/{layer}"]
        torch.testing.assert_close(row, torch.tensor([0, 1 / channels], dtype=torch.float64))


UNITS = "activation_2 are sums that other weights or units reach, too, as in residual networks"
LAYER_NORM = "`layer_norm` should be False with resnet-18"
REFUSED = {
    ("simba", "cnn"): "`simba` should be None with cnn",
    ("simba", "resnet-18"): "`simba` should be None with resnet-18",
    ("layer-norm", "resnet-18"): LAYER_NORM,
    ("nap", "resnet-18"): LAYER_NORM,
    ("plasticity-injection", "resnet-18"): "needs a head behind dense layers",
    **{
        (name, "resnet-18"): UNITS
        for name in ("parseval", "redo", "regrama", "continual-backprop", "snr")
    },
}
SETTINGS: dict[str, Any] = {
    **{"every": 1, "after": 1, "batch_size": 8, "tau": 0.5},
    **{"rate": 0.5, "maturity": 0, "reset_every": 1, "max_age": 1},
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("name", MITIGATIONS)
def test_remedies_work_or_say_why_not(name: str, kind: str) -> None:
    config = MITIGATIONS[name].config
    of_remedy = {f.name for f in fields(config)}
    chosen = {name: config(**{k: v for k, v in SETTINGS.items() if k in of_remedy})}
    example = subject(classifier("mlp")).example

    def work() -> None:
        learner = classifier(kind, seams=seams(chosen, SEEDS))
        remedies = Mitigations(chosen, {"classifier": learner}, SEEDS, images, example)
        streams = Streams(SEEDS, "train")
        for _ in range(2):
            remedies.observe(step(learner, streams).obs.numpy())
            before = {n: p.detach().clone() for n, p in learner.network.named_parameters()}
            statistics = buffers(learner)
            remedies.after_update()
            moved = any(
                not torch.equal(p, before.get(n, torch.zeros(())))
                for n, p in learner.network.named_parameters()
            )
            surgery = MITIGATIONS[name].seam == "surgery" and name != "weight-clipping"
            assert moved <= surgery
            for key, value in buffers(learner).items():
                known = "running_mean" in key or "running_var" in key
                assert name == "reset" or not known or torch.equal(value, statistics[key])
        report = remedies.report()
        assert bool(report) == (MITIGATIONS[name].make is not None)
        assert all(value.isfinite().all() for value in report.values())
        assert all(p.isfinite().all() for p in learner.network.parameters())

    if (name, kind) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name, kind]):
            work()
    else:
        work()


def test_penalties_leave_gains_and_biases_of_norms_alone() -> None:
    learner = classifier("resnet-18")
    for parameter in learner.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        learner.network.get_parameter("head.bias").fill_(1)
    L2(L2Config(), subject(learner)).before_step()
    for name, parameter in learner.network.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any() == ("norm" not in name), name


def test_a_reset_forgets_weights_and_statistics() -> None:
    learner = classifier("resnet-18")
    for _ in range(2):
        step(learner, Streams(SEEDS, "train"))
    Reset(ResetConfig(every=1), subject(learner)).operate()
    fresh = classifier("resnet-18").network
    initialize(fresh, Streams(SEEDS, "remedy").generators)
    state = learner.network.state_dict()
    for name, value in fresh.state_dict().items():
        assert torch.equal(state[name], value), name


def normalised() -> tuple[Learner, BatchNorm]:
    """The cnn with a batch normalisation behind its first convolution."""
    learner = classifier("cnn", Architecture((6,), "relu", layer_norm=True))
    network: Any = learner.network
    network.torso.convolutions.conv_1.norm = norm = BatchNorm(16, (2,))
    return learner, norm


def test_surgery_forgets_gain_bias_and_statistics_of_a_channel() -> None:
    learner, norm = normalised()
    with torch.no_grad():
        for value in (norm.gain, norm.bias, norm.running_mean, norm.running_var):
            value.fill_(7)
    of = subject(learner)
    assert of.hidden[0].norm is norm
    masks = [torch.zeros(2, h.num_units, dtype=torch.bool) for h in of.hidden]
    masks[0][1, 3] = True
    recycle(of, masks)
    for value, first in (
        *((norm.gain, 1), (norm.bias, 0)),
        *((norm.running_mean, 0), (norm.running_var, 1)),
    ):
        expected = torch.full((2, 16), 7.0)
        expected[1, 3] = first
        assert torch.equal(value, expected)


def test_looking_for_dormant_units_moves_no_statistics() -> None:
    learner, _ = normalised()
    redo, before = ReDo(ReDoConfig(tau=0.0, batch_size=8), subject(learner)), buffers(learner)
    redo.operate()
    assert all(torch.equal(value, before[name]) for name, value in buffers(learner).items())
    assert learner.network.training
