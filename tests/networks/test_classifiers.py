"""Classifiers by name: what they are made of, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from agents import Streams
from networks import CLASSIFIERS, AdaLin, AdaLinConfig, Architecture, SimBaConfig, initialize
from networks.classifiers import make_classifier
from networks.torsos import Convolutions
from plasticity.layers import activations, weight_layers

HUNDREDS = Architecture((100, 100), "relu")
SHAPE = (3, 16, 20)


def classifier(kind: str, architecture: Architecture, num_seeds: int = 2) -> Any:
    settings: Any = {"width": 4} if kind == "resnet-18" else {}
    return make_classifier(kind, SHAPE, 5, num_seeds, architecture, **settings)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_images_become_logits_and_uint8_is_scaled(kind: str) -> None:
    network = classifier(kind, Architecture((8, 6), "adalin-relu")).eval()
    images = torch.randint(0, 256, (2, 4, *SHAPE), dtype=torch.uint8)
    assert network(images).shape == (2, 4, 5)
    torch.testing.assert_close(network(images), network(images.float() / 255))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_seed_is_the_same_alone_and_among_others(kind: str) -> None:
    many, one = (classifier(kind, Architecture((8, 6)), s) for s in (2, 1))
    initialize(many, Streams((0, 1), "initialize").generators)
    initialize(one, Streams((1,), "initialize").generators)
    x = torch.randn(2, 4, *SHAPE)
    torch.testing.assert_close(many(x)[1:], one(x[1:]))


def test_mlp_is_a_chain_of_dense_layers() -> None:
    network = make_classifier("mlp", (1, 28, 28), 10, 2, HUNDREDS)
    x = torch.randn(2, 3, 1, 28, 28)
    layers = weight_layers(network)
    assert list(layers) == ["layer_1", "layer_2", "head"]
    for seed in range(2):
        h = x[seed].flatten(1)
        for name, layer in layers.items():
            dense: Any = layer
            h = F.linear(h if name == "layer_1" else h.relu(), dense.weight[seed], dense.bias[seed])
        torch.testing.assert_close(network(x)[seed], h)


@pytest.mark.parametrize(("side", "inputs"), [(28, 256), (32, 400), (16, 16)])
def test_cnn_is_that_of_the_paper(side: int, inputs: int) -> None:
    network = make_classifier("cnn", (3, side, side), 10, 2, HUNDREDS)
    plain: Any = nn.Sequential(
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(inputs, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    assert list(weight_layers(network)) == ["conv_1", "conv_2", "layer_1", "layer_2", "head"]
    x = torch.randn(2, 3, 3, side, side)
    for seed in range(2):
        pairs = zip(plain.state_dict(), network.parameters(), strict=True)
        plain.load_state_dict({name: p[seed] for name, p in pairs})
        torch.testing.assert_close(network(x)[seed], plain(x[seed]))


def test_layers_have_short_names() -> None:
    cnn, resnet = (classifier(kind, Architecture((8, 6))) for kind in ("cnn", "resnet-18"))
    assert list(activations(cnn)) == ["conv_1", "conv_2", "layer_1", "layer_2"]
    blocks = [f"stage_{i}.block_{j}" for i in range(1, 5) for j in (1, 2)]
    inside = [f"{block}.activation_{k}" for block in blocks for k in (1, 2)]
    assert list(activations(resnet)) == ["stem", *inside]
    names = list(weight_layers(resnet))
    assert names[:3] == ["stem", "stage_1.block_1.conv_1", "stage_1.block_1.conv_2"]
    shortcuts = [name for name in names if name.endswith("shortcut")]
    assert shortcuts == [f"stage_{i}.block_1.shortcut" for i in (2, 3, 4)]
    assert names[-1] == "head"


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("activation", ["crelu", "adalin-tanh"])
def test_widths_activations_and_normalisations(kind: str, activation: str) -> None:
    options = AdaLinConfig(granularity="network")
    network = classifier(kind, Architecture((8, 6), activation, options, True, halve=True))
    assert network(torch.randn(2, 4, *SHAPE)).shape == (2, 4, 5)
    names = dict(network.named_parameters())
    units = 3 if activation == "crelu" else 6
    assert names["torso.dense.layer_2.norm.gain"].shape == (2, units)
    assert network.head.weight.shape == (2, 5, 6)
    alphas = {module.alpha for module in network.modules() if isinstance(module, AdaLin)}
    assert len(alphas) == (activation != "crelu")  # one for the whole network


def test_mlp_may_be_simba() -> None:
    network = classifier("mlp", Architecture((), simba=SimBaConfig(1, 8)))
    assert network.head.weight.shape == (2, 5, 8)
    assert list(activations(network)) == ["hidden"]
    assert network(torch.randn(2, 4, *SHAPE)).shape == (2, 4, 5)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)), max_size=3),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_smallest_images_leave_one_pixel(
    filters: list[tuple[int, int, int]], pool: int, more: int
) -> None:
    convolutions = Convolutions(tuple(filters), pool)
    smallest = convolutions.smallest
    assert convolutions.after(smallest) == 1
    assert smallest == 1 or convolutions.after(smallest - 1) < 1
    x = torch.zeros(1, 1, smallest + more, smallest + more)
    for _, kernel, stride in filters:
        x = F.max_pool2d(F.conv2d(x, torch.zeros(1, 1, kernel, kernel), stride=stride), pool)
    assert convolutions.after(smallest + more) == x.shape[-1]


@pytest.mark.parametrize(
    ("kind", "shape", "architecture", "settings", "message"),
    [
        ("cnm", SHAPE, HUNDREDS, {}, "there is no classifier 'cnm'. Did you mean 'cnn'?"),
        ("vit", SHAPE, HUNDREDS, {}, "there is no classifier 'vit'. Known: mlp, cnn, resnet-18."),
        ("cnn", (1, 8, 8), HUNDREDS, {}, "the cnn needs images of at least 16 x 16. .*1, 8, 8"),
        ("cnn", (1, 28, 15), HUNDREDS, {}, "at least 16 x 16. Received .1, 28, 15"),
        ("mlp", (64,), HUNDREDS, {}, "`image_shape` should be .C, H, W.. Received .64,"),
        ("mlp", SHAPE, HUNDREDS, {"norm": "group"}, "`norm` is a setting of resnet-18 alone"),
        ("cnn", SHAPE, HUNDREDS, {"width": 32}, "`width` is a setting of resnet-18 alone"),
        (
            "cnn",
            SHAPE,
            Architecture((), simba=SimBaConfig()),
            {},
            "`simba` should be None with cnn",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    kind: str, shape: Any, architecture: Architecture, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier(kind, shape, 10, 2, architecture, **settings)
