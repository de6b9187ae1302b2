"""ResNet-18 against a plain network of PyTorch's layers, seed by seed."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents import Streams
from networks import AdaLin, AdaLinConfig, Architecture, SimBaConfig, initialize
from networks.layers import Conv2d
from networks.norms import BatchNorm, GroupNorm
from networks.resnet import ResNet18

RELU = Architecture((), "relu")
SHAPE = (3, 12, 12)


class PlainBlock(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.down = nn.Sequential()
        if stride == 2:
            down = nn.Conv2d(before, channels, 1, stride, bias=False)
            self.down = nn.Sequential(down, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.down(x))


class PlainResNet18(nn.Module):
    """Written from Table 1 of He et al. 2016, with a stem for small images."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            PlainBlock(width, width, 1),
            PlainBlock(width, width, 1),
            PlainBlock(width, 2 * width, 2),
            PlainBlock(2 * width, 2 * width, 1),
            PlainBlock(2 * width, 4 * width, 2),
            PlainBlock(4 * width, 4 * width, 1),
            PlainBlock(4 * width, 8 * width, 2),
            PlainBlock(8 * width, 8 * width, 1),
        )
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        out: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


def resnet(num_seeds: int = 2, architecture: Architecture = RELU, **settings: Any) -> ResNet18:
    return ResNet18(SHAPE, 5, num_seeds, architecture, **{"width": 4, **settings})


def drawn(network: ResNet18, seeds: Any) -> ResNet18:
    initialize(network, Streams(seeds, "initialize").generators)
    return network


def test_outputs_gradients_and_statistics_are_those_of_a_plain_network() -> None:
    network = resnet().double()
    with torch.no_grad():  # gains and biases that differ
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, 6, *SHAPE, dtype=torch.float64)
    plain = [PlainResNet18(4, 5).double() for _ in range(2)]
    tensors = list(network.state_dict().values())
    for seed, one in enumerate(plain):
        state = {k: v for k, v in one.state_dict().items() if "num_batches" not in k}
        assert len(state) == len(tensors)
        pairs = zip(state, tensors, strict=True)
        one.load_state_dict({name: tensor[seed] for name, tensor in pairs}, strict=False)
    for mode in (True, False):
        network.train(mode).zero_grad()
        out = network(x)
        weights = torch.randn_like(out)
        (out * weights).sum().backward()
        for seed, one in enumerate(plain):
            one.train(mode).zero_grad()
            expected = one(x[seed])
            torch.testing.assert_close(out[seed], expected)
            (expected * weights[seed]).sum().backward()
            for p, q in zip(network.parameters(), one.parameters(), strict=True):
                assert p.grad is not None
                torch.testing.assert_close(p.grad[seed], q.grad)
            ours, theirs = ([*n.buffers()] for n in (network, one))
            theirs = [b for b in theirs if b.dtype != torch.int64]
            for b, c in zip(ours, theirs, strict=True):
                torch.testing.assert_close(b[seed], c)


def test_number_of_parameters() -> None:
    network = ResNet18((3, 32, 32), 10, 1, RELU)
    # 11,173,962: the number that implementations of ResNet-18 for CIFAR-10 agree on.
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    assert sum(p.numel() for p in PlainResNet18(64, 10).parameters()) == 11_173_962


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_seed_is_the_same_alone_and_among_others(norm: Literal["batch", "group"]) -> None:
    many, one = drawn(resnet(2, norm=norm), (0, 1)), drawn(resnet(1, norm=norm), (1,))
    for a, b in zip(many.parameters(), one.parameters(), strict=True):
        assert torch.equal(a[1:], b)
    x = torch.randn(2, 3, *SHAPE)
    torch.testing.assert_close(many(x)[1:], one(x[1:]))


def test_group_normalisation_knows_no_batch() -> None:
    network, x = resnet(norm="group"), torch.randn(2, 3, *SHAPE)
    assert not any(isinstance(m, BatchNorm) for m in network.modules())
    assert sum(isinstance(m, GroupNorm) for m in network.modules()) == 20
    torch.testing.assert_close(network(x)[:, :1], network(x[:, :1]))


@pytest.mark.parametrize("halve", [False, True])
@pytest.mark.parametrize("activation", ["crelu", "fourier"])
def test_doubling_activations_double_what_is_read(activation: str, halve: bool) -> None:
    network: Any = resnet(architecture=Architecture((), activation, halve=halve))
    units = 2 if halve else 4
    assert network.stem.weights.weight.shape == (2, units, 3, 3, 3)
    block: Any = network.stage_2[0]
    assert block.conv_1.weight.shape == (2, 2 * units, 2 * units, 3, 3)
    assert block.conv_2.weight.shape == (2, 2 * units, 4 * units, 3, 3)
    # The sum has half as many channels as the input of a block, so each has a convolution there.
    shortcuts = [b.shortcut for s in list(network.children())[1:5] for b in s.children()]
    assert all(isinstance(shortcut, Conv2d) for shortcut in shortcuts)
    assert network.head.weight.shape == (2, 5, 16 * units)
    assert network(torch.randn(2, 3, *SHAPE)).shape == (2, 3, 5)


def test_options_of_adalin() -> None:
    options = AdaLinConfig(init=0.5, granularity="network")
    network = resnet(architecture=Architecture((), "adalin-tanh", options))
    layers = [module for module in network.modules() if isinstance(module, AdaLin)]
    assert len(layers) == 17
    assert len({layer.alpha for layer in layers}) == 1
    assert layers[0].alpha.eq(0.5).all()
    assert layers[0].dim == -3


def test_uint8_is_scaled() -> None:
    network = resnet().eval()
    images = torch.randint(0, 256, (2, 3, *SHAPE), dtype=torch.uint8)
    torch.testing.assert_close(network(images), network(images.float() / 255))


def test_images_of_a_few_pixels() -> None:
    network = ResNet18((1, 8, 8), 5, 2, RELU, width=4)
    assert network(torch.randn(2, 3, 1, 8, 8)).shape == (2, 3, 5)


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        (Architecture((), layer_norm=True), {}, "`layer_norm` should be False with resnet-18"),
        (Architecture((), simba=SimBaConfig()), {}, "`simba` should be None with resnet-18"),
        (RELU, {"width": 0}, "`width` should be at least 1. Received 0"),
        (RELU, {"norm": "layer"}, "`norm` should be batch or group. Received 'layer'"),
        (Architecture((), "crelu", halve=True), {"width": 3}, "should be even to be halved"),
    ],
)
def test_what_makes_no_sense_is_refused(
    architecture: Architecture, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resnet(architecture=architecture, **settings)
